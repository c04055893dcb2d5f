//! The folder in which a process keeps what does not fit in memory. It goes with the process; that
//! of one which was killed is removed by the next that starts.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// What the names of such folders begin with.
const PREFIX: &str = "highwater-spill-";

/// What they begin with as long as they are not locked.
const UNFINISHED: &str = "highwater-unspilled-";

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
        // Until it is whole it has a name that nobody sweeps.
        let being_made = parent.join(format!("{UNFINISHED}{id}"));
        DirBuilder::new().mode(0o700).create(&being_made)?;
        let lock = File::create_new(being_made.join(LOCK))?;
        // Where files cannot be locked, nothing is swept either.
        let _ = lock.try_lock();
        fs::rename(&being_made, &folder)?;
        Ok(Self { folder, _lock: lock })
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
        let new_born = left("highwater-unspilled-of-now");
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
