//! What may be written, and what is said of what may not.

mod chains;
mod checks;
mod references;
mod refused;
mod sources;
mod storage;
mod upstreams;

use std::io;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::spec::{
    Compression, EpochUnit, Location, OnMissingColumn, OnNullTime, OnTypeChange, PartitionType,
};
use crate::time::{EventTime, Span};
use crate::window::WindowSize;

const FULL: &str = r#"version = 1
name = "shop"

[storage]
root = "${LAKE:-lake}"
state = "_state"

[engine]
memory_limit = "2GiB"
threads = 0
temp_directory = "/var/spill"
jobs = 3
max_object_bytes = "1MiB"

[lease]
wait = "30s"

[pipeline.orders_hourly]
description = "Revenue"
owner = "data@acme.example"
enabled = false
overdue_after = "3h"

[pipeline.orders_hourly.window]
size = "1h"
timezone = "Europe/Berlin"
begin = "2026-01-01"

[pipeline.orders_hourly.source.orders]
path = "raw/orders/"
glob = "**/*.pq"
hive_partitioning = true
partition_columns = { dt = "date", hr = "int" }
event_time = "event_ts"
event_timezone = "Asia/Tokyo"
event_time_unit = "ms"
watermark_delay = "15m"
max_future = "2d"
on_null_time = "drop"
on_missing_column = "null"
on_type_change = "widen"
max_windows_per_file = 7

[[pipeline.orders_hourly.step]]
name = "paid"
sql = "SELECT * FROM orders WHERE s = '${X}' AND t > $window_start"

[[pipeline.orders_hourly.step]]
name = "hourly"
sql_file = "sql/hourly.sql"

[pipeline.orders_hourly.output.hourly]
path = "curated/orders/dt={start_utc:%Y-%m-%d}/hr={start_utc:%H}"
compression = "zstd"
compression_level = 9
sort_by = ["shop_id"]
"#;

const SHORT: &str = r#"version = 1
[pipeline.orders]
window = { size = "1d" }
[pipeline.orders.source.events]
path = "raw"
event_time = "at"
[[pipeline.orders.step]]
name = "daily"
sql = "SELECT * FROM events"
[pipeline.orders.output.daily]
path = "out/dt={start:%Y-%m-%d}"
"#;

/// The output path of FULL as it is written there.
const OUTPUT: &str = "\"curated/orders/dt={start_utc:%Y-%m-%d}/hr={start_utc:%H}\"";

fn read_sql(path: &Path) -> io::Result<String> {
    if path == Path::new("/shop/sql/hourly.sql") {
        return Ok("\u{feff}SELECT 1".to_owned());
    }
    Err(io::ErrorKind::NotFound.into())
}

fn load_with(text: &str, environment: &[(&str, &str)]) -> Result<ProjectSpec, Vec<Error>> {
    let environment: Vec<_> =
        environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    load(&ConfigInput {
        text,
        origin: "config.toml",
        base: Path::new("/shop"),
        environment: &environment,
        read_sql: &read_sql,
    })
}

/// `text` with its one `from` replaced by `to`.
fn edited(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "`{from}` must be there once");
    text.replacen(from, to, 1)
}

fn pointed_at(error: &Error) -> &str {
    error.excerpt().map_or("", |excerpt| &excerpt.text[excerpt.span.clone()])
}

fn assert_one(errors: &[Error], case: &str, code: Code, place: &str, said: &str) {
    let [error] = errors else { panic!("`{case}`: {} errors, not one: {errors:#?}", errors.len()) };
    assert_eq!(error.code(), code, "`{case}`: {error:?}");
    assert_eq!(error.kind(), ErrorKind::Config, "`{case}`");
    assert_eq!(pointed_at(error), place, "`{case}`: {error:?}");
    assert!(format!("{error:?}").contains(said), "`{case}`: `{said}` is not in\n{error:?}");
}

