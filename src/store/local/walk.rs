//! Lists a folder with all below it, on a few threads: of many files, asking the system for one
//! after another is most of what a run with nothing to do takes.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::LocalStore;
use super::failure::{io_error, is_absent};
use crate::error::{Code, Error, Result};
use crate::store::{ObjectMeta, Store};

/// Threads that list one folder, the caller's among them.
const THREADS_MAX: usize = 4;

/// Names of one folder that one thread looks at: of a folder with more, others take some.
const NAMES_AT_ONCE: usize = 1_024;

/// Something to list.
enum Task {
    /// The names in a folder, and what all keys in it begin with.
    Folder(PathBuf, Arc<str>),
    /// Some names of one.
    Names(Vec<DirEntry>, Arc<str>),
}

/// What a listing found.
#[derive(Default)]
struct Found {
    objects: Vec<ObjectMeta>,
    links: Vec<String>,
    folders: Vec<Task>,
}

/// How far a listing is.
#[derive(Default)]
struct Progress {
    /// Taken before folders, so that few of these are open at once.
    names: Vec<Task>,
    folders: Vec<Task>,
    /// How many tasks are in hand: each may bring more.
    in_hand: usize,
    /// Ascending, each.
    objects: Vec<Vec<ObjectMeta>>,
    links: Vec<String>,
    failed: Option<Error>,
}

/// A listing under way.
struct Walk<'a> {
    store: &'a LocalStore,
    root: PathBuf,
    /// Whether links are listed apart, rather than followed where they may be.
    wants_links: bool,
    progress: Mutex<Progress>,
    changed: Condvar,
}

impl LocalStore {
    /// All files below `folder`, by key. Links are followed where they may be, or, if it
    /// `wants_links`, are told beside them.
    pub(super) fn walk(
        &self,
        folder: &str,
        wants_links: bool,
    ) -> Result<(Vec<ObjectMeta>, Vec<String>)> {
        let root = fs::canonicalize(&self.root).map_err(|why| match why.kind() {
            io::ErrorKind::NotFound => {
                Error::new(Code::SourceMissing, format!("folder {} does not exist", self.label))
            }
            _ => io_error("list", &self.label, &why),
        })?;
        if !folder.is_empty() && !root.join(folder).is_dir() {
            return Ok((Vec::new(), Vec::new()));
        }
        let first = Task::Folder(root.join(folder), folder.into());
        let (progress, changed) = (Mutex::default(), Condvar::new());
        let walk = Walk { store: self, root, wants_links, progress, changed };
        walk.go(first);
        walk.end()
    }
}

