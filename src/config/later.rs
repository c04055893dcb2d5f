//! Documented keys that this version does not have yet. One at its default changes nothing and is
//! let through; any other value is refused, never ignored.

use std::fmt::Debug;

use crate::error::{Code, Error};
use crate::time::Span;

use super::diagnose::{Place, Report};
use super::mistake::Mistake;
use super::raw::{Field, RawOutput, RawPipeline, RawProject, RawSource};
use super::value::length;

pub(super) fn project(raw: &RawProject, report: &mut Report<'_>) {
    absent("include", &raw.include, report);
    absent("alert", &raw.alert, report);
    absent("metrics", &raw.metrics, report);
    absent("lineage", &raw.lineage, report);
    if let Some(engine) = &raw.engine {
        absent("ballista", &engine.ballista, report);
    }
}

pub(super) fn pipeline(raw: &RawPipeline, report: &mut Report<'_>) {
    absent("schedule", &raw.schedule, report);
    absent("load", &raw.load, report);
    default("allow_nondeterministic", &raw.allow_nondeterministic, report, |wanted| Ok(!*wanted));
}

pub(super) fn source(raw: &RawSource, report: &mut Report<'_>) {
    absent("partition_time", &raw.partition_time, report);
    default("partition_slack", &raw.partition_slack, report, lasts(86_400));
    default("ingest_time", &raw.ingest_time, report, |column| Ok(column == "object"));
}

pub(super) fn output(raw: &RawOutput, report: &mut Report<'_>) {
    absent("delta", &raw.delta, report);
    default("success_file", &raw.success_file, report, |wanted| Ok(!*wanted));
}

/// Refuses a key that has no default: to be there is to ask for something.
#[expect(
    clippy::ref_option,
    reason = "the lists above are read as tables: no `as_ref()` on each line"
)]
fn absent<T>(key: &str, field: &Field<T>, report: &mut Report<'_>) {
    if let Some(value) = field {
        refuse(&format!("`{key}`"), "leave it out", value.span(), report);
    }
}

/// Refuses a value that asks for something else than `is_default` accepts.
#[expect(
    clippy::ref_option,
    reason = "the lists above are read as tables: no `as_ref()` on each line"
)]
fn default<T: Debug>(
    key: &str,
    field: &Field<T>,
    report: &mut Report<'_>,
    is_default: impl FnOnce(&T) -> Result<bool, Mistake>,
) {
    let Some(value) = field else { return };
    match is_default(value.get_ref()) {
        Ok(true) => {}
        Ok(false) => {
            let what = format!("`{key} = {:?}`", value.get_ref());
            refuse(&what, "leave it out, so that it has its default", value.span(), report);
        }
        Err(mistake) => {
            report.wrong_at(format!("`{key}`"), value.span(), mistake);
        }
    }
}

/// Reports that this version does not have `what`.
fn refuse(what: &str, hint: &str, place: Place, report: &mut Report<'_>) {
    let message = format!("{what} is not supported yet by this version");
    report.add(place, "not supported yet", Error::new(Code::NotSupportedYet, message).hint(hint));
}

/// Whether a length of time is `seconds`, however it is written.
fn lasts(seconds: u32) -> impl FnOnce(&String) -> Result<bool, Mistake> {
    move |text| Ok(length(text)? == Span::from_seconds(seconds))
}
