//! What a failed operation of the disk means: for the operator, and for whoever asked for it.

use std::io;
use std::path::Path;

use crate::error::{Code, Error};
use crate::store::Written;

/// The number of "operation not permitted" on every Unix; std has no name for it.
const EPERM: i32 = 1;

/// Why something was not written.
#[derive(Debug)]
pub(super) enum Failure {
    /// Certainly nothing was changed that a reader can see.
    Refused(Error),
    /// A sync failed, or nobody knows what the disk did: it cannot be trusted from here on.
    Untrusted(Error),
}

impl Failure {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Refused(why) | Self::Untrusted(why) => why,
        }
    }
}

impl From<Failure> for Written {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(why) => Self::Refused(why),
            Failure::Untrusted(why) => Self::Untrusted(why),
        }
    }
}

/// The error for a failed operation on `name`: its code says what the operator can do.
pub(super) fn io_error(what: &str, name: &str, why: &io::Error) -> Error {
    use io::ErrorKind::{
        CrossesDevices, FileTooLarge, InvalidFilename, PermissionDenied, QuotaExceeded,
        ReadOnlyFilesystem, StorageFull,
    };
    let message = format!("cannot {what} {name}: {why}");
    match why.kind() {
        PermissionDenied | ReadOnlyFilesystem => Error::new(Code::PermissionDenied, message)
            .hint("give the user that runs highwater access to it, then run again"),
        StorageFull | QuotaExceeded | FileTooLarge => Error::new(Code::StorageFull, message)
            .note("nothing half-written is visible, and committed windows stand")
            .hint("make room and run `highwater run` again: it goes on where it stopped"),
        InvalidFilename => Error::new(Code::StoreUnfit, message)
            .hint("use shorter paths: a name has at most 255 bytes, a whole path 4096"),
        CrossesDevices => {
            let message = format!("{message}; state and outputs are on different file systems");
            Error::new(Code::StoreUnfit, message)
                .note("files are written whole in the state folder, and only then put in place")
                .hint("keep `state` in [storage] on the file system of the outputs")
        }
        _ => Error::new(Code::StoreFailed, message),
    }
}

/// The error for a failed `link`.
pub(super) fn link_error(name: &str, why: &io::Error) -> Error {
    if !has_no_links(why) {
        return io_error("write", name, why);
    }
    let message = format!("cannot write {name}: {why}; its file system has no hard links");
    Error::new(Code::StoreUnfit, message)
        .note("only a link puts a whole file in place and never replaces another")
        .hint("keep `state` in [storage] on a file system with hard links, such as ext4 or xfs")
}

/// Whether the file system does not know hard links: exFAT, for example. Whoever lacks the rights
/// to make one is told so with another number.
fn has_no_links(why: &io::Error) -> bool {
    why.raw_os_error() == Some(EPERM) || why.kind() == io::ErrorKind::Unsupported
}

/// Whether after this error of `link` or `rename` all is certainly as before.
pub(super) fn changed_nothing(why: &io::Error) -> bool {
    use io::ErrorKind::{
        AlreadyExists, CrossesDevices, DirectoryNotEmpty, InvalidFilename, IsADirectory,
        NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        TooManyLinks, Unsupported,
    };
    matches!(
        why.kind(),
        AlreadyExists
            | CrossesDevices
            | DirectoryNotEmpty
            | InvalidFilename
            | IsADirectory
            | NotADirectory
            | NotFound
            | PermissionDenied
            | QuotaExceeded
            | ReadOnlyFilesystem
            | StorageFull
            | TooManyLinks
            | Unsupported
    )
}

/// The refusal to write through the link `path`, which is called `name`.
pub(super) fn is_link(name: &str, path: &Path) -> Error {
    let error = Error::new(Code::StoreUnfit, format!("{name} is a link"));
    let error = match std::fs::read_link(path) {
        Ok(target) => error.note(format!("it leads to {}", target.display())),
        Err(_) => error,
    };
    error
        .note("nothing is written through a link: what lies behind it may be anybody's")
        .hint("put a real file or folder in its place, or name the target as `root` in [storage]")
}

pub(super) fn is_absent(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
