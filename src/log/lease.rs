//! Who may write now, on local disk: whoever holds the lock of the state folder.
//!
//! The kernel frees the lock when its holder dies, so a run after `kill -9` goes on at once. The
//! lock keeps honest processes from doing work twice; what keeps the log right is the epoch.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Stopwatch;
use crate::error::{Code, Error, Result};
use crate::id::{Epoch, PipelineName, RunId};
use crate::state::Who;
use crate::store::{layout, make_folders};
use crate::time::{ProcessingTime, Span};

/// How often a waiting command looks at the lock again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The lock of a state folder, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lease {
    _lock: File,
}

/// What the holder of a lease says of itself, for messages only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseInfo {
    /// The process.
    pub who: Who,
    /// Its run.
    pub run: RunId,
    /// Since when.
    pub since: ProcessingTime,
}

impl Lease {
    /// Takes the lease of `pipeline`, whose state lies in `folder`, waiting up to `wait_for`.
    ///
    /// # Errors
    /// [`Code::LeaseHeld`] if another process still holds it then; if the folder cannot be written.
    pub async fn take(
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
        Ok(Self { _lock: lock })
    }
}

fn open(folder: &Path, path: &Path) -> std::io::Result<File> {
    make_folders(folder)?;
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
    let error =
        Error::new(Code::LeaseHeld, format!("pipeline {pipeline} is being written by another run"));
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

/// Removes from the staging folder what nobody will put in place any more: what epochs before
/// `epoch` left, for this process holds both the lock and a newer epoch, and creations that died.
pub fn sweep_staging(staging: &Path, epoch: Epoch) {
    let Ok(files) = fs::read_dir(staging) else { return };
    for file in files.flatten() {
        let name = file.file_name();
        if name.to_str().is_some_and(|name| layout::is_dead(name, epoch)) {
            // Best effort: what stays behind is in nobody's way.
            let _ = fs::remove_file(file.path());
        }
    }
}
