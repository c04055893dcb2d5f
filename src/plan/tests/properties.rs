//! What holds of every plan, whatever happened before.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::story::{Story, record, render};
use crate::plan::*;
use crate::state::tests::log::{hour, hour_of};

/// What can happen to a pipeline whose files have rows in the hours from 0 to 12.
#[derive(Clone, Debug)]
enum Happening {
    Files(Vec<(u8, BTreeMap<i64, u64>)>),
    Run,
    Crash(BTreeSet<usize>),
    Fail(BTreeSet<usize>),
    Request(Verb, i64, i64),
}

fn any_rows() -> impl Strategy<Value = BTreeMap<i64, u64>> {
    prop::collection::btree_map(0..12_i64, 1..5_u64, 0..4)
}

fn any_happening() -> impl Strategy<Value = Happening> {
    let places = || prop::collection::btree_set(0..6_usize, 1..3);
    let verb = prop::sample::select(vec![Verb::Backfill, Verb::Reprocess]);
    prop_oneof![
        4 => prop::collection::vec((0..4_u8, any_rows()), 1..3).prop_map(Happening::Files),
        2 => Just(Happening::Run),
        1 => places().prop_map(Happening::Crash),
        1 => places().prop_map(Happening::Fail),
        1 => (verb, 0..12_i64, 0..12_i64).prop_map(|(verb, a, b)| Happening::Request(verb, a, b)),
    ]
}

fn any_story() -> impl Strategy<Value = Story> {
    let begin = prop::option::of(0..6_i64);
    (begin, prop::collection::vec(any_happening(), 0..12)).prop_map(|(begin, happenings)| {
        let mut story = Story::new();
        story.spec.begin = begin.map(hour);
        for happening in happenings {
            happen(&mut story, happening);
        }
        story
    })
}

fn happen(story: &mut Story, happening: Happening) {
    // Only what is due is ever begun.
    let due = |places: BTreeSet<usize>| {
        let windows = story.plan().windows;
        let picked = windows.iter().enumerate().filter(|(place, _)| places.contains(place));
        let mut hours: Vec<_> = picked.map(|(_, due)| hour_of(due.window.start())).collect();
        hours.sort_unstable();
        hours
    };
    match happening {
        Happening::Files(files) => {
            let files: BTreeMap<_, _> = files.into_iter().collect();
            let record = |(key, rows): (u8, BTreeMap<_, _>)| {
                record(&key.to_string(), &rows.into_iter().collect::<Vec<_>>())
            };
            story.files(files.into_iter().map(record).collect());
        }
        Happening::Run => story.run(),
        Happening::Crash(places) => {
            let windows = due(places);
            story.crash(&windows);
        }
        Happening::Fail(places) => {
            let windows = due(places);
            story.fail(&windows);
        }
        Happening::Request(verb, start, end) => story.request(verb, start, end),
    }
}

/// Whether there is a reason of the state itself to compute the window that starts at `start`.
fn has_reason(story: &Story, start: EventTime) -> bool {
    let state = &story.log.state;
    let asked = state.requests.values().any(|ask| ask.start <= start && start < ask.end);
    state.in_doubt.contains_key(&start)
        || state.stale.contains_key(&start)
        || state.failed.contains_key(&start)
        || asked
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_due_is_closed_disjoint_and_has_a_reason(story in any_story()) {
        let (plan, state) = (story.plan(), &story.log.state);
        let closed_until = closed_until(&story.spec, state).unwrap_or(EventTime::FIRST);
        let mut taken = WindowSet::new();
        for DueWindow { window, .. } in &plan.windows {
            prop_assert!(window.end() <= closed_until, "open: {window:?}");
            prop_assert!(!state.is_committed(*window) || has_reason(&story, window.start()));
            prop_assert!(!taken.contains(window.start()), "twice: {window:?}");
            taken.insert(window.start(), window.end());
        }
        for TimeRange { start, end } in &plan.empty {
            prop_assert!(*end <= closed_until && start < end);
            prop_assert!(taken.gaps(*start, *end).eq([(*start, *end)]), "empty and due");
            let sight = Sight::new(&story.spec, &story.ledger);
            prop_assert_eq!(sight.first_from(*start, *end), None);
            prop_assert_eq!(state.windows.range(*start..*end).next(), None);
            taken.insert(*start, *end);
        }
    }

    #[test]
    fn once_everything_due_is_committed_nothing_is_due(mut story in any_story()) {
        story.run();
        let (plan, state) = (story.plan(), &story.log.state);
        prop_assert!(plan.is_empty(), "{}", render(&plan));
        prop_assert!(state.stale.is_empty() && state.failed.is_empty());
        prop_assert!(state.in_doubt.is_empty());
        let sight = Sight::new(&story.spec, &story.ledger);
        let from = story.spec.begin.or(sight.first().map(Window::start));
        let closed_until = closed_until(&story.spec, state);
        if state.watermark.is_some() || from < closed_until && from.is_some() {
            prop_assert_eq!(state.watermark, closed_until);
        }
        for window in sight.windows_from(hour(0), closed_until.unwrap_or(hour(0))) {
            let start = window.start();
            let is_before_begin = story.spec.begin.is_some_and(|begin| start < begin);
            prop_assert!(is_before_begin || state.windows.contains_key(&start), "a lost row");
        }
    }

    #[test]
    fn a_plan_depends_on_facts_alone(story in any_story()) {
        prop_assert_eq!(story.plan(), story.clone().plan());
    }

    #[test]
    fn how_rows_are_cut_into_files_changes_nothing(
        before in any_story(),
        rows in prop::collection::vec((0..16_i64, 0..3_usize), 0..12),
    ) {
        let count = |rows: &mut dyn Iterator<Item = i64>| {
            let mut counts = BTreeMap::<i64, u64>::new();
            rows.for_each(|n| *counts.entry(n).or_default() += 1);
            counts.into_iter().collect::<Vec<_>>()
        };
        let mut whole = before.clone();
        let all = count(&mut rows.iter().map(|(n, _)| *n));
        whole.files(vec![record("whole", &all)]);
        let mut parts = before;
        for part in 0..3 {
            let mine = count(&mut rows.iter().filter(|(_, at)| *at == part).map(|(n, _)| *n));
            parts.files(vec![record(&format!("part-{part}"), &mine)]);
        }
        let (whole, parts) = (whole.plan(), parts.plan());
        let due = |plan: &Plan| {
            let what = |due: &DueWindow| (due.window, due.reason, due.rows, due.late_rows);
            plan.windows.iter().map(what).collect::<Vec<_>>()
        };
        prop_assert_eq!(due(&whole), due(&parts));
        prop_assert_eq!((whole.empty, whole.open), (parts.empty, parts.open));
    }
}
