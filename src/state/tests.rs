//! The rules of the fold, one each.

#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod aside;
mod codec;
mod collapse;
mod columns;
mod golden;
mod history;
pub(crate) mod log;
mod rollback;
mod rows;
mod stopped;
mod upkeep;

use std::path::Path;

use log::{Log, batch_id, claim, commit, failed, hour, hours, late, request, skip, watermark, who};

use super::*;
use crate::hash::Sha256;
use crate::id::{AttemptId, Epoch, Generation, PipelineName, RequestId, Revision, Seq, StoreId};
use crate::invariant::Invariant;

/// The stored entries of a log in `fixtures/log`.
fn stored_in(folder: &str) -> impl Iterator<Item = Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/log").join(folder);
    (0..).map_while(move |n| std::fs::read(folder.join(format!("{n:020}.json"))).ok())
}

/// The invariant that `body` would break after `log`.
#[track_caller]
fn broken_by(log: &Log, body: Body) -> Invariant {
    log.clone().offer(log.entry(body)).unwrap_err().invariant
}

/// As [`broken_by`], of an entry that differs from a good one by `change`.
#[track_caller]
fn broken_when(log: &Log, change: impl FnOnce(&mut Entry)) -> Invariant {
    let mut entry =
        log.entry(Body::Query(Query { steps: Vec::new(), judged: Vec::new(), checks: Vec::new() }));
    change(&mut entry);
    log.clone().offer(entry).unwrap_err().invariant
}

/// As [`broken_by`], of a commit that differs from a good one by `change`.
#[track_caller]
fn broken_by_commit(log: &Log, begin: &Begin, change: impl FnOnce(&mut Commit)) -> Invariant {
    let mut commit = commit(begin);
    change(&mut commit);
    broken_by(log, Body::Commit(commit))
}

/// A log with `windows` committed and its watermark moved.
fn committed(windows: &[i64], moved: Option<WatermarkMove>) -> Log {
    let mut log = Log::claimed();
    let begin = log.begin(1, windows);
    log.add(Body::Commit(Commit { watermark: moved, ..commit(&begin) }));
    log
}

fn in_doubt(log: &Log) -> Vec<i64> {
    log.state.in_doubt.keys().map(|start| log::hour_of(*start)).collect()
}

#[test]
fn a_log_begins_with_init_in_epoch_0_at_place_0_after_nothing() {
    let changes: [fn(&mut Entry); 4] = [
        |entry| entry.n = Seq(1),
        |entry| entry.prev = Sha256::of(b"something"),
        |entry| entry.epoch = Epoch(1),
        |entry| entry.body = claim(),
    ];
    for change in changes {
        let mut first = Log::new().entries.remove(0);
        change(&mut first);
        assert_eq!(State::start(&first, Sha256::of(b"")).unwrap_err().invariant, Invariant::Cm1);
    }
}

#[test]
fn a_log_begins_only_once() {
    assert_eq!(broken_by(&Log::claimed(), Body::Init), Invariant::Cm1);
}

#[test]
fn each_entry_names_the_hash_of_the_one_before() {
    let log = Log::claimed();
    assert_eq!(broken_when(&log, |entry| entry.prev = Sha256::ZERO), Invariant::Cm1);
    let before_that = log.entries[2].prev;
    assert_eq!(broken_when(&log, |entry| entry.prev = before_that), Invariant::Cm1);
}

#[test]
fn places_have_no_gaps_and_are_taken_once() {
    let log = Log::claimed();
    for n in [0, 2, 4] {
        assert_eq!(broken_when(&log, |entry| entry.n = Seq(n)), Invariant::Cm1);
    }
}

#[test]
fn an_entry_of_another_store_or_pipeline_is_refused() {
    let log = Log::claimed();
    let foreign = StoreId(uuid::Uuid::from_u128(99));
    assert_eq!(broken_when(&log, |entry| entry.store = foreign), Invariant::Cm1);
    let returns = PipelineName::new("returns").unwrap();
    assert_eq!(broken_when(&log, |entry| entry.pipe = returns), Invariant::Cm1);
}

