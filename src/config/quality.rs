//! What is expected of rows: rules, duplicates, and where bad rows lie.

use std::sync::Arc;

use toml::Spanned;

use crate::error::{Code, Excerpt};
use crate::id::PipelineName;
use crate::spec::{
    DedupSpec, Keep, OnViolation, QUARANTINE, QuarantineSpec, RuleSpec, SourceSpec, SqlOrigin,
};
use crate::time::Span;
use crate::window::{PathTemplate, WindowGrid};

use super::diagnose::{Place, Read, Report, Reported};
use super::folders::Folder;
use super::mistake::Mistake;
use super::output::template;
use super::raw::{RawDedup, RawPipeline, RawRule, RawSource};
use super::resolve::Project;
use super::value::{choice, filled, folder, length};

/// The most rules of one source: which of them a row breaks is held in as many bits.
pub(super) const RULES_MAX: usize = 64;

/// The rules of a source.
pub(super) fn rules(raw: &RawSource, report: &mut Report<'_>) -> Read<Vec<RuleSpec>> {
    let written = raw.rule.as_deref().unwrap_or_default();
    if let Some(first) = written.get(RULES_MAX) {
        let what = format!("a source may have {RULES_MAX} rules");
        let mistake = Mistake::bad(what, "one too many").hint("join conditions with AND");
        return Err(report.wrong_at("`rule`", first.span(), mistake));
    }
    let mut taken: Vec<&str> = Vec::with_capacity(written.len());
    let mut specs = Vec::with_capacity(written.len());
    for raw in written {
        specs.push(rule(raw, &taken, report));
        taken.extend(raw.get_ref().name.as_ref().map(|name| name.get_ref().as_str()));
    }
    specs.into_iter().collect()
}

/// One rule, whose name must not be one of `taken`.
fn rule(raw: &Spanned<RawRule>, taken: &[&str], report: &mut Report<'_>) -> Read<RuleSpec> {
    let (place, raw) = (raw.span(), raw.get_ref());
    let example = "`name = \"negative_amount\"`";
    let name = report
        .required("name", raw.name.as_ref(), &place, example)
        .and_then(|name| report.check("name", name, |text| rule_name(text, taken)));
    let expect = report
        .required("expect", raw.expect.as_ref(), &place, "`expect = \"amount >= 0\"`")
        .and_then(|sql| condition(sql, report));
    let reason = report.read("reason", raw.reason.as_ref(), filled);
    let on_violation = report.read("on_violation", raw.on_violation.as_ref(), on_violation);
    let (expect, origin) = expect?;
    Ok(RuleSpec {
        name: name?,
        reason: reason?.unwrap_or_else(|| format!("not so: {expect}")),
        expect,
        origin,
        on_violation: on_violation?.unwrap_or(OnViolation::Quarantine),
    })
}

fn rule_name(text: &str, taken: &[&str]) -> Result<String, Mistake> {
    if taken.contains(&text) {
        let what = format!("`{text}` is already the name of a rule of this source");
        return Err(Mistake::new(Code::Conflict, what, "used before")
            .hint("give each rule a name of its own: it stands with every row that breaks it"));
    }
    filled(text)
}

fn condition(sql: &Spanned<String>, report: &mut Report<'_>) -> Read<(String, SqlOrigin)> {
    let text = report.check("expect", sql, filled)?;
    let origin = SqlOrigin {
        file: report.origin().to_owned(),
        text: Arc::clone(report.shown()),
        offset: report.verbatim_at(sql),
    };
    Ok((text, origin))
}

fn on_violation(text: &str) -> Result<OnViolation, Mistake> {
    Ok(match choice(text, &["warn", "drop", "quarantine", "fail"])? {
        "warn" => OnViolation::Warn,
        "drop" => OnViolation::Drop,
        "fail" => OnViolation::Fail,
        _ => OnViolation::Quarantine,
    })
}

/// What of a source is a duplicate.
pub(super) fn dedup(raw: &RawSource, report: &mut Report<'_>) -> Read<Option<DedupSpec>> {
    let Some(raw) = &raw.dedup else { return Ok(None) };
    let (place, raw) = (raw.span(), raw.get_ref());
    let keys = match raw.keys.as_deref() {
        Some(keys) if !keys.is_empty() => columns("keys", keys, report),
        _ => Err(report.missing("keys", &place, "`keys = [\"order_id\"]`")),
    };
    let order_by = columns("order_by", raw.order_by.as_deref().unwrap_or_default(), report);
    let keep = report.read("keep", raw.keep.as_ref(), |text| {
        Ok(match choice(text, &["first", "last"])? {
            "first" => Keep::First,
            _ => Keep::Last,
        })
    });
    let across = report.read("across", raw.across.as_ref(), across).map(Option::flatten);
    let keep = keep?.unwrap_or(Keep::Last);
    let across = across?;
    check_keep(keep, across, raw, report)?;
    let named = raw.keys.iter().chain(&raw.order_by).flatten();
    let places =
        named.filter_map(|column| Some((column.get_ref().clone(), shown(column, report)?)));
    let places = places.collect();
    Ok(Some(DedupSpec { keys: keys?, order_by: order_by?, keep, across, places }))
}

