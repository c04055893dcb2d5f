//! A folder of the local disk as a store.
//!
//! What is reported as stored survives a loss of power: a file is synced before it is linked or
//! renamed into place, and its folder, and each folder made for it, is synced afterwards
//! (reliability §1.12). A reader never sees a part of a file. A failed sync is not tried again, for
//! on Linux the next one may succeed although bytes were dropped.
//!
//! Replacing is conditional only as far as this process can see: it relies on the pipeline's lock
//! to keep other writers away.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use super::{ObjectMeta, Store, Written, layout};
use crate::clock::{Clock, since_epoch};
use crate::error::{Code, Error, Result};
use crate::hash::{Sha256, Sha256Stream};
use crate::time::{ProcessingTime, Span};

/// A file modified this shortly before it is looked at may be modified again within the same tick
/// of the file system's clock.
const YOUNG_FOR: Span = Span::from_seconds(2);

/// A folder as a store.
#[derive(Clone, Debug)]
pub struct LocalStore {
    root: PathBuf,
    /// Where files are written before they are linked into place; on the same file system.
    staging: PathBuf,
    /// How the root is called in messages.
    label: String,
    clock: Clock,
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
        Self { root: root.into(), staging: staging.into(), label: label.into(), clock }
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

    fn failure(&self, what: &str, key: &str, why: &io::Error) -> Error {
        io_error(what, &self.name_of(key), why)
    }

    fn meta(&self, key: &str, metadata: &Metadata) -> ObjectMeta {
        let modified_at = modified_at(metadata);
        ObjectMeta {
            key: key.to_owned(),
            size: metadata.len(),
            mark: mark(metadata),
            modified_at,
            is_young: self.clock.now().since(modified_at) < YOUNG_FOR,
        }
    }

    fn head_now(&self, key: &str) -> Result<Option<ObjectMeta>> {
        match fs::metadata(self.path(key)) {
            Ok(metadata) if metadata.is_file() => Ok(Some(self.meta(key, &metadata))),
            Ok(_) => {
                Err(Error::new(Code::StoreFailed, format!("{} is not a file", self.name_of(key))))
            }
            Err(why) if is_absent(&why) => Ok(None),
            Err(why) => Err(self.failure("look at", key, &why)),
        }
    }

    fn list_now(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        let root = fs::canonicalize(&self.root).map_err(|why| match why.kind() {
            io::ErrorKind::NotFound => {
                Error::new(Code::SourceMissing, format!("folder {} does not exist", self.label))
            }
            _ => io_error("list", &self.label, &why),
        })?;
        let mut found = Vec::new();
        if !folder.is_empty() && !root.join(folder).is_dir() {
            return Ok(found);
        }
        let mut folders = vec![(root.join(folder), folder.to_owned())];
        while let Some((folder, prefix)) = folders.pop() {
            let failed = |why: &io::Error| self.failure("list", &prefix, why);
            for item in fs::read_dir(&folder).map_err(|why| failed(&why))? {
                let item = item.map_err(|why| failed(&why))?;
                let name = item.file_name();
                let Some(name) = self.visible(&name, &prefix)? else { continue };
                let key = format!("{prefix}{name}");
                let Some(metadata) = self.follow(&root, &item, &key)? else { continue };
                if metadata.is_dir() {
                    folders.push((item.path(), format!("{key}/")));
                } else if metadata.is_file() {
                    found.push(self.meta(&key, &metadata));
                }
            }
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// What `item` is. A link is followed to a file inside the root and nowhere else: to follow it
    /// out would read what nobody put there, to follow one to a folder may never end.
    fn follow(&self, root: &Path, item: &fs::DirEntry, key: &str) -> Result<Option<Metadata>> {
        let failed = |why: &io::Error| self.failure("look at", key, why);
        let metadata = match item.metadata() {
            Ok(metadata) => metadata,
            // Gone since the folder was read.
            Err(why) if is_absent(&why) => return Ok(None),
            Err(why) => return Err(failed(&why)),
        };
        if !metadata.is_symlink() {
            return Ok(Some(metadata));
        }
        let target = fs::canonicalize(item.path()).map_err(|why| failed(&why))?;
        let metadata = fs::metadata(&target).map_err(|why| failed(&why))?;
        if target.starts_with(root) && metadata.is_file() {
            return Ok(Some(metadata));
        }
        Err(Error::new(
            Code::StoreFailed,
            format!("{} is a link to {}", self.name_of(key), target.display()),
        )
        .note("links are followed only to files inside the folder itself")
        .hint("copy the files in, or point `path` at the folder they are in"))
    }

    /// The name of a file, unless it begins with `_` or `.`: readers take those for scratch. A name
    /// that is no text cannot be logged, and is not passed over in silence.
    fn visible<'a>(&self, name: &'a OsStr, prefix: &str) -> Result<Option<&'a str>> {
        let shown = name.to_string_lossy();
        if shown.starts_with(['_', '.']) {
            return Ok(None);
        }
        let unnameable = || {
            let name = self.name_of(&format!("{prefix}{shown}"));
            Error::new(Code::StoreFailed, format!("the name of {name} is not UTF-8"))
                .hint("rename the file, or move it out of the folder")
        };
        name.to_str().map(Some).ok_or_else(unnameable)
    }

