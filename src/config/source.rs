//! One source: a folder of Parquet whose rows carry an event time.

use chrono_tz::Tz;
use toml::Spanned;

use crate::error::Code;
use crate::spec::{OnExpired, OnNullTime, OnRemoved, PartitionType, SourceSpec};
use crate::time::Span;

use super::diagnose::{Read, Report, Reported};
use super::folders::{Folder, normal};
use super::later;
use super::mistake::Mistake;
use super::raw::RawSource;
use super::resolve::{Project, count};
use super::value::{choice, filled, folder, length, pattern, sql_name, zone};

const GLOB: &str = "**/*.parquet";
const MAX_FUTURE_SECONDS: u32 = 86_400;
const MAX_WINDOWS_PER_FILE: usize = 20_000;

/// The spec of `[pipeline.<pipeline>.source.<table>]`.
pub(super) fn source(
    pipeline: &str,
    table: &Spanned<String>,
    raw: &Spanned<RawSource>,
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<SourceSpec> {
    let (place, raw) = (raw.span(), raw.get_ref());
    later::source(raw, report);
    let name = report.check("source", table, sql_name);
    let path = match &raw.pipeline {
        Some(_) => Err(Reported),
        None => report.required("path", raw.path.as_ref(), &place, "`path = \"raw/orders\"`"),
    };
    let path = path.and_then(|path| {
        let label = report.check("path", path, |text| folder(text).map(str::to_owned))?;
        let folder = normal(&project.root.join(&label));
        project.folders.sources.push(Folder {
            path: folder.clone(),
            owner: format!("source `{}` of pipeline `{pipeline}`", table.get_ref()),
            place: path.span(),
        });
        Ok((folder, label))
    });
    let glob_default = Spanned::new(place.clone(), GLOB.to_owned());
    let glob = report.check("glob", raw.glob.as_ref().unwrap_or(&glob_default), pattern);
    let event_time = report
        .required("event_time", raw.event_time.as_ref(), &place, "`event_time = \"event_ts\"`")
        .and_then(|column| report.check("event_time", column, filled));
    let event_timezone = report.read("event_timezone", raw.event_timezone.as_ref(), zone);
    let watermark_delay = report.read("watermark_delay", raw.watermark_delay.as_ref(), length);
    let max_future = report.read("max_future", raw.max_future.as_ref(), length);
    let on_null_time = report.read("on_null_time", raw.on_null_time.as_ref(), on_null_time);
    let allowed_lateness = report.read("allowed_lateness", raw.allowed_lateness.as_ref(), lateness);
    let on_expired = report.read("on_expired", raw.on_expired.as_ref(), on_expired);
    let on_removed = report.read("on_removed", raw.on_removed.as_ref(), on_removed);
    let max_windows = count("max_windows_per_file", raw.max_windows_per_file.as_ref(), 1, report);
    let partition_columns = partition_columns(raw, report);
    let (path, label) = path?;
    Ok(SourceSpec {
        table: name?,
        path,
        label,
        glob: glob?,
        hive_partitioning: raw.hive_partitioning.unwrap_or(true),
        partition_columns: partition_columns?,
        event_time: event_time?,
        event_timezone: event_timezone?.unwrap_or(Tz::UTC),
        watermark_delay: watermark_delay?.unwrap_or(Span::ZERO),
        max_future: max_future?.unwrap_or(Span::from_seconds(MAX_FUTURE_SECONDS)),
        // Not the documented default, `quarantine`, as long as that is not supported: of what is,
        // `fail` loses nothing.
        on_null_time: on_null_time?.unwrap_or(OnNullTime::Fail),
        allowed_lateness: allowed_lateness?.flatten(),
        on_expired: on_expired?.unwrap_or(OnExpired::Fail),
        on_removed: on_removed?.unwrap_or(OnRemoved::Keep),
        max_windows_per_file: max_windows?.unwrap_or(MAX_WINDOWS_PER_FILE),
    })
}

fn on_null_time(text: &str) -> Result<OnNullTime, Mistake> {
    match choice(text, &["quarantine", "drop", "fail"])? {
        "drop" => Ok(OnNullTime::Drop),
        "fail" => Ok(OnNullTime::Fail),
        other => Err(quarantine_not_yet(other)),
    }
}

fn quarantine_not_yet(word: &str) -> Mistake {
    let what = format!("`{word}` is not supported yet by this version");
    Mistake::new(Code::NotSupportedYet, what, "not supported yet").hint("write `fail` or `drop`")
}

/// A length of time, or none for `unlimited`.
fn lateness(text: &str) -> Result<Option<Span>, Mistake> {
    if text == "unlimited" { Ok(None) } else { length(text).map(Some) }
}

fn on_expired(text: &str) -> Result<OnExpired, Mistake> {
    match choice(text, &["quarantine", "drop", "fail"])? {
        "drop" => Ok(OnExpired::Drop),
        "fail" => Ok(OnExpired::Fail),
        other => Err(quarantine_not_yet(other)),
    }
}

fn on_removed(text: &str) -> Result<OnRemoved, Mistake> {
    Ok(match choice(text, &["keep", "recompute"])? {
        "recompute" => OnRemoved::Recompute,
        _ => OnRemoved::Keep,
    })
}

/// Types of the columns that come from folder names, by column.
fn partition_columns(
    raw: &RawSource,
    report: &mut Report<'_>,
) -> Read<Vec<(String, PartitionType)>> {
    let Some(columns) = &raw.partition_columns else { return Ok(Vec::new()) };
    if raw.hive_partitioning == Some(false) {
        let what = "`hive_partitioning = false` says that there are none";
        let mistake = Mistake::new(Code::Conflict, what, "no partition columns")
            .hint("remove one of the two");
        report.wrong_at("`partition_columns`", columns.span(), mistake);
    }
    let types: Vec<_> = columns
        .get_ref()
        .iter()
        .map(|(column, kind)| {
            let kind = report.check(column, kind, |text| {
                Ok(match choice(text, &["date", "int", "string"])? {
                    "date" => PartitionType::Date,
                    "int" => PartitionType::Int,
                    _ => PartitionType::String,
                })
            })?;
            Ok((column.clone(), kind))
        })
        .collect();
    types.into_iter().collect()
}
