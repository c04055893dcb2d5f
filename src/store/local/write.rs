//! Puts files in place: written aside, synced, named, and the name synced.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::LocalStore;
use super::failure::{Failure, changed_nothing, io_error, is_absent, is_link, link_error};
use super::folders::{FolderFailure, Making};
use super::read::mark;
use crate::error::{Code, Error, Result};
use crate::store::{ObjectMeta, Store, Written, layout};

impl LocalStore {
    pub(super) fn create_now(&self, key: &str, bytes: &[u8]) -> Written {
        self.try_create(key, bytes).unwrap_or_else(Written::from)
    }

    fn try_create(&self, key: &str, bytes: &[u8]) -> Result<Written, Failure> {
        let target = self.settled(key)?;
        let staged = self.stage(key, bytes)?;
        let linked = self.fs.link(&staged, &target);
        // Best effort: what is left behind is not in anybody's way.
        let _ = self.fs.remove(&staged);
        match linked {
            Ok(()) => self.sync_name(key, &target).map(|()| Written::Stored),
            Err(why) => self.not_linked(key, &target, &why),
        }
    }

    /// Gives the version `seen` of the file `from` one more name, `key`; `None` if that cannot be.
    pub(super) fn adopt_now(&self, key: &str, from: &Path, seen: &str) -> Option<Written> {
        let adopted = self.try_adopt(key, from, seen);
        adopted.unwrap_or_else(|failure| Some(failure.into()))
    }

