//! The folder in which a process keeps what does not fit in memory. It goes with the process; that
//! of one which was killed is removed by the next that starts.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What the names of such folders begin with.
const PREFIX: &str = "highwater-spill-";

/// The file in each that its process holds locked: the kernel lets go of it when the process ends.
const LOCK: &str = "lock";

/// How many names are tried.
const NAMES_MAX: u32 = 10_000;

/// A folder of this process alone; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    _lock: File,
}

impl Scratch {
    /// A new folder in `parent`, from which those of dead processes are removed.
    ///
    /// # Errors
    /// If none can be made.
    pub(super) fn new(parent: &Path) -> io::Result<Self> {
        sweep(parent);
        let pid = std::process::id();
        for n in 0..NAMES_MAX {
            let folder = parent.join(format!("{PREFIX}{pid}-{n}"));
            match DirBuilder::new().mode(0o700).create(&folder) {
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            let lock = File::create_new(folder.join(LOCK))?;
            match lock.try_lock() {
                // Whoever sweeps took it for that of a dead process.
                Err(TryLockError::WouldBlock) => {}
                // Where files cannot be locked, nothing is swept either.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(Self { folder, _lock: lock }),
            }
        }
        Err(io::Error::other("all names are taken"))
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
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_dead_processes_are_removed_and_no_others() {
        let parent = tempfile::tempdir().unwrap();
        let living = Scratch::new(parent.path()).unwrap();
        fs::write(living.folder().join("rows"), "x").unwrap();
        let left = |name: &str| {
            let folder = parent.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(LOCK), "").unwrap();
            folder
        };
        let (dead, foreign) = (left("highwater-spill-1-0"), left("somebody-elses"));
        let new_born = parent.path().join("highwater-spill-2-0");
        fs::create_dir(&new_born).unwrap();
        let other = Scratch::new(parent.path()).unwrap();
        assert!(!dead.exists(), "nobody holds its lock");
        assert!(living.folder().join("rows").exists() && foreign.exists());
        assert!(new_born.exists(), "its process has not come to lock it");
        assert_ne!(other.folder(), living.folder());
        let folder = living.folder().to_owned();
        drop(living);
        assert!(!folder.exists());
    }
}
