//! A store that fails on purpose, for tests: at the n-th call, before or after its effect.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::{ObjectMeta, Store, Written};
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;

/// Which calls fail, and how. Calls are counted over all stores that share it.
#[derive(Debug)]
pub struct Fault {
    calls: AtomicU64,
    at: u64,
    after_effect: bool,
    for_ever: bool,
}

impl Fault {
    /// The call number `at`, counted from 1, fails: after its effect or before it, and with it all
    /// later calls if `for_ever`.
    #[must_use]
    pub fn new(at: u64, after_effect: bool, for_ever: bool) -> Arc<Self> {
        Arc::new(Self { calls: AtomicU64::new(0), at, after_effect, for_ever })
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn is_due(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        call == self.at || (self.for_ever && call > self.at)
    }
}

/// A store whose calls fail as a [`Fault`] says.
#[derive(Clone, Debug)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    fault: Arc<Fault>,
}

impl FaultyStore {
    /// The store `inner`, failing as `fault` says.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, fault: Arc<Fault>) -> Self {
        Self { inner, fault }
    }

    /// Runs `call`, or fails in its place.
    async fn read_or_fail<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        if !self.fault.is_due() {
            return call.await;
        }
        if self.fault.after_effect {
            let _ = call.await;
        }
        Err(injected())
    }

    async fn write_or_fail(&self, call: impl Future<Output = Written>) -> Written {
        if !self.fault.is_due() {
            return call.await;
        }
        if self.fault.after_effect {
            let _ = call.await;
        }
        Written::Unclear(injected())
    }
}

fn injected() -> Error {
    Error::new(Code::StoreFailed, "this failure was injected by a test")
}

#[async_trait]
impl Store for FaultyStore {
    fn name_of(&self, key: &str) -> String {
        self.inner.name_of(key)
    }

    fn path_of(&self, key: &str) -> Option<PathBuf> {
        self.inner.path_of(key)
    }

    async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        self.read_or_fail(self.inner.list(folder)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.read_or_fail(self.inner.head(key)).await
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>> {
        self.read_or_fail(self.inner.read(key)).await
    }

    async fn read_ranges(&self, seen: &ObjectMeta, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.read_or_fail(self.inner.read_ranges(seen, ranges)).await
    }

    async fn sha256(&self, key: &str) -> Result<Option<Sha256>> {
        self.read_or_fail(self.inner.sha256(key)).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Written {
        self.write_or_fail(self.inner.create(key, bytes)).await
    }

    async fn adopt(&self, key: &str, from: &dyn Store, seen: &ObjectMeta) -> Written {
        self.write_or_fail(self.inner.adopt(key, from, seen)).await
    }

    async fn overwrite(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.read_or_fail(self.inner.overwrite(key, bytes)).await
    }

    async fn remove(&self, seen: &ObjectMeta) -> Result<()> {
        self.read_or_fail(self.inner.remove(seen)).await
    }

    async fn publish(&self, key: &str, staged: &Path, over: Option<&str>) -> Written {
        self.write_or_fail(self.inner.publish(key, staged, over)).await
    }
}
