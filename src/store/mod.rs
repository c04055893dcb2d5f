//! Bytes by key. A store knows nothing of windows, logs or Parquet.
//!
//! Conditional creation and conditional replacement are all the protocol needs of one; what a
//! failed write means is told apart here, once, into [`Written`].

mod faulty;
pub mod layout;
mod local;
mod probe;
mod remote;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

pub use faulty::{Fault, FaultyStore};
pub use local::{Disk, Fs, LocalStore, SHARED_ALLOWED, fitness, make_folders};
pub use probe::{PROBE_ROUNDS, Probed, probe};
pub use remote::{Bounds, Clients, Environment, RemoteStore, RetrySpec, connect};

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

/// What lies at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// An object.
    Object(ObjectMeta),
    /// Something else, or something behind a link: what, in words.
    Other(String),
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

    /// The file that holds the object at `key`, if objects are files of this machine.
    fn path_of(&self, _key: &str) -> Option<PathBuf> {
        None
    }

    /// All objects whose keys begin with `folder`, which is empty or ends with `/`, but for those
    /// with a part of their name that begins with `_` or `.`. Order is by key.
    async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>>;

    /// The objects of [`Self::list`], and the keys of links, which are neither followed nor an
    /// error.
    async fn survey(&self, folder: &str) -> Result<(Vec<ObjectMeta>, Vec<String>)> {
        Ok((self.list(folder).await?, Vec::new()))
    }

    /// What lies at `key`. Links are not followed, and what is no object is no error.
    async fn find(&self, key: &str) -> Result<Found> {
        Ok(self.head(key).await?.map_or(Found::Nothing, Found::Object))
    }

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

    /// Creates the object at `key` with the bytes of the version `seen` in the store `from`, if
    /// there is none at `key`. On one file system no byte is copied.
    async fn adopt(&self, key: &str, from: &dyn Store, seen: &ObjectMeta) -> Written {
        copy(self, key, from, seen).await
    }

    /// Stores `bytes` at `key`, whatever was there before. Only for hints: two writers may
    /// overtake each other, and a reader may see what was there before.
    async fn overwrite(&self, key: &str, bytes: Bytes) -> Result<()>;

    /// Removes the version `seen`. That it is gone, or is another by now, is no error: then nothing
    /// is removed, as far as the store can tell.
    async fn remove(&self, seen: &ObjectMeta) -> Result<()>;

    /// Puts the file `staged` in place as the object at `key`, if that still has the mark `over`,
    /// or does not exist if `over` is `None`. The staged file is gone afterwards if this succeeds.
    async fn publish(&self, key: &str, staged: &Path, over: Option<&str>) -> Written;
}

/// Creates the object at `key` in `to` by reading and writing its bytes.
async fn copy<S: Store + ?Sized>(
    to: &S,
    key: &str,
    from: &dyn Store,
    seen: &ObjectMeta,
) -> Written {
    let whole = 0..seen.size;
    match from.read_ranges(seen, std::slice::from_ref(&whole)).await {
        Ok(pieces) => to.create(key, pieces.into_iter().next().unwrap_or_default()).await,
        Err(why) => Written::Refused(why),
    }
}
