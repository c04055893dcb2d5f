//! Which objects of a state prefix nothing needs. It reads no store and no clock.
//!
//! An object is garbage by logic, never by age: its name carries an epoch below the newest claim's,
//! whose writer can never commit again, or it is provably referred to by nothing. Age only gives
//! readers time who still look at an older state. What is no key of ours is never garbage, and the
//! log itself has no role here at all: its entries are never deleted (GC-1).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Epoch, Generation, Seq};
use crate::state::{MarkedObject, State};
use crate::time::{ProcessingTime, Span};

/// The most objects of one mark: bounds the size of its log entry.
pub const MARKED_MAX: usize = 10_000;

/// Checkpoints that stay, newest first, whatever refers to them: loading falls back on older ones.
pub const CHECKPOINTS_KEPT: usize = 3;

/// What an object of a state prefix is there for, as its key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A file that the writer of this epoch staged.
    Staged(Epoch),
    /// Records of the admission of this generation.
    Segment(Generation),
    /// Facts of windows that a checkpoint up to and including this entry leaves out.
    Windows(Seq),
    /// An object that was replaced, as it was.
    Copy,
    /// The state up to and including this entry.
    Checkpoint(Seq),
    /// The heartbeat of the writer of this epoch.
    Heartbeat(Epoch),
    /// It tells what a store can do, or its time, and is of no use afterwards.
    Probe,
}

/// An object of a state prefix that has a role there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which.
    pub object: MarkedObject,
    /// What for.
    pub role: Role,
}

/// Why an object is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Its writer was superseded, and can never put it in place.
    Superseded,
    /// No entry that counts refers to it.
    Unreferenced,
    /// Newer ones took its place.
    Older,
}

impl Why {
    /// The word for it in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Unreferenced => "unreferenced",
            Self::Older => "older",
        }
    }
}

/// An object that nothing needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Garbage {
    /// Which.
    pub object: MarkedObject,
    /// Why.
    pub why: Why,
}

/// What of `listing` nothing needs, as far as the log tells whose fold is `state`; in key order. Of
/// the copies of what was replaced those are needed whose keys, up to the last dot, are in
/// `copies`.
#[must_use]
pub fn garbage(state: &State, listing: &[Stored], copies: &BTreeSet<String>) -> Vec<Garbage> {
    let stretches = state.windows.stretches().map(|(_, stretch)| &stretch.stored);
    let segments = state.segments.iter().map(|segment| &segment.stored).chain(stretches);
    let segments: BTreeSet<&str> = segments.map(|stored| stored.key.as_str()).collect();
    let oldest_kept = oldest_checkpoint_kept(listing);
    let why = |stored: &Stored| match stored.role {
        Role::Staged(epoch) | Role::Heartbeat(epoch) => {
            (epoch < state.epoch).then_some(Why::Superseded)
        }
        // One of a later generation may be about to be named by a writer at work.
        Role::Segment(generation) => {
            let is_named = segments.contains(stored.object.key.as_str());
            (generation <= state.generation && !is_named).then_some(Why::Unreferenced)
        }
        // Derived from the log: without one, what it holds is read from there.
        Role::Windows(seq) => {
            let is_named = segments.contains(stored.object.key.as_str());
            (seq <= state.head.seq && !is_named).then_some(Why::Unreferenced)
        }
        Role::Copy => {
            let revision = stored.object.key.rsplit_once('.').map(|(revision, _)| revision);
            let is_kept = revision.is_some_and(|revision| copies.contains(revision));
            (!is_kept).then_some(Why::Older)
        }
        Role::Checkpoint(seq) => oldest_kept.is_some_and(|kept| seq < kept).then_some(Why::Older),
        Role::Probe => Some(Why::Unreferenced),
    };
    let found = listing
        .iter()
        .filter_map(|stored| Some(Garbage { why: why(stored)?, object: stored.object.clone() }));
    let mut found: Vec<Garbage> = found.collect();
    found.sort();
    found
}

fn oldest_checkpoint_kept(listing: &[Stored]) -> Option<Seq> {
    let seqs = listing.iter().filter_map(|stored| match stored.role {
        Role::Checkpoint(seq) => Some(seq),
        _ => None,
    });
    let seqs: BTreeSet<Seq> = seqs.collect();
    seqs.into_iter().rev().take(CHECKPOINTS_KEPT).min()
}

/// Whether what was marked at `marked_at` may be swept `now`, both by the store's clock.
#[must_use]
pub fn is_ripe(marked_at: ProcessingTime, now: ProcessingTime, retention: Span) -> bool {
    marked_at <= now && now.since(marked_at) >= retention
}

/// What becomes of marked objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Those to delete, exactly these versions.
    pub delete: Vec<Garbage>,
    /// Keys of those that are needed again, or have other bytes by now.
    pub spared: Vec<String>,
}

/// What becomes of the objects `marked` earlier: those that are listed still, are garbage still,
/// and have the very bytes that were marked, go.
#[must_use]
pub fn sweep(marked: &[MarkedObject], listing: &[Stored], garbage: &[Garbage]) -> Sweep {
    let listed: BTreeSet<&str> = listing.iter().map(|stored| stored.object.key.as_str()).collect();
    let garbage: BTreeMap<&str, &Garbage> =
        garbage.iter().map(|found| (found.object.key.as_str(), found)).collect();
    let mut sweep = Sweep::default();
    for object in marked.iter().filter(|object| listed.contains(object.key.as_str())) {
        match garbage.get(object.key.as_str()) {
            Some(found) if found.object == *object => sweep.delete.push((*found).clone()),
            _ => sweep.spared.push(object.key.clone()),
        }
    }
    sweep
}
