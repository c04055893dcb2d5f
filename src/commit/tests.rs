//! What the writer asks for and decides, told by traces of effects.

#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod explore;
mod explored;
mod faults;
mod history;
mod journal;
mod mistakes;
mod program;
mod situations;
mod work;
mod world;

use program::Run;
use world::{Fault, World, broken};

use super::*;
use crate::error::Code;
use crate::hash::ContentHash;
use crate::id::AttemptId;
use crate::state::tests::log::{Log, claim, encoded, hour, request, who};
use crate::state::{Entry, State, Verb};
use crate::time::ProcessingTime;

/// What the store answers to an append.
#[derive(Clone, Debug)]
enum Answer {
    Stored,
    Refused,
    Untrusted,
    Unclear,
    /// The place is free.
    Free,
    Unreadable,
    /// The place holds what we sent.
    Ours,
    /// The place holds something else.
    Other(Vec<u8>),
}
use Answer::{Free, Other, Ours, Refused, Stored, Unclear, Unreadable, Untrusted};

fn writer(state: &State) -> Writer {
    let run = crate::id::RunId(uuid::Uuid::from_u128(7));
    Writer::new(Identity { who: who("me"), run }, state.clone())
}

fn stamp() -> Stamp {
    let id = |n| AttemptId(uuid::Uuid::from_u128(n));
    Stamp { at: ProcessingTime::from_micros(0), first: id(901), second: id(902) }
}

/// How an append of `body` after `log` ends, when the store gives these answers. Whatever they are,
/// the same bytes go to the same place.
#[track_caller]
fn append(log: &Log, body: Body, answers: &[Answer]) -> Outcome {
    let mut writer = writer(&log.state);
    let mut effects = writer.start(Command::Append(body), stamp());
    let mut sent = None;
    let mut answers = answers.iter().cloned();
    loop {
        let effect = effects.pop().unwrap();
        assert_eq!(effects, [], "an append does one thing at a time");
        let event = match effect {
            Effect::CreateEntry { seq, bytes, .. } => {
                let place = (seq, bytes);
                assert_eq!(sent.get_or_insert(place.clone()), &place);
                Event::Written(match answers.next() {
                    Some(Stored) => WriteAnswer::Stored,
                    Some(Refused) => WriteAnswer::Refused(broken()),
                    Some(Untrusted) => WriteAnswer::Untrusted(broken()),
                    Some(Unclear) => WriteAnswer::Unclear(broken()),
                    answer => panic!("{answer:?} is no answer to a write"),
                })
            }
            Effect::ReadEntry { seq } => {
                let (place, bytes) = sent.clone().unwrap();
                assert_eq!(seq, place);
                Event::EntryRead(match answers.next() {
                    Some(Free) => Ok(None),
                    Some(Unreadable) => Err(broken()),
                    Some(Ours) => Ok(Some(bytes)),
                    Some(Other(bytes)) => Ok(Some(bytes)),
                    answer => panic!("{answer:?} is no answer to a read"),
                })
            }
            Effect::Pause { .. } => Event::Paused,
            Effect::Finished(outcome) => {
                assert_eq!(answers.len(), 0, "it ended before the last answer: {outcome:?}");
                return outcome;
            }
            other => panic!("{other:?} is no part of an append"),
        };
        effects = writer.step(event);
    }
}

fn ask() -> Body {
    request(Verb::Backfill, 0, 1)
}

/// The stored form of an entry that another process wrote next, in an epoch this far from ours.
fn others(log: &Log, change: impl FnOnce(&mut Entry)) -> Answer {
    let mut entry = Entry { who: who("other"), ..log.entry(ask()) };
    change(&mut entry);
    Other(encoded(&entry).bytes)
}

#[test]
fn an_append_is_committed_when_it_is_stored_or_found_stored() {
    let log = Log::claimed();
    let here = || Outcome::Committed(log.state.next_seq().unwrap());
    assert_eq!(append(&log, ask(), &[Stored]), here());
    assert_eq!(append(&log, ask(), &[Unclear, Ours]), here(), "the answer was lost");
    assert_eq!(append(&log, ask(), &[Unclear, Free, Stored]), here(), "the request was lost");
    assert_eq!(append(&log, ask(), &[Unclear, Free, Unclear, Ours]), here());
    assert_eq!(append(&log, ask(), &[Unclear, Unreadable, Stored]), here());
}

