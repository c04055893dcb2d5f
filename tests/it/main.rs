//! The one integration test binary.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod aside;
mod balance;
mod chain;
mod checkpoint;
mod checks;
mod cli;
mod clock;
mod corpus;
mod corrupt;
mod crash_images;
mod drift;
mod equal;
mod errors;
mod event_times;
mod example;
mod explain;
mod fault;
mod hostile;
mod judged;
mod kill;
mod limits;
mod local_store;
mod malformed;
mod quarantine;
mod race;
mod retire;
mod rollback;
mod s3;
mod scale;
mod schemas;
mod simulation;
mod support;
mod syscalls;
mod tidy;
mod trace;
mod vacuum;
mod verify;
mod watcher;
