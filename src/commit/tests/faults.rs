//! Every fault at every step, and many orders of the steps of two writers.

use super::program::Run;
use super::work::Work;
use super::world::{Fault, Mutant, World};
use crate::commit::Outcome;

/// How many orders of the steps of two writers are tried.
const SCHEDULES: u64 = 300;

/// A world in which a run has published everything once.
fn published_once(work: Work) -> World {
    let mut world = World::with(work, None);
    let ended = Run::open(&world, 1).finish(&mut world, &[]);
    assert!(matches!(ended, Outcome::Committed(_)), "{ended:?}");
    world.assert_complete();
    world
}

/// Breaks the effect at place `at` of a run; the run dies of it, or makes the best of it. Whether
/// the run got there.
fn survives(mut world: World, at: usize, fault: Fault, dies: bool) -> bool {
    let mut run = Run::open(&world, 2);
    while run.ended.is_none() && run.trace.len() < at {
        run.step(&mut world, 0, None);
    }
    let is_reached = run.ended.is_none();
    if is_reached {
        run.step(&mut world, 0, Some(fault));
    }
    if !dies && run.ended.is_none() {
        let _ = run.finish(&mut world, &[]);
    }
    let trace = run.trace.join("\n");
    drop(run);

    let ended = Run::open(&world, 3).finish(&mut world, &[]);
    let what = format!("{fault:?} at {at}, dies: {dies}\n{trace}");
    assert!(matches!(ended, Outcome::Committed(_)), "{ended:?} after {what}");
    world.assert_complete();
    is_reached
}

#[test]
fn a_run_broken_anywhere_in_any_way_is_completed_by_the_next_one() {
    for world in [
        World::new(None),
        published_once(Work::ALL),
        World::with(Work::ROWS_APART, None),
        published_once(Work::ROWS_APART),
    ] {
        for fault in [Fault::Before, Fault::After, Fault::Refused] {
            for dies in [true, false] {
                let places = (0..).take_while(|at| survives(world.clone(), *at, fault, dies));
                assert!(places.count() >= 14, "every step of a run was broken");
            }
        }
    }
}

/// A small random source: the same seed gives the same schedule everywhere.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % sides as u64).unwrap()
    }

    fn fault(&mut self) -> Option<Fault> {
        match self.roll(24) {
            0 => Some(Fault::Before),
            1 => Some(Fault::After),
            2 | 3 => Some(Fault::Late),
            4 if self.roll(4) == 0 => Some(Fault::Refused),
            _ => None,
        }
    }
}

/// Two programs on one world, each started again whenever it ends, in an order that `seed` decides:
/// one goes on for a while and the other stalls; they die; answers are lost; writes come late.
fn schedule(mut world: World, seed: u64) -> World {
    let mut dice = Dice(seed);
    let (mut names, mut runs, mut active) = (10, [None, None], 0);
    for _ in 0..90 {
        if dice.roll(8) == 0 {
            active = dice.roll(2);
        }
        match dice.roll(40) {
            0 => runs[active] = None,
            1 | 2 => _ = world.land_late(dice.roll(8)),
            _ => {
                let run = runs[active].get_or_insert_with(|| {
                    names += 1;
                    Run::open(&world, names)
                });
                run.step(&mut world, dice.roll(8), dice.fault());
                if run.ended.is_some() {
                    runs[active] = None;
                }
            }
        }
        if world.violation.is_some() {
            break;
        }
    }
    world
}

/// Runs alone on what a schedule left behind, while the late writes land, until one run succeeds.
fn settle(world: &mut World, seed: u64) {
    let mut dice = Dice(seed);
    for name in 100..110 {
        let mut run = Run::open(world, name);
        while run.ended.is_none() {
            if dice.roll(4) == 0 {
                world.land_late(dice.roll(8));
            }
            run.step(world, 0, None);
        }
        if matches!(run.ended, Some(Outcome::Committed(_))) {
            return world.land_all_late();
        }
    }
}

#[test]
fn two_writers_in_any_order_damage_nothing() {
    for (work, schedules) in [(Work::ALL, SCHEDULES), (Work::ROWS_APART, SCHEDULES / 3)] {
        let world = published_once(work);
        let mut claims = 0;
        for seed in 0..schedules {
            let mut world = schedule(world.clone(), seed);
            assert_eq!(world.violation, None, "seed {seed}");
            claims += world.state().epoch.0;
            settle(&mut world, seed);
            world.assert_complete();
        }
        assert!(claims > 3 * schedules, "the writers take the log from each other: {claims}");
    }
}

#[test]
fn a_protocol_with_one_mistake_is_caught() {
    for mutant in [
        Mutant::UnconditionalPublish,
        Mutant::FenceBeforeObserve,
        Mutant::NoBegin,
        Mutant::ExistsIsOurs,
        Mutant::ExistsIsOthers,
        Mutant::KeepsNothing,
    ] {
        assert_caught(mutant, Work::ALL);
    }
    for mutant in [
        Mutant::LostIsRefused,
        Mutant::CommittedOmitted,
        Mutant::DoubtedOmitted,
        Mutant::AsideWithoutFence,
    ] {
        assert_caught(mutant, Work::ROWS_APART);
    }
}

#[track_caller]
fn assert_caught(mutant: Mutant, work: Work) {
    let world = World::with(work, Some(mutant));
    let caught = (0..SCHEDULES).find(|seed| schedule(world.clone(), *seed).violation.is_some());
    assert!(caught.is_some(), "{mutant:?}");
}
