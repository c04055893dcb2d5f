//! What the search over every order of steps finds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::explore::{Bounds, Explorer, Report};
use super::program::Run;
use super::situations::{Seen, Sight};
use super::world::{Mutant, Work, World};
use crate::hash::ContentHash;

/// The variable that asks for a search that takes minutes, and what it must say.
const DEEP: (&str, &str) = ("HIGHWATER_EXPLORE", "deep");
/// The most situations of a search that takes minutes.
const SITUATIONS_DEEP: usize = 12_000_000;
/// How many searches run at once.
const THREADS: usize = 2;
/// The fewest different states that all searches together must come to.
const STATES_MIN: usize = 400_000;

const ONE_OBJECT: Work = Work { hours: &[0], outputs: &["a"], per_batch: 1 };
const TWO_OUTPUTS: Work = Work { hours: &[0], outputs: &["a", "b"], per_batch: 1 };
const TWO_WINDOWS: Work = Work { hours: &[0, 1], outputs: &["a"], per_batch: 2 };
const TWO_BATCHES: Work = Work { hours: &[0, 1], outputs: &["a"], per_batch: 1 };

const BOUNDS: Bounds = Bounds {
    alive: 2,
    runs: 2,
    faults: 2,
    crashes: 1,
    copies: 0,
    computing_fails: false,
    settles: true,
    situations: usize::MAX,
};

/// Two runs, and nothing that goes wrong.
const NO_FAULT: Bounds = Bounds { faults: 0, crashes: 0, settles: false, ..BOUNDS };
/// One run, and one thing that goes wrong.
const LOST_ANSWER: Bounds = Bounds { runs: 1, faults: 1, ..NO_FAULT };

/// One search.
struct Search {
    name: &'static str,
    world: fn() -> World,
    bounds: Bounds,
}

/// The searches, those that take long first.
const SEARCHES: [Search; 9] = [
    Search {
        name: "three runs replace an object",
        world: || published(ONE_OBJECT),
        bounds: Bounds { runs: 3, ..BOUNDS },
    },
    Search {
        name: "two runs replace two windows",
        world: || published(TWO_WINDOWS),
        bounds: BOUNDS,
    },
    Search {
        name: "two runs publish two outputs for the first time",
        world: || admitted(TWO_OUTPUTS),
        bounds: BOUNDS,
    },
    Search {
        name: "two runs find two outputs with the rows they have",
        world: || same_rows(TWO_OUTPUTS),
        bounds: BOUNDS,
    },
    Search {
        name: "two windows, and computing them may fail",
        world: || admitted(TWO_WINDOWS),
        bounds: Bounds { faults: 1, computing_fails: true, ..BOUNDS },
    },
    Search {
        name: "two batches, one after the other",
        world: || admitted(TWO_BATCHES),
        bounds: Bounds { faults: 1, ..BOUNDS },
    },
    Search {
        name: "a damaged object with the rows it had",
        world: || {
            let mut world = same_rows(ONE_OBJECT);
            world.damage("a0");
            world
        },
        bounds: BOUNDS,
    },
    Search {
        name: "a copied machine publishes two outputs",
        world: || copied(admitted(TWO_OUTPUTS)),
        bounds: Bounds { runs: 1, faults: 1, copies: 1, ..BOUNDS },
    },
    Search {
        name: "a copied machine and another run",
        world: || copied(published(ONE_OBJECT)),
        bounds: Bounds { alive: 3, faults: 1, copies: 1, crashes: 0, ..BOUNDS },
    },
];

/// What all searches together must see, and how often at least.
const SIGHTS: [(Sight, u64); 17] = [
    (Sight::TakeoverOfTheLiving, 1000),
    (Sight::FencedAtAnAppend, 1000),
    (Sight::FencedBeforePublishing, 1000),
    (Sight::ClaimTooLate, 1000),
    (Sight::OwnEntryFound, 1000),
    (Sight::OwnObjectFound, 1000),
    (Sight::CommittedInDoubt, 1000),
    (Sight::CommittedWithFailed, 1000),
    (Sight::FailedAsAWhole, 10),
    (Sight::BegunInDoubt, 1000),
    (Sight::CommittedUnchanged, 100),
    (Sight::LateEntry, 1000),
    (Sight::LateObjectAfterTakeover, 1000),
    (Sight::LateObjectRefused, 1000),
    (Sight::CopyStopped, 100),
    (Sight::Finished, 1000),
    (Sight::Recovered, 1000),
];

/// A world whose inputs are known, and whose writer died.
fn admitted(work: Work) -> World {
    let mut world = World::with(work, None);
    let mut run = Run::open(&world, 1);
    while run.trace.last().is_none_or(|line| line != "append inputs") {
        run.step(&mut world, 0, None);
    }
    world
}

/// A world in which everything is published once.
fn published(work: Work) -> World {
    finished(World::with(work, None))
}

/// A world in which everything is published once, and will be computed to the same rows.
fn same_rows(work: Work) -> World {
    let mut world = World::with(work, None);
    world.content = Some(ContentHash::new("rows", 1));
    finished(world)
}

fn finished(mut world: World) -> World {
    let _ = Run::open(&world, 1).finish(&mut world, &[]);
    world.assert_complete();
    world
}

