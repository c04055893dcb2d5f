//! Bytes by key. A store knows nothing of windows, logs or Parquet.
//!
//! Conditional creation and conditional replacement are all the protocol needs of one; what a
//! failed write means is told apart here, once, into [`Written`].

mod faulty;
pub mod layout;
mod local;

use std::fmt;
use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;

pub use faulty::{Fault, FaultyStore};
pub use local::{LocalStore, make_folders, sync_file};

use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::time::ProcessingTime;

/// What a store says of an object without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its key, relative to the store's root, with `/` between folders.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// The store's mark of its version: another mark means other bytes.
    pub mark: String,
    /// When it was last written, by the store's clock.
    pub modified_at: ProcessingTime,
    /// Whether it was written so shortly before it was looked at that a second write could carry
    /// the same mark.
    pub is_young: bool,
}

/// What became of a conditional write.
#[derive(Clone, Debug)]
#[must_use]
pub enum Written {
    /// It is stored, and will survive a loss of power.
    Stored,
    /// It is certainly not stored, and trying again will not help.
    Refused(Error),
    /// It may be stored, but the store cannot be trusted to keep it.
    Untrusted(Error),
    /// Its condition failed, or its answer was lost: it may be stored.
    Unclear(Error),
}

/// A place that keeps bytes by key.
///
/// Errors name the object in full. No method waits for ever: a store that may not answer bounds its
/// own calls.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// The name of `key` as a person would write it, for messages.
    fn name_of(&self, key: &str) -> String;

    /// All objects below the root, by key, whatever their names. Order is by key.
    async fn list(&self) -> Result<Vec<ObjectMeta>>;

    /// The object at `key`; `None` if there is none.
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>>;

    /// All bytes of the object at `key`; `None` if there is none.
    async fn read(&self, key: &str) -> Result<Option<Bytes>>;

    /// Some ranges of the object at `key`, if it still is the version that was seen.
    async fn read_ranges(&self, seen: &ObjectMeta, ranges: &[Range<u64>]) -> Result<Vec<Bytes>>;

    /// The hash of all bytes of the object at `key`, read piece by piece; `None` if there is none.
    async fn sha256(&self, key: &str) -> Result<Option<Sha256>>;

    /// Creates the object at `key` with `bytes`, if there is none.
    async fn create(&self, key: &str, bytes: Bytes) -> Written;

    /// Puts the file `staged` in place as the object at `key`, if that still has the mark `over`,
    /// or does not exist if `over` is `None`. The staged file is gone afterwards if this succeeds.
    async fn publish(&self, key: &str, staged: &Path, over: Option<&str>) -> Written;
}
