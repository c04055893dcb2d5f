//! Folders that are there, and stay there after a loss of power, before anything is put in them.
//!
//! A process that died may have left names that nobody synced. So each folder is settled the first
//! time this process uses it: its name, those of all folders above it, and the names in it. What
//! this process did not see synced, it syncs before it builds on it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::failure::is_link;
use super::fs::{Disk, Fs};
use crate::error::Error;

/// How many folders are known to be settled at most. When there are more, all are forgotten: to
/// settle one again costs time and changes nothing.
const SETTLED_MAX: usize = 4096;

/// Why a folder cannot be written to.
#[derive(Debug)]
pub(super) enum FolderFailure {
    /// It cannot be made, or cannot be looked at.
    Io(io::Error),
    /// Its sync failed.
    Sync(io::Error),
    /// It is a link.
    Link(Error),
}

/// The folders that this process settled.
#[derive(Debug, Default)]
pub(super) struct Folders {
    settled: Mutex<BTreeSet<PathBuf>>,
}

/// How folders are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Making<'a> {
    pub(super) fs: &'a dyn Fs,
    /// This folder and those in it are for their owner only; others are for whom the umask says.
    pub(super) private: &'a Path,
    /// Folders inside this one must not be links.
    pub(super) root: &'a Path,
}

impl Making<'_> {
    fn mode(&self, folder: &Path) -> u32 {
        if folder.starts_with(self.private) { 0o700 } else { 0o777 }
    }

    fn may_be_link(&self, folder: &Path) -> bool {
        folder == self.root || !(folder.starts_with(self.root) || folder.starts_with(self.private))
    }
}

impl Folders {
    /// Makes `folder`, an absolute path, and what is missing above it; syncs what may not have
    /// been. Whether the names in it were synced just now.
    pub(super) fn settle(&self, folder: &Path, how: Making<'_>) -> Result<bool, FolderFailure> {
        if self.known().contains(folder) {
            return Ok(false);
        }
        let found = match fs::symlink_metadata(folder) {
            Ok(found) if found.is_symlink() && !how.may_be_link(folder) => {
                return Err(FolderFailure::Link(is_link(&folder.display().to_string(), folder)));
            }
            Ok(_) => Some(fs::metadata(folder).map_err(FolderFailure::Io)?),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(FolderFailure::Io(why)),
        };
        if found.as_ref().is_some_and(|found| !found.is_dir()) {
            return Err(FolderFailure::Io(io::ErrorKind::NotADirectory.into()));
        }
        if let Some(parent) = folder.parent() {
            let device = found.as_ref().map(MetadataExt::dev);
            self.settle_name(folder, parent, device, how)?;
        }
        if found.is_some() {
            sync_names(how.fs, folder, true)?;
        }
        let mut known = self.known();
        if known.len() >= SETTLED_MAX {
            known.clear();
        }
        known.insert(folder.to_owned());
        Ok(found.is_some())
    }

    /// Makes `folder` in `parent`, unless it is there, on `device`; its name stays from then on.
    fn settle_name(
        &self,
        folder: &Path,
        parent: &Path,
        device: Option<u64>,
        how: Making<'_>,
    ) -> Result<(), FolderFailure> {
        let is_there = device.is_some();
        // What is mounted was so before anybody wrote to it.
        if is_there && fs::metadata(parent).map(|found| found.dev()).ok() != device {
            return Ok(());
        }
        let is_synced = self.settle(parent, how)?;
        if is_there && is_synced {
            return Ok(());
        }
        if !is_there {
            match how.fs.make_folder(folder, how.mode(folder)) {
                Ok(()) => {}
                // Somebody else made it at the same time.
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
                Err(why) => return Err(FolderFailure::Io(why)),
            }
        }
        sync_names(how.fs, parent, is_there)
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Syncs the names in `folder`. A folder that was there and may not be read was made by others.
fn sync_names(fs: &dyn Fs, folder: &Path, was_there: bool) -> Result<(), FolderFailure> {
    match File::open(folder) {
        Ok(opened) => fs.sync(folder, &opened).map_err(FolderFailure::Sync),
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied && was_there => Ok(()),
        Err(why) => Err(FolderFailure::Io(why)),
    }
}

/// Makes `folder`, into which only its owner may look, and what is missing above it, so that they
/// survive a loss of power.
///
/// # Errors
/// As the file system says; [`io::ErrorKind::Unsupported`] if `folder` is a link. A failed sync
/// must not be tried again.
pub fn make_folders(folder: &Path) -> io::Result<()> {
    let folder = std::path::absolute(folder)?;
    let above = folder.parent().unwrap_or(&folder);
    let how = Making { fs: &Disk, private: &folder, root: above };
    let settled = Folders::default().settle(&folder, how);
    settled.map(|_| ()).map_err(|why| match why {
        FolderFailure::Io(why) | FolderFailure::Sync(why) => why,
        FolderFailure::Link(why) => {
            io::Error::new(io::ErrorKind::Unsupported, why.message().to_owned())
        }
    })
}