#[test]
fn a_newer_epoch_at_our_place_fences_us() {
    let log = Log::claimed();
    let newer = others(&log, |entry| entry.epoch = Epoch(2));
    let fenced = Outcome::Fenced { epoch: Epoch(2), who: who("other") };
    assert_eq!(append(&log, ask(), &[Unclear, newer.clone()]), fenced);
    assert_eq!(append(&log, ask(), &[Unclear, Free, Unclear, newer]), fenced);
}

#[test]
fn our_own_epoch_at_our_place_is_a_copy_of_us() {
    let log = Log::claimed();
    let copy = others(&log, |_| ());
    let seq = log.state.next_seq().unwrap();
    assert_eq!(append(&log, ask(), &[Unclear, copy]), Outcome::Cloned { seq });
}

#[test]
fn what_cannot_follow_at_our_place_is_damage() {
    let mut log = Log::claimed();
    log.add(claim());
    let older = others(&log, |entry| entry.epoch = Epoch(1));
    let newer = others(&log, |entry| entry.v = 2);
    for (found, is_newer) in [(older, false), (Other(Vec::new()), false), (newer, true)] {
        let outcome = append(&log, ask(), &[Unclear, found]);
        let Outcome::Corrupt { seq, too_new, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((seq, too_new), (log.state.next_seq().unwrap(), is_newer));
    }
}

#[test]
fn a_claim_that_meets_any_entry_finds_the_owner_alive() {
    let log = Log::claimed();
    for epoch in [1, 2, 3] {
        let found = others(&log, |entry| entry.epoch = Epoch(epoch));
        let outcome = append(&log, claim(), &[Unclear, found]);
        assert_eq!(outcome, Outcome::OwnerIsAlive { who: who("other") }, "epoch {epoch}");
    }
}

#[test]
fn an_append_gives_up_after_so_many_tries_and_does_not_know() {
    let log = Log::claimed();
    let tries = usize::try_from(TRIES_MAX).unwrap();
    let outcome = append(&log, ask(), &vec![[Unclear, Free]; tries].concat());
    let Outcome::Unknown(fault) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fault.code, Code::OutcomeUnknown);
    let unreadable = append(&log, ask(), &vec![[Unclear, Unreadable]; tries].concat());
    assert_eq!(unreadable, Outcome::Unknown(broken()));
}

#[test]
fn a_refusal_is_certain_unless_an_earlier_try_may_still_land() {
    let log = Log::claimed();
    assert_eq!(append(&log, ask(), &[Refused]), Outcome::Refused(broken()));
    let unclear_before = append(&log, ask(), &[Unclear, Free, Refused]);
    assert_eq!(unclear_before, Outcome::Unknown(broken()));
}

#[test]
fn what_an_untrusted_store_keeps_is_not_known() {
    assert_eq!(append(&Log::claimed(), ask(), &[Untrusted]), Outcome::Unknown(broken()));
}

#[test]
fn what_the_fold_would_refuse_is_never_sent() {
    let log = Log::new();
    for body in [Body::Release, Body::Init, ask()] {
        let outcome = append(&log, body, &[]);
        let Outcome::Refused(fault) = outcome else { panic!("{outcome:?}") };
        assert_eq!(fault.code, Code::Bug);
    }
}

#[test]
fn what_is_larger_than_an_entry_can_be_is_never_sent() {
    let name = "x".repeat(crate::state::codec::ENTRY_BYTES_MAX);
    let step = crate::state::QueryStep { name, sql: String::new() };
    let query = Body::Query(crate::state::Query {
        steps: vec![step],
        judged: Vec::new(),
        checks: Vec::new(),
    });
    let outcome = append(&Log::claimed(), query, &[]);
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}

#[test]
fn a_writer_that_lost_the_log_or_is_busy_takes_no_command() {
    let log = Log::claimed();
    let is_bug = |effects: &[Effect]| match effects {
        [Effect::Finished(Outcome::Refused(fault))] => fault.code == Code::Bug,
        _ => false,
    };
    let mut stopped = writer(&log.state);
    let _ = stopped.start(Command::Append(ask()), stamp());
    let _ = stopped.step(Event::Written(WriteAnswer::Refused(broken())));
    assert!(is_bug(&stopped.start(Command::Append(ask()), stamp())));

    let mut busy = writer(&log.state);
    let _ = busy.start(Command::Append(ask()), stamp());
    assert!(is_bug(&busy.clone().start(Command::Append(ask()), stamp())));
    assert!(is_bug(&busy.step(Event::Computed(Vec::new()))), "nobody asked for that");
}