#[test]
fn a_full_configuration_means_what_it_says() {
    let project = load_with(FULL, &[("LAKE", "/mnt/lake/./x/..")]).unwrap();
    assert_eq!(project.name, "shop");
    assert_eq!(project.root, Location::Folder("/mnt/lake".into()));
    assert_eq!(project.state, Location::Folder("/mnt/lake/_state".into()));
    assert_eq!(project.engine.memory_limit_bytes, Some(2 << 30));
    assert_eq!((project.engine.threads, project.engine.jobs), (None, Some(3)));
    assert_eq!(project.engine.temp_directory, PathBuf::from("/var/spill"));
    assert_eq!(project.engine.max_object_bytes, 1 << 20);
    assert_eq!(project.lease.wait_for, Span::from_seconds(30));

    let [pipeline] = project.pipelines.as_slice() else { panic!("{project:?}") };
    assert_eq!(pipeline.name.as_str(), "orders_hourly");
    assert_eq!(pipeline.description.as_deref(), Some("Revenue"));
    assert_eq!(pipeline.owner.as_deref(), Some("data@acme.example"));
    assert!(!pipeline.enabled);
    assert_eq!(pipeline.overdue_after, Some(Span::from_seconds(3 * 3600)));
    assert_eq!(pipeline.grid.size(), WindowSize::Minutes(60));
    assert_eq!(pipeline.grid.zone(), chrono_tz::Europe::Berlin);
    assert_eq!(pipeline.begin, EventTime::parse("2025-12-31T23:00:00Z", chrono_tz::UTC));

    let source = pipeline.source("orders").unwrap();
    let folder = source.folder().unwrap();
    assert_eq!(folder.path, Location::Folder("/mnt/lake/raw/orders".into()));
    assert_eq!(folder.label, "raw/orders/");
    assert_eq!(folder.glob.as_str(), "**/*.pq");
    assert!(folder.hive_partitioning);
    let typed = [("dt".to_owned(), PartitionType::Date), ("hr".to_owned(), PartitionType::Int)];
    assert_eq!(folder.partition_columns, typed);
    assert_eq!(source.event_time.as_deref(), Some("event_ts"));
    assert_eq!(source.event_timezone, chrono_tz::Asia::Tokyo);
    assert_eq!(source.event_time_unit, Some(EpochUnit::Millisecond));
    assert_eq!(source.watermark_delay, Span::from_seconds(900));
    assert_eq!(source.max_future, Span::from_seconds(172_800));
    assert_eq!(source.on_null_time, OnNullTime::Drop);
    assert_eq!(source.on_missing_column, OnMissingColumn::Null);
    assert_eq!(source.on_type_change, OnTypeChange::Widen);
    assert_eq!(source.max_windows_per_file, 7);

    let [paid, hourly] = pipeline.steps.as_slice() else { panic!("{project:?}") };
    assert_eq!(paid.sql, "SELECT * FROM orders WHERE s = '${X}' AND t > $window_start");
    assert!(FULL[paid.origin.offset.unwrap()..].starts_with(&paid.sql));
    assert_eq!((paid.origin.file.as_str(), &*paid.origin.text), ("config.toml", FULL));
    assert_eq!((hourly.name.as_str(), hourly.sql.as_str()), ("hourly", "SELECT 1"));
    assert_eq!((hourly.origin.file.as_str(), hourly.origin.offset), ("sql/hourly.sql", Some(0)));

    let [output] = pipeline.outputs.as_slice() else { panic!("{project:?}") };
    assert_eq!(output.name, "hourly");
    assert_eq!(output.sort_by, ["shop_id"]);
    assert_eq!(output.compression, Compression::Zstd(9));
}

