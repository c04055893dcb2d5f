//! A state that collapsed, was stored, and recalled what it needed says what the log says.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::log::{Log, claim, commit, encoded, hour, hour_of, hours, late, request, skip};
use crate::hash::Sha256;
use crate::state::*;
use crate::window::{WindowGrid, WindowSize};

/// How many windows make a stretch here.
const ROW: usize = 2;

/// Windows are computed again, or become late, among so many hours.
const HOURS: i64 = 12;

/// A state kept as small as can be, and the segments it speaks of.
#[derive(Debug)]
struct Small {
    state: State,
    segments: BTreeMap<String, Vec<u8>>,
    /// How often it collapsed, and how often a stretch was undone.
    changes: (u64, u64),
}

impl Small {
    fn read(&self, segment: &SegmentRef) -> Vec<WindowState> {
        checkpoint::decode_windows(&self.segments[&segment.key]).unwrap()
    }

    fn apply(&mut self, entry: &Entry) {
        for segment in self.state.wanted_by(entry) {
            let windows = self.read(&segment);
            self.state.recall(windows);
        }
        self.state.apply(entry, encoded(entry).hash).unwrap();
    }

    fn shrink(&mut self) {
        for (start, segment) in self.state.worn(ROW) {
            let windows = self.read(&segment);
            self.state.spread(start, windows);
            self.changes.1 += 1;
        }
        while let Some(windows) = self.state.collapsible(ROW) {
            let bytes = checkpoint::encode_windows(&windows).unwrap();
            let key = format!("seg/{}", self.segments.len());
            let (len, sha256) = (bytes.len() as u64, Sha256::of(&bytes));
            self.segments.insert(key.clone(), bytes);
            self.state.collapse(&windows, SegmentRef { key, len, sha256, files: ROW as u64 });
            self.changes.0 += 1;
        }
        let stored = checkpoint::encode(&self.state).unwrap();
        self.state = checkpoint::decode(&stored).unwrap();
    }

    fn whole(&self) -> State {
        let mut whole = self.state.clone();
        for segment in whole.wanted_whole() {
            whole.recall(self.read(&segment));
        }
        whole
    }
}

fn assert_same(small: &Small, state: &State) {
    let grid = WindowGrid::new(WindowSize::Minutes(60), chrono_tz::UTC);
    let recalled = small.whole();
    assert!(recalled.windows.iter().eq(state.windows.iter()));
    let rest = |state: &State| State { windows: Windows::default(), ..state.clone() };
    assert_eq!(rest(&small.state), rest(state));
    for state_of in [&small.state, &recalled] {
        assert_eq!(state_of.windows.totals(), state.windows.totals());
        let starts = |state: &State| -> Vec<i64> {
            let mut starts: Vec<_> =
                state.computed(&grid).map(|one| hour_of(one.window.start())).collect();
            starts.sort_unstable();
            starts
        };
        assert_eq!(starts(state_of), starts(state));
        for from in 0..HOURS {
            assert_eq!(state_of.contiguous_end(hour(from)), state.contiguous_end(hour(from)));
            assert_eq!(state_of.is_computed(hour(from)), state.is_computed(hour(from)));
            let computed = |state: &State| state.computed_at(hour(from), &grid);
            let known = |one: crate::state::Computed| (one.window, one.query, one.references);
            assert_eq!(computed(state_of).map(known), computed(state).map(known));
            for to in (from + 1)..=HOURS {
                let has = |state: &State| state.has_computed_in(hour(from), hour(to));
                assert_eq!(has(state_of), has(state), "{from} to {to}");
            }
        }
        let outdated = |state: &State| state.count_outdated(|query, _| query.0 % 2 == 0);
        assert_eq!(outdated(state_of), outdated(state));
    }
}

