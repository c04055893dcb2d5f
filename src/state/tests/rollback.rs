//! Revisions that follow each other, and windows that go back.

use super::log::{Log, claim, commit, failed, hour, late, request, watermark};
use super::{broken_by, in_doubt};
use crate::id::{Generation, Revision, Seq};
use crate::invariant::Invariant;
use crate::state::*;

/// A log whose window at 9 has three revisions; the second was lost.
fn revised() -> Log {
    let mut log = Log::claimed();
    log.compute(1, &[9, 10]);
    log.compute(2, &[9]);
    let begin = log.begin(3, &[9]);
    log.add(Body::Commit(Commit { lost: vec![lost(9, 2)], ..commit(&begin) }));
    log
}

fn lost(at: i64, rev: u32) -> LostOutput {
    LostOutput { start: hour(at), rev: Revision(rev), output: "hourly".to_owned() }
}

/// The end of `begin`, whose windows go back to the revision `rev`.
fn back(begin: &Begin, rev: u32, reason: Reason) -> Commit {
    let mut back = commit(begin);
    for window in &mut back.windows {
        (window.restores, window.reason) = (Some(Revision(rev)), reason);
    }
    back
}

fn window(log: &Log, at: i64) -> &WindowState {
    &log.state.windows[&hour(at)]
}

fn revisions(log: &Log, at: i64, keep: usize) -> Vec<u32> {
    window(log, at).restorable(keep).map(|earlier| earlier.rev.0).collect()
}

#[test]
fn the_newest_revisions_are_restorable_but_those_that_were_lost() {
    let log = revised();
    assert_eq!(revisions(&log, 9, 2), [1], "the second was lost");
    assert_eq!(revisions(&log, 9, 1), [0_u32; 0]);
    assert_eq!(revisions(&log, 9, 0), [0_u32; 0]);
    assert_eq!(revisions(&log, 10, 9), [0_u32; 0], "it has one revision");
    let seqs: Vec<Seq> = window(&log, 9).earlier.iter().map(|earlier| earlier.seq).collect();
    assert_eq!((seqs, window(&log, 9).published), (vec![Seq(4), Seq(6)], Seq(8)));
}

#[test]
fn a_window_that_is_found_unchanged_gets_no_revision() {
    let mut log = revised();
    let before = window(&log, 9).clone();
    let mut begin = log.batch(4, &[9]);
    begin.windows[0].reason = Reason::LateData;
    log.add(Body::Begin(begin.clone()));
    let same = CommittedWindow { unchanged: true, ..before.committed.clone() };
    log.add(Body::Commit(Commit { windows: vec![same], ..commit(&begin) }));
    let after = window(&log, 9);
    assert_eq!((&after.earlier, after.published), (&before.earlier, before.published));
    assert!(after.seq > before.seq);
}

#[test]
fn no_more_revisions_are_remembered_than_can_be_asked_to_stay() {
    let mut log = Log::claimed();
    let count = u32::try_from(EARLIER_MAX).unwrap() + 3;
    for batch in 0..count {
        log.compute(batch.into(), &[9]);
    }
    let earlier = &window(&log, 9).earlier;
    assert_eq!((earlier.len(), earlier[0].rev), (EARLIER_MAX, Revision(3)));
}

#[test]
fn only_what_is_replaced_is_lost() {
    let log = revised();
    for (at, rev) in [(9, 2), (9, 4), (10, 1), (11, 1)] {
        let mut log = log.clone();
        let begin = log.begin(4, &[9]);
        let end = Commit { lost: vec![lost(at, rev)], ..commit(&begin) };
        assert_eq!(broken_by(&log, Body::Commit(end)), Invariant::Cm2, "{at} {rev}");
    }
}

#[test]
fn a_window_goes_back_and_acknowledges_what_came_since() {
    let mut log = revised();
    log.add(Body::Inputs(log.inputs(vec![late(9), late(10)])));
    log.fail(4, &[9]);
    log.add(request(Verb::Rollback, 9, 10));
    let begin = log.begin(5, &[9]);
    let watermark_before = log.state.watermark;
    let seq = log.add(Body::Rollback(back(&begin, 1, Reason::Requested)));

    let state = &log.state;
    assert_eq!(state.stale.keys().collect::<Vec<_>>(), [&hour(10)]);
    assert!(state.failed.is_empty() && state.in_doubt.is_empty());
    assert_eq!(state.watermark, watermark_before);
    let window = window(&log, 9);
    assert_eq!((window.generation, window.published), (Generation(1), seq));
    assert_eq!((window.committed.rev, window.committed.restores), (Revision(4), Some(Revision(1))));
    assert_eq!(revisions(&log, 9, 9), [1, 3]);
}

