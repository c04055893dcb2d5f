//! What is replaced is kept first; and batches that restore.

use std::collections::BTreeMap;

use super::program::Run;
use super::world::{Fault, World, broken};
use super::{stamp, writer};
use crate::commit::*;
use crate::hash::Sha256;
use crate::id::{AttemptId, Revision, Seq};
use crate::state::tests::log::{Log, batch_id, hour};
use crate::state::*;

/// A run over objects that are published, with these faults; and what it did from its batch on.
fn second_run(prepare: impl FnOnce(&mut World), faults: &[(&str, Fault)]) -> (World, String) {
    let mut world = World::new(None);
    let _ = Run::open(&world, 1).finish(&mut world, &[]);
    prepare(&mut world);
    let mut run = Run::open(&world, 2);
    let _ = run.finish(&mut world, faults);
    assert_eq!(world.violation, None);
    let batch = run.trace.iter().position(|line| line == "append begin").unwrap();
    (world, run.trace[batch..].join(", "))
}

fn earlier(world: &World, at: i64) -> Vec<(u32, bool)> {
    let earlier = world.state().windows[&hour(at)].earlier.iter();
    earlier.map(|earlier| (earlier.rev.0, earlier.is_lost)).collect()
}

#[test]
fn what_is_replaced_is_kept_between_the_look_and_the_fence() {
    let (world, trace) = second_run(|_| {}, &[]);
    assert!(
        trace.starts_with(
            "append begin, compute, observe a0, observe b0, observe a1, observe b1, \
             keep a0, keep b0, keep a1, keep b1, read, publish a0 over 1.5"
        ),
        "{trace}"
    );
    assert_eq!(world.history.len(), 4);
    assert_eq!(earlier(&world, 0), [(1, false)]);
    world.assert_complete();
}

#[test]
fn what_is_not_what_was_committed_is_lost_and_only_that() {
    let (world, _) = second_run(|world| world.damage("b0"), &[]);
    assert_eq!(earlier(&world, 0), [(1, true)]);
    assert_eq!(earlier(&world, 1), [(1, false)]);
    world.assert_complete();
}

#[test]
fn a_window_whose_object_cannot_be_kept_is_not_touched() {
    let (world, trace) =
        second_run(|_| {}, &[("keep b0", Fault::Before), ("compute", Fault::Before)][..1]);
    let batch = trace.split("append commit").next().unwrap();
    assert!(!batch.contains("publish a0") && batch.contains("publish a1"), "{trace}");
    // The next batch of the same run takes it up again.
    assert_eq!(earlier(&world, 0), [(1, false)]);
    world.assert_complete();
}

#[test]
fn what_a_dead_writer_kept_is_found_by_the_next() {
    let mut world = World::new(None);
    let _ = Run::open(&world, 1).finish(&mut world, &[]);
    let mut dies = Run::open(&world, 2);
    while dies.trace.last().is_none_or(|line| !line.starts_with("publish b1")) {
        dies.step(&mut world, 0, None);
    }
    drop(dies);
    let _ = Run::open(&world, 3).finish(&mut world, &[]);
    assert_eq!(world.violation, None);
    assert_eq!(earlier(&world, 0), [(1, false)], "its object is another one by now");
    world.assert_complete();
}

