//! What a source says of files that arrive, of its watermark, and of what windows see of it.

use super::*;
use crate::spec::{Closes, SourceSpec};
use crate::window::Margins;

/// The source of FULL with `added` among its keys.
fn source_with(added: &str, environment: &[(&str, &str)]) -> Result<SourceSpec, Vec<Error>> {
    let text = edited(FULL, "glob = ", &format!("{added}glob = "));
    load_with(&text, environment).map(|mut project| project.pipelines.remove(0).sources.remove(0))
}

fn minutes(minutes: u32) -> Span {
    Span::from_seconds(minutes.saturating_mul(60))
}

#[test]
fn it_shows_more_settles_and_follows_the_clock_as_it_says() {
    let added = "lookback = \"90m\"\nlookahead = \"1h 30m\"\nsettle = \"2m\"\n\
                 closes = \"event_time\"\nidle_timeout = \"6h\"\n";
    let source = source_with(added, &[]).unwrap();
    assert_eq!(source.margins, Margins { lookback: minutes(90), lookahead: minutes(90) });
    assert_eq!(source.folder().unwrap().settle, minutes(2));
    assert_eq!(source.closes, Closes::EventTime);
    assert_eq!(source.idle_timeout, Some(minutes(360)));
    assert_eq!(source_with("closes = \"clock\"\n", &[]).unwrap().closes, Closes::Clock);
}

#[test]
fn by_default_it_does_none_of_that() {
    for added in ["", "lookback = \"0m\"\nlookahead = \"0s\"\nsettle = \"0s\"\n"] {
        let source = source_with(added, &[]).unwrap();
        assert_eq!(source.margins, Margins::default());
        assert_eq!(source.folder().unwrap().settle, Span::ZERO);
        assert_eq!((source.closes, source.idle_timeout), (Closes::EventTime, None));
        assert_eq!(source.upstream(), None);
    }
}

#[test]
fn the_environment_reaches_its_keys() {
    let key = "HIGHWATER__PIPELINE__ORDERS_HOURLY__SOURCE__ORDERS__";
    let set = |name: &str, value: &str| {
        source_with("lookback = \"1h\"\n", &[(&format!("{key}{name}"), value)])
    };
    assert_eq!(set("LOOKBACK", "5m").unwrap().margins.lookback, minutes(5));
    let ahead = set("LOOKAHEAD", "5m").unwrap().margins;
    assert_eq!(ahead, Margins { lookback: minutes(60), lookahead: minutes(5) });
    assert_eq!(set("SETTLE", "5m").unwrap().folder().unwrap().settle, minutes(5));
    assert_eq!(set("IDLE_TIMEOUT", "5m").unwrap().idle_timeout, Some(minutes(5)));
    assert_eq!(set("CLOSES", "clock").unwrap().closes, Closes::Clock);
    assert!(
        !set("HIVE_PARTITIONING", "true").unwrap().folder().unwrap().partition_columns.is_empty()
    );
    for (name, value, said) in [
        ("LOOKBACK", "5", "it overrides `lookback = \"1h\"` at config.toml:31:12"),
        ("IDLE_TIMEOUT", "0s", "no time at all"),
        ("PIPELINE", "other", "`path` is there too"),
        ("OUTPUT", "other", "this one reads files"),
    ] {
        let errors = set(name, value).unwrap_err();
        assert_one(&errors, name, Code::BadEnvironment, "", said);
        assert!(errors[0].message().contains(&format!("{key}{name}")), "{errors:?}");
    }
}

#[test]
fn what_it_may_not_say_is_refused() {
    for (added, code, place, said) in [
        (
            "lookback = \"1mo\"\n",
            Code::BadValue,
            "\"1mo\"",
            "`lookback`: `1mo` has no fixed length",
        ),
        ("lookahead = \"-1h\"\n", Code::BadValue, "\"-1h\"", "`lookahead`: `-1h` is not a length"),
        ("lookahead = 1\n", Code::BadValue, "1", "a text in quotes"),
        ("settle = \"5\"\n", Code::BadValue, "\"5\"", "`settle`: `5` is not a length of time"),
        ("closes = \"clok\"\n", Code::BadValue, "\"clok\"", "did you mean `clock`?"),
        ("closes = \"never\"\n", Code::BadValue, "\"never\"", "values: `event_time`, `clock`"),
        ("idle_timeout = \"0s\"\n", Code::BadValue, "\"0s\"", "`0s` is no time at all"),
        ("idle_timeout = \"1y\"\n", Code::BadValue, "\"1y\"", "`idle_timeout`: `1y` has no fixed"),
        (
            "closes = \"clock\"\nidle_timeout = \"6h\"\n",
            Code::Conflict,
            "\"6h\"",
            "`idle_timeout`: with `closes = \"clock\"` the watermark follows the clock anyway\n  \
             help: remove one of the two",
        ),
        (
            "lookback = \"1500ns\"\n",
            Code::BadValue,
            "\"1500ns\"",
            "`lookback`: `1500ns` is not a length of time",
        ),
        (
            "output = \"daily\"\n",
            Code::Conflict,
            "\"daily\"",
            "`output`: it is about a source that reads from a `pipeline`, and this one reads \
             files\n  help: leave it out, or write `pipeline` instead of `path`",
        ),
        (
            "pipeline = \"none\"\noutput = \"none\"\n",
            Code::Conflict,
            "\"none\"",
            "`pipeline`: `path` is there too\n  help: keep `path` or `pipeline`",
        ),
    ] {
        assert_one(&source_with(added, &[]).unwrap_err(), added, code, place, said);
    }
}

#[test]
fn a_margin_that_makes_a_row_belong_to_too_many_windows_is_refused() {
    let errors = source_with("lookback = \"2000d\"\n", &[]).unwrap_err();
    let said = "`lookback`: every row would be seen by";
    assert_one(&errors, "lookback", Code::BadValue, "\"2000d\"", said);
    assert!(source_with("lookback = \"1h\"\n", &[]).is_ok());
}

#[test]
fn there_may_be_several_in_the_order_of_the_file_and_with_names_of_their_own() {
    let more = |table: &str| {
        let table = format!("[pipeline.orders.source.{table}]\n");
        load_with(&format!("{SHORT}{table}path = \"raw/more\"\nevent_time = \"at\"\n"), &[])
    };
    let pipeline = more("a_second").unwrap().pipelines.remove(0);
    let tables: Vec<_> = pipeline.sources.iter().map(|source| source.table.as_str()).collect();
    assert_eq!(tables, ["events", "a_second"]);
    assert_eq!(pipeline.margins("a_second"), Margins::default());

    let errors = more("Events").unwrap_err();
    let said = "`source`: `Events` is already the name of a source, a reference or a step";
    assert_one(&errors, "Events", Code::Conflict, "Events", said);
    let errors = more("Daily").unwrap_err();
    assert_one(&errors, "Daily", Code::Conflict, "\"daily\"", "case does not count");
}
