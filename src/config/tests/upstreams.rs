//! Sources that read what another pipeline commits.

use super::*;
use crate::spec::{Closes, OnExpired, OnRemoved, SourceOrigin, SourceSpec};
use crate::window::Margins;

/// SHORT, whose pipeline `orders` commits `daily`, and behind it pipeline `sums` with one source of
/// these keys.
fn chained(keys: &str) -> String {
    format!(
        "{SHORT}[pipeline.sums]\nwindow = {{ size = \"1w\" }}\n\
         [pipeline.sums.source.days]\n{keys}\n\
         [[pipeline.sums.step]]\nname = \"weekly\"\nsql = \"SELECT * FROM days\"\n\
         [pipeline.sums.output.weekly]\npath = \"sums/dt={{start:%Y-%m-%d}}\"\n"
    )
}

/// The source of `sums`.
fn source_of(text: &str, environment: &[(&str, &str)]) -> Result<SourceSpec, Vec<Error>> {
    load_with(text, environment).map(|mut project| project.pipelines.remove(1).sources.remove(0))
}

fn refuses(text: &str, code: Code, place: &str, said: &str) {
    assert_one(&source_of(text, &[]).unwrap_err(), text, code, place, said);
}

/// SHORT with a second output, called `late`.
const MORE: &str = "[[pipeline.orders.step]]\nname = \"late\"\nsql = \"SELECT 1\"\n\
                    [pipeline.orders.output.late]\npath = \"late/dt={start:%Y-%m-%d}\"\n";

#[test]
fn it_needs_no_more_than_a_name() {
    let source = source_of(&chained("pipeline = \"orders\""), &[]).unwrap();
    let upstream = source.upstream().unwrap();
    assert_eq!((upstream.pipeline.as_str(), upstream.output.as_str()), ("orders", "daily"));
    assert!(matches!(source.origin, SourceOrigin::Pipeline(_)) && source.folder().is_none());
    assert_eq!(source.event_time, None);
    assert_eq!((source.closes, source.idle_timeout), (Closes::EventTime, None));
    assert_eq!((source.watermark_delay, source.margins), (Span::ZERO, Margins::default()));
    assert_eq!((source.on_removed, source.on_null_time), (OnRemoved::Keep, OnNullTime::Quarantine));
    assert_eq!((source.allowed_lateness, source.on_expired), (None, OnExpired::Quarantine));
    assert_eq!(source.max_windows_per_file, 20_000);
}

#[test]
fn it_may_say_all_that_means_something() {
    let keys = "pipeline = \"orders\"\noutput = \"late\"\nevent_time = \"day\"\n\
                event_timezone = \"Asia/Tokyo\"\non_null_time = \"drop\"\n\
                watermark_delay = \"1h\"\nallowed_lateness = \"2h\"\non_expired = \"drop\"\n\
                lookback = \"3h\"\nlookahead = \"4h\"\nmax_windows_per_file = 5\n";
    let source = source_of(&format!("{}{MORE}", chained(keys)), &[]).unwrap();
    let hours = |hours: u32| Span::from_seconds(hours.saturating_mul(3600));
    assert_eq!(source.upstream().unwrap().output, "late");
    assert_eq!(source.event_time.as_deref(), Some("day"));
    assert_eq!(source.event_timezone, chrono_tz::Asia::Tokyo);
    assert_eq!(source.on_null_time, OnNullTime::Drop);
    assert_eq!(source.watermark_delay, hours(1));
    assert_eq!((source.allowed_lateness, source.on_expired), (Some(hours(2)), OnExpired::Drop));
    assert_eq!(source.margins, Margins { lookback: hours(3), lookahead: hours(4) });
    assert_eq!(source.max_windows_per_file, 5);
}

