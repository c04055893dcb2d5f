//! The columns of tables in the fold, and the bytes of their entries in `fixtures/log/v1-columns`.

use super::broken_by;
use super::log::{Log, commit, late};
use crate::hash::Sha256;
use crate::invariant::Invariant;
use crate::ledger::InputVersion;
use crate::state::*;

fn file(key: &str) -> ColumnsFile {
    let version = InputVersion { size: 700, mark: "700-1.000".to_owned(), sha256: None };
    ColumnsFile { key: key.to_owned(), version }
}

/// A table with columns of these names, types and files.
fn columns(table: &str, columns: &[(&str, &str, usize)]) -> Columns {
    let column = |(name, kind, file): &(&str, &str, usize)| Column {
        name: (*name).to_owned(),
        kind: (*kind).to_owned(),
        file: *file,
    };
    Columns {
        table: table.to_owned(),
        files: vec![file("a.parquet"), file("dt=2026-01-02/b.parquet")],
        columns: columns.iter().map(column).collect(),
    }
}

fn first() -> Columns {
    let mut first = columns("orders", &[("at", "timestamp_us(\"UTC\")", 0), ("n", "int32", 0)]);
    first.files.truncate(1);
    first.files[0].version.sha256 = Some(Sha256::of(b"a"));
    first
}

fn wider() -> Columns {
    let kind = "struct(\"a\":int64,\"b\":list(\"item\":utf8))";
    columns("orders", &[("at", "timestamp_us(\"UTC\")", 0), ("n", "int64", 1), ("x", kind, 1)])
}

pub(super) fn golden() -> Log {
    let mut log = Log::claimed();
    log.add(Body::Inputs(log.inputs(Vec::new())));
    log.add(Body::Columns(first()));
    let begin = log.begin(1, &[9]);
    log.add(Body::Commit(commit(&begin)));
    log.add(Body::Inputs(log.inputs(vec![late(9)])));
    log.add(Body::Columns(wider()));
    let begin = log.begin(2, &[9]);
    log.add(Body::Commit(commit(&begin)));
    log
}

#[test]
fn the_newest_columns_of_each_table_are_in_force() {
    let mut log = Log::claimed();
    log.add(Body::Columns(first()));
    let seq = log.state.head.seq;
    assert_eq!(log.state.columns["orders"], TableColumns { seq, changed: None, said: first() });
    assert!(!log.state.has_changed_columns_since(Seq(0)), "they were none before");

    log.add(Body::Columns(columns("visits", &[("at", "date32", 1)])));
    log.add(Body::Columns(wider()));
    let seq = log.state.head.seq;
    let said = wider();
    assert_eq!(log.state.columns["orders"], TableColumns { seq, changed: Some(seq), said });
    assert_eq!(log.state.columns.len(), 2);
    let before = Seq(seq.0 - 1);
    assert!(log.state.has_changed_columns_since(before));
    assert!(!log.state.has_changed_columns_since(seq));
}

#[test]
fn columns_that_cannot_be_told_apart_break_the_log() {
    let log = Log::claimed();
    for wrong in [
        columns("orders", &[("n", "int32", 0), ("n", "int64", 0)]),
        columns("orders", &[("Größe", "int32", 0), ("größe", "int32", 1)]),
        columns("orders", &[("n", "int32", 2)]),
        Columns { files: Vec::new(), ..columns("orders", &[]) },
    ] {
        assert_eq!(broken_by(&log, Body::Columns(wrong)), Invariant::In1);
    }
}

#[test]
fn columns_do_not_change_under_a_batch() {
    let mut log = Log::claimed();
    log.begin(1, &[9]);
    assert_eq!(broken_by(&log, Body::Columns(first())), Invariant::In1);
}

#[test]
fn the_same_columns_of_other_files_are_no_change() {
    let other = Columns { files: vec![file("z.parquet")], ..first() };
    assert!(first().is_same(&other));
    assert!(!first().is_same(&wider()));
    assert!(!first().is_same(&Columns { table: "visits".to_owned(), ..first() }));
}

#[test]
fn a_state_of_before_there_were_columns_is_read() {
    let log = golden();
    let mut stored = serde_json::to_value(&log.state).unwrap();
    assert!(stored.as_object_mut().unwrap().remove("columns").is_some());
    let read: State = serde_json::from_value(stored).unwrap();
    assert_eq!(read, State { columns: BTreeMap::new(), ..log.state });
}

#[test]
fn a_retired_pipeline_has_no_columns() {
    let mut log = golden();
    for phase in [RetirePhase::Announced, RetirePhase::Done] {
        log.add(Body::Retire(Retire { phase, output: None, objects: 1, why: None }));
    }
    assert!(log.state.columns.is_empty());
}