    fn read_now(&self, key: &str) -> Result<Option<Bytes>> {
        match fs::read(self.path(key)) {
            Ok(bytes) => Ok(Some(Bytes::from(bytes))),
            Err(why) if is_absent(&why) => Ok(None),
            Err(why) => Err(self.failure("read", key, &why)),
        }
    }

    fn read_ranges_now(&self, seen: &ObjectMeta, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let key = &seen.key;
        let changed = || {
            Error::new(
                Code::InputChanged,
                format!("{} changed while it was read", self.name_of(key)),
            )
            .hint("run `highwater run` again: the new version is taken in by itself")
        };
        let file = match File::open(self.path(key)) {
            Ok(file) => file,
            Err(why) if is_absent(&why) => return Err(changed()),
            Err(why) => return Err(self.failure("read", key, &why)),
        };
        let is_seen = |file: &File| file.metadata().map(|now| mark(&now) == seen.mark);
        let failed = |why: io::Error| self.failure("read", key, &why);
        let mut pieces = Vec::with_capacity(ranges.len());
        for range in ranges {
            let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
            if range.end > seen.size {
                return Err(Error::new(
                    Code::CorruptInput,
                    format!("{} points beyond its own end", self.name_of(key)),
                ));
            }
            let mut piece = vec![0; len];
            match file.read_exact_at(&mut piece, range.start) {
                Ok(()) => pieces.push(Bytes::from(piece)),
                Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => return Err(changed()),
                Err(why) => return Err(failed(why)),
            }
        }
        // Looked at after reading: whatever was read before was read from this version.
        if is_seen(&file).map_err(failed)? { Ok(pieces) } else { Err(changed()) }
    }

    fn sha256_now(&self, key: &str) -> Result<Option<Sha256>> {
        let failed = |why: io::Error| self.failure("read", key, &why);
        let mut file = match File::open(self.path(key)) {
            Ok(file) => file,
            Err(why) if is_absent(&why) => return Ok(None),
            Err(why) => return Err(failed(why)),
        };
        let mut stream = Sha256Stream::default();
        let mut piece = vec![0; 1 << 16];
        loop {
            match file.read(&mut piece).map_err(failed)? {
                0 => return Ok(Some(stream.finish())),
                len => stream.update(&piece[..len]),
            }
        }
    }