#[test]
fn keys_that_mean_nothing_for_it_are_refused() {
    let files = "it is about files, and this source reads what pipeline `orders` commits";
    let follows = "the watermark of this source follows that of pipeline `orders`";
    for (key, value, why) in [
        ("glob", "\"/not/even/valid\"", files),
        ("hive_partitioning", "true", files),
        ("partition_columns", "{ dt = \"date\" }", files),
        ("partition_time", "\"{dt}\"", files),
        ("partition_slack", "\"1d\"", files),
        ("ingest_time", "\"object\"", files),
        ("settle", "\"0s\"", files),
        ("max_future", "\"1d\"", files),
        ("on_removed", "\"keep\"", files),
        ("closes", "\"event_time\"", follows),
        ("idle_timeout", "\"6h\"", follows),
    ] {
        for event_time in ["", "event_time = \"day\"\n"] {
            let text = chained(&format!("pipeline = \"orders\"\n{event_time}{key} = {value}"));
            let said = format!("pipeline `sums`: `{key}`: {why}\n  help: leave it out");
            refuses(&text, Code::Conflict, value, &said);
        }
    }
    let why = "the time of a row is the start of its window of pipeline `orders`";
    for (key, value) in
        [("on_null_time", "\"drop\""), ("event_timezone", "\"UTC\""), ("event_time_unit", "\"ms\"")]
    {
        let text = chained(&format!("pipeline = \"orders\"\n{key} = {value}"));
        let help = "help: leave it out, or name the column of the time in `event_time`";
        refuses(&text, Code::Conflict, value, &format!("`{key}`: {why}\n  {help}"));
    }
    let keys = "pipeline = \"orders\"\nevent_time = 5\non_null_time = \"drop\"";
    refuses(&chained(keys), Code::BadValue, "5", "a text in quotes");
}

#[test]
fn a_source_reads_files_or_a_pipeline() {
    let header = "[pipeline.sums.source.days]";
    for keys in ["event_time = \"day\"", "event_time = \"day\"\noutput = \"daily\""] {
        let said = "`path` is missing\n  help: add `path = \"raw/orders\"`, or `pipeline = \"…\"`";
        refuses(&chained(keys), Code::MissingKey, header, said);
    }
    for both in ["path = \"raw\"\npipeline = \"orders\"", "pipeline = \"none\"\npath = \"raw\""] {
        let place = if both.contains("none") { "\"none\"" } else { "\"orders\"" };
        refuses(&chained(both), Code::Conflict, place, "`pipeline`: `path` is there too");
        let both = format!("{both}\noutput = \"daily\"\nsettle = \"1m\"\nevent_time = \"day\"");
        refuses(&chained(&both), Code::Conflict, place, "keep `path` or `pipeline`");
    }
    // A key that was meant to be there is not missing.
    refuses(&chained("pipeline = 5"), Code::BadValue, "5", "a text in quotes");
    refuses(&chained("pipelin = \"orders\""), Code::UnknownKey, "pipelin", "exists: `pipeline`");
    refuses(&chained("pipeline = \"${NONE}\""), Code::BadEnvironment, "${NONE}", "not set");
    let keys = "path = \"raw\"\npipeline = 5\noutput = \"daily\"";
    refuses(&chained(keys), Code::BadValue, "5", "a text in quotes");
    refuses(&chained("pipeline = \" \""), Code::BadValue, "\" \"", "`pipeline`: it is empty");
}

#[test]
fn the_pipeline_must_be_one_of_the_file() {
    for (name, said) in [
        (
            "order",
            "pipeline `sums`: `pipeline`: there is no pipeline `order` in this file\n  \
             note: pipelines: `orders`\n  help: did you mean `orders`?",
        ),
        ("Orders", "did you mean `orders`?"),
        ("elsewhere", "note: pipelines: `orders`"),
        // Itself is no proposal.
        ("sum", "note: pipelines: `orders`"),
    ] {
        let text = chained(&format!("pipeline = \"{name}\""));
        refuses(&text, Code::BadValue, &format!("\"{name}\""), said);
    }
    let alone = SHORT.replace("path = \"raw\"", "pipeline = \"none\"");
    let errors = load_with(&alone, &[]).unwrap_err();
    let said = "a source reads from another pipeline of its file";
    assert_one(&errors, "none", Code::BadValue, "\"none\"", said);
}