/// The place where `column` is named.
fn shown(column: &Spanned<String>, report: &Report<'_>) -> Option<Excerpt> {
    let start = report.verbatim_at(column)?;
    Some(Excerpt {
        origin: report.origin().to_owned(),
        text: Arc::clone(report.shown()),
        span: start..start.checked_add(column.get_ref().len())?,
        label: "no such column".to_owned(),
    })
}

/// Refuses to keep the last of rows of several windows: an earlier window would have to wait for
/// all later ones.
fn check_keep(
    keep: Keep,
    across: Option<Span>,
    raw: &RawDedup,
    report: &mut Report<'_>,
) -> Read<()> {
    match &raw.across {
        Some(set) if across.is_some() && keep == Keep::Last => {
            let what = "across windows only the first of several rows can be kept";
            let mistake = Mistake::new(Code::Conflict, what, "needs `keep = \"first\"`")
                .hint("add `keep = \"first\"`, or leave `across` out");
            Err(report.wrong_at("`across`", set.span(), mistake))
        }
        _ => Ok(()),
    }
}

fn across(text: &str) -> Result<Option<Span>, Mistake> {
    if text == "window" {
        return Ok(None);
    }
    match length(text)? {
        Span::ZERO => Err(Mistake::bad(format!("`{text}` is no time at all"), "no time at all")
            .hint("write `window`, or a length of time: `24h`")),
        across => Ok(Some(across)),
    }
}

/// Names of columns, none of them twice.
fn columns(key: &str, names: &[Spanned<String>], report: &mut Report<'_>) -> Read<Vec<String>> {
    let checked: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let is_repeated = names.iter().take(at).any(|earlier| earlier == column);
            report.check(key, column, |text| {
                if is_repeated {
                    let what = format!("`{text}` stands there twice");
                    return Err(Mistake::bad(what, "named before"));
                }
                filled(text)
            })
        })
        .collect();
    checked.into_iter().collect()
}

/// Where the quarantined rows of `sources` lie.
pub(super) fn quarantines(
    pipeline: &str,
    raw: &RawPipeline,
    place: &Place,
    sources: &[SourceSpec],
    grid: &WindowGrid,
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<Vec<QuarantineSpec>> {
    let set = raw.quality.as_ref().and_then(|quality| quality.get_ref().quarantine.as_ref());
    let (path, place) = match set {
        Some(set) => {
            let path = report.check("quarantine", set, |text| template(text, Some(grid)))?;
            (path, set.span())
        }
        None => (path_default(pipeline, grid, place, report)?, place.clone()),
    };
    let is_wanted = sources.iter().any(SourceSpec::has_quarantine);
    if is_wanted || set.is_some() {
        let owner = format!("the quarantine of pipeline `{pipeline}`");
        let folder = project.root.below(path.root());
        project.folders.outputs.push(Folder { path: folder, owner, place });
    }
    let quarantine = |source: &SourceSpec| QuarantineSpec {
        table: source.table.clone(),
        name: QuarantineSpec::name_of(&source.table),
        path: path.clone(),
        is_wanted: source.has_quarantine(),
    };
    Ok(sources.iter().map(quarantine).collect())
}

/// The folder of rows that belong to no window.
pub(super) fn aside(
    pipeline: &str,
    raw: &RawPipeline,
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<String> {
    let set = raw.quality.as_ref().and_then(|quality| quality.get_ref().quarantine_time.as_ref());
    let Some(set) = set else { return Ok(format!("{QUARANTINE}_time/{pipeline}")) };
    let path = report.check("quarantine_time", set, fixed_folder)?;
    let owner = format!("the rows of pipeline `{pipeline}` that belong to no window");
    let folder = project.root.below(&path);
    project.folders.outputs.push(Folder { path: folder, owner, place: set.span() });
    Ok(path)
}

/// A folder below the project's root, the same for all windows.
fn fixed_folder(text: &str) -> Result<String, Mistake> {
    folder(text)?;
    let template = PathTemplate::parse(text)
        .map_err(|error| Mistake::bad(error.message, "not a folder").part(error.span))?;
    if template.root() == text {
        return Ok(text.to_owned());
    }
    Err(Mistake::bad("it names the window, and such rows have none", "must be one folder")
        .hint("write a folder, for example `quarantine_time/orders`"))
}

/// A path that tells the windows of `grid` apart.
fn path_default(
    pipeline: &str,
    grid: &WindowGrid,
    place: &Place,
    report: &mut Report<'_>,
) -> Read<PathTemplate> {
    let by_hour = format!("{QUARANTINE}/{pipeline}/dt={{start_utc:%Y-%m-%d}}/hr={{start_utc:%H}}");
    let by_minute = format!("{by_hour}/mi={{start_utc:%M}}");
    if PipelineName::new(pipeline).is_none() {
        // That is reported where the name stands.
        return Err(Reported);
    }
    let mut unusable = None;
    for text in [by_hour, by_minute] {
        match template(&text, Some(grid)) {
            Ok(path) => return Ok(path),
            Err(mistake) => unusable = Some(mistake),
        }
    }
    let mistake = unusable.unwrap_or_else(|| Mistake::bad("there is none", "no path"));
    Err(report.wrong_at("`quarantine`", place.clone(), mistake))
}