/// A first run with these faults, and what it did from its batch on.
fn first_run(faults: &[(&str, Fault)]) -> (World, String, Outcome) {
    let mut world = World::new(None);
    let mut run = Run::open(&world, 1);
    let outcome = run.finish(&mut world, faults);
    assert_eq!(world.violation, None);
    let batch = run.trace.iter().position(|line| line == "append begin").unwrap();
    (world, run.trace[batch..].join(", "), outcome)
}

#[test]
fn a_batch_is_begun_computed_observed_fenced_published_committed() {
    let (world, trace, outcome) = first_run(&[]);
    assert_eq!(
        trace,
        "append begin, compute, \
         observe a0, observe b0, observe a1, observe b1, read, \
         publish a0, publish b0, publish a1, publish b1, append commit, append release"
    );
    assert_eq!(outcome, Outcome::Committed(world.state().head.seq));
    world.assert_complete();
}

#[test]
fn objects_are_replaced_only_over_the_version_observed() {
    let (mut world, ..) = first_run(&[]);
    let mut run = Run::open(&world, 2);
    let _ = run.finish(&mut world, &[]);
    let publications: Vec<_> =
        run.trace.iter().filter(|line| line.starts_with("publish")).cloned().collect();
    assert_eq!(
        publications.join(", "),
        "publish a0 over 1.5, publish b0 over 1.6, publish a1 over 1.7, publish b1 over 1.8"
    );
    world.assert_complete();
}

#[test]
fn a_newer_entry_at_the_fence_stops_the_writer_before_it_publishes() {
    let mut world = World::new(None);
    let mut stalled = Run::open(&world, 1);
    while stalled.trace.last().is_none_or(|line| line != "observe b1") {
        stalled.step(&mut world, 0, None);
    }
    let ended = Run::open(&world, 2).finish(&mut world, &[]);
    assert!(matches!(ended, Outcome::Committed(_)), "{ended:?}");
    let head = world.state().head;

    let fenced = stalled.finish(&mut world, &[]);
    assert!(matches!(fenced, Outcome::Fenced { epoch: Epoch(2), .. }), "{fenced:?}");
    assert_eq!(stalled.trace.last().unwrap(), "read");
    assert_eq!(world.state().head, head);
    world.assert_complete();
}

#[test]
fn a_fence_that_cannot_be_read_stops_the_writer_before_it_publishes() {
    let (world, trace, outcome) = first_run(&[("read", Fault::Before)]);
    assert_eq!(outcome, Outcome::Unknown(broken()));
    assert!(!trace.contains("publish"), "{trace}");
    assert_eq!(world.state().in_doubt.len(), 2);
}

#[test]
fn an_unclear_publication_is_inspected_and_done_if_it_is_ours() {
    let (world, trace, _) = first_run(&[("publish b0", Fault::After)]);
    assert!(trace.contains("publish b1, inspect b0, append commit"), "{trace}");
    world.assert_complete();
}

#[test]
fn an_unclear_publication_that_is_not_there_is_fenced_again_before_the_next_try() {
    let (world, trace, _) = first_run(&[("publish b0", Fault::Before)]);
    let again = "publish b1, inspect b0, observe b0, read, publish b0, append commit";
    assert!(trace.contains(again), "{trace}");
    world.assert_complete();
}

#[test]
fn a_window_of_which_nothing_is_published_fails_and_the_others_are_committed() {
    for faults in [
        [("publish a0", Fault::Refused), ("publish b0", Fault::Refused)],
        [("observe a0", Fault::Before), ("observe b0", Fault::Before)],
        // One object that cannot be looked at keeps the other from being published.
        [("observe b0", Fault::Before), ("observe b0", Fault::Before)],
    ] {
        // The next batch of the same run takes it up again, and is stopped here.
        let stop = ("compute", Fault::Before);
        let mut world = World::new(None);
        let mut run = Run::open(&world, 1);
        while run.trace.last().is_none_or(|line| line != "append commit") {
            let next = run.next_line();
            let fault = faults.iter().find(|(line, _)| *line == next).map(|(_, fault)| *fault);
            run.step(&mut world, 0, fault);
        }
        let state = world.state();
        assert_eq!(state.failed.keys().collect::<Vec<_>>(), [&hour(0)], "{faults:?}");
        assert_eq!(state.windows.keys().collect::<Vec<_>>(), [&hour(1)]);
        assert!(state.in_doubt.is_empty());
        assert_eq!(state.watermark, None, "the window at 0 holds it");

        let _ = run.finish(&mut world, &[stop]);
        world.assert_complete();
    }
}

