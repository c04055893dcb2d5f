//! The shape of a pipeline: what its first run fixes for good.

use super::retire::not_done;
use crate::error::{Code, Error, Result};
use crate::id::PipelineName;
use crate::source::WINDOW_START;
use crate::spec::{OutputSpec, PipelineSpec, QuarantineSpec, SourceSpec};
use crate::state::{Shape, ShapeOutput, ShapeSource, State};
use crate::time::Span;
use crate::window::WindowSize;

/// The shape of `spec`.
pub(super) fn shape_of(spec: &PipelineSpec) -> Shape {
    let week_start = match spec.grid.size() {
        WindowSize::Week { first } => Some(first.to_string()),
        _ => None,
    };
    let source = |source: &SourceSpec| ShapeSource {
        table: source.table.clone(),
        event_time: source.event_time.clone().unwrap_or_else(|| WINDOW_START.to_owned()),
        event_timezone: source.event_timezone.name().to_owned(),
        event_time_unit: source.event_time_unit.map(|unit| unit.name().to_owned()),
        upstream: source.upstream().map(|from| format!("{}.{}", from.pipeline, from.output)),
        lookback_micros: source.margins.lookback.micros(),
        lookahead_micros: source.margins.lookahead.micros(),
    };
    let output = |output: &OutputSpec| ShapeOutput {
        name: output.name.clone(),
        path: output.path.text().to_owned(),
    };
    let quarantine = |quarantine: &QuarantineSpec| ShapeOutput {
        name: quarantine.name.clone(),
        path: quarantine.path.text().to_owned(),
    };
    let aside = ShapeOutput { name: QuarantineSpec::ASIDE.to_owned(), path: spec.aside.clone() };
    Shape {
        size: spec.grid.size().to_string(),
        week_start,
        timezone: spec.grid.zone().name().to_owned(),
        sources: spec.sources.iter().map(source).collect(),
        outputs: spec.outputs.iter().map(output).collect(),
        quarantines: spec.quarantines.iter().map(quarantine).chain([aside]).collect(),
    }
}

/// Whether `spec` still has the shape that `state` was made with.
///
/// # Errors
/// If it has not: what was committed would no longer be what it is called.
pub(super) fn check(spec: &PipelineSpec, state: &State) -> Result<()> {
    if state.retiring.is_some() {
        return Err(not_done(state));
    }
    let mut now = shape_of(spec);
    if state.shape.as_ref().is_some_and(|then| then.quarantines.is_empty()) {
        now.quarantines = Vec::new();
    }
    let Some(then) = state.shape.as_ref().filter(|then| **then != now) else { return Ok(()) };
    let text = format!("pipeline {} has another shape than when it first ran", spec.name);
    let error = Error::new(Code::ShapeChanged, text)
        .note(format!("then: {}", said(then)))
        .note(format!("now:  {}", said(&now)))
        .note("windows, event times, margins, outputs and their paths are fixed by the first run");
    let error = match removal(state, then, &now) {
        Some(removal) => error.hint(removal),
        None => error,
    };
    Err(error
        .hint(retirement(then, &now, &spec.name))
        .hint("or give the changed pipeline a new name and new output paths"))
}

/// What to take out of the configuration, if outputs that are there `now` are all that differs.
fn removal(state: &State, then: &Shape, now: &Shape) -> Option<String> {
    let (kept, more): (Vec<_>, Vec<_>) =
        now.outputs.iter().cloned().partition(|output| then.outputs.contains(output));
    let is_other = |output: &ShapeOutput| then.outputs.iter().any(|old| old.name == output.name);
    if (Shape { outputs: kept, ..now.clone() }) != *then || more.iter().any(is_other) {
        return None;
    }
    let names =
        more.iter().map(|output| format!("[pipeline.{}.output.{}]", state.pipeline, output.name));
    let names: Vec<String> = names.collect();
    let is_retired = |output: &ShapeOutput| state.retired.iter().any(|old| old.name == output.name);
    let why = if more.iter().all(is_retired) { "retired" } else { "added since the first run" };
    let are = if more.len() == 1 { "it was" } else { "they were" };
    Some(format!("take {} out of the configuration: {are} {why}", names.join(", ")))
}

/// What to type so that the pipeline can go on as it is `now`.
fn retirement(then: &Shape, now: &Shape, name: &PipelineName) -> String {
    let is_kept = |output: &&ShapeOutput| now.outputs.contains(output);
    let gone: Vec<&ShapeOutput> = then.outputs.iter().filter(|output| !is_kept(output)).collect();
    let rest = Shape { outputs: now.outputs.clone(), ..then.clone() };
    let kept = then.outputs.iter().filter(is_kept).cloned();
    if rest == *now && kept.eq(now.outputs.iter().cloned()) {
        let commands =
            gone.iter().map(|output| format!("`highwater retire {name}.{}`", output.name));
        let commands: Vec<String> = commands.collect();
        return format!("{} removes what the output has published", commands.join(", "));
    }
    format!(
        "`highwater retire {name}` removes all that it has published; the next run makes it anew"
    )
}

fn said(shape: &Shape) -> String {
    let sources = shape.sources.iter().map(|source| {
        let ShapeSource { table, event_time, event_timezone, upstream, .. } = source;
        let unit = source.event_time_unit.as_ref().map(|unit| format!(" in {unit}"));
        let unit = unit.unwrap_or_default();
        let of = upstream.as_ref().map(|upstream| format!(" of {upstream}")).unwrap_or_default();
        let mut text = format!("{table} by {event_time}{unit} ({event_timezone}){of}");
        for (name, micros) in
            [("lookback", source.lookback_micros), ("lookahead", source.lookahead_micros)]
        {
            if let Some(span) = Span::from_micros(micros).filter(|span| *span != Span::ZERO) {
                text = format!("{text}, {name} {span}");
            }
        }
        text
    });
    let objects = shape.outputs.iter().chain(&shape.quarantines);
    let outputs = objects.map(|output| format!("{} at {}", output.name, output.path));
    let parts: Vec<String> = sources.chain(outputs).collect();
    format!("windows of {} in {}; {}", shape.size, shape.timezone, parts.join(", "))
}