#[test]
fn what_is_not_said_has_its_default() {
    let project = load_with(SHORT, &[("TMPDIR", "/spill")]).unwrap();
    assert_eq!(project.name, "shop");
    assert_eq!(project.root, Location::Folder("/shop".into()));
    assert_eq!(project.state, Location::Folder("/shop/_highwater".into()));
    assert_eq!(project.engine.memory_limit_bytes, None);
    assert_eq!((project.engine.threads, project.engine.jobs), (None, None));
    assert_eq!(project.engine.temp_directory, PathBuf::from("/spill"));
    assert_eq!(project.engine.max_object_bytes, 1 << 30);
    assert_eq!(project.lease.wait_for, Span::ZERO);
    assert_eq!(project.lease.patience, Span::from_seconds(30));
    assert_eq!(project.lease.heartbeat, Span::from_seconds(5));
    assert_eq!((project.storage.max_retries, project.history_keep), (10, 2));
    assert_eq!(project.storage.retry_for, Span::from_seconds(180));
    let pipeline = &project.pipelines[0];
    assert!(pipeline.enabled);
    assert_eq!((pipeline.overdue_after, pipeline.begin), (None, None));
    assert_eq!(pipeline.grid.zone(), chrono_tz::UTC);
    let source = &pipeline.sources[0];
    let folder = source.folder().unwrap();
    assert_eq!(folder.glob.as_str(), "**/*.parquet");
    assert!(folder.hive_partitioning && folder.partition_columns.is_empty());
    assert_eq!(source.event_timezone, chrono_tz::UTC);
    assert_eq!(source.event_time_unit, None);
    assert_eq!(source.watermark_delay, Span::ZERO);
    assert_eq!(source.max_future, Span::from_seconds(86_400));
    assert_eq!(source.on_null_time, OnNullTime::Quarantine);
    assert_eq!(source.on_missing_column, OnMissingColumn::Fail);
    assert_eq!(source.on_type_change, OnTypeChange::Fail);
    assert_eq!(source.max_windows_per_file, 20_000);
    assert_eq!(pipeline.outputs[0].compression, Compression::Zstd(3));
    assert!(pipeline.outputs[0].sort_by.is_empty());
}

#[test]
fn pipelines_keep_the_order_of_the_file() {
    let second = SHORT.replace("orders", "a_first").replace("version = 1\n", "");
    let text = format!("{SHORT}{}", second.replace("out/", "other/"));
    let names: Vec<_> =
        load_with(&text, &[]).unwrap().pipelines.into_iter().map(|p| p.name.to_string()).collect();
    assert_eq!(names, ["orders", "a_first"]);
}

#[test]
fn keys_of_later_versions_may_stand_at_their_defaults() {
    for (before, added) in [
        ("[engine]\n", "[retry]\nmax_retries = 10\nretry_timeout = \"180s\"\n"),
        ("wait = ", "patience = \"30s\"\nheartbeat = \"5s\"\n"),
        ("enabled = ", "on_query_change = \"report\"\n"),
        ("glob = ", "allowed_lateness = \"unlimited\"\non_removed = \"keep\"\n"),
        ("glob = ", "ingest_time = \"object\"\npartition_slack = \"24h\"\n"),
        ("glob = ", "on_corrupt_file = \"fail\"\n"),
        ("compression = ", "success_file = false\n"),
    ] {
        let text = edited(FULL, before, &format!("{added}{before}"));
        assert!(load_with(&text, &[]).is_ok(), "{added}");
    }
}

#[test]
fn what_must_be_there_is_asked_for_where_it_belongs() {
    for (text, missing) in [
        ("version = 1\n", "add a table `[pipeline.<name>]`"),
        ("version = 1\n[pipeline.x]\n", "add a table `source.<table>`"),
        ("version = 1\n[pipeline.x]\n", "add a table `window`"),
        ("version = 1\n[pipeline.x]\n", "add a table `output.<step>`"),
        ("version = 1\n[pipeline.x]\n", "add `[[….step]]`"),
        ("version = 1\n[pipeline.x.window]\n", "add `size = \"1h\"`"),
        ("", "add `version = 1`"),
    ] {
        let errors = load_with(text, &[]).unwrap_err();
        assert!(errors.iter().all(|error| error.code() == Code::MissingKey), "{errors:?}");
        assert!(format!("{errors:?}").contains(missing), "{missing}: {errors:?}");
    }
    let errors = load_with(&SHORT.replace("pipeline.orders", "pipeline.\"a b\""), &[]).unwrap_err();
    assert_one(&errors, "a b", Code::BadValue, "\"a b\"", "at most 64");
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = FULL
        .replace("jobs = 3", "jbos = 3")
        .replace("enabled = false", "enabled = 0")
        .replace("\"Europe/Berlin\"", "\"Mars\"")
        .replace("\"15m\"", "15")
        .replace("glob =", "golb =")
        .replace("\"zstd\"", "\"gzip\"");
    let errors = load_with(&text, &[]).unwrap_err();
    let places: Vec<_> = errors.iter().map(pointed_at).collect();
    assert_eq!(places, ["jbos", "0", "\"Mars\"", "golb", "15", "\"gzip\""]);
}