    fn create_now(&self, key: &str, bytes: &[u8]) -> Written {
        let target = self.path(key);
        let staged = self.staging.join(layout::staged_creation(self.clock.new_id()));
        let refused = |why: &io::Error| Written::Refused(self.failure("write", key, why));
        let folder = target.parent().unwrap_or(&self.root);
        if let Err(why) = make_folders(&self.staging).and_then(|()| make_folders(folder)) {
            return refused(&why);
        }
        let written = write_new(&staged, bytes);
        let linked = match written {
            Ok(()) => fs::hard_link(&staged, &target),
            Err(why) => {
                // Best effort: what is left behind is not in anybody's way.
                let _ = fs::remove_file(&staged);
                return refused(&why);
            }
        };
        let _ = fs::remove_file(&staged);
        match linked {
            Ok(()) => match sync_folder(folder) {
                Ok(()) => Written::Stored,
                Err(why) => Written::Untrusted(self.failure("sync the folder of", key, &why)),
            },
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                Written::Unclear(self.failure("create", key, &why))
            }
            Err(why) => refused(&why),
        }
    }

    /// Gives the file `from` one more name, `key`; `None` if that is not possible.
    fn link_now(&self, key: &str, from: &Path) -> Option<Written> {
        let target = self.path(key);
        let folder = target.parent().unwrap_or(&self.root);
        let made = make_folders(folder);
        match made.and_then(|()| fs::hard_link(from, &target)) {
            Ok(()) => Some(match sync_folder(folder) {
                Ok(()) => Written::Stored,
                Err(why) => Written::Untrusted(self.failure("sync the folder of", key, &why)),
            }),
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                Some(Written::Unclear(self.failure("create", key, &why)))
            }
            Err(_) => None,
        }
    }

    fn overwrite_now(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let target = self.path(key);
        let staged = self.staging.join(layout::staged_creation(self.clock.new_id()));
        let folder = target.parent().unwrap_or(&self.root);
        let made = make_folders(&self.staging).and_then(|()| make_folders(folder));
        let written = made.and_then(|()| write_new(&staged, bytes));
        written
            .and_then(|()| fs::rename(&staged, &target))
            .and_then(|()| sync_folder(folder))
            .map_err(|why| self.failure("write", key, &why))
    }

    fn remove_now(&self, seen: &ObjectMeta) -> Result<()> {
        let path = self.path(&seen.key);
        let removed = match fs::symlink_metadata(&path) {
            Ok(metadata) if mark(&metadata) == seen.mark => fs::remove_file(&path),
            Ok(_) => Ok(()),
            Err(why) => Err(why),
        };
        match removed {
            Err(why) if !is_absent(&why) => Err(self.failure("remove", &seen.key, &why)),
            _ => Ok(()),
        }
    }

    fn publish_now(&self, key: &str, staged: &Path, over: Option<&str>) -> Written {
        let target = self.path(key);
        let refused = |why: &io::Error| Written::Refused(self.failure("publish", key, why));
        let folder = target.parent().unwrap_or(&self.root);
        if let Err(why) = make_folders(folder) {
            return refused(&why);
        }
        match self.head_now(key) {
            Ok(found) if found.as_ref().map(|meta| meta.mark.as_str()) == over => {}
            Ok(_) => {
                let changed = format!("{} was changed by somebody else", self.name_of(key));
                return Written::Unclear(Error::new(Code::StoreFailed, changed));
            }
            Err(why) => return Written::Refused(why),
        }
        let file = match File::open(staged) {
            Ok(file) => file,
            Err(why) => return refused(&why),
        };
        if let Err(why) = sync_file(&file) {
            return Written::Untrusted(self.failure("sync", key, &why));
        }
        match fs::rename(staged, &target) {
            Ok(()) => match sync_folder(folder) {
                Ok(()) => Written::Stored,
                Err(why) => Written::Untrusted(self.failure("sync the folder of", key, &why)),
            },
            Err(why) => refused(&why),
        }
    }
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
            match self.blocking(move |this| this.link_now(&to, &path)).await {
                Ok(Some(written)) => return written,
                Ok(None) => {}
                Err(why) => return Written::Unclear(why),
            }
        }
        super::copy(self, key, from, seen).await
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

/// The error for a failed operation on `name`: its code says what the operator can do.
fn io_error(what: &str, name: &str, why: &io::Error) -> Error {
    use io::ErrorKind::{
        FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    let message = format!("cannot {what} {name}: {why}");
    match why.kind() {
        PermissionDenied | ReadOnlyFilesystem => Error::new(Code::PermissionDenied, message)
            .hint("give the user that runs highwater access to it, then run again"),
        StorageFull | QuotaExceeded | FileTooLarge => Error::new(Code::StorageFull, message)
            .note("nothing half-written is visible, and committed windows stand")
            .hint("make room and run `highwater run` again: it goes on where it stopped"),
        _ => Error::new(Code::StoreFailed, message),
    }
}

fn is_absent(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Another mark means other bytes. The inode is left out, so that a folder that was moved or
/// restored with its times still holds the same versions.
fn mark(metadata: &Metadata) -> String {
    format!("{}-{}.{:09}", metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

fn modified_at(metadata: &Metadata) -> ProcessingTime {
    since_epoch(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH))
}

/// Makes `folder` and what is missing above it, and syncs whatever got a new entry.
///
/// # Errors
/// As the file system says.
pub fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new("/"));
    make_folders(parent)?;
    match fs::create_dir(folder) {
        Ok(()) => sync_folder(parent),
        // Somebody else made it at the same time.
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(why) => Err(why),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Makes the bytes of `file` survive a loss of power.
///
/// # Errors
/// As [`File::sync_all`]; it must not be tried again.
pub fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Writes a new file that only its owner may read, and syncs it.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    sync_file(&file)
}
