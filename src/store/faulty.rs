//! A store that fails on purpose, for tests: at the n-th call, before or after its effect.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Found, ObjectMeta, Store, Written};
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;

/// Which calls fail, and how. Calls are counted over all stores that share it.
#[derive(Debug)]
pub struct Fault {
    calls: AtomicU64,
    at: u64,
    after_effect: bool,
    for_ever: bool,
    flips: bool,
}

impl Fault {
    /// The call number `at`, counted from 1, fails: after its effect or before it, and with it all
    /// later calls if `for_ever`.
    #[must_use]
    pub fn new(at: u64, after_effect: bool, for_ever: bool) -> Arc<Self> {
        Arc::new(Self { calls: AtomicU64::new(0), at, after_effect, for_ever, flips: false })
    }

    /// The call number `at`, counted from 1, brings other bytes than are stored, if it reads any.
    #[must_use]
    pub fn flipping(at: u64) -> Arc<Self> {
        let calls = AtomicU64::new(0);
        Arc::new(Self { calls, at, after_effect: false, for_ever: false, flips: true })
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

    /// Reads, and brings something else if that is due.
    async fn read_or_flip<T>(
        &self,
        call: impl Future<Output = Result<T>>,
        flip: impl FnOnce(T) -> T,
    ) -> Result<T> {
        if !self.fault.flips {
            return self.read_or_fail(call).await;
        }
        let is_due = self.fault.is_due();
        let read = call.await?;
        Ok(if is_due { flip(read) } else { read })
    }

    /// Runs `call`, or fails in its place.
    async fn read_or_fail<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        if !self.fault.is_due() || self.fault.flips {
            return call.await;
        }
        if self.fault.after_effect {
            let _ = call.await;
        }
        Err(injected())
    }

    async fn write_or_fail(&self, call: impl Future<Output = Written>) -> Written {
        if !self.fault.is_due() || self.fault.flips {
            return call.await;
        }
        if self.fault.after_effect {
            let _ = call.await;
        }
        Written::Unclear(injected())
    }
}

/// The same bytes but for one bit in the middle.
fn flipped(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    Bytes::from(bytes)
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

    async fn survey(&self, folder: &str) -> Result<(Vec<ObjectMeta>, Vec<String>)> {
        self.read_or_fail(self.inner.survey(folder)).await
    }

    async fn find(&self, key: &str) -> Result<Found> {
        self.read_or_fail(self.inner.find(key)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.read_or_fail(self.inner.head(key)).await
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>> {
        self.read_or_flip(self.inner.read(key), |bytes| bytes.as_ref().map(flipped)).await
    }

    async fn read_ranges(&self, seen: &ObjectMeta, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let flip = |pieces: Vec<Bytes>| pieces.iter().map(flipped).collect();
        self.read_or_flip(self.inner.read_ranges(seen, ranges), flip).await
    }

    async fn sha256(&self, key: &str) -> Result<Option<Sha256>> {
        let flip = |hash: Option<Sha256>| hash.map(|hash| Sha256::of(hash.to_string().as_bytes()));
        self.read_or_flip(self.inner.sha256(key), flip).await
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