    fn try_adopt(&self, key: &str, from: &Path, seen: &str) -> Result<Option<Written>, Failure> {
        let target = self.settled(key)?;
        // A name for a link would be a link too.
        self.refuse_link(key, from)?;
        let opened = File::open(from).ok().filter(|file| is_version(file, seen));
        let Some(opened) = opened else { return Ok(None) };
        // Nobody knows who wrote it, and whether they synced it.
        self.sync(key, from, &opened)?;
        match self.fs.link(from, &target) {
            Ok(()) => self.sync_name(key, &target).map(|()| Some(Written::Stored)),
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                self.not_linked(key, &target, &why).map(Some)
            }
            Err(why) if changed_nothing(&why) => Ok(None),
            Err(why) => Err(self.distrusted("write", key, &why)),
        }
    }

    fn not_linked(&self, key: &str, target: &Path, why: &io::Error) -> Result<Written, Failure> {
        if why.kind() == io::ErrorKind::AlreadyExists {
            self.refuse_link(key, target)?;
            return Ok(Written::Unclear(self.failure("create", key, why)));
        }
        if changed_nothing(why) {
            return Err(Failure::Refused(link_error(&self.name_of(key), why)));
        }
        Err(self.distrusted("write", key, why))
    }

    pub(super) fn overwrite_now(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.try_overwrite(key, bytes).map_err(Failure::into_error)
    }

    fn try_overwrite(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        let target = self.settled(key)?;
        self.refuse_link(key, &target)?;
        let staged = self.stage(key, bytes)?;
        let renamed = self.rename("write", key, &staged, &target);
        if renamed.is_err() {
            let _ = self.fs.remove(&staged);
        }
        renamed
    }

    pub(super) fn publish_now(&self, key: &str, staged: &Path, over: Option<&str>) -> Written {
        self.try_publish(key, staged, over).unwrap_or_else(Written::from)
    }

    fn try_publish(
        &self,
        key: &str,
        staged: &Path,
        over: Option<&str>,
    ) -> Result<Written, Failure> {
        let target = self.settled(key)?;
        self.refuse_link(key, &target)?;
        let found = self.head_now(key).map_err(Failure::Refused)?;
        if found.map(|meta| meta.mark).as_deref() != over {
            let changed = format!("{} was changed by somebody else", self.name_of(key));
            return Ok(Written::Unclear(Error::new(Code::StoreFailed, changed)));
        }
        let opened = File::open(staged).map_err(|why| self.refused("publish", key, &why))?;
        self.sync(key, staged, &opened)?;
        self.rename("publish", key, staged, &target)?;
        Ok(Written::Stored)
    }

    pub(super) fn remove_now(&self, seen: &ObjectMeta) -> Result<()> {
        let path = self.path(&seen.key);
        let removed = match fs::symlink_metadata(&path) {
            Ok(metadata) if mark(&metadata) == seen.mark => self.fs.remove(&path),
            Ok(_) => Ok(()),
            Err(why) => Err(why),
        };
        match removed {
            Err(why) if !is_absent(&why) => Err(self.failure("remove", &seen.key, &why)),
            _ => Ok(()),
        }
    }

    /// The path of `key`, whose folder is there to stay. Every write begins here: none does once
    /// the disk is distrusted.
    fn settled(&self, key: &str) -> Result<PathBuf, Failure> {
        if let Some(why) = self.distrust.get() {
            let message = format!("cannot write {}: the disk failed before", self.name_of(key));
            return Err(Failure::Untrusted(
                Error::new(Code::StoreFailed, message).note(why.clone()),
            ));
        }
        let target = self.path(key);
        self.settle(key, target.parent().unwrap_or(&self.root))?;
        Ok(target)
    }

    fn settle(&self, key: &str, folder: &Path) -> Result<(), Failure> {
        let private = if self.is_private { &self.root } else { &self.staging };
        let how = Making { fs: self.fs.as_ref(), private, root: &self.root };
        let settled = self.folders.settle(folder, how);
        settled.map(|_| ()).map_err(|why| match why {
            FolderFailure::Io(why) => self.refused("make the folder of", key, &why),
            FolderFailure::Sync(why) => self.distrusted("sync the folder of", key, &why),
            FolderFailure::Link(why) => Failure::Refused(why),
        })
    }

    /// Writes `bytes` to a new synced file in the staging folder.
    fn stage(&self, key: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
        self.settle(key, &self.staging)?;
        let staged = self.staging.join(layout::staged_creation(self.clock.new_id()));
        let mode = if self.is_private { 0o600 } else { 0o666 };
        let written = match self.fs.create(&staged, mode, bytes) {
            Ok(file) => self.sync(key, &staged, &file),
            Err(why) => Err(self.refused("write", key, &why)),
        };
        if written.is_err() {
            let _ = self.fs.remove(&staged);
        }
        written.map(|()| staged)
    }

    fn rename(&self, what: &str, key: &str, from: &Path, to: &Path) -> Result<(), Failure> {
        match self.fs.rename(from, to) {
            Ok(()) => self.sync_name(key, to),
            Err(why) if changed_nothing(&why) => Err(self.refused(what, key, &why)),
            Err(why) => Err(self.distrusted(what, key, &why)),
        }
    }

    fn sync(&self, key: &str, path: &Path, opened: &File) -> Result<(), Failure> {
        self.fs.sync(path, opened).map_err(|why| self.distrusted("sync", key, &why))
    }

    /// Makes the name of `target`, which it was just given, survive a loss of power.
    fn sync_name(&self, key: &str, target: &Path) -> Result<(), Failure> {
        let folder = target.parent().unwrap_or(&self.root);
        let synced = File::open(folder).and_then(|opened| self.fs.sync(folder, &opened));
        synced.map_err(|why| self.distrusted("sync the folder of", key, &why))
    }

    fn refuse_link(&self, key: &str, target: &Path) -> Result<(), Failure> {
        if target.is_symlink() {
            return Err(Failure::Refused(is_link(&self.name_of(key), target)));
        }
        Ok(())
    }

    fn refused(&self, what: &str, key: &str, why: &io::Error) -> Failure {
        Failure::Refused(self.failure(what, key, why))
    }

    /// Nobody knows what the disk holds now: nothing is written to it from here on.
    fn distrusted(&self, what: &str, key: &str, why: &io::Error) -> Failure {
        let error = io_error(what, &self.name_of(key), why);
        let _ = self.distrust.set(error.message().to_owned());
        Failure::Untrusted(
            error.note("what was written may be lost with the power; this run writes no more"),
        )
    }
}

fn is_version(file: &File, seen: &str) -> bool {
    file.metadata().is_ok_and(|found| mark(&found) == seen)
}