/// Carries out a batch that begins the window at 9 of `log` and gives it one staged output; its
/// publication is answered with `answer`. How it ended, and the writer's state.
fn published(log: &Log, aim: Aim, reason: Reason, answer: &WriteAnswer) -> (Outcome, State) {
    let mut begin = log.batch(7, &[9]);
    begin.windows[0].reason = reason;
    let output = &begin.windows[0].outputs[0];
    let rows = u64::from(!matches!(aim, Aim::Blank(_)));
    let staged = StagedOutput {
        staged_at: "tmp".into(),
        path: output.path.clone(),
        att: output.att,
        digest: ObjectDigest { bytes: 16, sha256: Sha256::of(b"restored") },
        rows,
        content: None,
    };
    let batch = Batch {
        id: batch_id(7),
        generation: log.state.generation,
        query: Seq(2),
        references: None,
        windows: begin.windows.clone(),
        empty: Vec::new(),
        base: hour(0),
        aim,
    };
    let mut writer = writer(&log.state);
    let mut effects = writer.start(Command::Batch(Box::new(batch)), stamp());
    loop {
        let event = match effects.pop().unwrap() {
            Effect::CreateEntry { .. } => Event::Written(WriteAnswer::Stored),
            Effect::Compute(_) => Event::Computed(vec![Ok(ComputedWindow {
                inputs: InputsDigest { files: 1, sha256: Sha256::of(b"inputs") },
                rows: RowCounts { input: rows, used: rows, out: rows, ..RowCounts::default() },
                outputs: vec![staged.clone()],
                balance: Balance::default(),
                checks: Vec::new(),
            })]),
            Effect::Observe { object, .. } => Event::Observed(object, Ok(None)),
            Effect::Keep { object, .. } => Event::Kept(object, Ok(true)),
            Effect::Publish { object, .. } => Event::Published(object, answer.clone()),
            Effect::ReadEntry { .. } => Event::EntryRead(Ok(None)),
            Effect::Finished(outcome) => return (outcome, writer.state().clone()),
            other => panic!("{other:?} is no part of it"),
        };
        effects = writer.step(event);
    }
}

/// A log whose window at 9 has two revisions.
fn revised() -> Log {
    let mut log = Log::claimed();
    log.compute(1, &[9]);
    log.compute(2, &[9]);
    log
}

fn restore(rev: u32) -> Aim {
    Aim::Restore(BTreeMap::from([(hour(9), Revision(rev))]))
}

#[test]
fn a_batch_that_restores_ends_as_a_rollback() {
    let (outcome, state) =
        published(&revised(), restore(1), Reason::Requested, &WriteAnswer::Stored);
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    let window = &state.windows[&hour(9)];
    assert_eq!((window.committed.rev, window.committed.restores), (Revision(3), Some(Revision(1))));
    assert_eq!(state.watermark, None);
}

#[test]
fn a_window_that_is_not_restored_is_as_it_was_and_not_due() {
    let refused = WriteAnswer::Refused(broken());
    let log = revised();
    let (outcome, state) = published(&log, restore(1), Reason::Requested, &refused);
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    assert_eq!(state.windows, log.state.windows);
    assert!(state.failed.is_empty() && state.in_doubt.is_empty());
}

/// A log whose window at 9 is in doubt and was never committed.
fn doubtful() -> Log {
    let mut log = Log::claimed();
    log.begin(1, &[9]);
    log.add(crate::state::tests::log::claim());
    log
}

#[test]
fn a_batch_of_blank_windows_ends_as_given_up() {
    let why = || Aim::Blank("no rows".to_owned());
    let (outcome, state) = published(&doubtful(), why(), Reason::InDoubt, &WriteAnswer::Stored);
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    assert!(state.in_doubt.is_empty() && state.windows.is_empty());
    assert_eq!(state.blank[&hour(9)].outputs[0].att, AttemptId(uuid::Uuid::from_u128(7 << 32 | 9)));
}

#[test]
fn a_blank_object_that_may_not_be_there_leaves_the_doubt() {
    let why = || Aim::Blank("no rows".to_owned());
    for (answer, is_known) in
        [(WriteAnswer::Refused(broken()), true), (WriteAnswer::Untrusted(broken()), false)]
    {
        let (outcome, state) = published(&doubtful(), why(), Reason::InDoubt, &answer);
        assert_eq!(matches!(outcome, Outcome::Committed(_)), is_known, "{outcome:?}");
        assert!(state.in_doubt.contains_key(&hour(9)) && state.blank.is_empty());
    }
}