#[test]
fn syntax_is_told_alone_and_whole() {
    let errors = load_with("a = \nb = yes\nversion = 1\nversion = 1\n", &[]).unwrap_err();
    assert!(errors.iter().all(|error| error.code() == Code::ConfigSyntax), "{errors:?}");
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert_eq!(pointed_at(&errors[1]), "yes");
}

#[test]
fn marks_of_windows_editors_move_nothing() {
    let text = format!("\u{feff}{}", FULL.replace('\n', "\r\n"));
    let project = load_with(&text, &[]).unwrap();
    let paid = &project.pipelines[0].steps[0];
    assert!(paid.origin.text[paid.origin.offset.unwrap()..].starts_with("SELECT * FROM orders"));
    let errors = load_with(&text.replace("\"15m\"", "\"1 5\""), &[]).unwrap_err();
    assert_eq!(pointed_at(&errors[0]), "\"1 5\"");
}

#[test]
fn sql_that_was_escaped_has_no_position_in_the_file() {
    for (written, offset) in [
        ("\"SELECT 1\"", Some(1)),
        ("'SELECT 1'", Some(1)),
        ("'''SELECT 1'''", Some(3)),
        ("\"\"\"\nSELECT 1\"\"\"", Some(4)),
        ("'''\r\nSELECT 1'''", Some(5)),
        ("\"SELECT\\u00201\"", None),
    ] {
        let text = SHORT.replace("\"SELECT * FROM events\"", written);
        let step = load_with(&text, &[]).unwrap().pipelines.remove(0).steps.remove(0);
        assert_eq!(step.sql, "SELECT 1");
        let start = text.find(written).unwrap();
        assert_eq!(step.origin.offset, offset.map(|offset| start + offset), "{written}");
    }
}

