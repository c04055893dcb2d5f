use std::io;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::spec::{Compression, OnNullTime, PartitionType};
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
allow_nondeterministic = true

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
watermark_delay = "15m"
max_future = "2d"
on_null_time = "drop"
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

fn read_sql(path: &Path) -> io::Result<String> {
    match path == Path::new("/shop/sql/hourly.sql") {
        true => Ok("\u{feff}SELECT 1".to_owned()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
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

/// Loads FULL with `from` replaced by `to` and expects one error: its code, the text it points at, and
/// a piece of its message, notes or hints.
fn refuses(from: &str, to: &str, code: Code, place: &str, said: &str) {
    let errors = load_with(&edited(FULL, from, to), &[]).unwrap_err();
    assert_one(&errors, to, code, place, said);
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
    assert_eq!(project.root, PathBuf::from("/mnt/lake"));
    assert_eq!(project.state, PathBuf::from("/mnt/lake/_state"));
    assert_eq!(project.engine.memory_limit_bytes, Some(2 << 30));
    assert_eq!((project.engine.threads, project.engine.jobs), (None, Some(3)));
    assert_eq!(project.engine.temp_directory, PathBuf::from("/var/spill"));
    assert_eq!(project.engine.max_object_bytes, 1 << 20);
    assert_eq!(project.lease_wait, Span::from_seconds(30));

    let [pipeline] = project.pipelines.as_slice() else { panic!("{project:?}") };
    assert_eq!(pipeline.name.as_str(), "orders_hourly");
    assert_eq!(pipeline.description.as_deref(), Some("Revenue"));
    assert_eq!(pipeline.owner.as_deref(), Some("data@acme.example"));
    assert!(!pipeline.enabled && pipeline.allow_nondeterministic);
    assert_eq!(pipeline.overdue_after, Some(Span::from_seconds(3 * 3600)));
    assert_eq!(pipeline.grid.size(), WindowSize::Minutes(60));
    assert_eq!(pipeline.grid.zone(), chrono_tz::Europe::Berlin);
    assert_eq!(pipeline.begin, EventTime::parse("2025-12-31T23:00:00Z", chrono_tz::UTC));

    let source = pipeline.source("orders").unwrap();
    assert_eq!(source.path, PathBuf::from("/mnt/lake/raw/orders"));
    assert_eq!(source.label, "raw/orders/");
    assert_eq!(source.glob.as_str(), "**/*.pq");
    assert!(source.hive_partitioning);
    let typed = [("dt".to_owned(), PartitionType::Date), ("hr".to_owned(), PartitionType::Int)];
    assert_eq!(source.partition_columns, typed);
    assert_eq!(source.event_time, "event_ts");
    assert_eq!(source.event_timezone, chrono_tz::Asia::Tokyo);
    assert_eq!(source.watermark_delay, Span::from_seconds(900));
    assert_eq!(source.max_future, Span::from_seconds(172_800));
    assert_eq!(source.on_null_time, OnNullTime::Drop);
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
    assert_eq!(project.root, PathBuf::from("/shop"));
    assert_eq!(project.state, PathBuf::from("/shop/_highwater"));
    assert_eq!(project.engine.memory_limit_bytes, None);
    assert_eq!((project.engine.threads, project.engine.jobs), (None, None));
    assert_eq!(project.engine.temp_directory, PathBuf::from("/spill"));
    assert_eq!(project.engine.max_object_bytes, 1 << 30);
    assert_eq!(project.lease_wait, Span::ZERO);
    let pipeline = &project.pipelines[0];
    assert!(pipeline.enabled && !pipeline.allow_nondeterministic);
    assert_eq!((pipeline.overdue_after, pipeline.begin), (None, None));
    assert_eq!(pipeline.grid.zone(), chrono_tz::UTC);
    let source = &pipeline.sources[0];
    assert_eq!(source.glob.as_str(), "**/*.parquet");
    assert!(source.hive_partitioning && source.partition_columns.is_empty());
    assert_eq!(source.event_timezone, chrono_tz::UTC);
    assert_eq!(source.watermark_delay, Span::ZERO);
    assert_eq!(source.max_future, Span::from_seconds(86_400));
    assert_eq!(source.on_null_time, OnNullTime::Fail);
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
        ("[engine]\n", "[history]\nkeep = 2\n"),
        ("wait = ", "patience = \"30s\"\nheartbeat = \"5s\"\n"),
        ("enabled = ", "on_query_change = \"report\"\n"),
        ("glob = ", "lookback = \"0m\"\nlookahead = \"0s\"\nallowed_lateness = \"unlimited\"\n"),
        ("glob = ", "on_removed = \"keep\"\ncloses = \"event_time\"\ningest_time = \"object\"\n"),
        ("glob = ", "settle = \"0s\"\npartition_slack = \"24h\"\non_expired = \"quarantine\"\n"),
        ("glob = ", "on_missing_column = \"fail\"\non_type_change = \"fail\"\n"),
        ("glob = ", "on_corrupt_file = \"fail\"\n"),
        ("compression = ", "success_file = false\n"),
    ] {
        let text = edited(FULL, before, &format!("{added}{before}"));
        assert!(load_with(&text, &[]).is_ok(), "{added}");
    }
}

#[test]
fn keys_of_later_versions_are_refused_and_never_ignored() {
    for (before, added, place) in [
        ("name = \"shop\"", "include = [\"x.toml\"]\n", "[\"x.toml\"]"),
        ("[engine]", "[storage.options]\na = \"b\"\n", "[storage.options]"),
        ("threads", "ballista = \"df://x\"\n", "\"df://x\""),
        ("[engine]", "[retry]\nmax_retries = 3\n", "3"),
        ("wait = ", "patience = \"31s\"\n", "\"31s\""),
        ("[engine]", "[history]\nkeep = 3\n", "3"),
        ("enabled", "schedule = \"* * * * *\"\n", "\"* * * * *\""),
        ("enabled", "on_query_change = \"reprocess\"\n", "\"reprocess\""),
        ("[pipeline.orders_hourly.window]", "[pipeline.orders_hourly.reference.x]\n", "x"),
        ("[pipeline.orders_hourly.window]", "[pipeline.orders_hourly.quality]\n", ""),
        ("[pipeline.orders_hourly.window]", "[[pipeline.orders_hourly.check]]\n", ""),
        ("[pipeline.orders_hourly.window]", "[pipeline.orders_hourly.load.x.y]\n", "load"),
        ("glob = ", "partition_time = \"{dt}\"\n", "\"{dt}\""),
        ("glob = ", "partition_slack = \"2d\"\n", "\"2d\""),
        ("glob = ", "ingest_time = \"at\"\n", "\"at\""),
        ("glob = ", "settle = \"5s\"\n", "\"5s\""),
        ("glob = ", "closes = \"clock\"\n", "\"clock\""),
        ("glob = ", "idle_timeout = \"6h\"\n", "\"6h\""),
        ("glob = ", "allowed_lateness = \"3d\"\n", "\"3d\""),
        ("glob = ", "on_expired = \"drop\"\n", "\"drop\""),
        ("glob = ", "lookback = \"1h\"\n", "\"1h\""),
        ("glob = ", "lookahead = \"1h\"\n", "\"1h\""),
        ("glob = ", "on_missing_column = \"null\"\n", "\"null\""),
        ("glob = ", "on_type_change = \"widen\"\n", "\"widen\""),
        ("glob = ", "on_corrupt_file = \"quarantine\"\n", "\"quarantine\""),
        ("glob = ", "on_removed = \"recompute\"\n", "\"recompute\""),
        ("glob = ", "dedup = { keys = [\"id\"] }\n", "{ keys = [\"id\"] }"),
        ("glob = ", "rule = []\n", "[]"),
        ("compression = ", "success_file = true\n", "true"),
        ("compression = ", "delta = { path = \"x\" }\n", "{ path = \"x\" }"),
        ("[storage]", "[alert.x]\n", "alert"),
        ("[storage]", "[metrics]\n", "[metrics]"),
        ("[storage]", "[lineage]\n", "[lineage]"),
    ] {
        let errors =
            load_with(&edited(FULL, before, &format!("{added}{before}")), &[]).unwrap_err();
        let place = if place.is_empty() { added.trim() } else { place };
        assert_one(&errors, added, Code::NotSupportedYet, place, "not supported yet");
    }
    refuses(
        "\"drop\"",
        "\"quarantine\"",
        Code::NotSupportedYet,
        "\"quarantine\"",
        "`fail` or `drop`",
    );
    refuses(
        "path = \"raw/orders/\"",
        "pipeline = \"clean\"",
        Code::NotSupportedYet,
        "\"clean\"",
        "not supported yet",
    );
    for url in ["s3://bucket/x", "gs://b", "az://c", "http://d/e"] {
        let written = format!("\"{url}\"");
        let said = "object stores are not supported yet";
        refuses("\"${LAKE:-lake}\"", &written, Code::NotSupportedYet, &written, said);
        refuses("\"raw/orders/\"", &written, Code::NotSupportedYet, &written, said);
    }
}

#[test]
fn a_second_source_is_a_join() {
    let more = "[pipeline.orders.source.shops]\npath = \"shops\"\nevent_time = \"at\"\n";
    let errors = load_with(&format!("{SHORT}{more}"), &[]).unwrap_err();
    let place = "[pipeline.orders.source.shops]";
    assert_one(&errors, more, Code::NotSupportedYet, place, "a join of several sources");
}

#[test]
fn every_rule_has_a_code_a_place_and_a_way_on() {
    use Code::{BadValue, Conflict, MissingKey, UnknownKey};
    for (from, to, code, place, said) in [
        ("version = 1", "version = 2", BadValue, "2", "write `version = 1`"),
        ("version = 1", "version = \"1\"", BadValue, "\"1\"", "write `version = 1`"),
        ("version = 1\n", "", MissingKey, "", "add `version = 1`"),
        ("name = \"shop\"", "name = \" \"", BadValue, "\" \"", "it is empty"),
        ("name = \"shop\"", "name = 5", BadValue, "5", "a text in quotes"),
        ("name = \"shop\"", "nmae = \"s\"", UnknownKey, "nmae", "exists: `name`"),
        ("size = \"1h\"", "siez = \"1h\"", UnknownKey, "siez", "size, timezone, begin, week_start"),
        ("watermark_delay", "watermark_dealy", UnknownKey, "watermark_dealy", "`watermark_delay`"),
        ("event_time =", "event_tiem =", UnknownKey, "event_tiem", "exists: `event_time`"),
        ("jobs = 3", "jobs = 0", BadValue, "0", "out of range"),
        ("jobs = 3", "jobs = -1", BadValue, "-1", "a whole number"),
        ("jobs = 3", "jobs = 1.5", BadValue, "1.5", "a whole number"),
        ("\"2GiB\"", "\"2 gibbons\"", BadValue, "\"2 gibbons\"", "`512MiB`"),
        ("\"2GiB\"", "\"0\"", BadValue, "\"0\"", "not a size"),
        ("\"30s\"", "\"30\"", BadValue, "\"30\"", "`15m`, `2h` or `1d`"),
        ("\"15m\"", "\"1M\"", BadValue, "\"1M\"", "`m` is a minute"),
        ("\"15m\"", "\"2 years\"", BadValue, "\"2 years\"", "unit of the calendar"),
        ("\"15m\"", "\"-1h\"", BadValue, "\"-1h\"", "not a length of time"),
        ("\"3h\"", "\"soon\"", BadValue, "\"soon\"", "`overdue_after`"),
        ("\"1h\"", "\"90m\"", BadValue, "\"90m\"", "does not divide a day"),
        ("\"Europe/Berlin\"", "\"Europe/Berln\"", BadValue, "\"Europe/Berln\"", "`Europe/Berlin`?"),
        ("\"Europe/Berlin\"", "\"Berlin\"", BadValue, "\"Berlin\"", "`Europe/Berlin`?"),
        ("\"Europe/Berlin\"", "\"Q\"", BadValue, "\"Q\"", "IANA"),
        ("\"Asia/Tokyo\"", "\"asia/tokyo\"", BadValue, "\"asia/tokyo\"", "`Asia/Tokyo`?"),
        ("\"2026-01-01\"", "\"soon\"", BadValue, "\"soon\"", "`2026-01-31`"),
        (
            "\"2026-01-01\"",
            "\"2026-01-01T00:30\"",
            BadValue,
            "\"2026-01-01T00:30\"",
            "2026-01-01 00:00 +01:00 and 2026-01-01 01:00 +01:00",
        ),
        ("begin =", "week_start = \"monday\"\nbegin =", Conflict, "\"monday\"", "windows of `1w`"),
        ("begin =", "week_start = \"moonday\"\nbegin =", BadValue, "\"moonday\"", "`sunday`"),
        (
            "path = \"raw/orders/\"\n",
            "",
            MissingKey,
            "[pipeline.orders_hourly.source.orders]",
            "path",
        ),
        (
            "event_time = \"event_ts\"\n",
            "",
            MissingKey,
            "[pipeline.orders_hourly.source.orders]",
            "add `event_time =",
        ),
        ("\"**/*.pq\"", "\"**a\"", BadValue, "\"**a\"", "`**` any folders"),
        ("\"**/*.pq\"", "\"/a\"", BadValue, "\"/a\"", "below the source's folder"),
        ("partitioning = true", "partitioning = 1", BadValue, "1", "true or false"),
        (
            "hive_partitioning = true",
            "hive_partitioning = false",
            Conflict,
            "{ dt = \"date\", hr = \"int\" }",
            "remove one",
        ),
        ("hr = \"int\"", "hr = \"integer\"", BadValue, "\"integer\"", "did you mean `int`?"),
        (
            "on_null_time = \"drop\"",
            "on_null_time = \"dorp\"",
            BadValue,
            "\"dorp\"",
            "mean `drop`?",
        ),
        ("max_windows_per_file = 7", "max_windows_per_file = 0", BadValue, "0", "out of range"),
        ("source.orders]", "source.my-orders]", BadValue, "my-orders", "letters, digits and `_`"),
        ("name = \"paid\"", "name = \"1st\"", BadValue, "\"1st\"", "begin with a letter"),
        ("name = \"paid\"", "name = \"Orders\"", Conflict, "\"Orders\"", "a name of its own"),
        ("name = \"paid\"", "name = \"hourly\"", Conflict, "\"hourly\"", "a name of its own"),
        ("name = \"paid\"\n", "", MissingKey, "[[pipeline.orders_hourly.step]]", "name"),
        (
            "\"sql/hourly.sql\"",
            "\"sql/none.sql\"",
            BadValue,
            "\"sql/none.sql\"",
            "/shop/sql/none.sql",
        ),
        ("sql_file =", "sql = \"x\"\nsql_file =", Conflict, "\"sql/hourly.sql\"", "keep `sql` or"),
        (
            "sql_file = \"sql/hourly.sql\"\n",
            "",
            MissingKey,
            "[[pipeline.orders_hourly.step]]",
            "`sql`",
        ),
        ("sql_file = \"sql/hourly.sql\"\n", "sql = ''\n", BadValue, "''", "it is empty"),
        ("output.hourly]", "output.hourl]", Conflict, "hourl", "did you mean `hourly`?"),
        ("\"zstd\"", "\"zst\"", BadValue, "\"zst\"", "did you mean `zstd`?"),
        ("compression_level = 9", "compression_level = 23", BadValue, "23", "1 to 22"),
        ("\"zstd\"", "\"none\"", Conflict, "9", "only zstd"),
        ("[\"shop_id\"]", "[\"a\", \"b\", \"a\"]", BadValue, "\"a\"", "twice"),
        ("[\"shop_id\"]", "[\"a\", 1]", BadValue, "1", "a text in quotes"),
        ("[\"shop_id\"]", "\"shop_id\"", BadValue, "\"shop_id\"", "a list"),
        ("state = \"_state\"", "state = \"raw\"", Conflict, "\"raw/orders/\"", "the state"),
        (
            "state = \"_state\"",
            "state = \"raw/orders/x\"",
            Conflict,
            "\"raw/orders/\"",
            "the state",
        ),
        ("\"raw/orders/\"", "\"./curated/x/..\"", Conflict, OUTPUT, "source `orders`"),
        ("\"raw/orders/\"", "\"/shop/lake/curated/orders/z\"", Conflict, OUTPUT, "two folders"),
    ] {
        refuses(from, to, code, place, said);
    }
}

const OUTPUT: &str = "\"curated/orders/dt={start_utc:%Y-%m-%d}/hr={start_utc:%H}\"";

#[test]
fn an_output_path_is_a_template_below_the_root_that_tells_windows_apart() {
    use Code::{BadValue, Conflict, PathNotInjective};
    for (path, code, place, said) in [
        ("../x/dt={start_utc:%Y-%m-%d}/hr={start_utc:%H}", BadValue, "", "leads out"),
        ("/x/dt={start_utc:%Y-%m-%d}/hr={start_utc:%H}", BadValue, "", ""),
        ("x/dt={begin:%Y}", BadValue, "{begin:%Y}", ""),
        ("x/dt={start:%Y-%m-%d}/hr={start:%H}", PathNotInjective, "", "start_utc"),
        ("x/dt={start_utc:%Y-%m-%d}", PathNotInjective, "", "start_utc"),
        ("raw/orders/dt={start_utc:%Y-%m-%d}/hr={start_utc:%H}", Conflict, "", "overlap"),
        ("_state/dt={start_utc:%Y-%m-%d}/hr={start_utc:%H}", Conflict, "", "the state"),
    ] {
        let whole = format!("\"{path}\"");
        let place = if place.is_empty() { &whole } else { place };
        refuses(OUTPUT, &whole, code, place, said);
    }
    let clash = "x/dt={start:%Y-%m-%d}/hr={start:%H}";
    let errors = load_with(&FULL.replace(OUTPUT, &format!("\"{clash}\"")), &[]).unwrap_err();
    let notes = errors[0].notes().join("\n");
    assert!(notes.contains("+02:00[Europe/Berlin]") && notes.contains("+01:00[Europe/Berlin]"));
    assert!(notes.contains("hr=02"), "{notes}");
}

#[test]
fn two_outputs_never_share_a_folder() {
    let more = "[pipeline.orders_hourly.output.paid]\npath = \
                \"curated/orders/x/{start_utc:%Y-%m-%dT%H}\"\n";
    let errors = load_with(&format!("{FULL}{more}"), &[]).unwrap_err();
    let place = "\"curated/orders/x/{start_utc:%Y-%m-%dT%H}\"";
    assert_one(&errors, more, Code::Conflict, place, "output `hourly`");
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
        assert_eq!(root(written, &environment).unwrap(), PathBuf::from(expected), "{written}");
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
            ("HIGHWATER__HISTORY__KEEP", "2"),
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
    assert_eq!(project.root, PathBuf::from("/over/${X}"));
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
    let text: String = (0..500).map(|key| format!("key{key} = 1\n")).collect();
    assert_eq!(load_with(&text, &[]).unwrap_err().len(), 100);
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
        let end = (at + length).min(FULL.len());
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
