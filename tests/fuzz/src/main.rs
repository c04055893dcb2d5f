//! Feeds one of the targets of `../targets` with what libFuzzer makes of the corpus. The variable
//! `HIGHWATER_FUZZ_TARGET` says which. `.ci/fuzz` builds and runs it.

#![no_main]

mod mutate;
#[path = "../targets/mod.rs"]
mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use targets::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let wanted = std::env::var("HIGHWATER_FUZZ_TARGET").unwrap_or_default();
    TARGETS.iter().find(|target| target.name == wanted).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!("HIGHWATER_FUZZ_TARGET is none of {names:?}")
    })
});

fuzz_target!(|bytes: &[u8]| (TARGET.check)(bytes));

fuzz_mutator!(|bytes: &mut [u8], len: usize, max: usize, seed: u32| {
    match mutate::tokens(&bytes[..len], max, seed) {
        Some(changed) => {
            bytes[..changed.len()].copy_from_slice(&changed);
            changed.len()
        }
        None => libfuzzer_sys::fuzzer_mutate(bytes, len, max),
    }
});
