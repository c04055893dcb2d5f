//! The same histories, with runs of the real binary that are killed: whatever they had done, the
//! next plain runs end where the model says, and all of them together computed what was due.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono_tz::Tz;
use highwater::run::Asked;

use super::check::{PIPELINES, reprocess, text};
use super::model::Window;
use super::world::{Setup, World};
use super::{ROUNDS, begun, change, feed, random_range};
use crate::kill::kill_at;
use crate::support::{Dice, HOUR, each};

/// How many histories are tried.
const HISTORIES: u64 = 6;

/// Runs that must have been killed before they ended, over all histories.
const KILLS: usize = 6;

/// Instants that have a name.
const POINTS: [&str; 22] = [
    "claim.before",
    "claim.after",
    "query.after",
    "references.before",
    "segment.after",
    "inputs.before",
    "inputs.after",
    "watermarks.before",
    "watermarks.after",
    "request.after",
    "begin.before",
    "begin.after",
    "compute.before",
    "compute.after",
    "observe.after",
    "publish.before",
    "publish.after",
    "commit.before",
    "commit.after",
    "request_done.before",
    "release.before",
    "release.after",
];

/// Starts the real binary and kills it: at a named point if it comes there, or after a while.
/// Whether it was killed before it ended.
fn is_killed(dice: &mut Dice, world: &World, range: Window) -> bool {
    let (from, to) = (text(range.0), text(range.1));
    let asks = ["reprocess", "joined", "--from", &from, "--to", &to, "--yes"];
    let args = *dice.pick(&[&["run"][..], &["run"], &["run", "joined"], &asks]);
    let mut command = world.project.command(args);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let point = if dice.roll(3) == 0 { "publish.after" } else { *dice.pick(&POINTS) };
    // Both pipelines pass each point, and `publish` once per object.
    let count = 1 + dice.roll(if point.starts_with("publish") { 20 } else { 2 });
    let delay = (dice.roll(4) == 0).then(|| Duration::from_millis(dice.roll(300)));
    if delay.is_none() {
        command.env("HIGHWATER_STOP_AT", format!("{point}:{count}"));
    }
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let is_there = match delay {
        Some(delay) => {
            std::thread::sleep(delay);
            true
        }
        None => said.any(|line| line.starts_with("stopped at ")),
    };
    if is_there {
        child.kill().unwrap();
    }
    let ended = child.wait().unwrap();
    let is_killed = ended.signal() == Some(9);
    assert!(is_killed || ended.success(), "{args:?} to {point}:{count} ended with {ended}");
    is_killed
}

/// Whether the log of a pipeline has a request since entry `first`.
fn is_asked(world: &World, pipeline: usize, first: usize) -> bool {
    let entries = world.project.entries(PIPELINES[pipeline]);
    entries.iter().skip(first).any(|entry| entry["kind"] == "request")
}

/// Something happens after a run was killed. Whether it may have undone what windows were due for.
fn go_on(dice: &mut Dice, world: &mut World, round: i64, range: Window) -> bool {
    match dice.roll(6) {
        // What needs windows in doubt waits for them, and does not fail.
        0 => drop(world.carry_out(1, &Asked::Run)),
        1 | 2 => drop(world.carry_out(1, &Asked::Request(reprocess(range)))),
        3 => {
            let name = format!("more-{}.parquet", dice.roll(1_000_000));
            feed(dice, world, &name, round);
        }
        4 if world.setup.follows_reference => {
            world.refer(dice.roll(3));
            return true;
        }
        _ => {}
    }
    false
}

/// A history. How many runs were killed in it.
fn check(seed: u64) -> usize {
    let mut dice = Dice(seed);
    let mut world = begun(&mut dice);
    let mut kills = 0;
    for round in 0..ROUNDS {
        for _ in 0..2 + dice.roll(4) {
            change(&mut dice, &mut world, round);
        }
        let first = world.entries();
        let ranges = [0, 1].map(|pipeline| random_range(&mut dice, &world, pipeline));
        let mut is_undone = false;
        for _ in 0..dice.roll(3) {
            kills += usize::from(is_killed(&mut dice, &world, ranges[0]));
            is_undone |= go_on(&mut dice, &mut world, round, ranges[1]);
        }
        for pipeline in [0, 1] {
            let range = is_asked(&world, pipeline, first[pipeline]).then_some(ranges[pipeline]);
            let report = world.carry_out(pipeline, &Asked::Run);
            let due = world.due(pipeline, range);
            if pipeline == 0 || !is_undone {
                world.assert_computed(pipeline, first[pipeline], &due);
            }
            world.assert_watermark(pipeline, &report);
        }
        world.assert_outputs();
    }
    world.assert_done();
    kills
}

#[test]
fn every_history_of_joins_ends_as_its_model_says_though_runs_are_killed() {
    let kills = AtomicUsize::new(0);
    let seeds: Vec<u64> = (0..HISTORIES).collect();
    let work = |seed: &u64| _ = kills.fetch_add(check(*seed), Ordering::SeqCst);
    each(2, &seeds, |seed| format!("the killed history of seed {seed}"), work);
    let kills = kills.into_inner();
    assert!(kills >= KILLS, "only {kills} runs were killed before they ended");
}

#[test]
fn a_pipeline_waits_even_if_all_it_reads_is_in_doubt() {
    let setup = Setup {
        windows: [(60, Tz::UTC), (60, Tz::UTC)],
        reaches: [[0; 3]; 3],
        upstream: "seen",
        ..Setup::random(&mut Dice(1))
    };
    let at = setup.first;
    let mut world = World::new(setup);
    world.feed(0, "a.parquet", vec![(at, "a", 1), (at + HOUR, "a", 1)]);
    world.feed(1, "b.parquet", vec![(at + HOUR, "a", 1)]);
    world.run(0, None);
    world.run(1, None);
    world.feed(0, "late.parquet", vec![(at, "b", 1)]);
    kill_at(&world.project, &["run", "joined"], "publish.after:2");
    let range = (at, at + HOUR);
    world.carry_out(1, &Asked::Request(reprocess(range)));
    let first = world.entries()[1];
    world.carry_out(0, &Asked::Run);
    world.due(0, None);
    // The request is still owed.
    world.carry_out(1, &Asked::Run);
    let due = world.due(1, Some(range));
    world.assert_computed(1, first, &due);
    world.assert_done();
}
