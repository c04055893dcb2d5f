//! Kills at random instants, while a reader looks at the outputs all the time.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use highwater::clock::Stopwatch;

use super::{AT_ONCE, at, run_well};
use crate::equal::assert_equal;
use crate::support::{Dice, Project, Row, TINY, each, files_below};

/// Histories, each with its own seed.
const HISTORIES: u64 = 8;

/// Rounds of one history: something is fed, then runs are killed.
const ROUNDS: i64 = 3;

/// Runs that are killed in a round.
const KILLS: u64 = 4;

/// Feeds six windows more, and late rows for all before.
fn feed(project: &Project, round: i64) {
    let first = 6 * round;
    let rows: Vec<Row> = (first..first + 7).map(|hour| (at(hour), "new", 60 + round)).collect();
    project.feed(&format!("new-{round}.parquet"), &rows);
    let late: Vec<Row> = (0..first).map(|hour| (at(hour) + round, "late", 60 + round)).collect();
    project.feed(&format!("late-{round}.parquet"), &late);
}

/// What a reader may rely on at any time: whole files, one per window.
fn read(project: &Project) {
    let outputs = project.outputs();
    let strays = project.strays();
    assert!(strays.is_empty(), "{strays:?}");
    for (object, rows) in &outputs {
        let mut once = rows.clone();
        once.dedup();
        assert_eq!(&once, rows, "{object} has a row twice");
    }
}

/// Runs the binary for `delay` at most. Whether it had to be killed.
fn run_for(project: &Project, delay: Duration) -> bool {
    let mut command = project.command(&["run"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap().signal() == Some(9)
}

#[test]
fn outputs_survive_kills_at_random_and_readers_never_see_a_part() {
    let whole = Project::new(TINY);
    let mut duration = Duration::ZERO;
    for round in 0..ROUNDS {
        feed(&whole, round);
        let watch = Stopwatch::start();
        run_well(&whole, &["run"]);
        let micros = u64::try_from(watch.elapsed().micros()).unwrap();
        duration = duration.max(Duration::from_micros(micros));
    }
    let expected = whole.outputs();
    let kills = AtomicUsize::new(0);
    let seeds: Vec<u64> = (0..HISTORIES).collect();
    let check = |seed: &u64| {
        let (project, done, mut dice) = (Project::new(TINY), AtomicBool::new(false), Dice(*seed));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    read(&project);
                }
            });
            for round in 0..ROUNDS {
                feed(&project, round);
                for _ in 0..KILLS {
                    let per_mille = u32::try_from(dice.roll(1000)).unwrap();
                    let killed = run_for(&project, duration * per_mille / 1000);
                    kills.fetch_add(usize::from(killed), Ordering::SeqCst);
                }
            }
            run_well(&project, &["run"]);
            done.store(true, Ordering::SeqCst);
            reader.join().unwrap();
        });
        assert_equal(&project.outputs(), &expected);
        project.assert_sound();
        // The next run that writes sweeps what the killed ones staged.
        project.feed("more.parquet", &[(at(0), "more", 1)]);
        run_well(&project, &["run"]);
        assert_eq!(files_below(project.path("_highwater/tiny/tmp")), [""; 0]);
    };
    each(AT_ONCE, &seeds, |seed| format!("seed {seed}"), check);
    let kills = kills.into_inner();
    assert!(kills >= 50, "only {kills} runs were killed before they ended");
}