/// The same world, and machines may be copied with the run on them.
fn copied(mut world: World) -> World {
    Arc::make_mut(&mut world.journal).has_copies = true;
    world
}

#[test]
fn no_order_of_the_steps_of_two_writers_damages_anything() {
    let is_deep = std::env::var(DEEP.0).is_ok_and(|how| how == DEEP.1);
    let next = AtomicUsize::new(0);
    let search = || {
        let mut reports = Vec::new();
        while let Some(search) = SEARCHES.get(next.fetch_add(1, Ordering::Relaxed)) {
            let bounds = if is_deep { deep(search.bounds) } else { search.bounds };
            let report = Explorer::new((search.world)(), bounds).explore();
            tell(search.name, &report);
            if report.violation.is_some() {
                next.store(SEARCHES.len(), Ordering::Relaxed);
            }
            reports.push((search.name, report));
        }
        reports
    };
    let reports: Vec<(&str, Report)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(search)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });

    for (name, report) in &reports {
        if let Some((violation, steps)) = &report.violation {
            panic!("{name}: {violation}\n{}", steps.join("\n"));
        }
        assert!(report.is_exhaustive || is_deep, "{name}");
    }
    let states: usize = reports.iter().map(|(_, report)| report.states).sum();
    assert!(states >= STATES_MIN, "only {states} states");
    let seen = Seen::sum(reports.iter().map(|(_, report)| &report.seen));
    for (sight, min) in SIGHTS {
        let times = seen.times(sight);
        assert!(times >= min, "{sight:?} was seen only {times} times");
    }
}

/// Bounds of a search that takes minutes: one writer more at once, one crash more.
fn deep(bounds: Bounds) -> Bounds {
    let Bounds { alive, runs, crashes, .. } = bounds;
    let situations = SITUATIONS_DEEP;
    Bounds { alive: alive + 1, runs: runs + 1, crashes: crashes + 1, situations, ..bounds }
}

#[expect(clippy::print_stdout, reason = "figures for whoever asks for the output of this test")]
fn tell(name: &str, report: &Report) {
    let Report { states, situations, steps, is_exhaustive, .. } = report;
    let all = if *is_exhaustive { "all" } else { "the first" };
    println!("{name}: {all} {states} states, {situations} situations, {steps} steps");
}

/// That a protocol with this mistake breaks this invariant, and does so in these steps at the
/// earliest.
#[track_caller]
fn assert_breaks(mutant: Mutant, bounds: Bounds, invariant: &str, shortest: &[&str]) {
    let mut world = published(ONE_OBJECT);
    world.mutant = Some(mutant);
    let report = Explorer::new(world, bounds).explore();
    let (violation, steps) = report.violation.expect("the mistake does damage");
    assert_eq!(steps, shortest, "{violation}");
    assert!(violation.contains(invariant), "{violation}");
}

#[test]
fn a_fence_checked_before_the_versions_are_observed_is_found_in_15_steps() {
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append begin",
        "a run starts",
        "2: read",
        "3: append claim",
        "3: append begin",
        "3: read",
        "3: observe a0",
        "3: keep a0",
        "3: publish a0 over 1.5",
        "2: observe a0",
        "2: keep a0",
        "2: publish a0 over 3.3",
        "3: append commit",
    ];
    assert_breaks(Mutant::FenceBeforeObserve, NO_FAULT, "CM-2", &steps);
}

#[test]
fn a_publication_that_no_entry_announces_is_found_in_7_steps() {
    let steps = [
        "a run starts",
        "2: append claim",
        // Not written.
        "2: append begin",
        "2: observe a0",
        "2: keep a0",
        "2: read",
        "2: publish a0 over 1.5",
    ];
    assert_breaks(Mutant::NoBegin, NO_FAULT, "CM-2", &steps);
}

#[test]
fn a_publication_over_any_version_is_found_in_15_steps() {
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append begin",
        "a run starts",
        "2: observe a0",
        "2: keep a0",
        "2: read",
        "3: append claim",
        "3: append begin",
        "3: observe a0",
        "3: keep a0",
        "3: read",
        "3: publish a0 over 1.5",
        "2: publish a0 over 1.5",
        "3: append commit",
    ];
    assert_breaks(Mutant::UnconditionalPublish, NO_FAULT, "CM-2", &steps);
}

#[test]
fn an_entry_of_another_taken_for_ours_is_found_in_5_steps() {
    let steps =
        ["a run starts", "a run starts", "2: append claim", "3: append claim", "3: append begin"];
    assert_breaks(Mutant::ExistsIsOurs, NO_FAULT, "CM-1", &steps);
}

#[test]
fn our_own_entry_taken_for_that_of_another_is_found_in_8_steps() {
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append begin",
        "2: observe a0",
        "2: keep a0",
        "2: read",
        "2: publish a0 over 1.5",
        "2: append commit (After)",
    ];
    assert_breaks(Mutant::ExistsIsOthers, LOST_ANSWER, "CM-3", &steps);
}

#[test]
fn a_newer_claim_taken_for_a_mere_conflict_is_found_in_10_steps() {
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append begin",
        "a run starts",
        "2: observe a0",
        "2: keep a0",
        "2: read",
        "2: publish a0 over 1.5",
        "3: append claim",
        "2: append commit",
    ];
    assert_breaks(Mutant::ExistsIsOthers, NO_FAULT, "CM-4", &steps);
}