#[test]
fn a_claim_takes_the_next_epoch_and_no_other() {
    let log = Log::claimed();
    for epoch in [0, 1, 3] {
        let claimed = |entry: &mut Entry| (entry.body, entry.epoch) = (claim(), Epoch(epoch));
        assert_eq!(broken_when(&log, claimed), Invariant::Cm4, "epoch {epoch}");
    }
}

#[test]
fn after_a_claim_only_its_epoch_writes() {
    let mut log = Log::claimed();
    log.add(claim());
    for epoch in [0, 1, 3] {
        assert_eq!(broken_when(&log, |entry| entry.epoch = Epoch(epoch)), Invariant::Cm4);
    }
}

#[test]
fn nothing_is_written_before_a_claim_or_after_a_release() {
    let mut log = Log::new();
    assert_eq!(broken_by(&log, request(Verb::Backfill, 0, 1)), Invariant::Cm4);
    log.add(claim());
    log.add(Body::Release);
    assert_eq!(broken_by(&log, request(Verb::Backfill, 0, 1)), Invariant::Cm4);
    assert_eq!(broken_by(&log, Body::Release), Invariant::Cm4);
    assert_eq!(log.state.holder, None);

    log.add(claim());
    assert_eq!(log.state.epoch, Epoch(2));
    assert_eq!(log.state.holder.unwrap().who, who("host"));
}

#[test]
fn the_shape_is_fixed_once_and_the_newest_query_counts() {
    let mut log = Log::claimed();
    let shape = Shape {
        size: "1h".to_owned(),
        week_start: None,
        timezone: "UTC".to_owned(),
        sources: Vec::new(),
        outputs: Vec::new(),
        quarantines: Vec::new(),
    };
    log.add(Body::Shape(shape.clone()));
    assert_eq!(broken_by(&log, Body::Shape(shape)), Invariant::Wi1);

    let seq =
        log.add(Body::Query(Query { steps: Vec::new(), judged: Vec::new(), checks: Vec::new() }));
    assert_eq!(
        log.state.query(),
        Some((seq, &Query { steps: Vec::new(), judged: Vec::new(), checks: Vec::new() }))
    );
}

#[test]
fn admissions_are_numbered_without_gaps() {
    let mut log = Log::claimed();
    log.add(Body::Inputs(log.inputs(Vec::new())));
    for generation in [0, 1, 3] {
        let generation = Generation(generation);
        let inputs = Inputs { generation, ..log.inputs(Vec::new()) };
        assert_eq!(broken_by(&log, Body::Inputs(inputs)), Invariant::In1);
    }
}

#[test]
fn no_inputs_are_admitted_under_an_open_batch() {
    let mut log = Log::claimed();
    let begin = log.begin(1, &[9]);
    assert_eq!(broken_by(&log, Body::Inputs(log.inputs(Vec::new()))), Invariant::In1);
    log.add(Body::Commit(commit(&begin)));
    log.add(Body::Inputs(log.inputs(Vec::new())));
}

#[test]
fn a_segment_takes_the_place_of_the_newest_ones_and_of_no_more_than_there_are() {
    let mut log = Log::claimed();
    for replaces in [0, 0, 0, 2, 1] {
        log.add(Body::Inputs(Inputs { replaces, ..log.inputs(Vec::new()) }));
    }
    let firsts: Vec<u64> = log.state.segments.iter().map(|segment| segment.first.0).collect();
    assert_eq!(firsts, [1, 2]);
    let names = log.state.segments.iter().map(|segment| segment.stored.key.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["ledger/1.jsonl", "ledger/5.jsonl"]);
    let too_many = Body::Inputs(Inputs { replaces: 3, ..log.inputs(Vec::new()) });
    assert_eq!(broken_by(&log, too_many), Invariant::In1);
}

#[test]
fn the_last_event_of_a_table_never_goes_back() {
    let mut log = Log::claimed();
    for (event, expected) in [(9, 9), (7, 9), (12, 12)] {
        let last_event_at = vec![("orders".to_owned(), hour(event))];
        log.add(Body::Inputs(Inputs { last_event_at, ..log.inputs(Vec::new()) }));
        assert_eq!(log.state.last_event_at["orders"], hour(expected));
    }
}

