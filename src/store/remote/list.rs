//! Listing.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use object_store::path::Path;

use super::failure::Failure;
use super::{DATA_TRIES, RemoteStore};
use crate::error::Result;
use crate::store::{ObjectMeta, Store};

/// A list that names so many keys again, beside those it names first, does not end.
const REPEATS_MAX: usize = 10_000;

/// Empty objects looked at at once.
const LOOKS_AT_ONCE: usize = 8;

type Listed = BTreeMap<String, object_store::ObjectMeta>;

impl RemoteStore {
    pub(super) async fn list_below(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        let failed = |failure| self.error("list", folder, &failure);
        let path = self.path(folder.trim_end_matches('/')).map_err(failed)?;
        let path = (!path.is_root()).then_some(&path);
        let list = || async move { self.list_once(folder, path).await };
        let mut listed = self.again(DATA_TRIES, list).await.map_err(failed)?;
        for marker in self.markers(&listed).await? {
            listed.remove(&marker);
        }
        listed.into_iter().map(|(key, meta)| self.meta(key, &meta)).collect()
    }

    /// Every visible object below `path`, the place of `folder`, by its key. Each page has the time
    /// of one call.
    async fn list_once(&self, folder: &str, path: Option<&Path>) -> Result<Listed, Failure> {
        let mut listed = Listed::new();
        let mut repeats: usize = 0;
        let mut pages = self.data.store.list(path);
        loop {
            let next = async { pages.next().await.transpose() };
            let Some(meta) = self.data.ask(next).await? else { return Ok(listed) };
            let Some(key) = self.key_of(folder, &meta.location) else { continue };
            if listed.insert(key, meta).is_some() {
                repeats = repeats.saturating_add(1);
            }
            if repeats > listed.len().saturating_add(REPEATS_MAX) {
                return Err(Failure::damaged("the store's list does not end"));
            }
        }
    }

    /// The key of what lies at `path`, if it lies in `folder` and no part of its name below that
    /// begins with `_` or `.`: readers take those for scratch.
    fn key_of(&self, folder: &str, path: &Path) -> Option<String> {
        let root = self.prefix.path.as_str();
        let key = match root {
            "" => path.as_ref(),
            root => path.as_ref().strip_prefix(root)?.strip_prefix('/')?,
        };
        let name = key.strip_prefix(folder).filter(|name| !name.is_empty())?;
        let is_hidden = name.split('/').any(|part| part.starts_with(['_', '.']));
        (!is_hidden).then(|| key.to_owned())
    }

    /// The keys in `listed` that are no objects but marks of folders: their names end with `/`,
    /// which the client leaves away. An empty object is one if it has something below it, or if
    /// nothing is found by the name without the `/`.
    async fn markers(&self, listed: &Listed) -> Result<Vec<String>> {
        let mut folders = BTreeSet::new();
        let mut empty = Vec::new();
        for (key, meta) in listed {
            folders.extend(key.match_indices('/').filter_map(|(at, _)| key.get(..at)));
            if meta.size == 0 {
                empty.push(key.clone());
            }
        }
        let (mut markers, empty): (Vec<String>, Vec<String>) =
            empty.into_iter().partition(|key| folders.contains(key.as_str()));
        let looks = empty.into_iter().map(|key| async move {
            let found = self.head(&key).await;
            found.map(|found| found.is_none().then_some(key))
        });
        let mut looks = futures::stream::iter(looks).buffered(LOOKS_AT_ONCE);
        while let Some(marker) = looks.next().await {
            markers.extend(marker?);
        }
        Ok(markers)
    }
}