/// What a pipeline does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next windows are computed; the watermark follows.
    Next(i64),
    /// The next windows are empty.
    Empty(i64),
    /// The next window is skipped.
    Skip,
    /// A window is computed again, or for the first time; the batch may be left open.
    Again(i64, bool),
    Late(i64),
    Query,
    Ask,
    Met,
    Claim,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4_i64).prop_map(Step::Next),
        1 => (1..3_i64).prop_map(Step::Empty),
        1 => Just(Step::Skip),
        4 => (0..HOURS, any::<bool>()).prop_map(|(at, ends)| Step::Again(at, ends)),
        1 => (0..HOURS).prop_map(Step::Late),
        1 => Just(Step::Query),
        1 => Just(Step::Ask),
        2 => Just(Step::Met),
        1 => Just(Step::Claim),
    ]
}

/// The entries that `step` adds to `log`; none of them where it cannot be done.
fn bodies(log: &Log, step: Step, batch: u128) -> Vec<Body> {
    let next = log.state.watermark.map_or(0, hour_of);
    let moved = |from: i64, to: i64| log.state.watermark_after([(hour(from), hour(to))], hour(0));
    let ended = |windows: &[i64], watermark| {
        let begin = log.batch(batch, windows);
        let commit = Commit { watermark, ..commit(&begin) };
        vec![Body::Begin(begin), Body::Commit(commit)]
    };
    match step {
        Step::Next(windows) => {
            let windows: Vec<i64> = (next..next + windows).collect();
            ended(&windows, moved(next, windows[windows.len() - 1] + 1))
        }
        Step::Empty(windows) => {
            let begin = log.batch(batch, &[]);
            let (empty, watermark) =
                (vec![hours(next, next + windows)], moved(next, next + windows));
            let commit = Commit { empty, watermark, ..commit(&begin) };
            vec![Body::Begin(begin), Body::Commit(commit)]
        }
        Step::Skip => {
            vec![Body::Skip(Skip { watermark: moved(next, next + 1), ..skip(next, next + 1) })]
        }
        Step::Again(at, true) => ended(&[at], moved(at, at + 1)),
        Step::Again(at, false) => vec![Body::Begin(log.batch(batch, &[at]))],
        Step::Late(at) => vec![Body::Inputs(log.inputs(vec![late(at)]))],
        Step::Query => {
            vec![Body::Query(Query { steps: Vec::new(), judged: Vec::new(), checks: Vec::new() })]
        }
        Step::Ask => vec![request(Verb::Reprocess, 0, HOURS)],
        Step::Met => {
            let done = log.state.requests.keys().next();
            done.map(|id| Body::RequestDone { id: *id, cancelled: false }).into_iter().collect()
        }
        Step::Claim => vec![claim()],
    }
}

#[test]
fn at_every_cut_of_every_log() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let seen = std::cell::Cell::new((0, 0));
    let steps = prop::collection::vec((any_step(), any::<bool>()), 0..40);
    let tested = runner.run(&steps, |steps| {
        let mut log = Log::claimed();
        let state = log.state.clone();
        let mut small = Small { state, segments: BTreeMap::new(), changes: (0, 0) };
        for (batch, (step, shrinks)) in (0..).zip(steps) {
            for body in bodies(&log, step, batch) {
                if log.offer(log.entry(body)).is_err() {
                    break;
                }
                small.apply(log.entries.last().unwrap());
                if shrinks {
                    small.shrink();
                }
                assert_same(&small, &log.state);
            }
        }
        let (collapsed, spread) = seen.get();
        seen.set((collapsed + small.changes.0, spread + small.changes.1));
        Ok(())
    });
    tested.unwrap();
    let (collapsed, spread) = seen.get();
    assert!(collapsed > 100 && spread > 10, "{collapsed} stretches were made, {spread} undone");
}

#[test]
fn what_is_no_checkpoint_is_told_from_one() {
    let bytes = checkpoint::encode(&Log::claimed().state).unwrap();
    assert_eq!(checkpoint::decode(&bytes).unwrap(), Log::claimed().state);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(checkpoint::decode(&flipped).is_err(), "byte {at}");
        assert!(checkpoint::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
}