#[test]
fn a_window_that_stands_again_as_it_was_stays_as_due_as_it_was() {
    let mut log = revised();
    log.add(Body::Inputs(log.inputs(vec![late(9)])));
    let before = window(&log, 9).clone();
    log.begin(4, &[9]);
    log.add(claim());
    log.fail(5, &[9]);
    assert_eq!(in_doubt(&log), [9]);
    let begin = log.begin(6, &[9]);
    log.add(Body::Rollback(back(&begin, 3, Reason::InDoubt)));

    assert!(log.state.in_doubt.is_empty());
    assert!(log.state.failed.contains_key(&hour(9)) && log.state.stale.contains_key(&hour(9)));
    let after = window(&log, 9);
    assert_eq!((after.begun, after.generation), (before.begun, before.generation));
    assert_eq!(after.committed.rev, Revision(4));
}

#[test]
fn a_window_goes_back_to_what_it_had_as_it_was_begun_and_moves_nothing() {
    let mut log = revised();
    let begin = log.begin(4, &[9]);
    for rev in [0, 2, 4, 5] {
        let end = back(&begin, rev, Reason::Requested);
        assert_eq!(broken_by(&log, Body::Rollback(end)), Invariant::Cm2, "revision {rev}");
    }
    let changes: [fn(&mut Commit); 4] = [
        |end| end.windows[0].restores = None,
        |end| end.windows[0].rev = Revision(1),
        |end| end.windows[0].outputs.clear(),
        |end| end.failed = vec![failed(10)],
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let mut end = back(&begin, 1, Reason::Requested);
        change(&mut end);
        assert_eq!(broken_by(&log, Body::Rollback(end)), Invariant::Cm2, "change {place}");
    }
    let moved = Commit { watermark: watermark(9, 11), ..back(&begin, 1, Reason::Requested) };
    assert_eq!(broken_by(&log, Body::Rollback(moved)), Invariant::Wm1);
    let computed = Body::Commit(back(&begin, 1, Reason::Requested));
    assert_eq!(broken_by(&log, computed), Invariant::Cm2, "nothing was computed");
}

#[test]
fn a_window_that_could_not_go_back_is_as_it_was() {
    let mut log = revised();
    let before = window(&log, 9).clone();
    let begin = log.begin(4, &[9]);
    let end = Commit {
        windows: Vec::new(),
        failed: vec![failed(9)],
        ..back(&begin, 1, Reason::Requested)
    };
    log.add(Body::Rollback(end));
    assert_eq!(window(&log, 9), &before);
    assert!(log.state.failed.is_empty(), "nobody asked to compute it");
    assert!(log.state.in_doubt.is_empty());
}

#[test]
fn a_window_that_never_had_rows_is_blank_until_it_is_committed() {
    let mut log = Log::claimed();
    log.begin(1, &[9]);
    log.add(claim());
    log.fail(2, &[9]);
    let begin = log.begin(3, &[9]);
    let blank = |rows| {
        let mut window = commit(&begin).windows.remove(0);
        window.outputs[0].rows = rows;
        let BatchWindow { start, end, .. } = begin.windows[0];
        BlankWindow { start, end, outputs: window.outputs }
    };
    let abort = |blank| Body::Abort { batch: begin.batch, why: String::new(), blank };
    assert_eq!(broken_by(&log, abort(vec![blank(1)])), Invariant::Cm2, "it has rows");
    let other = BlankWindow { start: hour(10), end: hour(11), ..blank(0) };
    assert_eq!(broken_by(&log, abort(vec![other])), Invariant::Cm2, "it was not begun");
    log.add(abort(vec![blank(0)]));
    assert!(log.state.in_doubt.is_empty() && log.state.failed.contains_key(&hour(9)));
    assert_eq!(log.state.blank.keys().collect::<Vec<_>>(), [&hour(9)]);
    assert_eq!(log.state.contiguous_end(hour(9)), hour(9), "the watermark waits for it");

    log.compute(4, &[9]);
    assert!(log.state.blank.is_empty());
    assert_eq!(log.revision(9), 1);
}
