//! Outputs: what is published, under which path, in which format.

use toml::Spanned;

use crate::error::{Code, Error};
use crate::spec::{Compression, OutputSpec};
use crate::window::{PathTemplate, TemplateClash, WindowGrid};

use super::diagnose::{Place, Read, Report};
use super::folders::Folder;
use super::later;
use super::mistake::{Mistake, nearest};
use super::raw::{RawOutput, RawPipeline};
use super::resolve::Project;
use super::value::{choice, filled, folder};

const ZSTD_LEVEL: u8 = 3;
const ZSTD_LEVEL_MAX: u8 = 22;

/// The specs of `[pipeline.<pipeline>.output.*]`; `grid` is missing if the windows are unusable.
pub(super) fn outputs(
    pipeline: &str,
    raw: &RawPipeline,
    place: &Place,
    grid: Option<&WindowGrid>,
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<Vec<OutputSpec>> {
    let mut named: Vec<_> = raw.output.iter().flatten().collect();
    if named.is_empty() {
        return Err(report.missing("output", place, "a table `output.<step>` with a `path`"));
    }
    named.sort_by_key(|(name, _)| name.span().start);
    let steps = step_names(raw);
    let specs: Vec<_> = named
        .into_iter()
        .map(|(name, raw)| {
            // Without steps every output would be wrong, and that there are none is reported.
            if !steps.is_empty() {
                check_step(name, &steps, report);
            }
            let owner = format!("output `{}` of pipeline `{pipeline}`", name.get_ref());
            output(name, owner, raw, grid, project, report)
        })
        .collect();
    specs.into_iter().collect()
}

/// The names of the steps of `raw`, as far as they have one.
pub(super) fn step_names(raw: &RawPipeline) -> Vec<&str> {
    raw.step
        .iter()
        .flatten()
        .filter_map(|step| Some(step.get_ref().name.as_ref()?.get_ref().as_str()))
        .collect()
}

fn check_step(name: &Spanned<String>, steps: &[&str], report: &mut Report<'_>) {
    let name_text = name.get_ref();
    if steps.contains(&name_text.as_str()) {
        return;
    }
    let message = format!("output `{name_text}` is not the name of a step");
    let error = Error::new(Code::Conflict, message).note(format!("steps: {}", steps.join(", ")));
    let error = match nearest(name_text, steps.iter().copied()) {
        Some(similar) => error.hint(format!("did you mean `{similar}`?")),
        None => error.hint("an output has the name of the step whose rows it holds"),
    };
    report.add(name.span(), "no step has this name", error);
}

fn output(
    name: &Spanned<String>,
    owner: String,
    raw: &Spanned<RawOutput>,
    grid: Option<&WindowGrid>,
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<OutputSpec> {
    let (table, raw) = (raw.span(), raw.get_ref());
    later::output(raw, report);
    let example = "`path = \"curated/orders/dt={start_utc:%Y-%m-%d}\"`";
    let path = report.required("path", raw.path.as_ref(), &table, example).and_then(|path| {
        let template = report.check("path", path, |text| template(text, grid))?;
        let folder = project.root.below(template.root());
        project.folders.outputs.push(Folder { path: folder, owner, place: path.span() });
        Ok(template)
    });
    let sort_by = sort_by(raw, report);
    let compression = compression(raw, report);
    Ok(OutputSpec {
        name: name.get_ref().clone(),
        path: path?,
        sort_by: sort_by?,
        compression: compression?,
    })
}

/// A template under the project's root that gives each window of `grid` a path of its own.
pub(super) fn template(text: &str, grid: Option<&WindowGrid>) -> Result<PathTemplate, Mistake> {
    folder(text)?;
    let template = PathTemplate::parse(text)
        .map_err(|error| Mistake::bad(error.message, "not a path for windows").part(error.span))?;
    match grid.map(|grid| (grid, template.check_injective(grid))) {
        Some((grid, Err(clash))) => Err(not_injective(clash, grid)),
        _ => Ok(template),
    }
}

fn not_injective(clash: TemplateClash, grid: &WindowGrid) -> Mistake {
    let hint = "name the window's start in UTC, for example \
                `dt={start_utc:%Y-%m-%d}/hr={start_utc:%H}`, or add a field that tells them apart";
    match clash {
        TemplateClash::MissingField(why) => {
            Mistake::new(Code::PathNotInjective, why, "does not tell the windows apart").hint(hint)
        }
        TemplateClash::SamePath { path, first, second } => {
            let what = "two windows would share one path";
            Mistake::new(Code::PathNotInjective, what, "the same for two windows")
                .note(format!(
                    "{} and {} would both be `{path}`",
                    grid.local(first),
                    grid.local(second)
                ))
                .hint(hint)
        }
    }
}

fn sort_by(raw: &RawOutput, report: &mut Report<'_>) -> Read<Vec<String>> {
    let columns = raw.sort_by.as_deref().unwrap_or_default();
    let checked: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let is_repeated = columns.iter().take(at).any(|earlier| earlier == column);
            report.check("sort_by", column, |text| {
                if is_repeated {
                    return Err(Mistake::bad(
                        format!("`{text}` stands there twice"),
                        "named before",
                    ));
                }
                filled(text)
            })
        })
        .collect();
    checked.into_iter().collect()
}

fn compression(raw: &RawOutput, report: &mut Report<'_>) -> Read<Compression> {
    let codec = report.read("compression", raw.compression.as_ref(), |text| {
        choice(text, &["zstd", "snappy", "lz4", "none"])
    })?;
    let level = match &raw.compression_level {
        None => ZSTD_LEVEL,
        Some(level) => u8::try_from(*level.get_ref())
            .ok()
            .filter(|level| (1..=ZSTD_LEVEL_MAX).contains(level))
            .ok_or_else(|| {
                let what = format!("{} is not a level of zstd", level.get_ref());
                let mistake = Mistake::bad(what, "out of range").hint("write 1 to 22");
                report.wrong_at("`compression_level`", level.span(), mistake)
            })?,
    };
    let codec = match codec.unwrap_or("zstd") {
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "none" => Compression::Uncompressed,
        _ => return Ok(Compression::Zstd(level)),
    };
    match &raw.compression_level {
        Some(set) if level != ZSTD_LEVEL => {
            let mistake = Mistake::new(Code::Conflict, "only zstd has levels", "not for this one")
                .hint("leave it out, or use `compression = \"zstd\"`");
            Err(report.wrong_at("`compression_level`", set.span(), mistake))
        }
        _ => Ok(codec),
    }
}
