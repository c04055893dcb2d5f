//! The sums of the books must close, by rule and by file.

use super::log::{Log, claim, commit};
use super::{broken_by, broken_by_commit};
use crate::hash::Sha256;
use crate::id::AttemptId;
use crate::invariant::Invariant;
use crate::state::*;

#[test]
fn rows_of_a_window_add_up() {
    let mut log = Log::claimed();
    let begin = log.begin(1, &[9]);
    let sums = [
        RowCounts { input: 2, used: 1, ..RowCounts::default() },
        RowCounts { input: 1, used: 1, dropped: 1, ..RowCounts::default() },
        RowCounts { input: 0, used: u64::MAX, duplicate: 1, ..RowCounts::default() },
    ];
    for rows in sums {
        let broken = broken_by_commit(&log, &begin, |commit| commit.windows[0].rows = rows);
        assert_eq!(broken, Invariant::In2);
    }
    let rows = RowCounts {
        input: 10,
        used: 4,
        quarantined: 3,
        dropped: 2,
        duplicate: 1,
        late: 10,
        ..RowCounts::default()
    };
    let rule = |name: &str, action: &str, rows| RuleCount {
        table: "orders".to_owned(),
        rule: name.to_owned(),
        action: action.to_owned(),
        rows,
    };
    let file = |key: &str, input, [used, quarantined, dropped, duplicate]: [u64; 4]| FileBalance {
        table: "orders".to_owned(),
        key: key.to_owned(),
        input,
        used,
        quarantined,
        dropped,
        duplicate,
    };
    let rules = vec![rule("a", "quarantine", 3), rule("b", "drop", 2), rule("c", "warn", 9)];
    let files = [file("x", 6, [1, 3, 2, 0]), file("y", 2, [1, 0, 0, 1])];
    let balance = Balance::new(rules.clone(), files.clone());
    let with = |rows, balance: Balance| {
        move |commit: &mut Commit| {
            commit.windows[0].rows = rows;
            commit.windows[0].balance = balance;
        }
    };
    for wrong in [
        Balance::default(),
        Balance::new(Vec::new(), files.clone()),
        Balance::new(rules[1..].to_vec(), files.clone()),
        Balance::new(rules.clone(), files[..1].to_vec()),
        Balance::new(rules.clone(), [file("x", 8, [1, 3, 2, 1])]),
        Balance::new(rules.clone(), [file("x", 11, [5, 3, 2, 1])]),
    ] {
        assert_eq!(broken_by_commit(&log, &begin, with(rows, wrong)), Invariant::In2);
    }
    let mut commit = commit(&begin);
    with(rows, balance)(&mut commit);
    log.add(Body::Commit(commit));
}

#[test]
fn only_so_many_files_are_named() {
    let file = |place: usize| FileBalance {
        key: format!("{place:04}"),
        input: 3,
        used: 1,
        duplicate: 2,
        ..FileBalance::default()
    };
    let whole = FileBalance { key: "whole".to_owned(), input: 5, used: 5, ..file(0) };
    let whole = FileBalance { duplicate: 0, ..whole };
    let balance = Balance::new(Vec::new(), (0..BALANCE_FILES_MAX + 2).map(file).chain([whole]));
    assert_eq!(balance.files.len(), BALANCE_FILES_MAX);
    let others = balance.others.clone().unwrap();
    assert_eq!((others.key.as_str(), others.input, others.duplicate), ("", 6, 4));
    let duplicate = u64::try_from(BALANCE_FILES_MAX + 2).unwrap() * 2;
    let input = duplicate + duplicate / 2 + 5;
    let rows = RowCounts { input, used: input - duplicate, duplicate, ..RowCounts::default() };
    assert!(rows.closes() && balance.adds_up_to(&rows));
    let text = serde_json::to_string(&balance).unwrap();
    assert_eq!(serde_json::from_str::<Balance>(&text).unwrap(), balance);
}

/// A batch of the window at hour 9 with an object that is optional.
fn with_optional(log: &Log, batch: u128) -> Begin {
    let mut begin = log.batch(batch, &[9]);
    let mut optional = begin.windows[0].outputs[0].clone();
    optional.name = "quarantine.orders".to_owned();
    optional.path = "quarantine/9".to_owned();
    optional.before = None;
    optional.att = AttemptId(uuid::Uuid::from_u128(batch.wrapping_mul(1_000)));
    optional.optional = true;
    begin.windows[0].outputs.push(optional);
    begin
}

#[test]
fn only_what_is_optional_is_left_out_and_only_where_nothing_can_lie() {
    let mut log = Log::claimed();
    let begin = with_optional(&log, 1);
    log.add(Body::Begin(begin.clone()));
    let mut without = commit(&begin);
    without.windows[0].outputs.truncate(1);
    let mut other = commit(&begin);
    other.windows[0].outputs.remove(0);
    let refused = log.clone().offer(log.entry(Body::Commit(other))).unwrap_err();
    assert_eq!(refused.invariant, Invariant::Cm2);

    // Its writer died: an attempt may lie there.
    let mut died = log.clone();
    died.add(Body::Release);
    died.add(claim());
    let again = Body::Begin(with_optional(&died, 2));
    assert_eq!(broken_by(&died, again), Invariant::Cm2);

    log.add(Body::Commit(without));
    // Where something was committed it must be replaced, even by nothing.
    let begin = with_optional(&log, 3);
    log.add(Body::Begin(begin.clone()));
    log.add(Body::Commit(commit(&begin)));
    let mut begin = with_optional(&log, 4);
    begin.windows[0].outputs[1].before = Some(Sha256::ZERO);
    assert_eq!(broken_by(&log, Body::Begin(begin)), Invariant::Cm2);
}
