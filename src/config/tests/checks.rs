//! Checks, and limits for the rows of a window.

use Code::{BadValue, Conflict, MissingKey, UnknownKey};

use super::*;
use crate::spec::{PipelineSpec, QualitySpec, Ratio, Severity};

const STEP: &str = "[[pipeline.orders.step]]";

/// SHORT with more tables of its pipeline.
fn with(added: &str) -> String {
    edited(SHORT, STEP, &format!("{added}{STEP}"))
}

fn pipeline(added: &str) -> PipelineSpec {
    load_with(&with(added), &[]).unwrap().pipelines.remove(0)
}

#[test]
fn checks_are_read_in_their_order() {
    let text = "[[pipeline.orders.check]]\nname = \"none bad\"\nsql = \"SELECT '${X}'\"\n\
                [[pipeline.orders.check]]\nname = \"few\"\nsql_file = \"sql/hourly.sql\"\n\
                severity = \"warn\"\n";
    let checks = pipeline(text).checks;
    let [first, second] = checks.as_slice() else { panic!("{checks:?}") };
    assert_eq!((first.name.as_str(), first.severity), ("none bad", Severity::Error));
    assert_eq!(first.sql, "SELECT '${X}'", "SQL is never pasted into");
    assert_eq!((second.name.as_str(), second.severity), ("few", Severity::Warn));
    assert_eq!((second.sql.as_str(), second.origin.file.as_str()), ("SELECT 1", "sql/hourly.sql"));
    assert!(pipeline("").checks.is_empty());
}

#[test]
fn limits_are_exact_and_none_by_default() {
    assert_eq!(pipeline("").quality, QualitySpec::default());
    let limits =
        "[pipeline.orders.quality]\nmax_bad_ratio = 0.29\nmax_bad_rows = 0\nmin_rows = 7\n";
    let quality =
        QualitySpec { max_bad_ratio: Ratio::parse("0.29"), max_bad_rows: Some(0), min_rows: 7 };
    assert_eq!(pipeline(limits).quality, quality);
    for (written, ratio) in
        [("1", "1"), ("0", "0"), ("1e-3", "0.001"), ("0.000000001", "0.000000001")]
    {
        let text = format!("[pipeline.orders.quality]\nmax_bad_ratio = {written}\n");
        assert_eq!(pipeline(&text).quality.max_bad_ratio, Ratio::parse(ratio), "{written}");
    }
}

#[test]
fn the_environment_may_set_a_ratio() {
    let text = with("[pipeline.orders.quality]\nmin_rows = 1\n");
    let over = [("HIGHWATER__PIPELINE__ORDERS__QUALITY__MAX_BAD_RATIO", "0.05")];
    let project = load_with(&text, &over).unwrap();
    assert_eq!(project.pipelines[0].quality.max_bad_ratio, Ratio::parse("0.05"));
}

/// What is added to SHORT; the code, the place and the way on that this gives.
const REFUSED: &[(&str, Code, &str, &str)] = &[
    ("[[pipeline.orders.check]]\nsql = \"SELECT 1\"\n", MissingKey, "CHECK", "add `name = "),
    ("[[pipeline.orders.check]]\nname = \"c\"\n", MissingKey, "CHECK", "add `sql = "),
    (
        "[[pipeline.orders.check]]\nname = \"c\"\nsql = \"SELECT 1\"\nsql_file = \"x\"\n",
        Conflict,
        "\"x\"",
        "keep `sql` or `sql_file`",
    ),
    (
        "[[pipeline.orders.check]]\nname = \"c\"\nsql = \"SELECT 1\"\nseverity = \"warning\"\n",
        BadValue,
        "\"warning\"",
        "`warn`",
    ),
    (
        "[[pipeline.orders.check]]\nname = \" \"\nsql = \"SELECT 1\"\n",
        BadValue,
        "\" \"",
        "it is empty",
    ),
    (
        "[[pipeline.orders.check]]\nname = \"c\"\nsql = \"SELECT 1\"\n\
         [[pipeline.orders.check]]\nname = 'c'\nsql = \"SELECT 2\"\n",
        Conflict,
        "'c'",
        "a name of its own",
    ),
    (
        "[[pipeline.orders.check]]\nname = \"c\"\nsql = \"SELECT 1\"\nwhere = 1\n",
        UnknownKey,
        "where",
        "name, sql, sql_file, severity",
    ),
    ("[pipeline.orders.quality]\nmax_bad_ratio = 1.5\n", BadValue, "1.5", "from 0 to 1"),
    ("[pipeline.orders.quality]\nmax_bad_ratio = -0.1\n", BadValue, "-0.1", "from 0 to 1"),
    ("[pipeline.orders.quality]\nmax_bad_ratio = nan\n", BadValue, "nan", "from 0 to 1"),
    ("[pipeline.orders.quality]\nmax_bad_ratio = 1e-10\n", BadValue, "1e-10", "nine decimals"),
    ("[pipeline.orders.quality]\nmax_bad_ratio = \"1%\"\n", BadValue, "\"1%\"", "a number"),
    ("[pipeline.orders.quality]\nmax_bad_rows = -1\n", BadValue, "-1", "a whole number"),
    ("[pipeline.orders.quality]\nmin_rows = 0.5\n", BadValue, "0.5", "a whole number"),
];

#[test]
fn checks_and_limits_are_read_strictly() {
    for (added, code, place, said) in REFUSED {
        let errors = load_with(&with(added), &[]).unwrap_err();
        let place = if *place == "CHECK" { "[[pipeline.orders.check]]" } else { place };
        assert_one(&errors, added, *code, place, said);
    }
}