impl Walk<'_> {
    /// Does everything that `first` leads to.
    fn go(&self, first: Task) {
        // Most folders are small: a thread would cost more than it spares.
        self.do_one(first);
        let more = {
            let progress = self.lock();
            progress.names.len().saturating_add(progress.folders.len())
        };
        std::thread::scope(|scope| {
            for _ in 1..more.min(THREADS_MAX) {
                // Where no thread is to be had, those that there are do it all.
                let _ = std::thread::Builder::new().spawn_scoped(scope, || self.work());
            }
            self.work();
        });
    }

    /// Takes one task after another, as long as there may be more.
    fn work(&self) {
        while let Some(task) = self.next() {
            self.do_one(task);
            let mut progress = self.lock();
            progress.in_hand = progress.in_hand.saturating_sub(1);
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<Task> {
        let mut progress = self.lock();
        loop {
            if progress.failed.is_some() {
                return None;
            }
            if let Some(task) = progress.names.pop().or_else(|| progress.folders.pop()) {
                progress.in_hand = progress.in_hand.saturating_add(1);
                return Some(task);
            }
            if progress.in_hand == 0 {
                return None;
            }
            progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn do_one(&self, task: Task) {
        let found = match task {
            Task::Folder(folder, prefix) => self.folder(&folder, &prefix),
            Task::Names(names, prefix) => self.names(&names, &prefix),
        };
        let mut progress = self.lock();
        match found {
            Ok(Found { mut objects, links, folders }) => {
                objects.sort_unstable_by(|one, other| one.key.cmp(&other.key));
                progress.objects.push(objects);
                progress.links.extend(links);
                progress.folders.extend(folders);
            }
            Err(why) => progress.failed = progress.failed.take().or(Some(why)),
        }
        self.changed.notify_all();
    }

    /// Reads the names in a folder, and looks at the last of them.
    fn folder(&self, folder: &Path, prefix: &Arc<str>) -> Result<Found> {
        let failed = |why: io::Error| self.store.failure("list", prefix, &why);
        let mut names = Vec::new();
        for item in fs::read_dir(folder).map_err(failed)? {
            if names.len() >= NAMES_AT_ONCE {
                let full = Task::Names(std::mem::take(&mut names), prefix.clone());
                self.lock().names.push(full);
                self.changed.notify_all();
            }
            names.push(item.map_err(failed)?);
        }
        self.names(&names, prefix)
    }

    fn names(&self, names: &[DirEntry], prefix: &Arc<str>) -> Result<Found> {
        let mut found = Found { objects: Vec::with_capacity(names.len()), ..Found::default() };
        for item in names {
            let name = item.file_name();
            let Some(name) = self.visible(&name, prefix)? else { continue };
            let key = [prefix, name].concat();
            if self.wants_links && item.file_type().is_ok_and(|found| found.is_symlink()) {
                found.links.push(key);
                continue;
            }
            let Some(metadata) = self.follow(item, &key)? else { continue };
            if metadata.is_dir() {
                found.folders.push(Task::Folder(item.path(), format!("{key}/").into()));
            } else if metadata.is_file() {
                found.objects.push(self.store.meta(key, &metadata));
            }
        }
        Ok(found)
    }

    /// What `item` is. A link is followed to a file inside the root and nowhere else: to follow it
    /// out would read what nobody put there, to follow one to a folder may never end.
    fn follow(&self, item: &DirEntry, key: &str) -> Result<Option<Metadata>> {
        let failed = |why: &io::Error| self.store.failure("look at", key, why);
        let metadata = match item.metadata() {
            Ok(metadata) => metadata,
            // Gone since the folder was read.
            Err(why) if is_absent(&why) => return Ok(None),
            Err(why) => return Err(failed(&why)),
        };
        if !metadata.is_symlink() {
            return Ok(Some(metadata));
        }
        let target = match fs::canonicalize(item.path()) {
            Ok(target) => target,
            Err(why) if is_absent(&why) => {
                let target = fs::read_link(item.path()).unwrap_or_default();
                let (name, target) = (self.store.name_of(key), target.display());
                let text = format!("{name} is a link to {target}, which is not there");
                return Err(Error::new(Code::StoreFailed, text)
                    .hint("remove the link, or put the file in its place"));
            }
            Err(why) => return Err(failed(&why)),
        };
        let metadata = fs::metadata(&target).map_err(|why| failed(&why))?;
        if target.starts_with(&self.root) && metadata.is_file() {
            return Ok(Some(metadata));
        }
        Err(Error::new(
            Code::StoreFailed,
            format!("{} is a link to {}", self.store.name_of(key), target.display()),
        )
        .note("links are followed only to files inside the folder itself")
        .hint("copy the files in, or point `path` at the folder they are in"))
    }

    /// The name of a file, unless it begins with `_` or `.`: readers take those for scratch. A name
    /// that is no text cannot be logged, and is not passed over in silence.
    fn visible<'n>(&self, name: &'n OsStr, prefix: &str) -> Result<Option<&'n str>> {
        let shown = name.to_string_lossy();
        if shown.starts_with(['_', '.']) {
            return Ok(None);
        }
        let unnameable = || {
            let name = self.store.name_of(&format!("{prefix}{shown}"));
            Error::new(Code::StoreFailed, format!("the name of {name} is not UTF-8"))
                .hint("rename the file, or move it out of the folder")
        };
        name.to_str().map(Some).ok_or_else(unnameable)
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found, once everything is done.
    fn end(self) -> Result<(Vec<ObjectMeta>, Vec<String>)> {
        let progress = self.progress.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Progress { mut objects, mut links, failed, .. } = progress;
        if let Some(why) = failed {
            return Err(why);
        }
        // Nearly in order like this: then sorting is little more than looking.
        let first = |run: &Vec<ObjectMeta>| run.first().map(|meta| meta.key.clone());
        objects.sort_by_cached_key(first);
        let mut all = Vec::with_capacity(objects.iter().map(Vec::len).sum());
        for run in objects {
            all.extend(run);
        }
        all.sort_by(|one, other| one.key.cmp(&other.key));
        links.sort_unstable();
        Ok((all, links))
    }
}