#[test]
fn the_output_must_be_one_of_the_pipeline() {
    let keys = "pipeline = \"orders\"\noutput = \"dialy\"";
    let said = "pipeline `sums`: `output`: pipeline `orders` has no output `dialy`\n  \
                note: its outputs: `daily`\n  help: did you mean `daily`?";
    refuses(&chained(keys), Code::BadValue, "\"dialy\"", said);
    let keys = "pipeline = \"orders\"\noutput = \"x\"";
    refuses(&chained(keys), Code::BadValue, "\"x\"", "leave it out if the pipeline has only one");
    let text = format!("{}{MORE}", chained("pipeline = \"orders\""));
    let said = "pipeline `sums`: `output` is missing: pipeline `orders` has several\n  \
                note: its outputs: `daily`, `late`\n  \
                help: add `output = \"daily\"`, or another of them";
    refuses(&text, Code::MissingKey, "\"orders\"", said);
    let text = format!("{}{MORE}", chained("pipeline = \"orders\"\noutput = 5"));
    refuses(&text, Code::BadValue, "5", "a text in quotes");
}

#[test]
fn a_mistake_of_the_upstream_is_told_once() {
    for (keys, from, to, code, place) in [
        ("", "size = \"1d\"", "size = \"7m\"", Code::BadValue, "\"7m\""),
        ("", "path = \"raw\"\n", "", Code::MissingKey, "[pipeline.orders.source.events]"),
        ("", "orders.output.daily", "orders.otput.daily", Code::UnknownKey, "otput"),
        ("output = \"daily\"", "output.daily", "output.dayly", Code::Conflict, "dayly"),
        ("output = \"daily\"", "\"out/dt={start:%Y-%m-%d}\"", "5", Code::BadValue, "5"),
    ] {
        let text = edited(&chained(&format!("pipeline = \"orders\"\n{keys}")), from, to);
        assert_one(&load_with(&text, &[]).unwrap_err(), to, code, place, "");
    }
    let text = chained("pipeline = \"a b\"").replace("pipeline.orders", "pipeline.\"a b\"");
    refuses(&text, Code::BadValue, "\"a b\"", "at most 64");
    // What stands there instead of a table may have been meant to be one.
    let more = chained("pipeline = \"other\"").replace("version = 1\n", "");
    let text = format!("version = 1\npipeline.other = 5\n{more}");
    refuses(&text, Code::BadValue, "5", "`other` in [pipeline] must be a table");
    let more = "[pipeline.orders.output]\nlate = 5\n";
    let text = format!("{}{more}", chained("pipeline = \"orders\"\noutput = \"late\""));
    refuses(&text, Code::BadValue, "5", "`late` in [pipeline.orders.output] must be a table");
    // One mistake each is told of both.
    let text = edited(&chained("pipeline = \"orders\"\noutput = \"x\""), "\"1d\"", "\"7m\"");
    let errors = load_with(&text, &[]).unwrap_err();
    let places: Vec<_> = errors.iter().map(pointed_at).collect();
    assert_eq!(places, ["\"7m\"", "\"x\""]);
}

#[test]
fn the_environment_reaches_its_keys() {
    let text = format!("{}{MORE}", chained("pipeline = \"none\""));
    let key = "HIGHWATER__PIPELINE__SUMS__SOURCE__DAYS__";
    let (name, output) = (format!("{key}PIPELINE"), format!("{key}OUTPUT"));
    let source = source_of(&text, &[(&name, "orders"), (&output, "late")]).unwrap();
    assert_eq!(source.upstream().unwrap().output, "late");
    let errors = source_of(&text, &[(&name, "orders")]).unwrap_err();
    assert_one(&errors, "orders", Code::BadEnvironment, "", "`output` is missing");
    let keys = [(name.as_str(), "orders"), (&output, "late"), (&format!("{key}GLOB"), "*")];
    let errors = source_of(&text, &keys).unwrap_err();
    assert_one(&errors, "*", Code::BadEnvironment, "", "it is about files");
    assert!(errors[0].message().contains("DAYS__GLOB"), "{errors:?}");
}
