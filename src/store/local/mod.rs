//! A folder of the local disk as a store.
//!
//! What is reported as stored survives a loss of power: a file is synced before it is linked or
//! renamed into place, and its folder afterwards; folders are settled before they are used. No
//! reader ever sees a part of a file. A failed sync is not tried again, for on Linux the next one
//! may succeed although bytes were dropped: the store writes nothing more.
//!
//! Replacing is conditional only as far as this process can see: it relies on the pipeline's lock
//! to keep other writers away.

mod failure;
mod fitness;
mod folders;
mod fs;
mod read;
mod walk;
mod write;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;

pub use fitness::{SHARED_ALLOWED, fitness};
pub use folders::make_folders;
pub use fs::{Disk, Fs};

use super::{Found, ObjectMeta, Store, Written};
use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use folders::Folders;

/// A folder as a store.
#[derive(Clone, Debug)]
pub struct LocalStore {
    root: PathBuf,
    /// Where files are written before they are linked into place; on the same file system.
    staging: PathBuf,
    /// How the root is called in messages.
    label: String,
    clock: Clock,
    /// Whether only the owner may look into it.
    is_private: bool,
    fs: Arc<dyn Fs>,
    folders: Arc<Folders>,
    /// The first failure after which nobody knows what the disk holds.
    distrust: Arc<OnceLock<String>>,
}

impl LocalStore {
    /// The store of everything below `root`, which is called `label` in messages. Files are staged
    /// in `staging`, on the same file system. Neither folder need exist before the first write.
    #[must_use]
    pub fn new(
        root: impl Into<PathBuf>,
        staging: impl Into<PathBuf>,
        label: impl Into<String>,
        clock: Clock,
    ) -> Self {
        Self {
            root: absolute(root.into()),
            staging: absolute(staging.into()),
            label: label.into(),
            clock,
            is_private: false,
            fs: Arc::new(Disk),
            folders: Arc::default(),
            distrust: Arc::default(),
        }
    }

    /// The same store for state: nobody but the owner may look into the folders and files that it
    /// makes, and it reads through no link.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.is_private = true;
        self
    }

    /// The same store, writing by `fs`; for tests.
    #[must_use]
    pub fn with_fs(mut self, fs: Arc<dyn Fs>) -> Self {
        self.fs = fs;
        self
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> T + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(this))
            .await
            .map_err(|why| Error::new(Code::Bug, format!("a file operation panicked: {why}")))
    }
}

/// `path` from the root of the file system, links as they are.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

#[async_trait]
impl Store for LocalStore {
    fn name_of(&self, key: &str) -> String {
        match (self.label.as_str(), key) {
            ("" | ".", key) => key.to_owned(),
            (label, "") => label.to_owned(),
            (label, key) => format!("{}/{key}", label.trim_end_matches('/')),
        }
    }

    fn path_of(&self, key: &str) -> Option<PathBuf> {
        Some(self.path(key))
    }

    async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        let folder = folder.to_owned();
        self.blocking(move |this| this.list_now(&folder)).await?
    }

    async fn survey(&self, folder: &str) -> Result<(Vec<ObjectMeta>, Vec<String>)> {
        let folder = folder.to_owned();
        self.blocking(move |this| this.survey_now(&folder)).await?
    }

    async fn find(&self, key: &str) -> Result<Found> {
        let key = key.to_owned();
        self.blocking(move |this| this.find_now(&key)).await?
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        let key = key.to_owned();
        self.blocking(move |this| this.head_now(&key)).await?
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>> {
        let key = key.to_owned();
        self.blocking(move |this| this.read_now(&key)).await?
    }

    async fn read_ranges(&self, seen: &ObjectMeta, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (seen, ranges) = (seen.clone(), ranges.to_vec());
        self.blocking(move |this| this.read_ranges_now(&seen, &ranges)).await?
    }

    async fn sha256(&self, key: &str) -> Result<Option<Sha256>> {
        let key = key.to_owned();
        self.blocking(move |this| this.sha256_now(&key)).await?
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Written {
        let key = key.to_owned();
        let written = self.blocking(move |this| this.create_now(&key, &bytes)).await;
        written.unwrap_or_else(Written::Unclear)
    }

    async fn adopt(&self, key: &str, from: &dyn Store, seen: &ObjectMeta) -> Written {
        if let Some(path) = from.path_of(&seen.key) {
            let to = key.to_owned();
            let mark = seen.mark.clone();
            match self.blocking(move |this| this.adopt_now(&to, &path, &mark)).await {
                Ok(Some(written)) => return written,
                Ok(None) => {}
                Err(why) => return Written::Unclear(why),
            }
        }
        crate::store::copy(self, key, from, seen).await
    }

    async fn overwrite(&self, key: &str, bytes: Bytes) -> Result<()> {
        let key = key.to_owned();
        self.blocking(move |this| this.overwrite_now(&key, &bytes)).await?
    }

    async fn remove(&self, seen: &ObjectMeta) -> Result<()> {
        let seen = seen.clone();
        self.blocking(move |this| this.remove_now(&seen)).await?
    }

    async fn publish(&self, key: &str, staged: &Path, over: Option<&str>) -> Written {
        let (key, staged, over) = (key.to_owned(), staged.to_owned(), over.map(str::to_owned));
        let work = move |this: Self| this.publish_now(&key, &staged, over.as_deref());
        self.blocking(work).await.unwrap_or_else(Written::Unclear)
    }
}
