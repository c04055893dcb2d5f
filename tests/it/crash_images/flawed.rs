//! Writers that sync wrongly, each in one way.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use highwater::store::Fs;

use super::disk::CrashFs;

/// What a writer does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flaw {
    /// It never syncs a file.
    FileNotSynced,
    /// It never syncs a folder.
    FolderNotSynced,
    /// It syncs a file only once it is in place.
    FileSyncedTooLate,
    /// It does not sync the folder in which it made another.
    NewFolderNotSynced,
    /// It trusts names that a process before it left.
    OldNamesTrusted,
    /// It syncs again if a sync fails.
    SyncTriedAgain,
}

impl Flaw {
    pub(crate) const ALL: [Self; 6] = [
        Self::FileNotSynced,
        Self::FolderNotSynced,
        Self::FileSyncedTooLate,
        Self::NewFolderNotSynced,
        Self::OldNamesTrusted,
        Self::SyncTriedAgain,
    ];

    /// A word of what must be seen of it.
    pub(crate) fn shows_as(self) -> &'static str {
        match self {
            Self::FileNotSynced | Self::FileSyncedTooLate => "torn",
            Self::FolderNotSynced | Self::NewFolderNotSynced => "lost",
            Self::OldNamesTrusted => "",
            Self::SyncTriedAgain => "sync failed",
        }
    }
}

/// A disk under a writer with a flaw.
#[derive(Debug)]
pub(crate) struct FlawedFs {
    fs: Arc<CrashFs>,
    flaw: Flaw,
    /// Files whose sync was put off, or folders: those with a new folder in them, or those that
    /// this process changed.
    noted: Mutex<BTreeSet<PathBuf>>,
}

impl FlawedFs {
    pub(crate) fn new(fs: Arc<CrashFs>, flaw: Flaw) -> Self {
        Self { fs, flaw, noted: Mutex::default() }
    }

    fn note(&self, path: &Path) {
        self.noted.lock().unwrap().insert(path.to_owned());
    }

    fn is_noted(&self, path: &Path) -> bool {
        self.noted.lock().unwrap().contains(path)
    }

    fn changed(&self, path: &Path) {
        if self.flaw == Flaw::OldNamesTrusted {
            self.note(path.parent().unwrap());
        }
    }

    /// Syncs `to` if the sync of `from` was put off.
    fn sync_late(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.flaw == Flaw::FileSyncedTooLate && self.is_noted(from) {
            self.fs.sync(to, &File::open(to)?)?;
        }
        Ok(())
    }
}

impl Fs for FlawedFs {
    fn make_folder(&self, folder: &Path, mode: u32) -> io::Result<()> {
        self.changed(folder);
        if self.flaw == Flaw::NewFolderNotSynced {
            self.note(folder.parent().unwrap());
        }
        self.fs.make_folder(folder, mode)
    }

    fn create(&self, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<File> {
        self.changed(path);
        self.fs.create(path, mode, bytes)
    }

    fn sync(&self, path: &Path, opened: &File) -> io::Result<()> {
        let is_file = path.is_file();
        match self.flaw {
            Flaw::FileNotSynced if is_file => Ok(()),
            Flaw::FolderNotSynced if !is_file => Ok(()),
            Flaw::FileSyncedTooLate if is_file => {
                self.note(path);
                Ok(())
            }
            Flaw::NewFolderNotSynced if self.noted.lock().unwrap().remove(path) => Ok(()),
            Flaw::OldNamesTrusted if !is_file && !self.is_noted(path) => Ok(()),
            Flaw::SyncTriedAgain => {
                self.fs.sync(path, opened).or_else(|_| self.fs.sync(path, opened))
            }
            _ => self.fs.sync(path, opened),
        }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.changed(to);
        self.fs.link(from, to)?;
        self.sync_late(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.changed(to);
        self.fs.rename(from, to)?;
        self.sync_late(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.changed(path);
        self.fs.remove(path)
    }
}
