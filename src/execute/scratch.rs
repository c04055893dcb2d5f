//! The folder in which a process keeps what does not fit in memory. It goes with the process; that
//! of one which was killed is removed by the next that starts.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// What the names of such folders begin with.
const PREFIX: &str = "highwater-spill-";

/// How often one is made that others take away before it is locked.
const TRIES_MAX: u32 = 10;

/// The file in each that its process holds locked: the kernel lets go of it when the process ends.
const LOCK: &str = "lock";

/// A folder of one engine alone; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    _lock: File,
}

impl Scratch {
    /// A new folder in `parent`, from which those of dead processes are removed. No other folder
    /// was ever named by `id`: who sweeps may remove one by its name a little after it was gone.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn new(parent: &Path, id: Uuid) -> io::Result<Self> {
        sweep(parent);
        let folder = parent.join(format!("{PREFIX}{id}"));
        for _ in 0..TRIES_MAX {
            DirBuilder::new().mode(0o700).create(&folder)?;
            let lock = File::create_new(folder.join(LOCK))?;
            // Where files cannot be locked, nothing is swept either.
            let _ = lock.lock();
            // Until now it may have been taken for that of a dead process.
            if is_at(&lock, &folder.join(LOCK)) {
                return Ok(Self { folder, _lock: lock });
            }
        }
        Err(io::Error::other("it is removed again and again"))
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: what is left is removed by the next process.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the folders whose processes are gone. Best effort: others may do the same.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_own = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_own {
            continue;
        }
        let at = entry.path().join(LOCK);
        let Ok(lock) = File::open(&at) else { continue };
        if lock.try_lock().is_ok() && is_at(&lock, &at) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether `file` is still the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let inode = |found: fs::Metadata| (found.dev(), found.ino());
    let (own, other) = (file.metadata().map(inode), fs::metadata(path).map(inode));
    own.is_ok_and(|own| other.is_ok_and(|other| own == other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_dead_processes_are_removed_and_no_others() {
        let parent = tempfile::tempdir().unwrap();
        let id = Uuid::from_u128;
        let living = Scratch::new(parent.path(), id(1)).unwrap();
        fs::write(living.folder().join("rows"), "x").unwrap();
        let left = |name: &str| {
            let folder = parent.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(LOCK), "").unwrap();
            folder
        };
        let (dead, foreign) = (left("highwater-spill-of-old"), left("somebody-elses"));
        let new_born = parent.path().join("highwater-spill-of-now");
        fs::create_dir(&new_born).unwrap();
        let other = Scratch::new(parent.path(), id(2)).unwrap();
        assert!(!dead.exists(), "nobody holds its lock");
        assert!(living.folder().join("rows").exists() && foreign.exists());
        assert!(new_born.exists(), "its process has not come to lock it");
        assert_ne!(other.folder(), living.folder());
        let folder = living.folder().to_owned();
        drop(living);
        assert!(!folder.exists());
    }
}
