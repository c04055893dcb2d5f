//! All that a store does to the disk in order to write, one call each: so that a test can record
//! what was done, lose what was not synced, or let a sync fail.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// What changes a file system. Only [`Fs::sync`] makes anything survive a loss of power.
pub trait Fs: fmt::Debug + Send + Sync {
    /// Makes one folder with the permissions `mode`, less the umask.
    fn make_folder(&self, folder: &Path, mode: u32) -> io::Result<()>;

    /// Writes `bytes` to a new file with the permissions `mode`, less the umask. A link in its
    /// place is not followed. If it fails, a part may be there.
    fn create(&self, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<File>;

    /// Makes what is in the file, or the names in the folder, at `path` survive a loss of power.
    /// It is open as `opened`: who opens it only now may miss an earlier failure to write.
    fn sync(&self, path: &Path, opened: &File) -> io::Result<()>;

    /// Gives the file `from` one more name, `to`, which nothing has.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Names the file `from` `to`, in place of what had that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes the name `path` from a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Fs for Disk {
    fn make_folder(&self, folder: &Path, mode: u32) -> io::Result<()> {
        DirBuilder::new().mode(mode).create(folder)
    }

    fn create(&self, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<File> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        Ok(file)
    }

    fn sync(&self, _: &Path, opened: &File) -> io::Result<()> {
        opened.sync_all()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}
