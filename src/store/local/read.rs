//! What a folder holds: lists, looks and reads. Nothing is changed.
//!
//! Inputs are whatever was put there, links inside the folder among it. Outputs are files that we
//! put there: whoever looks for those follows no link.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;

use super::LocalStore;
use super::failure::{io_error, is_absent, is_link};
use crate::clock::since_epoch;
use crate::error::{Code, Error, Result};
use crate::hash::{Sha256, Sha256Stream};
use crate::store::{Found, ObjectMeta, Store};
use crate::time::{ProcessingTime, Span};

/// A file modified this shortly before it is looked at may be modified again within the same tick
/// of the file system's clock.
const YOUNG_FOR: Span = Span::from_seconds(2);

impl LocalStore {
    pub(super) fn failure(&self, what: &str, key: &str, why: &io::Error) -> Error {
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

    pub(super) fn head_now(&self, key: &str) -> Result<Option<ObjectMeta>> {
        match fs::metadata(self.path(key)) {
            Ok(metadata) if metadata.is_file() => Ok(Some(self.meta(key, &metadata))),
            Ok(_) => {
                Err(Error::new(Code::StoreFailed, format!("{} is not a file", self.name_of(key)))
                    .hint("take away what lies there, then run again"))
            }
            Err(why) if is_absent(&why) => Ok(None),
            Err(why) => Err(self.failure("look at", key, &why)),
        }
    }

    pub(super) fn find_now(&self, key: &str) -> Result<Found> {
        if let Some((link, target)) = self.link_on(key)? {
            let what = if link == key {
                "it is a link".to_owned()
            } else {
                format!("it lies behind {}, a link", self.name_of(&link))
            };
            return Ok(Found::Other(format!("{what} to {}", target.display())));
        }
        match fs::symlink_metadata(self.path(key)) {
            Ok(found) if found.is_file() => Ok(Found::Object(self.meta(key, &found))),
            Ok(found) if found.is_dir() => Ok(Found::Other("it is a folder".to_owned())),
            Ok(_) => Ok(Found::Other("it is neither a file nor a folder".to_owned())),
            Err(why) if is_absent(&why) => Ok(Found::Nothing),
            Err(why) => Err(self.failure("look at", key, &why)),
        }
    }

    /// The first link on the way from the root to `key`, and where it leads.
    fn link_on(&self, key: &str) -> Result<Option<(String, PathBuf)>> {
        let ends = key.match_indices('/').map(|(end, _)| end).chain([key.len()]);
        for part in ends.filter_map(|end| key.get(..end)) {
            let path = self.path(part);
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_symlink() => {
                    let target = fs::read_link(&path).unwrap_or_default();
                    return Ok(Some((part.to_owned(), target)));
                }
                Ok(_) => {}
                Err(why) if is_absent(&why) => return Ok(None),
                Err(why) => return Err(self.failure("look at", part, &why)),
            }
        }
        Ok(None)
    }

    pub(super) fn list_now(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        self.walk(folder, None)
    }

    pub(super) fn survey_now(&self, folder: &str) -> Result<(Vec<ObjectMeta>, Vec<String>)> {
        if let Some((link, _)) = self.link_on(folder.trim_end_matches('/'))? {
            return Ok((Vec::new(), vec![link]));
        }
        let mut links = Vec::new();
        let found = self.walk(folder, Some(&mut links))?;
        Ok((found, links))
    }

    /// All files below `folder`. Links are followed where they may be, or, if `links` are asked
    /// for, are those.
    fn walk(&self, folder: &str, mut links: Option<&mut Vec<String>>) -> Result<Vec<ObjectMeta>> {
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
                if let Some(links) = &mut links
                    && item.file_type().is_ok_and(|found| found.is_symlink())
                {
                    links.push(key);
                    continue;
                }
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
        let target = match fs::canonicalize(item.path()) {
            Ok(target) => target,
            Err(why) if is_absent(&why) => {
                let target = fs::read_link(item.path()).unwrap_or_default();
                let (name, target) = (self.name_of(key), target.display());
                let text = format!("{name} is a link to {target}, which is not there");
                return Err(Error::new(Code::StoreFailed, text)
                    .hint("remove the link, or put the file in its place"));
            }
            Err(why) => return Err(failed(&why)),
        };
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

    pub(super) fn read_now(&self, key: &str) -> Result<Option<Bytes>> {
        let path = self.path(key);
        if self.is_private && path.is_symlink() {
            return Err(is_link(&self.name_of(key), &path));
        }
        match fs::read(path) {
            Ok(bytes) => Ok(Some(Bytes::from(bytes))),
            Err(why) if is_absent(&why) => Ok(None),
            Err(why) => Err(self.failure("read", key, &why)),
        }
    }

    pub(super) fn read_ranges_now(
        &self,
        seen: &ObjectMeta,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>> {
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

    pub(super) fn sha256_now(&self, key: &str) -> Result<Option<Sha256>> {
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
}

/// Another mark means other bytes. The inode is left out, so that a folder that was moved or
/// restored with its times still holds the same versions.
pub(super) fn mark(metadata: &Metadata) -> String {
    format!("{}-{}.{:09}", metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

fn modified_at(metadata: &Metadata) -> ProcessingTime {
    since_epoch(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH))
}
