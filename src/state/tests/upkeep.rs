//! Retiring and vacuuming in the fold, and the bytes of their entries in `fixtures/log/v1-upkeep`.

use super::broken_by;
use super::log::{Log, claim, hour, hours, late, request, watermark};
use crate::id::{Generation, Revision, Seq};
use crate::invariant::Invariant;
use crate::state::*;
use crate::time::ProcessingTime;

fn shape(outputs: &[&str]) -> Shape {
    let output = |name: &&str| ShapeOutput {
        name: (*name).to_owned(),
        path: format!("out/{name}/dt={{start:%Y-%m-%d}}"),
    };
    Shape {
        size: "1h".to_owned(),
        week_start: None,
        timezone: "UTC".to_owned(),
        sources: Vec::new(),
        outputs: outputs.iter().map(output).collect(),
        quarantines: Vec::new(),
    }
}

fn retire(phase: RetirePhase, output: Option<&str>) -> Body {
    Body::Retire(Retire { phase, output: output.map(str::to_owned), objects: 1, why: None })
}

fn mark(key: &str) -> Body {
    let object = MarkedObject { key: key.to_owned(), size: 512, mark: "512-1.000".to_owned() };
    Body::GcMark(GcMark { at: ProcessingTime::from_micros(7), objects: vec![object] })
}

/// A log with everything that retiring forgets.
fn full() -> Log {
    let mut log = Log::claimed();
    log.add(Body::Shape(shape(&["hourly", "daily"])));
    log.add(Body::Inputs(log.inputs(Vec::new())));
    let begin = log.begin(1, &[9]);
    log.add(Body::Commit(Commit {
        empty: vec![hours(0, 9)],
        watermark: watermark(0, 10),
        ..super::log::commit(&begin)
    }));
    log.add(Body::Inputs(log.inputs(vec![late(9)])));
    log.add(request(Verb::Reprocess, 0, 10));
    log.begin(2, &[10]);
    log.add(Body::Release);
    log.add(claim());
    log
}

/// One entry of each kind that this file is about.
pub(super) fn golden() -> Log {
    let mut log = full();
    log.add(Body::Request(Request {
        within: vec![hours(1, 2), hours(5, 9)],
        ..Request::new(Verb::Reprocess, hour(0), hour(24))
    }));
    log.add(mark("seg/a"));
    let spared = vec!["seg/a".to_owned()];
    log.add(Body::GcSweep(GcSweep { mark: log.state.head.seq, spared }));
    log.add(retire(RetirePhase::Announced, Some("daily")));
    log.add(retire(RetirePhase::Done, Some("daily")));
    log.add(Body::Retire(Retire {
        phase: RetirePhase::Announced,
        output: None,
        objects: 2,
        why: Some("windows of a day from now on".to_owned()),
    }));
    log.add(Body::Retire(Retire { phase: RetirePhase::Done, output: None, objects: 2, why: None }));
    log
}

#[test]
fn a_retired_pipeline_is_as_if_it_never_ran_but_for_its_numbers() {
    let mut log = full();
    log.add(retire(RetirePhase::Announced, None));
    let before = log.state.clone();
    assert!(!before.windows.is_empty(), "it is not done yet");
    log.add(retire(RetirePhase::Done, None));

    let state = &log.state;
    let fresh = State {
        store: state.store,
        head: state.head,
        epoch: before.epoch,
        holder: before.holder.clone(),
        generation: Generation(2),
        retired: shape(&["hourly", "daily"]).outputs,
        ..State::before_first_run(state.pipeline.clone())
    };
    assert_eq!(*state, fresh);
    log.add(Body::Shape(shape(&["weekly"])));
    log.add(Body::Inputs(log.inputs(Vec::new())));
    assert_eq!(log.state.generation, Generation(3));
    log.begin(3, &[9]);
    assert_eq!(log.state.next_revision(hour(9)), Some(Revision(1)));
}

#[test]
fn a_retired_output_leaves_the_windows_their_other_objects() {
    let mut log = full();
    log.add(retire(RetirePhase::Announced, Some("hourly")));
    log.add(retire(RetirePhase::Done, Some("hourly")));
    assert_eq!(log.state.shape, Some(shape(&["daily"])));
    assert_eq!(log.state.retired, shape(&["hourly"]).outputs);
    let window = &log.state.windows[&hour(9)].committed;
    assert_eq!((window.rev, window.outputs.as_slice()), (Revision(1), &[][..]));
    assert_eq!(log.state.watermark, Some(hour(10)));

    log.add(retire(RetirePhase::Announced, None));
    log.add(retire(RetirePhase::Done, None));
    let both: Vec<&str> = log.state.retired.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(both, ["hourly", "daily"], "whose owner may still stand there");
}

#[test]
fn while_it_is_retired_nothing_is_published_or_asked_for() {
    let mut log = full();
    log.add(retire(RetirePhase::Announced, None));
    for body in [
        Body::Begin(log.batch(7, &[11])),
        Body::Inputs(log.inputs(Vec::new())),
        request(Verb::Backfill, 0, 1),
        Body::Query(Query { steps: Vec::new(), judged: Vec::new(), checks: Vec::new() }),
        retire(RetirePhase::Announced, None),
        retire(RetirePhase::Done, Some("hourly")),
    ] {
        let kind = body.kind();
        assert_eq!(broken_by(&log, body), Invariant::Rt1, "{kind}");
    }
    // It may change hands, and be cleaned up.
    log.add(Body::Release);
    log.add(claim());
    log.add(mark("seg/a"));
}

#[test]
fn a_retirement_begins_between_batches_and_of_what_there_is() {
    let mut log = full();
    assert_eq!(broken_by(&log, retire(RetirePhase::Done, None)), Invariant::Rt1);
    assert_eq!(broken_by(&log, retire(RetirePhase::Announced, Some("weekly"))), Invariant::Rt1);
    log.begin(7, &[11]);
    assert_eq!(broken_by(&log, retire(RetirePhase::Announced, None)), Invariant::Rt1);
}

#[test]
fn what_is_swept_was_marked_and_marks_do_not_pile_up() {
    let mut log = full();
    let sweep = |mark: Seq| Body::GcSweep(GcSweep { mark, spared: Vec::new() });
    assert_eq!(broken_by(&log, sweep(log.state.head.seq)), Invariant::Gc1);
    log.add(mark("seg/a"));
    let seq = log.state.head.seq;
    assert_eq!(broken_by(&log, mark("seg/b")), Invariant::Gc1);
    assert_eq!(broken_by(&log, sweep(Seq(seq.0 - 1))), Invariant::Gc1);
    assert_eq!(log.state.marked.as_ref().map(|marked| marked.seq), Some(seq));
    log.add(sweep(seq));
    assert_eq!(log.state.marked, None);
    log.add(mark("seg/b"));
}