#[test]
fn texts_take_environment_variables() {
    let root = |written: &str, environment: &[(&str, &str)]| {
        load_with(&edited(FULL, "${LAKE:-lake}", written), environment).map(|project| project.root)
    };
    for (written, expected) in [
        ("/a/${X}/${Y:-y}", "/a/x/y"),
        ("/${EMPTY:-d}", "/d"),
        ("/a${EMPTY}b", "/ab"),
        ("/$X", "/$X"),
        ("/${Z:-}z", "/z"),
    ] {
        let environment = [("X", "x"), ("EMPTY", "")];
        let expected = Location::Folder(expected.into());
        assert_eq!(root(written, &environment).unwrap(), expected, "{written}");
    }
    for (written, code, place, said) in [
        ("/a/${NONE}/b", Code::BadEnvironment, "${NONE}", "${NONE:-…}"),
        ("/a/${NONE", Code::BadValue, "${NONE", "without its `}`"),
        ("/ü/${1X}", Code::BadValue, "${1X}", "not the name"),
    ] {
        assert_one(&root(written, &[]).unwrap_err(), written, code, place, said);
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let project = load_with(
        FULL,
        &[
            ("HIGHWATER__ENGINE__JOBS", "8"),
            ("HIGHWATER__NAME", "2026"),
            ("HIGHWATER__HISTORY__KEEP", "3"),
            ("HIGHWATER__STORAGE__ROOT", "/over/${X}"),
            ("HIGHWATER__PIPELINE__ORDERS_HOURLY__WINDOW__SIZE", "30m"),
            ("HIGHWATER__PIPELINE__ORDERS_HOURLY__ENABLED", "true"),
            ("HIGHWATER__PIPELINE__ORDERS_HOURLY__OUTPUT__HOURLY__SORT_BY", "[\"a\", \"b\"]"),
            ("HIGHWATER_CONFIG", "other.toml"),
        ],
    );
    // Half-hour windows do not fit the path: an override is checked like the file.
    let errors = project.unwrap_err();
    assert_one(&errors, "30m", Code::PathNotInjective, OUTPUT, "");

    let project = load_with(
        SHORT,
        &[
            ("HIGHWATER__ENGINE__JOBS", "8"),
            ("HIGHWATER__NAME", "2026"),
            ("HIGHWATER__STORAGE__ROOT", "/over/${X}"),
            ("HIGHWATER__PIPELINE__ORDERS__WINDOW__SIZE", "1w"),
            ("HIGHWATER__PIPELINE__ORDERS__ENABLED", "false"),
            ("HIGHWATER__PIPELINE__ORDERS__OUTPUT__DAILY__SORT_BY", "[\"a\", \"b\"]"),
            ("HIGHWATER_CONFIG", "other.toml"),
        ],
    )
    .unwrap();
    assert_eq!((project.engine.jobs, project.name.as_str()), (Some(8), "2026"));
    assert_eq!(project.root, Location::Folder("/over/${X}".into()));
    assert!(matches!(project.pipelines[0].grid.size(), WindowSize::Week { .. }));
    assert!(!project.pipelines[0].enabled);
    assert_eq!(project.pipelines[0].outputs[0].sort_by, ["a", "b"]);
}

#[test]
fn names_of_pipelines_match_variables_loosely() {
    let text = SHORT.replace("pipeline.orders", "pipeline.Orders-EU");
    let variable = ("HIGHWATER__PIPELINE__ORDERS_EU__ENABLED", "false");
    assert!(!load_with(&text, &[variable]).unwrap().pipelines[0].enabled);

    let second = text.replace("Orders-EU", "orders_eu").replace("version = 1\n", "");
    let both = format!("{text}{}", second.replace("out/", "other/"));
    let errors = load_with(&both, &[variable]).unwrap_err();
    assert_one(&errors, variable.0, Code::BadEnvironment, "", "more than one pipeline");
}

#[test]
fn an_override_that_cannot_be_used_names_its_variable() {
    for (variable, value, said) in [
        ("HIGHWATER__ENGINE__JOBS", "two", "must be a whole number, found string \"two\""),
        ("HIGHWATER__ENGINE__JOBS", "two", "it overrides `jobs = 3` at config.toml:12:8"),
        ("HIGHWATER__ENGINE__JBOS", "2", "exists: `jobs`"),
        ("HIGHWATER__ENGIN__JOBS", "2", "unknown key `engin`"),
        ("HIGHWATER__PIPELINE__ORDERS__ENABLED", "true", "there is no pipeline `orders`"),
        ("HIGHWATER__PIPELINE__ORDERS_HOURLY__WINDOW__SIZE", "7m", "does not divide"),
        ("HIGHWATER__PIPELINE__ORDERS_HOURLY__STEP__PAID__SQL", "x", "`step` is no table"),
        ("HIGHWATER__", "x", "names no key"),
        ("HIGHWATER__A____B", "x", "names no key"),
    ] {
        let errors = load_with(FULL, &[(variable, value)]).unwrap_err();
        assert_one(&errors, variable, Code::BadEnvironment, "", said);
        assert!(errors[0].message().contains(variable), "{errors:?}");
    }
}

#[test]
fn a_text_no_person_wrote_is_refused_unread() {
    let errors = load_with(&"#".repeat(TEXT_BYTES_MAX + 1), &[]).unwrap_err();
    assert_one(&errors, "large", Code::BadValue, "", "larger than 10 MiB");
    let text: Vec<_> = (0..500).map(|key| format!("key{key} = 1\n")).collect();
    assert_eq!(load_with(&text.concat(), &[]).unwrap_err().len(), 100);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = load_with(&text, &[]);
    }

    #[test]
    fn no_broken_configuration_makes_it_panic(
        at in 0..FULL.len(), length in 0_usize..40, put in "[\\[\\]{}\"'$:=.#a-z0-9\n\\\\é%]{0,12}",
        variable in "HIGHWATER__(ENGINE|PIPELINE__ORDERS_HOURLY|[A-Z_]{0,9})__[A-Z_]{0,9}",
    ) {
        let end = at.saturating_add(length).min(FULL.len());
        let text = format!("{}{put}{}", &FULL[..at], &FULL[end..]);
        if let Err(errors) = load_with(&text, &[(variable.as_str(), put.as_str())]) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                if let Some(excerpt) = error.excerpt() {
                    prop_assert!(excerpt.text.get(excerpt.span.clone()).is_some());
                }
            }
        }
    }
}
