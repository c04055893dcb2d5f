//! What a folder holds: lists, looks and reads. Nothing is changed.
//!
//! Inputs are whatever was put there, links inside the folder among it. Outputs are files that we
//! put there: whoever looks for those follows no link.

use std::fmt::Write;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
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

    pub(super) fn meta(&self, key: String, metadata: &Metadata) -> ObjectMeta {
        let modified_at = modified_at(metadata);
        ObjectMeta {
            key,
            size: metadata.len(),
            mark: mark(metadata),
            modified_at,
            is_young: self.clock.now().since(modified_at) < YOUNG_FOR,
        }
    }

    pub(super) fn head_now(&self, key: &str) -> Result<Option<ObjectMeta>> {
        match fs::metadata(self.path(key)) {
            Ok(metadata) if metadata.is_file() => Ok(Some(self.meta(key.to_owned(), &metadata))),
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
            Ok(found) if found.is_file() => Ok(Found::Object(self.meta(key.to_owned(), &found))),
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
        self.walk(folder, false).map(|(objects, _)| objects)
    }

    pub(super) fn survey_now(&self, folder: &str) -> Result<(Vec<ObjectMeta>, Vec<String>)> {
        if let Some((link, _)) = self.link_on(folder.trim_end_matches('/'))? {
            return Ok((Vec::new(), vec![link]));
        }
        self.walk(folder, true)
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
    // Of most files it fits: what grows while it is written is moved.
    let mut mark = String::with_capacity(32);
    let (len, seconds, nanos) = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    // Writing to a text cannot fail.
    let _ = write!(mark, "{len}-{seconds}.{nanos:09}");
    mark
}

fn modified_at(metadata: &Metadata) -> ProcessingTime {
    since_epoch(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH))
}
