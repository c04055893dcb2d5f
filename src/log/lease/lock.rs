//! The lock of a state folder. The kernel frees it when its holder dies, so a run after `kill -9`
//! goes on at once.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use super::{LeaseInfo, lease_held};
use crate::clock::Stopwatch;
use crate::error::{Code, Error, Result};
use crate::id::PipelineName;
use crate::store::{layout, make_folders};
use crate::time::Span;

/// How often a waiting command looks at the lock again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The lock of a state folder, held until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `pipeline`, whose state lies in `folder`, waiting up to `wait_for`.
    ///
    /// # Errors
    /// [`Code::LeaseHeld`] if another process still holds it then; if the folder cannot be written.
    pub(super) async fn take(
        folder: &Path,
        pipeline: &PipelineName,
        info: &LeaseInfo,
        wait_for: Span,
    ) -> Result<Self> {
        let path = folder.join(layout::LOCK);
        let mut lock = open(folder, &path).map_err(|why| unusable(&path, &why))?;
        let watch = Stopwatch::start();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::Error(why)) => return Err(unusable(&path, &why)),
                Err(fs::TryLockError::WouldBlock) if watch.elapsed() < wait_for => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(fs::TryLockError::WouldBlock) => return Err(held(pipeline, &mut lock)),
            }
        }
        // For messages only: a failure here must not keep anybody from working.
        let _ = introduce(&mut lock, info);
        Ok(Self { _file: lock })
    }
}

fn open(folder: &Path, path: &Path) -> std::io::Result<File> {
    make_folders(folder)?;
    if path.is_symlink() {
        return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "it is a link"));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn introduce(lock: &mut File, info: &LeaseInfo) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    lock.write_all(&serde_json::to_vec(info)?)
}

fn unusable(path: &Path, why: &std::io::Error) -> Error {
    let code = match why.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            Code::PermissionDenied
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Code::StorageFull,
        std::io::ErrorKind::Unsupported => Code::StoreUnfit,
        _ => Code::StoreFailed,
    };
    Error::new(code, format!("cannot lock {}: {why}", path.display()))
        .hint("the state folder must be on a local disk that this user may write")
}

fn held(pipeline: &PipelineName, lock: &mut File) -> Error {
    let error = lease_held(pipeline);
    let mut text = String::new();
    let read = lock.seek(SeekFrom::Start(0)).and_then(|_| lock.read_to_string(&mut text));
    let info = read.ok().and_then(|_| serde_json::from_str::<LeaseInfo>(&text).ok());
    let error = match info {
        Some(LeaseInfo { who, run, since }) => {
            let (host, pid, ver) = (who.host, who.pid, who.ver);
            error.note(format!(
                "holder {host}, pid {pid}, highwater {ver}, run {run}, since {since}"
            ))
        }
        None => error.note("the holder has not said yet who it is"),
    };
    error
        .hint("wait for it: set `wait` in [lease], or run again later; whatever is due stays due")
        .hint("if that process hangs, end it: the next run takes over at once")
}

/// Whether another process holds the lock of the state in `folder`.
#[must_use]
pub fn is_locked(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.join(layout::LOCK)) else { return false };
    matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}
