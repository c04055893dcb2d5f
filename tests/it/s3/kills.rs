//! `kill -9` at named points and at random, while a reader lists and reads the outputs.

use std::io::Read;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use highwater::clock::Stopwatch;

use super::{CANARY, Lake};
use crate::equal::assert_equal;
use crate::support::{DAY_0, Dice, HOUR, Outputs, Project, Row, TINY, block_on, each};

/// Where runs are killed: each name is of an instant just before or after a request.
const POINTS: &[&str] = &[
    "claim.before:1",
    "claim.after:1",
    "segment.after:1",
    "inputs.before:1",
    "inputs.after:1",
    "begin.before:1",
    "begin.after:1",
    "compute.after:1",
    "observe.after:1",
    "publish.before:1",
    "publish.after:1",
    "publish.before:3",
    "publish.after:4",
    "commit.before:1",
    "commit.after:1",
    "release.before:1",
    "release.after:1",
    "checkpoint.after:1",
];

/// Histories with kills at random.
const HISTORIES: u64 = 2;

/// Kills at random of each.
const KILLS: u64 = 24;

/// What is fed before the run of `round`: new windows, and late rows for one before.
pub(super) fn rows(round: i64) -> [Vec<Row>; 2] {
    let first = DAY_0 + 2 * round * HOUR;
    let news = (0..3).map(|hour| (first + hour * HOUR, "new", 60 + round)).collect();
    [news, vec![(DAY_0 + round, "late", 60 + round)]]
}

pub(super) fn feed(lake: &Lake, round: i64) {
    for (name, rows) in ["new", "late"].into_iter().zip(rows(round)) {
        lake.feed(&format!("{name}-{round}.parquet"), &rows);
    }
}

/// What the outputs are after the runs of so many rounds.
pub(super) fn expected(rounds: i64) -> Outputs {
    let project = Project::new(TINY);
    for round in 0..rounds {
        for (name, rows) in ["new", "late"].into_iter().zip(rows(round)) {
            project.feed(&format!("{name}-{round}.parquet"), &rows);
        }
    }
    project.run();
    project.outputs()
}

/// Runs the pipeline until it comes to `point`, and kills it there.
pub(super) fn kill_at(lake: &Lake, point: &str) {
    let mut child = lake.start("HIGHWATER_STOP_AT", point);
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    let mut piece = [0; 256];
    while !said.contains("stopped at") {
        let len = stderr.read(&mut piece).unwrap();
        assert!(len > 0, "{point} was not reached: {said}");
        said.push_str(&String::from_utf8_lossy(&piece[..len]));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!said.contains(CANARY), "{said}");
}

/// A reader must never see a row twice, nor a file that is not whole.
async fn look(lake: &Lake) {
    // A file that is replaced between a list and a read is read anew by any reader.
    let Ok(outputs) = lake.outputs_now().await else { return };
    for (object, rows) in outputs {
        let mut once = rows.clone();
        once.dedup();
        assert_eq!(once, rows, "{object} has a row twice");
    }
}

/// Tells the reader that there is nothing more to see, also when the work panics.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn watched(lake: &Lake, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                block_on(look(lake));
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let end = Done(&done);
        work();
        drop(end);
        reader.join().unwrap();
    });
}

#[test]
fn a_run_killed_at_any_named_point_is_finished_by_the_next() {
    let Some(lake) = Lake::new() else { return };
    let rounds = i64::try_from(POINTS.len()).unwrap();
    watched(&lake, || {
        for (round, point) in (0..).zip(POINTS) {
            feed(&lake, round);
            kill_at(&lake, point);
            // Gone from this very host: the next run need not wait for any patience.
            lake.run_well();
        }
    });
    assert_equal(&lake.outputs(), &expected(rounds));
    lake.assert_sound();
}

#[test]
fn runs_killed_at_random_lose_nothing_and_double_nothing() {
    let Some(probe) = Lake::new() else { return };
    feed(&probe, 0);
    probe.run_well();
    feed(&probe, 1);
    let watch = Stopwatch::start();
    probe.run_well();
    let duration = Duration::from_micros(u64::try_from(watch.elapsed().micros()).unwrap());
    let kills = AtomicUsize::new(0);
    let seeds: Vec<u64> = (0..HISTORIES).collect();
    let check = |seed: &u64| {
        let (lake, mut dice) = (Lake::new().unwrap(), Dice(*seed));
        let mut rounds = 0;
        watched(&lake, || {
            for kill in 0..KILLS {
                if kill % 3 == 0 {
                    feed(&lake, rounds);
                    rounds += 1;
                }
                let mut command = lake.command(&["run"]);
                let mut child =
                    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                let per_mille = u32::try_from(dice.roll(1000)).unwrap();
                std::thread::sleep(duration * per_mille / 1000);
                child.kill().unwrap();
                let killed = child.wait().unwrap().code().is_none();
                kills.fetch_add(usize::from(killed), Ordering::SeqCst);
            }
            lake.run_well();
        });
        assert_equal(&lake.outputs(), &expected(rounds));
        lake.assert_sound();
    };
    each(2, &seeds, |seed| format!("seed {seed}"), check);
    let kills = kills.into_inner();
    assert!(kills >= 12, "only {kills} runs were killed before they ended");
}