#[test]
fn a_window_published_in_part_is_in_doubt_and_the_outcome_unknown() {
    let (mut world, trace, outcome) = first_run(&[("publish b0", Fault::Refused)]);
    assert_eq!(outcome, Outcome::Unknown(broken()));
    assert!(trace.ends_with("append commit"), "the other window is committed: {trace}");
    let state = world.state();
    assert_eq!(state.in_doubt.keys().collect::<Vec<_>>(), [&hour(0)]);
    assert_eq!(state.windows.keys().collect::<Vec<_>>(), [&hour(1)]);
    assert!(state.failed.is_empty() && state.watermark.is_none());

    let _ = Run::open(&world, 2).finish(&mut world, &[]);
    world.assert_complete();
}

#[test]
fn a_publication_refused_after_an_unclear_try_leaves_a_doubt() {
    let unclear = |line| [(line, Fault::Late), (line, Fault::Refused)];
    let faults = [unclear("publish a0"), unclear("publish b0")].concat();
    let (mut world, _, outcome) = first_run(&faults);
    assert_eq!(outcome, Outcome::Unknown(broken()));
    assert_eq!(world.state().in_doubt.keys().collect::<Vec<_>>(), [&hour(0)]);
    world.land_late(0);
    let _ = Run::open(&world, 2).finish(&mut world, &[]);
    world.assert_complete();
}

#[test]
fn a_batch_of_which_every_window_fails_ends_as_failed() {
    let (world, trace, _) = first_run(&[("compute", Fault::Before)]);
    assert!(trace.starts_with("append begin, compute, append failed, append begin"), "{trace}");
    world.assert_complete();
}

#[test]
fn a_batch_of_empty_stretches_moves_the_watermark_without_publishing() {
    let log = Log::claimed();
    let hours = crate::state::tests::log::hours;
    let batch = Batch {
        references: None,
        id: crate::state::tests::log::batch_id(1),
        generation: log.state.generation,
        query: Seq(2),
        windows: Vec::new(),
        empty: vec![hours(0, 5), hours(5, 9), hours(10, 12)],
        base: hour(0),
        aim: Aim::Compute,
    };
    let mut writer = writer(&log.state);
    let stored = || Event::Written(WriteAnswer::Stored);
    let _ = writer.start(Command::Batch(Box::new(batch)), stamp());
    assert!(matches!(writer.step(stored())[..], [Effect::Compute(_)]));
    assert!(matches!(
        writer.step(Event::Computed(Vec::new()))[..],
        [Effect::CreateEntry { kind: "commit", .. }]
    ));
    assert!(matches!(writer.step(stored())[..], [Effect::Finished(Outcome::Committed(_))]));
    assert_eq!(writer.state().watermark, Some(hour(9)), "not past the hole at 9");
}

/// A first run, and a second one that computes the rows the windows have already.
fn same_again(prepare: impl FnOnce(&mut World)) -> (World, String, World) {
    let mut world = World::new(None);
    world.content = Some(ContentHash::new("rows", 1));
    let _ = Run::open(&world, 1).finish(&mut world, &[]);
    let before = world.clone();
    prepare(&mut world);
    let mut again = Run::open(&world, 2);
    let _ = again.finish(&mut world, &[]);
    (before, again.trace.join(", "), world)
}

#[test]
fn a_window_with_the_rows_it_has_keeps_its_objects() {
    let (before, trace, after) = same_again(|_| {});
    assert!(!trace.contains("publish") && trace.contains("inspect a0"), "{trace}");
    let committed = |world: &World, at| world.state().windows[&hour(at)].committed.clone();
    for at in [0, 1] {
        let (then, now) = (committed(&before, at), committed(&after, at));
        assert_eq!((&now.outputs, now.rev, now.unchanged), (&then.outputs, then.rev, true));
    }
    assert!(after.state().in_doubt.is_empty());
    assert_eq!(after.violation, None);
}

#[test]
fn a_window_with_other_rows_or_a_damaged_object_is_published() {
    let (_, trace, _) = same_again(|world| world.content = Some(ContentHash::new("rows", 2)));
    assert!(trace.contains("publish a0") && !trace.contains("inspect"), "{trace}");

    let (_, trace, after) = same_again(|world| world.damage("b0"));
    // The sister of a damaged object is replaced with it: a window has one revision.
    assert!(trace.contains("publish a0") && trace.contains("publish b0"), "{trace}");
    assert!(!trace.contains("publish a1"), "{trace}");
    after.assert_complete();
}
