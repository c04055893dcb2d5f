//! What is refused: one mistake, one error.

use Code::{BadValue, Conflict, MissingKey, PathNotInjective, UnknownKey};

use super::*;

/// Loads FULL with `from` replaced by `to` and expects one error: its code, the text it points at,
/// and a piece of its message, notes or hints.
fn refuses(from: &str, to: &str, code: Code, place: &str, said: &str) {
    let errors = load_with(&edited(FULL, from, to), &[]).unwrap_err();
    assert_one(&errors, to, code, place, said);
}

#[test]
fn keys_of_later_versions_are_refused_and_never_ignored() {
    for (before, added, place) in [
        ("name = \"shop\"", "include = [\"x.toml\"]\n", "[\"x.toml\"]"),
        ("threads", "ballista = \"df://x\"\n", "\"df://x\""),
        ("enabled", "schedule = \"* * * * *\"\n", "\"* * * * *\""),
        ("[pipeline.orders_hourly.window]", "[pipeline.orders_hourly.load.x.y]\n", "load"),
        ("glob = ", "partition_time = \"{dt}\"\n", "\"{dt}\""),
        ("glob = ", "partition_slack = \"2d\"\n", "\"2d\""),
        ("glob = ", "ingest_time = \"at\"\n", "\"at\""),
        ("compression = ", "success_file = true\n", "true"),
        ("compression = ", "delta = { path = \"x\" }\n", "{ path = \"x\" }"),
        ("[storage]", "[alert.x]\n", "alert"),
        ("[storage]", "[metrics]\n", "[metrics]"),
        ("[storage]", "[lineage]\n", "[lineage]"),
    ] {
        let errors =
            load_with(&edited(FULL, before, &format!("{added}{before}")), &[]).unwrap_err();
        assert_one(&errors, added, Code::NotSupportedYet, place, "not supported yet");
    }
}

/// What stands before `glob = ` of a source, the place of what is wrong with it, and what is said.
const QUALITY: &[(&str, Code, &str, &str)] = &[
    ("dedup = {}\n", MissingKey, "{}", "add `keys = "),
    ("dedup = { keys = [] }\n", MissingKey, "{ keys = [] }", "add `keys = "),
    ("dedup = { keys = [\"a\", \"a\"] }\n", BadValue, "\"a\"", "stands there twice"),
    ("dedup = { keys = [\"a\"], keep = \"any\" }\n", BadValue, "\"any\"", "`first`"),
    ("dedup = { keys = [\"a\"], across = \"1h\" }\n", Conflict, "\"1h\"", "keep = \"first\""),
    (
        "dedup = { keys = [\"a\"], keep = \"first\", across = \"0s\" }\n",
        BadValue,
        "\"0s\"",
        "no time at all",
    ),
    ("rule = [{ expect = \"a > 0\" }]\n", MissingKey, "{ expect = \"a > 0\" }", "add `name = "),
    ("rule = [{ name = \"r\" }]\n", MissingKey, "{ name = \"r\" }", "add `expect = "),
    (
        "rule = [{ name = \"r\", expect = \"a\", on_violation = \"ignore\" }]\n",
        BadValue,
        "\"ignore\"",
        "`quarantine`",
    ),
];

#[test]
fn what_is_expected_of_rows_is_read_strictly() {
    for (added, code, place, said) in QUALITY {
        let errors = load_with(&edited(FULL, "glob = ", &format!("{added}glob = ")), &[]);
        assert_one(&errors.unwrap_err(), added, *code, place, said);
    }
}