#[test]
fn a_batch_is_planned_from_the_newest_generation_and_revision() {
    let mut log = committed(&[9], None);
    log.add(Body::Inputs(log.inputs(Vec::new())));
    let outdated = Begin { generation: Generation(0), ..log.batch(2, &[9]) };
    assert_eq!(broken_by(&log, Body::Begin(outdated)), Invariant::In1);
    for rev in [1, 3] {
        let mut begin = log.batch(2, &[9]);
        begin.windows[0].rev = Revision(rev);
        assert_eq!(broken_by(&log, Body::Begin(begin)), Invariant::Cm3);
    }
    log.compute(2, &[9]);
    assert_eq!(log.revision(9), 2);
}

#[test]
fn a_commit_needs_an_open_batch() {
    let mut log = Log::claimed();
    let never_begun = log.batch(1, &[9]);
    assert_eq!(broken_by_commit(&log, &never_begun, |_| ()), Invariant::Cm3);

    let begin = log.begin(1, &[9]);
    assert_eq!(
        broken_by(&log, Body::Begin(log.batch(1, &[10]))),
        Invariant::Cm3,
        "its name is taken"
    );
    log.add(Body::Commit(commit(&begin)));
    assert_eq!(broken_by_commit(&log, &begin, |_| ()), Invariant::Cm3, "it is committed");
}

#[test]
fn a_batch_may_be_committed_in_part() {
    let mut log = Log::claimed();
    let begin = log.begin(1, &[9, 10, 11]);
    let mut commit = commit(&begin);
    commit.windows.truncate(1);
    commit.failed = vec![failed(10)];
    log.add(Body::Commit(commit));
    assert_eq!(log.revision(9), 1);
    assert!(log.state.failed.contains_key(&hour(10)));
    assert_eq!(in_doubt(&log), [11], "what a commit does not name may have been published");
}

#[test]
fn a_commit_publishes_what_was_begun() {
    let mut log = Log::claimed();
    let begin = log.begin(1, &[9, 10]);
    let changes: [fn(&mut Commit); 9] = [
        |commit| commit.windows[0].start = hour(11),
        |commit| commit.windows[0].end = hour(11),
        |commit| commit.windows[0].rev = Revision(2),
        |commit| commit.windows[0].outputs[0].att = AttemptId(uuid::Uuid::from_u128(99)),
        |commit| commit.windows[0].outputs[0].name = "daily".to_owned(),
        |commit| commit.windows[0].outputs[0].path = "out/elsewhere.parquet".to_owned(),
        |commit| commit.windows[0].outputs.clear(),
        |commit| commit.windows.push(commit.windows[0].clone()),
        |commit| commit.failed.push(failed(9)),
    ];
    for (place, change) in changes.into_iter().enumerate() {
        assert_eq!(broken_by_commit(&log, &begin, change), Invariant::Cm2, "change {place}");
    }
    log.add(Body::Commit(commit(&begin)));
}

#[test]
fn a_window_is_in_one_open_batch() {
    let mut log = Log::claimed();
    assert_eq!(broken_by(&log, Body::Begin(log.batch(1, &[9, 9]))), Invariant::Cm3);
    let first = log.begin(1, &[9]);
    log.begin(2, &[10]);
    assert_eq!(broken_by(&log, Body::Begin(log.batch(3, &[8, 9]))), Invariant::Cm3);
    log.add(Body::Commit(commit(&first)));
    log.begin(3, &[8, 9]);
}

#[test]
fn a_window_that_ends_before_it_starts_is_not_begun() {
    let log = Log::claimed();
    for end in [8, 9] {
        let mut begin = log.batch(1, &[7, 9]);
        begin.windows[1].end = hour(end);
        assert_eq!(broken_by(&log, Body::Begin(begin)), Invariant::Wi1, "end {end}");
    }
}

#[test]
fn the_watermark_never_goes_back_and_starts_where_it_stands() {
    let mut log = committed(&[9, 10], watermark(9, 11));
    let begin = log.begin(2, &[11]);
    for moved in [watermark(11, 10), watermark(10, 12), watermark(12, 12)] {
        let broken = broken_by_commit(&log, &begin, |commit| commit.watermark = moved);
        assert_eq!(broken, Invariant::Wm1, "{moved:?}");
    }
    log.add(Body::Commit(Commit { watermark: watermark(11, 12), ..commit(&begin) }));
    assert_eq!(log.state.watermark, Some(hour(12)));
}

