//! A source that reads what another pipeline of the same file commits.

use toml::Spanned;

use crate::error::{Code, Error};
use crate::id::PipelineName;
use crate::spec::UpstreamSpec;

use super::chains::Link;
use super::diagnose::{Place, Read, Report, Reported};
use super::mistake::{Mistake, listed, nearest};
use super::output::step_names;
use super::raw::{Field, Named, RawPipeline, RawSource};
use super::resolve::Project;
use super::value::filled;

/// What source `raw` at `place` of pipeline `reader` reads of the pipeline that it calls `name`.
pub(super) fn upstream(
    reader: &str,
    name: &Spanned<String>,
    raw: &RawSource,
    place: &Place,
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<UpstreamSpec> {
    let text = report.check("pipeline", name, filled)?;
    let pipelines = project.raw.pipeline.as_ref();
    let Some(upstream) = pipelines.and_then(|pipelines| pipelines.get(text.as_str())) else {
        if report.is_lost_anywhere(&text) {
            return Err(Reported);
        }
        let mistake = no_pipeline(&text, reader, pipelines);
        return Err(report.wrong("`pipeline`", name, mistake));
    };
    project.links.push(Link {
        reader: reader.to_owned(),
        upstream: text.clone(),
        place: name.span(),
    });
    let output = output(name, upstream.get_ref(), raw, place, report)?;
    // An unusable name is reported where the pipeline stands.
    let pipeline = PipelineName::new(&text).ok_or(Reported)?;
    Ok(UpstreamSpec { pipeline, output })
}

/// Says which pipelines `reader` could read from.
fn no_pipeline(text: &str, reader: &str, named: Option<&Named<RawPipeline>>) -> Mistake {
    let mut others: Vec<_> = named.into_iter().flatten().map(|(name, _)| name).collect();
    others.retain(|name| name.get_ref() != reader);
    others.sort_by_key(|name| name.span().start);
    let others = others.into_iter().map(|name| name.get_ref().as_str());
    let what = format!("there is no pipeline `{text}` in this file");
    let mistake = Mistake::bad(what, "no pipeline has this name");
    let list = listed(others.clone());
    match nearest(text, others) {
        _ if list.is_empty() => mistake.hint("a source reads from another pipeline of its file"),
        Some(similar) => {
            mistake.note(format!("pipelines: {list}")).hint(format!("did you mean `{similar}`?"))
        }
        None => mistake.note(format!("pipelines: {list}")),
    }
}

/// Which output of `upstream`, called `name`, the source `raw` at `place` reads.
fn output(
    name: &Spanned<String>,
    upstream: &RawPipeline,
    raw: &RawSource,
    place: &Place,
    report: &mut Report<'_>,
) -> Read<String> {
    let mut outputs: Vec<_> = upstream.output.iter().flatten().map(|(name, _)| name).collect();
    outputs.sort_by_key(|name| name.span().start);
    let outputs: Vec<&str> = outputs.into_iter().map(|name| name.get_ref().as_str()).collect();
    match (&raw.output, outputs.as_slice()) {
        // That it has none is reported where it stands.
        (_, []) => Err(Reported),
        (Some(wanted), _) if outputs.contains(&wanted.get_ref().as_str()) => {
            Ok(wanted.get_ref().clone())
        }
        (Some(wanted), _) => {
            let steps = step_names(upstream);
            let is_sound = outputs.iter().all(|output| steps.contains(output));
            if !is_sound || report.is_lost_anywhere(wanted.get_ref()) {
                return Err(Reported);
            }
            Err(report.wrong("`output`", wanted, no_output(wanted, name, &outputs)))
        }
        (None, _) if report.is_lost("output", place) => Err(Reported),
        (None, [only]) => Ok((*only).to_owned()),
        (None, [first, ..]) => {
            let message = format!("`output` is missing: pipeline `{}` has several", name.get_ref());
            let error = Error::new(Code::MissingKey, message)
                .note(format!("its outputs: {}", listed(outputs.iter().copied())))
                .hint(format!("add `output = \"{first}\"`, or another of them"));
            Err(report.add(name.span(), "has several outputs", error))
        }
    }
}

fn no_output(wanted: &Spanned<String>, name: &Spanned<String>, outputs: &[&str]) -> Mistake {
    let (wanted, name) = (wanted.get_ref(), name.get_ref());
    let what = format!("pipeline `{name}` has no output `{wanted}`");
    let mistake = Mistake::bad(what, "no output has this name")
        .note(format!("its outputs: {}", listed(outputs.iter().copied())));
    match nearest(wanted, outputs.iter().copied()) {
        Some(similar) => mistake.hint(format!("did you mean `{similar}`?")),
        None => mistake.hint("leave it out if the pipeline has only one"),
    }
}

/// Takes the keys out of source `raw` at `place` that mean nothing for what pipeline `name`
/// commits, and reports each. What is left is read as if they had not been there.
pub(super) fn refuse_foreign(
    raw: &mut RawSource,
    name: &str,
    place: &Place,
    report: &mut Report<'_>,
) {
    let files = format!("it is about files, and this source reads what pipeline `{name}` commits");
    let leave = "leave it out";
    refuse("glob", &mut raw.glob, &files, leave, report);
    refuse("hive_partitioning", &mut raw.hive_partitioning, &files, leave, report);
    refuse("partition_columns", &mut raw.partition_columns, &files, leave, report);
    refuse("partition_time", &mut raw.partition_time, &files, leave, report);
    refuse("partition_slack", &mut raw.partition_slack, &files, leave, report);
    refuse("ingest_time", &mut raw.ingest_time, &files, leave, report);
    refuse("settle", &mut raw.settle, &files, leave, report);
    refuse("max_future", &mut raw.max_future, &files, leave, report);
    refuse("on_corrupt_file", &mut raw.on_corrupt_file, &files, leave, report);
    refuse("on_removed", &mut raw.on_removed, &files, leave, report);
    let follows = format!("the watermark of this source follows that of pipeline `{name}`");
    refuse("closes", &mut raw.closes, &follows, leave, report);
    refuse("idle_timeout", &mut raw.idle_timeout, &follows, leave, report);
    if raw.event_time.is_none() && !report.is_lost("event_time", place) {
        let times = format!("the time of a row is the start of its window of pipeline `{name}`");
        let leave = "leave it out, or name the column of the time in `event_time`";
        refuse("on_null_time", &mut raw.on_null_time, &times, leave, report);
        refuse("event_timezone", &mut raw.event_timezone, &times, leave, report);
        refuse("event_time_unit", &mut raw.event_time_unit, &times, leave, report);
    }
}

fn refuse<T>(key: &str, field: &mut Field<T>, why: &str, hint: &str, report: &mut Report<'_>) {
    if let Some(value) = field.take() {
        let mistake = Mistake::new(Code::Conflict, why, "means nothing here").hint(hint);
        report.wrong_at(format!("`{key}`"), value.span(), mistake);
    }
}