/// What is changed in FULL, into what; the code, the place and the way on that this gives.
const RULES: &[(&str, &str, Code, &str, &str)] = &[
    ("version = 1", "version = 2", BadValue, "2", "write `version = 1`"),
    ("[engine]", "[history]\nkeep = 1001\n[engine]", BadValue, "1001", "0 to 1000"),
    ("version = 1", "version = \"1\"", BadValue, "\"1\"", "write `version = 1`"),
    ("version = 1\n", "", MissingKey, "", "add `version = 1`"),
    ("name = \"shop\"", "name = \" \"", BadValue, "\" \"", "it is empty"),
    ("name = \"shop\"", "name = 5", BadValue, "5", "a text in quotes"),
    ("name = \"shop\"", "nmae = \"s\"", UnknownKey, "nmae", "exists: `name`"),
    ("size = \"1h\"", "siez = \"1h\"", UnknownKey, "siez", "size, timezone, begin, week_start"),
    ("watermark_delay", "watermark_dealy", UnknownKey, "watermark_dealy", "`watermark_delay`"),
    ("event_time =", "event_tiem =", UnknownKey, "event_tiem", "exists: `event_time`"),
    ("jobs = 3", "jobs = 0", BadValue, "0", "leave it out"),
    ("jobs = 3", "jobs = 1025", BadValue, "1025", "not from 1 to 1024"),
    ("threads = 0", "threads = 1025", BadValue, "1025", "not from 0 to 1024"),
    ("jobs = 3", "jobs = -1", BadValue, "-1", "a whole number"),
    ("jobs = 3", "jobs = 1.5", BadValue, "1.5", "a whole number"),
    ("\"2GiB\"", "\"2 gibbons\"", BadValue, "\"2 gibbons\"", "`512MiB`"),
    ("\"2GiB\"", "\"0\"", BadValue, "\"0\"", "not a size"),
    ("\"30s\"", "\"30\"", BadValue, "\"30\"", "`15m`, `2h` or `1d`"),
    ("\"15m\"", "\"1M\"", BadValue, "\"1M\"", "`m` is a minute"),
    ("\"15m\"", "\"2 years\"", BadValue, "\"2 years\"", "unit of the calendar"),
    ("\"15m\"", "\"-1h\"", BadValue, "\"-1h\"", "not a length of time"),
    ("\"3h\"", "\"soon\"", BadValue, "\"soon\"", "`overdue_after`"),
    ("\"1h\"", "\"50m\"", BadValue, "\"50m\"", "does not divide a day"),
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
    ("path = \"raw/orders/\"\n", "", MissingKey, "[pipeline.orders_hourly.source.orders]", "path"),
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
    ("unit = \"ms\"", "unit = \"m\"", BadValue, "\"m\"", "values: `s`, `ms`, `us`, `ns`"),
    ("on_null_time = \"drop\"", "on_null_time = \"dorp\"", BadValue, "\"dorp\"", "mean `drop`?"),
    ("\"null\"", "\"nul\"", BadValue, "\"nul\"", "did you mean `null`?"),
    ("\"widen\"", "\"wide\"", BadValue, "\"wide\"", "did you mean `widen`?"),
    ("max_windows_per_file = 7", "max_windows_per_file = 0", BadValue, "0", "leave it out"),
    ("source.orders]", "source.my-orders]", BadValue, "my-orders", "letters, digits and `_`"),
    ("name = \"paid\"", "name = \"1st\"", BadValue, "\"1st\"", "begin with a letter"),
    ("name = \"paid\"", "name = \"Orders\"", Conflict, "\"Orders\"", "a name of its own"),
    ("name = \"paid\"", "name = \"hourly\"", Conflict, "\"hourly\"", "a name of its own"),
    ("name = \"paid\"\n", "", MissingKey, "[[pipeline.orders_hourly.step]]", "name"),
    ("\"sql/hourly.sql\"", "\"sql/none.sql\"", BadValue, "\"sql/none.sql\"", "/shop/sql/none.sql"),
    ("sql_file =", "sql = \"x\"\nsql_file =", Conflict, "\"sql/hourly.sql\"", "keep `sql` or"),
    ("sql_file = \"sql/hourly.sql\"\n", "", MissingKey, "[[pipeline.orders_hourly.step]]", "`sql`"),
    ("sql_file = \"sql/hourly.sql\"\n", "sql = ''\n", BadValue, "''", "it is empty"),
    ("output.hourly]", "output.hourl]", Conflict, "hourl", "did you mean `hourly`?"),
    ("\"zstd\"", "\"zst\"", BadValue, "\"zst\"", "did you mean `zstd`?"),
    ("compression_level = 9", "compression_level = 23", BadValue, "23", "1 to 22"),
    ("\"zstd\"", "\"none\"", Conflict, "9", "only zstd"),
    ("[\"shop_id\"]", "[\"a\", \"b\", \"a\"]", BadValue, "\"a\"", "twice"),
    ("[\"shop_id\"]", "[\"a\", 1]", BadValue, "1", "a text in quotes"),
    ("[\"shop_id\"]", "\"shop_id\"", BadValue, "\"shop_id\"", "a list"),
    ("state = \"_state\"", "state = \"raw\"", Conflict, "\"raw/orders/\"", "the state"),
    ("state = \"_state\"", "state = \"raw/orders/x\"", Conflict, "\"raw/orders/\"", "the state"),
    ("\"_state\"", "\"curated/orders/x\"", Conflict, OUTPUT, "the state"),
    ("\"raw/orders/\"", "\"./curated/x/..\"", Conflict, OUTPUT, "source `orders`"),
    ("\"raw/orders/\"", "\"/shop/lake/curated/orders/z\"", Conflict, OUTPUT, "two folders"),
];

#[test]
fn every_rule_has_a_code_a_place_and_a_way_on() {
    for (from, to, code, place, said) in RULES {
        refuses(from, to, *code, place, said);
    }
}

#[test]
fn an_output_path_is_a_template_below_the_root_that_tells_windows_apart() {
    for (path, code, place, said) in [
        ("../x/dt={start_utc:%Y-%m-%d}/hr={start_utc:%H}", BadValue, "", "`..`"),
        ("/x/dt={start_utc:%Y-%m-%d}/hr={start_utc:%H}", BadValue, "", "must not begin with `/`"),
        ("x/dt={begin:%Y}", BadValue, "begin", "`start_utc`"),
        ("x/dt={start:%Y-%m-%d}/hr={start:%H}", PathNotInjective, "", "start_utc"),
        ("x/dt={start_utc:%Y-%m-%d}", PathNotInjective, "", "start_utc"),
        ("raw/orders/dt={start_utc:%Y-%m-%d}/hr={start_utc:%H}", Conflict, "", "overlap"),
    ] {
        let whole = format!("\"{path}\"");
        let place = match (place, code) {
            ("", BadValue) => path,
            ("", _) => &whole,
            _ => place,
        };
        refuses(OUTPUT, &whole, code, place, said);
    }
    let clash = "x/dt={start:%Y-%m-%d}/hr={start:%H}";
    let errors = load_with(&FULL.replace(OUTPUT, &format!("\"{clash}\"")), &[]).unwrap_err();
    let notes = errors[0].notes().join("\n");
    assert!(notes.contains("+02:00[Europe/Berlin]") && notes.contains("+01:00[Europe/Berlin]"));
    assert!(notes.contains("would both be `x/dt="), "{notes}");
}

#[test]
fn two_outputs_never_share_a_folder() {
    let more = "[pipeline.orders_hourly.output.paid]\npath = \
                \"curated/orders/x/{start_utc:%Y-%m-%dT%H}\"\n";
    let errors = load_with(&format!("{FULL}{more}"), &[]).unwrap_err();
    let place = "\"curated/orders/x/{start_utc:%Y-%m-%dT%H}\"";
    assert_one(&errors, more, Code::Conflict, place, "output `hourly`");
}