#[test]
fn the_watermark_does_not_pass_a_window_that_is_not_committed() {
    let mut log = Log::claimed();
    let begin = log.begin(1, &[9, 11]);
    for to in [11, 12] {
        let broken = broken_by_commit(&log, &begin, |commit| commit.watermark = watermark(9, to));
        assert_eq!(broken, Invariant::Wm2, "to {to}");
    }
    log.add(Body::Commit(Commit { watermark: watermark(9, 10), ..commit(&begin) }));
    assert_eq!(log.state.watermark, Some(hour(10)));
}

#[test]
fn the_watermark_jumps_when_a_hole_is_filled() {
    let mut log = committed(&[9], watermark(9, 10));
    log.compute(2, &[11, 12]);
    log.add(Body::Skip(skip(13, 15)));
    assert_eq!(log.state.watermark, Some(hour(10)));

    let begin = log.begin(3, &[10]);
    log.add(Body::Commit(Commit { watermark: watermark(10, 15), ..commit(&begin) }));
    assert_eq!(log.state.watermark, Some(hour(15)));
}

#[test]
fn the_watermark_passes_empty_and_skipped_stretches() {
    let mut log = Log::claimed();
    let begin = log.begin(1, &[9]);
    let empty = vec![hours(0, 9), hours(10, 10_000)];
    log.add(Body::Commit(Commit { empty, watermark: watermark(0, 10_000), ..commit(&begin) }));
    let moved = watermark(10_000, 10_005);
    log.add(Body::Skip(Skip { watermark: moved, ..skip(10_000, 10_005) }));
    assert_eq!(log.state.watermark, Some(hour(10_005)));
    assert_eq!(log.state.empty.ranges().count(), 2);
}

#[test]
fn stretches_that_end_before_they_start_are_refused() {
    let mut log = Log::claimed();
    let begin = log.begin(1, &[9]);
    let broken = broken_by_commit(&log, &begin, |commit| commit.empty = vec![hours(5, 5)]);
    assert_eq!(broken, Invariant::Wi1);
    assert_eq!(broken_by(&log, Body::Skip(skip(6, 5))), Invariant::Wi1);
}

#[test]
fn a_computed_window_is_neither_empty_nor_skipped() {
    let mut log = committed(&[9], None);
    assert_eq!(broken_by(&log, Body::Skip(skip(5, 12))), Invariant::Cm2);
    let begin = log.begin(2, &[10]);
    for empty in [hours(5, 10), hours(10, 11)] {
        let broken = broken_by_commit(&log, &begin, |commit| commit.empty = vec![empty]);
        assert_eq!(broken, Invariant::Cm2, "{empty:?}");
    }
    log.add(Body::Commit(Commit { empty: vec![hours(11, 14)], ..commit(&begin) }));
    log.add(Body::Skip(skip(12, 13)));
    assert!(log.state.skipped.covers(hour(12), hour(13)));
    log.compute(3, &[12]);
    assert!(log.state.skipped.is_empty(), "it was computed after all");
    assert_eq!(log.state.contiguous_end(hour(9)), hour(14));
}

#[test]
fn a_failed_window_stays_in_doubt_only_if_it_was_before() {
    let mut log = Log::claimed();
    log.begin(1, &[9]);
    log.add(claim());
    log.fail(2, &[9, 10]);
    assert_eq!(in_doubt(&log), [9]);
    assert_eq!(log.state.failed.keys().collect::<Vec<_>>(), [&hour(9), &hour(10)]);

    log.compute(3, &[9, 10]);
    assert!(log.state.in_doubt.is_empty() && log.state.failed.is_empty());
}

#[test]
fn only_begun_windows_fail_with_a_batch_and_any_without_one() {
    let mut log = Log::claimed();
    let begin = log.begin(1, &[9]);
    let windows = vec![failed(10)];
    let with_batch = Failed { batch: Some(begin.batch), windows: windows.clone() };
    assert_eq!(broken_by(&log, Body::Failed(with_batch)), Invariant::Cm2);
    let never_begun = Failed { batch: Some(batch_id(2)), windows: windows.clone() };
    assert_eq!(broken_by(&log, Body::Failed(never_begun)), Invariant::Cm3);

    log.add(Body::Failed(Failed { batch: None, windows }));
    assert!(log.state.failed.contains_key(&hour(10)));
    assert_eq!(in_doubt(&log), [9]);
}

