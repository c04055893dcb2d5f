//! What the search over every order of steps finds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::explore::{Bounds, Explorer, Report};
use super::program::Run;
use super::situations::{Seen, Sight};
use super::work::{Finds, Work};
use super::world::World;
use crate::hash::ContentHash;

/// The variable that asks for a search that takes minutes, and what it must say.
const DEEP: (&str, &str) = ("HIGHWATER_EXPLORE", "deep");
/// The most situations of a search that takes minutes.
const SITUATIONS_DEEP: usize = 12_000_000;
/// How many searches run at once.
const THREADS: usize = 2;
/// The fewest different states that all searches together must come to.
const STATES_MIN: usize = 600_000;

pub(super) const ONE_OBJECT: Work =
    Work { hours: &[0], outputs: &["a"], per_batch: 1, ..Work::ALL };
const TWO_OUTPUTS: Work = Work { hours: &[0], outputs: &["a", "b"], per_batch: 1, ..Work::ALL };
const TWO_WINDOWS: Work = Work { hours: &[0, 1], outputs: &["a"], per_batch: 2, ..Work::ALL };
const TWO_BATCHES: Work = Work { hours: &[0, 1], outputs: &["a"], per_batch: 1, ..Work::ALL };
pub(super) const OPTIONAL_ODD: Work = Work { optional: Some(Finds::Odd), ..ONE_OBJECT };
pub(super) const OPTIONAL_EVEN: Work = Work { optional: Some(Finds::Even), ..ONE_OBJECT };
pub(super) const ONE_FILE: Work = Work { hours: &[], outputs: &[], files: &["f"], ..ONE_OBJECT };
const TWO_FILES: Work = Work { files: &["f", "g"], ..ONE_FILE };
const WINDOW_AND_FILE: Work = Work { files: &["f"], ..OPTIONAL_ODD };

pub(super) const BOUNDS: Bounds = Bounds {
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
pub(super) const NO_FAULT: Bounds = Bounds { faults: 0, crashes: 0, settles: false, ..BOUNDS };

/// One search.
struct Search {
    name: &'static str,
    world: fn() -> World,
    bounds: Bounds,
}

/// The searches, those that take long first.
const SEARCHES: [Search; 20] = [
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
    Search {
        name: "three runs keep the rows of a file aside",
        world: || published(ONE_FILE),
        bounds: Bounds { runs: 3, faults: 0, ..BOUNDS },
    },
    Search {
        name: "two runs replace the rows of a file that are aside",
        world: || published(ONE_FILE),
        bounds: BOUNDS,
    },
    Search {
        name: "an optional object is left out, then published",
        world: || admitted(OPTIONAL_ODD),
        bounds: BOUNDS,
    },
    Search {
        name: "three runs: an optional object comes, is emptied, and filled again",
        world: || published(OPTIONAL_EVEN),
        bounds: Bounds { runs: 3, faults: 0, ..BOUNDS },
    },
    Search {
        name: "an optional object is emptied, then filled again",
        world: || published(OPTIONAL_ODD),
        bounds: Bounds { faults: 1, ..BOUNDS },
    },
    Search {
        name: "two runs keep the rows of a file aside for the first time",
        world: || admitted(ONE_FILE),
        bounds: BOUNDS,
    },
    Search {
        name: "an optional object that comes and goes beside the same rows",
        world: || same_rows(OPTIONAL_EVEN),
        bounds: Bounds { faults: 1, ..BOUNDS },
    },
    Search {
        name: "an optional object in doubt that has no rows any more",
        world: || admitted(OPTIONAL_EVEN),
        bounds: Bounds { faults: 1, ..BOUNDS },
    },
    Search {
        name: "a window with an optional object, a file, and computing them may fail",
        world: || admitted(WINDOW_AND_FILE),
        bounds: Bounds { faults: 1, computing_fails: true, ..BOUNDS },
    },
    Search {
        name: "two files whose rows are kept aside, and reading them may fail",
        world: || admitted(TWO_FILES),
        bounds: Bounds { faults: 1, computing_fails: true, ..BOUNDS },
    },
    Search {
        name: "a copied machine leaves an optional object out",
        world: || copied(admitted(OPTIONAL_ODD)),
        bounds: Bounds { runs: 1, faults: 1, copies: 1, ..BOUNDS },
    },
];

/// What all searches together must see, and how often at least.
const SIGHTS: [(Sight, u64); 27] = [
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
    (Sight::OptionalLeftOut, 500),
    (Sight::OptionalAdded, 1000),
    (Sight::OptionalEmptied, 100),
    (Sight::OptionalFilled, 100),
    (Sight::OptionalDoubted, 1000),
    (Sight::AsideBegunInDoubt, 1000),
    (Sight::AsideEndedInDoubt, 100),
    (Sight::AsideReplaced, 500),
    (Sight::AsideEmptied, 300),
    (Sight::AsideFailed, 100),
    (Sight::Finished, 1000),
    (Sight::Recovered, 1000),
];

/// A world whose inputs are known, and whose writer died.
pub(super) fn admitted(work: Work) -> World {
    let mut world = World::with(work, None);
    let mut run = Run::open(&world, 1);
    while run.trace.last().is_none_or(|line| line != "append inputs") {
        run.step(&mut world, 0, None);
    }
    world
}

/// A world in which everything is published once.
pub(super) fn published(work: Work) -> World {
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
pub(super) fn copied(mut world: World) -> World {
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
