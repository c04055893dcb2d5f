//! One source: rows with an event time each, from a folder of Parquet or from another pipeline.

use chrono_tz::Tz;
use toml::Spanned;

use crate::error::Code;
use crate::spec::{
    Closes, EpochUnit, FolderSpec, OnCorruptFile, OnExpired, OnMissingColumn, OnNullTime,
    OnRemoved, OnTypeChange, PartitionType, SourceOrigin, SourceSpec,
};
use crate::time::Span;
use crate::window::{Margins, WindowGrid};

use super::diagnose::{Place, Read, Report, Reported};
use super::folders::Folder;
use super::mistake::Mistake;
use super::raw::RawSource;
use super::resolve::{Project, count};
use super::value::{choice, filled, length, pattern, place as location, table_name, zone};
use super::{later, quality, upstream};

const GLOB: &str = "**/*.parquet";
const MAX_FUTURE_SECONDS: u32 = 86_400;
const MAX_WINDOWS_PER_FILE: usize = 20_000;

/// The spec of `[pipeline.<pipeline>.source.<table>]`, whose table's name must not be one of
/// `taken`.
pub(super) fn source(
    pipeline: &str,
    table: &Spanned<String>,
    raw: &Spanned<RawSource>,
    taken: &[&str],
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<SourceSpec> {
    let place = raw.span();
    let mut raw = raw.get_ref().clone();
    let name = report.check("source", table, |text| table_name(text, taken));
    if let (Some(upstream), None) = (raw.pipeline.clone(), &raw.path) {
        upstream::refuse_foreign(&mut raw, upstream.get_ref(), &place, report);
    }
    later::source(&raw, report);
    let owner = format!("source `{}` of pipeline `{pipeline}`", table.get_ref());
    let origin = match (&raw.path, &raw.pipeline) {
        (_, None) => files(owner, &raw, &place, project, report).map(SourceOrigin::Folder),
        (None, Some(name)) => upstream::upstream(pipeline, name, &raw, &place, project, report)
            .map(SourceOrigin::Pipeline),
        (Some(_), Some(name)) => Err(two_origins(name, report)),
    };
    let event_time = event_time(&raw, &place, report);
    let event_timezone = report.read("event_timezone", raw.event_timezone.as_ref(), zone);
    let event_time_unit = report.read("event_time_unit", raw.event_time_unit.as_ref(), epoch_unit);
    let closes = report.read("closes", raw.closes.as_ref(), closes);
    let watermark_delay = report.read("watermark_delay", raw.watermark_delay.as_ref(), length);
    let idle_timeout = idle_timeout(&raw, report);
    let max_future = report.read("max_future", raw.max_future.as_ref(), length);
    // What a pipeline commits does not arrive: it cannot be ahead of its arrival.
    let max_future_default = match raw.pipeline {
        Some(_) => Span::from_micros(i64::MAX).unwrap_or_default(),
        None => Span::from_seconds(MAX_FUTURE_SECONDS),
    };
    let on_null_time = report.read("on_null_time", raw.on_null_time.as_ref(), on_null_time);
    let allowed_lateness = report.read("allowed_lateness", raw.allowed_lateness.as_ref(), lateness);
    let on_expired = report.read("on_expired", raw.on_expired.as_ref(), on_expired);
    let on_corrupt_file =
        report.read("on_corrupt_file", raw.on_corrupt_file.as_ref(), on_corrupt_file);
    let on_removed = report.read("on_removed", raw.on_removed.as_ref(), on_removed);
    let on_missing = report.read("on_missing_column", raw.on_missing_column.as_ref(), on_missing);
    let on_type_change = report.read("on_type_change", raw.on_type_change.as_ref(), on_type_change);
    let max_windows =
        count("max_windows_per_file", raw.max_windows_per_file.as_ref(), 1..=usize::MAX, report);
    let margins = margins(&raw, report);
    let rules = quality::rules(&raw, report);
    let dedup = quality::dedup(&raw, report);
    Ok(SourceSpec {
        table: name?,
        origin: origin?,
        event_time: event_time?,
        event_timezone: event_timezone?.unwrap_or(Tz::UTC),
        event_time_unit: event_time_unit?,
        closes: closes?.unwrap_or(Closes::EventTime),
        watermark_delay: watermark_delay?.unwrap_or(Span::ZERO),
        idle_timeout: idle_timeout?,
        max_future: max_future?.unwrap_or(max_future_default),
        on_null_time: on_null_time?.unwrap_or(OnNullTime::Quarantine),
        allowed_lateness: allowed_lateness?.flatten(),
        on_expired: on_expired?.unwrap_or(OnExpired::Quarantine),
        on_corrupt_file: on_corrupt_file?.unwrap_or(OnCorruptFile::Fail),
        on_removed: on_removed?.unwrap_or(OnRemoved::Keep),
        on_missing_column: on_missing?.unwrap_or(OnMissingColumn::Fail),
        on_type_change: on_type_change?.unwrap_or(OnTypeChange::Fail),
        max_windows_per_file: max_windows?.unwrap_or(MAX_WINDOWS_PER_FILE),
        margins: margins?,
        rules: rules?,
        dedup: dedup?,
    })
}

fn two_origins(pipeline: &Spanned<String>, report: &mut Report<'_>) -> Reported {
    let mistake = Mistake::new(Code::Conflict, "`path` is there too", "one of two")
        .hint("keep `path` or `pipeline`");
    report.wrong_at("`pipeline`", pipeline.span(), mistake)
}

/// The folder of Parquet that source `raw` at `place` reads; `owner` is that source in messages.
fn files(
    owner: String,
    raw: &RawSource,
    place: &Place,
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<FolderSpec> {
    let is_lost = report.is_lost("pipeline", place);
    if let (Some(_), Some(output), false) = (&raw.path, &raw.output, is_lost) {
        let what = "it is about a source that reads from a `pipeline`, and this one reads files";
        let mistake = Mistake::new(Code::Conflict, what, "means nothing here")
            .hint("leave it out, or write `pipeline` instead of `path`");
        report.wrong_at("`output`", output.span(), mistake);
    }
    let example = "`path = \"raw/orders\"`, or `pipeline = \"…\"` to read what another one commits";
    let path = match &raw.path {
        None if is_lost => Err(Reported),
        path => report.required("path", path.as_ref(), place, example),
    };
    let path = path.and_then(|path| {
        let at = report.check("path", path, |text| location(&project.root, text))?;
        project.folders.sources.push(Folder { path: at.clone(), owner, place: path.span() });
        Ok((at, path.get_ref().clone()))
    });
    let glob_default = Spanned::new(place.clone(), GLOB.to_owned());
    let glob = report.check("glob", raw.glob.as_ref().unwrap_or(&glob_default), pattern);
    let settle = report.read("settle", raw.settle.as_ref(), length);
    let partition_columns = partition_columns(raw, report);
    let (path, label) = path?;
    Ok(FolderSpec {
        path,
        label,
        glob: glob?,
        hive_partitioning: has_hive_partitioning(raw),
        partition_columns: partition_columns?,
        settle: settle?.unwrap_or(Span::ZERO),
    })
}

/// The column of the event time. Only a source that reads from a pipeline may do without.
fn event_time(raw: &RawSource, place: &Place, report: &mut Report<'_>) -> Read<Option<String>> {
    if let Some(column) = &raw.event_time {
        return report.check("event_time", column, filled).map(Some);
    }
    if raw.pipeline.is_some() || report.is_lost("pipeline", place) {
        return Ok(None);
    }
    Err(report.missing("event_time", place, "`event_time = \"event_ts\"`"))
}

fn epoch_unit(text: &str) -> Result<EpochUnit, Mistake> {
    Ok(match choice(text, &["s", "ms", "us", "ns"])? {
        "s" => EpochUnit::Second,
        "ms" => EpochUnit::Millisecond,
        "us" => EpochUnit::Microsecond,
        _ => EpochUnit::Nanosecond,
    })
}

fn closes(text: &str) -> Result<Closes, Mistake> {
    Ok(match choice(text, &["event_time", "clock"])? {
        "clock" => Closes::Clock,
        _ => Closes::EventTime,
    })
}

fn idle_timeout(raw: &RawSource, report: &mut Report<'_>) -> Read<Option<Span>> {
    let timeout = report.read("idle_timeout", raw.idle_timeout.as_ref(), |text| {
        let timeout = length(text)?;
        if timeout > Span::ZERO {
            return Ok(timeout);
        }
        Err(Mistake::bad(format!("`{text}` is no time at all"), "must be longer than nothing")
            .hint("leave it out if the watermark is never to follow the clock"))
    })?;
    let is_clock = raw.closes.as_ref().is_some_and(|closes| closes.get_ref() == "clock");
    match &raw.idle_timeout {
        Some(set) if is_clock => {
            let what = "with `closes = \"clock\"` the watermark follows the clock anyway";
            let mistake = Mistake::new(Code::Conflict, what, "has no effect then")
                .hint("remove one of the two");
            Err(report.wrong_at("`idle_timeout`", set.span(), mistake))
        }
        _ => Ok(timeout),
    }
}

fn margins(raw: &RawSource, report: &mut Report<'_>) -> Read<Margins> {
    let lookback = report.read("lookback", raw.lookback.as_ref(), length);
    let lookahead = report.read("lookahead", raw.lookahead.as_ref(), length);
    Ok(Margins {
        lookback: lookback?.unwrap_or(Span::ZERO),
        lookahead: lookahead?.unwrap_or(Span::ZERO),
    })
}

/// Refuses margins with which a single row would belong to more windows than a file may.
pub(super) fn within_reach(
    spec: SourceSpec,
    raw: &RawSource,
    grid: Option<&WindowGrid>,
    report: &mut Report<'_>,
) -> Read<SourceSpec> {
    let Some(grid) = grid else { return Ok(spec) };
    let windows = spec.margins.windows_per_row(grid.size());
    let max = u64::try_from(spec.max_windows_per_file).unwrap_or(u64::MAX);
    let is_before = spec.margins.lookback >= spec.margins.lookahead;
    let (key, set) =
        if is_before { ("lookback", &raw.lookback) } else { ("lookahead", &raw.lookahead) };
    match set {
        Some(set) if windows > max => {
            let what = format!("every row would be seen by {windows} windows of {}", grid.size());
            let mistake = Mistake::new(Code::BadValue, what, "too far")
                .note(format!("a file may have rows of {max} windows (`max_windows_per_file`)"))
                .hint("use a shorter margin, or longer windows");
            Err(report.wrong_at(format!("`{key}`"), set.span(), mistake))
        }
        _ => Ok(spec),
    }
}

fn has_hive_partitioning(raw: &RawSource) -> bool {
    raw.hive_partitioning.as_ref().is_none_or(|wanted| *wanted.get_ref())
}

fn on_null_time(text: &str) -> Result<OnNullTime, Mistake> {
    Ok(match choice(text, &["quarantine", "drop", "fail"])? {
        "drop" => OnNullTime::Drop,
        "fail" => OnNullTime::Fail,
        _ => OnNullTime::Quarantine,
    })
}

/// A length of time, or none for `unlimited`.
fn lateness(text: &str) -> Result<Option<Span>, Mistake> {
    if text == "unlimited" { Ok(None) } else { length(text).map(Some) }
}

fn on_expired(text: &str) -> Result<OnExpired, Mistake> {
    Ok(match choice(text, &["quarantine", "drop", "fail"])? {
        "drop" => OnExpired::Drop,
        "fail" => OnExpired::Fail,
        _ => OnExpired::Quarantine,
    })
}

fn on_corrupt_file(text: &str) -> Result<OnCorruptFile, Mistake> {
    Ok(match choice(text, &["fail", "quarantine"])? {
        "quarantine" => OnCorruptFile::Quarantine,
        _ => OnCorruptFile::Fail,
    })
}

fn on_removed(text: &str) -> Result<OnRemoved, Mistake> {
    Ok(match choice(text, &["keep", "recompute"])? {
        "recompute" => OnRemoved::Recompute,
        _ => OnRemoved::Keep,
    })
}

fn on_missing(text: &str) -> Result<OnMissingColumn, Mistake> {
    Ok(match choice(text, &["fail", "null"])? {
        "null" => OnMissingColumn::Null,
        _ => OnMissingColumn::Fail,
    })
}

fn on_type_change(text: &str) -> Result<OnTypeChange, Mistake> {
    Ok(match choice(text, &["fail", "widen"])? {
        "widen" => OnTypeChange::Widen,
        _ => OnTypeChange::Fail,
    })
}

/// Types of the columns that come from folder names, by column.
fn partition_columns(
    raw: &RawSource,
    report: &mut Report<'_>,
) -> Read<Vec<(String, PartitionType)>> {
    let Some(columns) = &raw.partition_columns else { return Ok(Vec::new()) };
    if !has_hive_partitioning(raw) {
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
