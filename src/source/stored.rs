//! The store of one source under one command.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::kept::Kept;
use crate::error::Result;
use crate::store::{ObjectMeta, Store};

/// The store of one source, how much was read from it, and what of that is kept.
#[derive(Debug)]
pub struct SourceStore {
    store: Arc<dyn Store>,
    bytes_read: AtomicU64,
    kept: Kept,
    /// What it was found to have, until somebody asks.
    ahead: Mutex<Option<Result<Vec<ObjectMeta>>>>,
}

impl SourceStore {
    /// Reads from `store`, and keeps nothing.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Self::keeping(store, 0)
    }

    /// Reads from `store`, and keeps up to `bytes_max` bytes of what a look at new files reads.
    #[must_use]
    pub fn keeping(store: Arc<dyn Store>, bytes_max: u64) -> Arc<Self> {
        let (bytes_read, kept) = (AtomicU64::new(0), Kept::new(bytes_max));
        Arc::new(Self { store, bytes_read, kept, ahead: Mutex::default() })
    }

    /// The store itself.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Lists it for the next [`Self::list`], which takes no time then.
    pub async fn list_ahead(&self) {
        let listed = self.store.list("").await;
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(listed);
    }

    /// Everything that it has, by key: what was listed ahead, once, else what it has now.
    pub(super) async fn list(&self) -> Result<Vec<ObjectMeta>> {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take();
        match ahead {
            Some(listed) => listed,
            None => self.store.list("").await,
        }
    }

    /// What of its files is kept.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Counts bytes that were read past the readers of this module.
    pub(super) fn count(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of Parquet read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }
}
