//! The commit protocol, without IO: events in, effects out.
//!
//! ```text
//!  Command::Append(body)                     Command::Batch(batch)
//!        │                                         │
//!   CreateEntry ◄── same bytes ──┐            append `begin`
//!        │ stored     unclear    │                 │
//!        │               ▼       │              Compute          ── all failed ──► append `failed`
//!        │           ReadEntry ──┘ absent          │
//!        │               │ mine / other's        Observe each object     (which version is there?)
//!        ▼               ▼                         │  (but of windows with the rows they have)
//!     Finished(Committed | Fenced | …)           Keep what a revision had, in the history
//!                                                  │
//!                                                Fence              (is the next log place free?)
//!                                                  │
//!                                                Publish each, only over the observed version
//!                                                  │ unclear: Inspect, then Observe and Fence
//!                                                append `commit`, `rollback` or `abort`
//! ```
//!
//! The order *observe, fence, publish* is what makes a stalled writer harmless: whoever took the
//! log over has either taken the next place, which the fence sees, or publishes after it, which
//! changes the version, so that the stalled publication fails its condition (CM-2). An answer that
//! says "exists already" proves nothing: the client may have sent the bytes twice, so the place is
//! read back and compared (CM-1, CM-3).
//!
//! A [`Writer`] never reads a clock or a random source: times and ids come with the commands. The
//! same code is driven by real stores, by tests that break each step, and by an explorer.

mod append;
mod batch;
mod ending;
mod keep;
#[cfg(test)]
mod tests;
mod unchanged;
mod writer;

pub use batch::{Aim, Batch, ComputedWindow, StagedOutput};
pub use keep::Copy;
pub use writer::{Identity, Stamp, Writer};

use crate::hash::Sha256;
use crate::id::{Epoch, Seq};
use crate::state::{Body, FailedWindow, Who};

/// The most times one append, or one publication, is tried before its outcome is called unknown.
pub const TRIES_MAX: u32 = 8;

/// Where an object of a batch stands in it: the window's place, then the output's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectIndex {
    /// The window's place in the batch.
    pub window: usize,
    /// The output's place in the window.
    pub output: usize,
}

/// The version of a published object, as its store tells versions apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectVersion(pub String);

/// What the writer wants done in the world. Each is answered by exactly one event, unless it says
/// otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Create the log's place `seq` with these bytes if it is free. Answer: [`Event::Written`].
    CreateEntry {
        /// The place.
        seq: Seq,
        /// The kind of entry, for people.
        kind: &'static str,
        /// The stored entry.
        bytes: Vec<u8>,
    },
    /// Read the log's place `seq`. Answer: [`Event::EntryRead`].
    ReadEntry {
        /// The place.
        seq: Seq,
    },
    /// Wait a little, longer with each try, at random within it. Answer: [`Event::Paused`].
    Pause {
        /// How many tries failed before.
        tries: u32,
    },
    /// Compute every window of the batch to a staged file. Answer: [`Event::Computed`].
    Compute(Box<Batch>),
    /// Ask which version the object at `path` has. Answer: [`Event::Observed`].
    Observe {
        /// Which object of the batch.
        object: ObjectIndex,
        /// Its key.
        path: String,
    },
    /// Keep the object at `path` in the history, if it is, byte for byte, what the log says of it.
    /// It changes nothing that a reader sees, and to do it twice, or too late, does no harm: a
    /// copy's name says which bytes it has. Answer: [`Event::Kept`].
    Keep {
        /// Which object of the batch.
        object: ObjectIndex,
        /// Its key.
        path: String,
        /// The hash of the bytes that the log says it has.
        sha256: Sha256,
        /// What the copy is called.
        to: Copy,
    },
    /// Put the staged file in place, if the object still has the observed version. Answer:
    /// [`Event::Published`].
    Publish {
        /// Which object of the batch.
        object: ObjectIndex,
        /// What to publish.
        staged: Box<StagedOutput>,
        /// The version it replaces; `None`: it must not exist.
        over: Option<ObjectVersion>,
    },
    /// Ask whether the object at `path` has these bytes. (Each attempt's bytes are its own, for it
    /// is named in them.) Answer: [`Event::Inspected`].
    Inspect {
        /// Which object of the batch.
        object: ObjectIndex,
        /// Its key.
        path: String,
        /// The hash of the bytes.
        sha256: Sha256,
    },
    /// The command is over. No answer.
    Finished(Outcome),
}

/// What happened in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer to [`Effect::CreateEntry`].
    Written(WriteAnswer),
    /// The answer to [`Effect::ReadEntry`]: the bytes, or `None` if the place is free.
    EntryRead(Result<Option<Vec<u8>>, StoreFault>),
    /// The pause is over.
    Paused,
    /// The answer to [`Effect::Compute`], a result for each window in the batch's order.
    Computed(Vec<Result<ComputedWindow, FailedWindow>>),
    /// The answer to [`Effect::Observe`].
    Observed(ObjectIndex, Result<Option<ObjectVersion>, StoreFault>),
    /// The answer to [`Effect::Keep`]: whether the history has it; if not, the object was not what
    /// the log says of it.
    Kept(ObjectIndex, Result<bool, StoreFault>),
    /// The answer to [`Effect::Publish`].
    Published(ObjectIndex, WriteAnswer),
    /// The answer to [`Effect::Inspect`].
    Inspected(ObjectIndex, Result<bool, StoreFault>),
}

/// What a store said of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteAnswer {
    /// It is stored.
    Stored,
    /// It is certainly not stored, and trying again will not help.
    Refused(StoreFault),
    /// It may be stored, but the store cannot be trusted to keep it: reading it back would prove
    /// nothing. (A failed `fsync`: the next one may succeed although bytes were dropped.)
    Untrusted(StoreFault),
    /// Anything else: a condition that failed, a lost answer, a timeout. It may be stored.
    Unclear(StoreFault),
}

/// A failure of the store, in words and with its published code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFault {
    /// The code of the error it becomes.
    pub code: crate::error::Code,
    /// What happened, with the key.
    pub message: String,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The entry is in the log, and the writer's state is its fold.
    Committed(Seq),
    /// Another process took the log over; this one must stop and touch nothing.
    Fenced {
        /// Its epoch.
        epoch: Epoch,
        /// Who it is.
        who: Who,
    },
    /// A claim met an entry of a living writer: look at the lease again.
    OwnerIsAlive {
        /// Who it is.
        who: Who,
    },
    /// A process with this process's own epoch wrote an entry: a copy of this machine or container.
    Cloned {
        /// Where.
        seq: Seq,
    },
    /// Nobody knows whether the last write landed. Running again is safe.
    Unknown(StoreFault),
    /// The store refused; the log is as it was.
    Refused(StoreFault),
    /// The log is damaged, or a newer version writes it.
    Corrupt {
        /// Where.
        seq: Seq,
        /// What is wrong there.
        message: String,
        /// Whether a newer version wrote it.
        too_new: bool,
    },
}

/// What a writer is asked to do.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is used up at once")]
pub enum Command {
    /// Append one entry.
    Append(Body),
    /// Begin, compute, publish and commit a batch of windows.
    Batch(Box<Batch>),
}

/// The hash that names the bytes of an object, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectDigest {
    /// Size in bytes.
    pub bytes: u64,
    /// The hash of them.
    pub sha256: Sha256,
}
