//! Whole runs on an object store that misbehaves, in simulated time: several processes, killed and
//! stopped and started, one seed for everything. Each seed enables some faults; a seed that fails
//! is run again by the line that it prints.

#![allow(clippy::print_stderr, reason = "a seed that fails is told with its trace")]

mod bucket;
mod fault;
mod history;
mod log;
mod model;
mod store;
mod world;

use std::env;
use std::sync::Mutex;

use self::fault::{Fault, SOMETIMES};
use self::history::history;
use crate::support::each;

/// How many histories are tried, unless `HIGHWATER_HISTORIES` says otherwise.
const HISTORIES: u64 = 2_000;

/// After so many that break a promise no more are tried.
const BROKEN_MAX: usize = 10;

/// One in so many is run twice, to see that it is the same, unless `HIGHWATER_TWICE_EVERY` says
/// otherwise.
const TWICE_EVERY: u64 = 50;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Whether the history of `seed` keeps every promise; what is wrong is printed.
fn keeps(seed: u64) -> bool {
    let told = history(seed);
    let mut wrong = told.wrong;
    if seed.is_multiple_of(number("HIGHWATER_TWICE_EVERY").unwrap_or(TWICE_EVERY)) {
        let again = history(seed);
        if told.hash != again.hash {
            let mut lines = told.trace.iter().zip(&again.trace);
            wrong.push(format!("twice is not the same: {:?}", lines.find(|(a, b)| a != b)));
        }
    }
    if wrong.is_empty() {
        return true;
    }
    let replay = format!("HIGHWATER_SEED={seed} cargo test --test it simulation -- --nocapture");
    eprintln!("{}\n\n{}\n\n{replay}\n", told.trace.join("\n"), wrong.join("\n"));
    false
}

#[test]
fn every_history_keeps_every_promise() {
    if let Some(seed) = number("HIGHWATER_SEED") {
        eprintln!("{}", history(seed).trace.join("\n"));
        return assert!(keeps(seed));
    }
    let asked = number("HIGHWATER_HISTORIES");
    let first = number("HIGHWATER_FIRST_SEED").unwrap_or(1);
    let count = asked.unwrap_or(HISTORIES);
    let seeds: Vec<u64> = (first..first + count).collect();
    let broken = Mutex::new(Vec::new());
    let try_one = |seed: &u64| {
        if broken.lock().unwrap().len() < BROKEN_MAX && !keeps(*seed) {
            broken.lock().unwrap().push(*seed);
        }
    };
    each(2, &seeds, |seed| format!("the history of seed {seed}"), try_one);
    for (what, times) in SOMETIMES.all() {
        eprintln!("{times:>8} {what}");
    }
    assert_eq!(broken.into_inner().unwrap(), [0; 0], "the traces of these seeds are above");
    if asked.is_none() {
        let never: Vec<String> = wanted().into_iter().filter(|what| !has_been(what)).collect();
        assert_eq!(never, [""; 0], "these things never happened");
    }
}

/// Whether something happened in some history.
fn has_been(what: &str) -> bool {
    SOMETIMES.count(what) > 0
}

/// What must happen in some history, for the rest to mean anything.
fn wanted() -> Vec<String> {
    let outcomes = [
        "exit 11",
        "exit 12",
        "exit 75",
        "kill",
        "killed after a step",
        "late landing after takeover",
        "late: had no effect",
        "late: landed",
        "left in the inbox",
        "stopped after a step",
        "takeover",
        "Condition × inbox",
    ];
    let mut wanted: Vec<String> = outcomes.map(str::to_owned).to_vec();
    for step in ["claim", "begin", "publish", "commit", "release", "heartbeat"] {
        wanted.extend(Fault::WRITE.iter().map(|fault| format!("{fault:?} × {step}")));
    }
    // Of these there are fewer.
    for step in ["checkpoint", "segment"] {
        wanted
            .extend([Fault::Before, Fault::Late].iter().map(|fault| format!("{fault:?} × {step}")));
        wanted.push(format!("{:?} × {step}", Fault::LostAck));
    }
    wanted
}