#[test]
fn a_claim_forgets_open_batches_but_not_the_doubt() {
    for ending in [claim(), Body::Release] {
        let mut log = Log::claimed();
        let begin = log.begin(1, &[9, 10]);
        log.add(ending);
        assert!(log.state.open.is_empty());
        assert_eq!(in_doubt(&log), [9, 10]);
        log.add(claim());
        assert_eq!(broken_by_commit(&log, &begin, |_| ()), Invariant::Cm3);
    }
}

#[test]
fn an_aborted_batch_leaves_no_doubt() {
    let mut log = Log::claimed();
    let begin = log.begin(1, &[9]);
    let why = || "restored from history".to_owned();
    log.add(Body::Abort { batch: begin.batch, why: why(), blank: Vec::new() });
    assert!(log.state.in_doubt.is_empty() && log.state.open.is_empty());
    let again = Body::Abort { batch: begin.batch, why: why(), blank: Vec::new() };
    assert_eq!(broken_by(&log, again), Invariant::Cm3);
}

#[test]
fn late_marks_add_up_until_the_window_is_committed_again() {
    let mut log = committed(&[9, 10], None);
    log.add(Body::Inputs(log.inputs(vec![late(9), late(10)])));
    let changed = LateWindow { why: LateKind::InputChanged, rows: 4, files: 2, ..late(9) };
    log.add(Body::Inputs(log.inputs(vec![changed])));
    log.add(Body::Inputs(log.inputs(vec![late(9)])));

    let kind = LateKind::InputChanged;
    assert_eq!(log.state.stale[&hour(9)], Stale { end: hour(10), kind, rows: 6, files: 4 });
    log.fail(2, &[9]);
    assert_eq!(log.state.stale.len(), 2, "a failed window is as late as it was");
    log.compute(3, &[9]);
    assert_eq!(log.state.stale.keys().collect::<Vec<_>>(), [&hour(10)]);
}

#[test]
fn marks_in_a_stretch_that_is_committed_as_a_whole_are_forgotten() {
    let mut log = Log::claimed();
    let begin = log.begin(1, &[5]);
    log.add(Body::Commit(Commit { empty: vec![hours(6, 12)], ..commit(&begin) }));
    log.add(Body::Inputs(log.inputs(vec![late(7), late(9), late(11)])));
    log.add(Body::Failed(Failed { batch: None, windows: vec![failed(9), failed(12)] }));

    log.add(Body::Skip(skip(7, 10)));
    assert_eq!(log.state.stale.keys().collect::<Vec<_>>(), [&hour(11)]);
    assert_eq!(log.state.failed.keys().collect::<Vec<_>>(), [&hour(12)]);
    let begin = log.begin(2, &[13]);
    log.add(Body::Commit(Commit { empty: vec![hours(11, 13)], ..commit(&begin) }));
    assert!(log.state.stale.is_empty() && log.state.failed.is_empty());
}

#[test]
fn a_request_stands_until_it_is_done_once() {
    let mut log = Log::claimed();
    log.add(request(Verb::Reprocess, 3, 6));
    let id = log.newest_request();
    assert_eq!(log.state.requests.keys().collect::<Vec<_>>(), [&id]);

    let unknown = Body::RequestDone { id: RequestId(Seq(1)), cancelled: false };
    assert_eq!(broken_by(&log, unknown), Invariant::Cm3);
    let done = || Body::RequestDone { id, cancelled: false };
    log.add(done());
    assert!(log.state.requests.is_empty());
    assert_eq!(broken_by(&log, done()), Invariant::Cm3);
}

#[test]
fn looking_ahead_sees_what_the_entry_would_bring() {
    let mut log = committed(&[9], None);
    let inputs = log.inputs(vec![late(9)]);
    let Body::Request(ask) = request(Verb::Backfill, 0, 5) else { unreachable!() };
    let mut ahead = log.state.foresee_inputs(&inputs).unwrap();
    ahead = ahead.foresee_request(ask.clone());

    log.add(Body::Request(ask));
    log.add(Body::Inputs(inputs));
    assert_eq!(State { head: log.state.head, ..ahead }, log.state);
}
