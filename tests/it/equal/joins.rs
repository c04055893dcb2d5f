//! Random histories of a pipeline that joins two sources with margins, and of one chained on it,
//! against a model of both: outputs show exactly the rows that each window may see, and exactly the
//! windows are computed that the model calls due. Processes that are killed on the way change
//! nothing of that.

mod check;
mod kills;
mod model;
mod same;
mod world;

use model::{MINUTE, Window};
use world::{Setup, World};

use crate::support::{Dice, HOUR, Row, each};

/// How many histories are tried.
const HISTORIES: u64 = 12;

/// Rounds of a history: things happen, then there is a run.
const ROUNDS: i64 = 4;

/// Files of each source; few, so that they are often replaced.
const FILES: [&str; 4] = ["a.parquet", "b.parquet", "x/c.parquet", "x/d.parquet"];

/// A file of a few rows, of the first `hours` of events. They like to lie at edges.
fn random_rows(dice: &mut Dice, setup: &Setup, hours: i64) -> Vec<Row> {
    let quarters = u64::try_from(hours * 4).unwrap();
    let mut row = || {
        let quarter = i64::try_from(dice.roll(quarters)).unwrap();
        let beside = dice.pick(&[0, 0, 1, -1, 10 * MINUTE, 10 * MINUTE - 1]);
        let at = setup.first + quarter * 15 * MINUTE + beside;
        (at, *dice.pick(&["a", "b", "c"]), i64::try_from(dice.roll(1_000_000_000)).unwrap())
    };
    let rows: Vec<Row> = std::iter::repeat_with(&mut row).take(8).collect();
    let len = *dice.pick(&[0, 1, 3, 5, 8]);
    rows[..len].to_vec()
}

/// A project whose sources have something already.
fn begun(dice: &mut Dice) -> World {
    let mut world = World::new(Setup::random(dice));
    for folder in [0, 1] {
        let rows = random_rows(dice, &world.setup, world.setup.span / HOUR / 2);
        world.feed(folder, FILES[0], rows);
    }
    world
}

/// A new file, or another one in place of one that is there.
fn feed(dice: &mut Dice, world: &mut World, name: &str, round: i64) {
    let folder = usize::from(dice.roll(2) == 0);
    let hours = world.setup.span / HOUR * (round + 3) / (ROUNDS + 2);
    let rows = random_rows(dice, &world.setup, hours);
    world.feed(folder, name, rows);
}

/// Something happens to what is read.
fn change(dice: &mut Dice, world: &mut World, round: i64) {
    let folder = usize::from(dice.roll(2) == 0);
    let there: Vec<String> = world.folders[folder].keys().cloned().collect();
    match dice.roll(10) {
        // The same rows, in what is another version all the same.
        0 if !there.is_empty() => {
            let name = dice.pick(&there);
            let rows = world.folders[folder][name].rows.clone();
            world.feed(folder, name, rows);
        }
        // A source that has lost all its files is an error.
        1 | 2 if world.setup.follows_removed && there.len() > 1 => {
            let name = dice.pick(&there);
            world.remove(folder, name);
        }
        3 => world.refer(dice.roll(3)),
        _ => {
            let name = *dice.pick(&FILES);
            feed(dice, world, name, round);
        }
    }
}

/// A stretch of windows, most of them computed.
fn random_range(dice: &mut Dice, world: &World, pipeline: usize) -> Window {
    let computed: Vec<i64> = world.pipes[pipeline].computed.iter().copied().collect();
    let from = if computed.is_empty() { world.setup.first } else { *dice.pick(&computed) };
    (from - HOUR, from + world.setup.span / 4)
}

fn check(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = begun(&mut dice);
    for round in 0..ROUNDS {
        for _ in 0..2 + dice.roll(4) {
            change(&mut dice, &mut world, round);
        }
        let pipelines = *dice.pick(&[&[0, 1][..], &[0, 1], &[0, 1], &[0], &[1]]);
        for pipeline in pipelines {
            let is_asked = dice.roll(4) == 0;
            let range = is_asked.then(|| random_range(&mut dice, &world, *pipeline));
            world.run(*pipeline, range);
        }
        world.assert_outputs();
    }
    world.assert_done();
}

#[test]
fn every_history_of_joins_ends_as_its_model_says() {
    let seeds: Vec<u64> = (0..HISTORIES).collect();
    each(2, &seeds, |seed| format!("the history of seed {seed}"), |seed| check(*seed));
}
