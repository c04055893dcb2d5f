//! One pipeline: its windows and steps; sources, references and outputs have modules of their own.

use std::sync::Arc;

use chrono::Weekday;
use chrono_tz::Tz;
use toml::Spanned;

use crate::error::Code;
use crate::id::PipelineName;
use crate::spec::{OnQueryChange, PipelineSpec, SourceSpec, SqlOrigin, StepSpec};
use crate::time::EventTime;
use crate::window::{WindowGrid, WindowSize};

use super::diagnose::{Place, Read, Report};
use super::mistake::Mistake;
use super::raw::{RawPipeline, RawStep, RawWindow};
use super::resolve::Project;
use super::value::{choice, filled, length, table_name, weekday, zone};
use super::{check, later, output, quality, reference, source, without_bom};

/// The spec of `[pipeline.<name>]`.
pub(super) fn pipeline(
    name: &Spanned<String>,
    raw: &Spanned<RawPipeline>,
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<PipelineSpec> {
    let place = raw.span();
    let raw = raw.get_ref();
    later::pipeline(raw, report);
    let spec_name = pipeline_name(name, report);
    let overdue_after = report.read("overdue_after", raw.overdue_after.as_ref(), length);
    let on_query_change =
        report.read("on_query_change", raw.on_query_change.as_ref(), on_query_change);
    let window = report
        .required("window", raw.window.as_ref(), &place, "a table `window` with `size = \"1h\"`")
        .and_then(|raw| window(raw, report));
    let grid = window.as_ref().ok().map(|(grid, _)| grid);
    let sources = sources(name.get_ref(), raw, &place, grid, project, report);
    let references = reference::references(name.get_ref(), raw, project, report);
    let steps = steps(raw, &place, project, report);
    let checks = check::checks(raw, project, report);
    let limits = check::quality(raw, report);
    let outputs = output::outputs(name.get_ref(), raw, &place, grid, project, report);
    let (grid, begin) = window?;
    let sources = sources?;
    let name = name.get_ref();
    let aside = quality::aside(name, raw, project, report);
    let quarantines = quality::quarantines(name, raw, &place, &sources, &grid, project, report);
    Ok(PipelineSpec {
        name: spec_name?,
        description: raw.description.clone(),
        owner: raw.owner.clone(),
        enabled: raw.enabled.unwrap_or(true),
        overdue_after: overdue_after?,
        on_query_change: on_query_change?.unwrap_or(OnQueryChange::Report),
        grid,
        begin,
        sources,
        references: references?,
        steps: steps?,
        checks: checks?,
        quality: limits?,
        outputs: outputs?,
        quarantines: quarantines?,
        aside: aside?,
    })
}

fn on_query_change(text: &str) -> Result<OnQueryChange, Mistake> {
    Ok(match choice(text, &["report", "reprocess"])? {
        "reprocess" => OnQueryChange::Reprocess,
        _ => OnQueryChange::Report,
    })
}

fn pipeline_name(name: &Spanned<String>, report: &mut Report<'_>) -> Read<PipelineName> {
    PipelineName::new(name.get_ref()).ok_or_else(|| {
        let mistake = Mistake::bad("it is not a usable name", "not a pipeline name")
            .hint("use letters, digits, `_` and `-`, at most 64, and begin with a letter or digit");
        report.wrong_at("its name", name.span(), mistake)
    })
}

/// How the time line is cut, and where the first window begins.
fn window(
    raw: &Spanned<RawWindow>,
    report: &mut Report<'_>,
) -> Read<(WindowGrid, Option<EventTime>)> {
    let (place, raw) = (raw.span(), raw.get_ref());
    let size = report
        .required("size", raw.size.as_ref(), &place, "`size = \"1h\"`")
        .and_then(|size| report.check("size", size, window_size));
    let zone = report.read("timezone", raw.timezone.as_ref(), zone);
    let first = report.read("week_start", raw.week_start.as_ref(), weekday);
    let (size, zone) = (size?, zone?.unwrap_or(Tz::UTC));
    let grid = WindowGrid::new(size.with_week_start(first?.unwrap_or(Weekday::Mon)), zone);
    if let (Some(first), false) = (&raw.week_start, matches!(size, WindowSize::Week { .. })) {
        let what = format!("it is for windows of `1w`, not of `{size}`");
        let mistake = Mistake::new(Code::Conflict, what, "for weeks only").hint("leave it out");
        return Err(report.wrong_at("`week_start`", first.span(), mistake));
    }
    let begin = report.read("begin", raw.begin.as_ref(), |text| begin(text, &grid))?;
    Ok((grid, begin))
}

fn window_size(text: &str) -> Result<WindowSize, Mistake> {
    WindowSize::parse(text).map_err(|why| Mistake::bad(why, "not a size of windows"))
}

/// The start of a window of `grid`.
fn begin(text: &str, grid: &WindowGrid) -> Result<EventTime, Mistake> {
    let at = EventTime::parse(text, grid.zone()).ok_or_else(|| {
        Mistake::bad(format!("`{text}` is not a point in time"), "not a point in time")
            .hint("write a date or a time, for example `2026-01-31` or `2026-01-31T06:00`")
    })?;
    if grid.is_boundary(at) {
        return Ok(at);
    }
    let what = format!("no window of `{}` begins at `{text}` in {}", grid.size(), grid.zone());
    let mistake = Mistake::bad(what, "inside a window");
    Err(match grid.window_at(at) {
        Some(window) => mistake.hint(format!(
            "the nearest windows begin at {} and {}",
            grid.local_instant(window.start()),
            grid.local_instant(window.end()),
        )),
        None => mistake.hint("use a year from 1 to 9999"),
    })
}

fn sources(
    pipeline: &str,
    raw: &RawPipeline,
    place: &Place,
    grid: Option<&WindowGrid>,
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<Vec<SourceSpec>> {
    let mut tables: Vec<_> = raw.source.iter().flatten().collect();
    if tables.is_empty() {
        return Err(report.missing("source", place, "a table `source.<table>`"));
    }
    tables.sort_by_key(|(table, _)| table.span().start);
    let mut taken = Vec::with_capacity(tables.len());
    let mut specs = Vec::with_capacity(tables.len());
    for (table, raw) in tables {
        let spec = source::source(pipeline, table, raw, &taken, project, report);
        specs.push(spec.and_then(|spec| source::within_reach(spec, raw.get_ref(), grid, report)));
        taken.push(table.get_ref().as_str());
    }
    specs.into_iter().collect()
}

fn steps(
    raw: &RawPipeline,
    place: &Place,
    project: &Project<'_>,
    report: &mut Report<'_>,
) -> Read<Vec<StepSpec>> {
    let written = raw.step.as_deref().unwrap_or_default();
    if written.is_empty() {
        return Err(report.missing("step", place, "`[[….step]]` with `name` and `sql`"));
    }
    let sources = raw.source.iter().flatten().map(|(table, _)| table.get_ref().as_str());
    let references = raw.reference.iter().flatten().map(|(table, _)| table.get_ref().as_str());
    let mut taken: Vec<&str> = sources.chain(references).collect();
    let mut specs = Vec::with_capacity(written.len());
    for step in written {
        specs.push(self::step(step, &taken, project, report));
        taken.extend(step.get_ref().name.as_ref().map(|name| name.get_ref().as_str()));
    }
    specs.into_iter().collect()
}

/// One step, whose name must not be one of `taken`.
fn step(
    raw: &Spanned<RawStep>,
    taken: &[&str],
    project: &Project<'_>,
    report: &mut Report<'_>,
) -> Read<StepSpec> {
    let (place, raw) = (raw.span(), raw.get_ref());
    let name = report
        .required("name", raw.name.as_ref(), &place, "`name = \"hourly\"`")
        .and_then(|name| report.check("name", name, |text| table_name(text, taken)));
    let sql = sql(raw.sql.as_ref(), raw.sql_file.as_ref(), &place, project, report);
    let (name, (sql, origin)) = (name?, sql?);
    Ok(StepSpec { name, sql, origin })
}

/// The SQL of the table at `place`, which has one of two keys for it.
pub(super) fn sql(
    inline: Option<&Spanned<String>>,
    file: Option<&Spanned<String>>,
    place: &Place,
    project: &Project<'_>,
    report: &mut Report<'_>,
) -> Read<(String, SqlOrigin)> {
    match (inline, file) {
        (Some(sql), None) => inline_sql(sql, report),
        (None, Some(file)) => sql_file(file, project, report),
        (None, None) => Err(report.missing("sql", place, "`sql = \"SELECT …\"` or `sql_file`")),
        (Some(_), Some(file)) => {
            let mistake = Mistake::new(Code::Conflict, "`sql` is there too", "one of two")
                .hint("keep `sql` or `sql_file`");
            Err(report.wrong_at("`sql_file`", file.span(), mistake))
        }
    }
}

fn inline_sql(sql: &Spanned<String>, report: &mut Report<'_>) -> Read<(String, SqlOrigin)> {
    let text = report.check("sql", sql, filled)?;
    let origin = SqlOrigin {
        file: report.origin().to_owned(),
        text: Arc::clone(report.shown()),
        offset: report.verbatim_at(sql),
    };
    Ok((text, origin))
}

fn sql_file(
    file: &Spanned<String>,
    project: &Project<'_>,
    report: &mut Report<'_>,
) -> Read<(String, SqlOrigin)> {
    let read = |name: &str| {
        let path = crate::spec::normal(&project.input.base.join(name));
        let text = (project.input.read_sql)(&path).map_err(|why| {
            let what = format!("cannot read {}: {why}", path.display());
            Mistake::bad(what, "cannot be read").hint("it is looked for beside the configuration")
        })?;
        let text = without_bom(&text);
        if text.trim().is_empty() {
            return Err(Mistake::bad(format!("{name} is empty"), "no SQL in it"));
        }
        Ok(text.to_owned())
    };
    let text = report.check("sql_file", file, read)?;
    let whole = Arc::from(text.as_str());
    let origin = SqlOrigin { file: file.get_ref().clone(), text: whole, offset: Some(0) };
    Ok((text, origin))
}
