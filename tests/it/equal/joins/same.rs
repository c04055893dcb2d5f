//! What does not matter to outputs: how rows are spread over files and runs; and what moves them:
//! time.

use chrono::NaiveDateTime;
use chrono_tz::Tz;

use super::model::MINUTE;
use super::world::{Setup, World, path_of};
use super::{ROUNDS, random_rows};
use crate::equal::assert_equal;
use crate::support::{Dice, HOUR, Outputs, Row, each};

/// How many sets of rows are tried.
const TRIALS: u64 = 2;

/// The rows of both sources.
fn some_rows(dice: &mut Dice, setup: &Setup) -> [Vec<Row>; 2] {
    let hours = setup.span / HOUR;
    [0, 1].map(|_| (0..6).flat_map(|_| random_rows(dice, setup, hours)).collect())
}

/// The outputs of a new project to which each source is fed in one file.
fn outputs_of(setup: &Setup, rows: &[Vec<Row>; 2]) -> Outputs {
    let mut world = World::new(setup.clone());
    for (folder, rows) in rows.iter().enumerate() {
        world.feed(folder, "all.parquet", rows.clone());
    }
    world.assert_done();
    world.project.outputs()
}

/// The outputs of a new project to which the same rows are dealt out in many files, over several
/// runs.
fn outputs_of_many(dice: &mut Dice, setup: &Setup, rows: &[Vec<Row>; 2]) -> Outputs {
    let mut world = World::new(setup.clone());
    let runs = u64::try_from(ROUNDS).unwrap();
    let mut parts = vec![[Vec::<Row>::new(), Vec::new()]; 4];
    for (folder, rows) in rows.iter().enumerate() {
        for row in rows {
            let part = usize::try_from(dice.roll(runs)).unwrap();
            let place = usize::try_from(dice.roll(2)).unwrap();
            let rows = &mut parts[part][folder];
            rows.insert(place * rows.len(), *row);
        }
    }
    for (name, part) in parts.into_iter().enumerate() {
        for (folder, rows) in part.into_iter().enumerate() {
            world.feed(folder, &format!("{name}.parquet"), rows);
        }
        if dice.roll(2) == 0 {
            world.project.run();
        }
    }
    world.project.run();
    world.project.outputs()
}

fn is_spread(seed: u64) {
    let mut dice = Dice(seed);
    let setup = Setup::random(&mut dice);
    let rows = some_rows(&mut dice, &setup);
    let whole = outputs_of(&setup, &rows);
    assert_equal(&outputs_of_many(&mut dice, &setup, &rows), &whole);
}

#[test]
fn how_rows_of_a_join_are_spread_over_files_and_runs_does_not_matter() {
    let seeds: Vec<u64> = (0..TRIALS).collect();
    each(2, &seeds, |seed| format!("the rows of seed {seed}"), |seed| is_spread(*seed));
}

/// The outputs with every time in them later `by` so much.
fn moved(outputs: &Outputs, by: i64) -> Outputs {
    let word = |word: &str| match word.strip_prefix("at=") {
        Some(at) => format!("at={}", at.parse::<i64>().unwrap() + by),
        None => word.to_owned(),
    };
    let row = |row: &String| row.split(' ').map(word).collect::<Vec<_>>().join(" ");
    let object = |(path, rows): (&String, &Vec<String>)| {
        let (output, rest) = path.strip_prefix("out/").unwrap().split_once("/at=").unwrap();
        let stamp = rest.strip_suffix("/data.parquet").unwrap();
        let start = NaiveDateTime::parse_from_str(stamp, "%Y%m%dT%H%M").unwrap();
        let path = path_of(output, start.and_utc().timestamp_micros() + by);
        (path, rows.iter().map(row).collect())
    };
    outputs.iter().map(object).collect()
}

fn is_moved(seed: u64) {
    let mut dice = Dice(seed);
    let mut setup = Setup::random(&mut dice);
    setup.windows = setup.windows.map(|(minutes, _)| (minutes, Tz::UTC));
    let rows = some_rows(&mut dice, &setup);
    let [(joined, _), (chained, _)] = setup.windows;
    let mut whole = (1..).map(|n| n * joined).filter(|minutes| minutes % chained == 0);
    let by = whole.nth(usize::try_from(dice.roll(3)).unwrap()).unwrap() * MINUTE;
    let later = Setup { first: setup.first + by, ..setup.clone() };
    let late_rows = rows.clone().map(|rows| {
        rows.into_iter().map(|(at, key, value)| (at + by, key, value)).collect::<Vec<Row>>()
    });
    let earlier = outputs_of(&setup, &rows);
    assert_equal(&outputs_of(&later, &late_rows), &moved(&earlier, by));
}

#[test]
fn later_rows_of_a_join_give_the_same_in_later_windows() {
    let seeds: Vec<u64> = (0..TRIALS).collect();
    each(2, &seeds, |seed| format!("the rows of seed {seed}"), |seed| is_moved(*seed));
}
