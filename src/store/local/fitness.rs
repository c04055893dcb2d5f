//! Whether a file system can keep what the protocol needs of a disk.
//!
//! A lock must keep other processes out, wherever they run, and what was synced must stay. File
//! systems that reach over a network or into another program do not promise that to everybody.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Result};

/// The variable that, set to `1`, allows file systems that are shared with other machines.
pub const SHARED_ALLOWED: &str = "HIGHWATER_UNSAFE_SHARED_FS";

/// What Linux says of mounts. Where there is no such file nothing is refused.
const MOUNTS: &str = "/proc/self/mountinfo";

/// Types whose locks or syncs may end at this machine, or in another program.
const SHARED: &[&str] = &[
    "9p",
    "acfs",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "drvfs",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "orangefs",
    "prl_fs",
    "pvfs2",
    "vboxsf",
    "virtiofs",
    "vmhgfs",
];

/// The same, with versions and helpers behind their names: `nfs4`, `smb3`, `fuse.sshfs`.
const SHARED_FAMILIES: &[&str] = &["nfs", "smb", "fuse", "sshfs"];

/// Makes sure that the folders `state` and `outputs` lie on one file system, and that it is fit to
/// be written to. They need not exist yet.
///
/// # Errors
/// [`Code::StoreUnfit`] if not; if a folder cannot be looked at.
pub fn fitness(state: &Path, outputs: &Path) -> Result<()> {
    let mounts = fs::read(MOUNTS).map(|bytes| parse_mounts(&bytes)).unwrap_or_default();
    let is_allowed = std::env::var_os(SHARED_ALLOWED).is_some_and(|value| value == "1");
    let (state, outputs) = (Place::of(state, &mounts)?, Place::of(outputs, &mounts)?);
    if !is_allowed {
        refuse_shared(&state)?;
        refuse_shared(&outputs)?;
    }
    refuse_apart(&state, &outputs)
}

/// A folder and what it is mounted on.
#[derive(Debug)]
struct Place<'a> {
    /// As it was named.
    folder: &'a Path,
    device: u64,
    mount: Option<&'a Mount>,
}

/// One line of the mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    kind: String,
}

impl<'a> Place<'a> {
    fn of(folder: &'a Path, mounts: &'a [Mount]) -> Result<Self> {
        let failed = |why: std::io::Error| {
            let code = match why.kind() {
                std::io::ErrorKind::PermissionDenied => Code::PermissionDenied,
                _ => Code::StoreFailed,
            };
            Error::new(code, format!("cannot look at {}: {why}", folder.display()))
        };
        let absolute = std::path::absolute(folder).map_err(failed)?;
        let exists = |path: &&Path| path.symlink_metadata().is_ok();
        let nearest = absolute.ancestors().find(exists).unwrap_or(Path::new("/"));
        let nearest = fs::canonicalize(nearest).map_err(failed)?;
        let device = fs::metadata(&nearest).map_err(failed)?.dev();
        Ok(Self { folder, device, mount: mount_of(&nearest, mounts) })
    }
}

/// The mount that `path`, which has no links in it, lies on: of those at one place the last is on
/// top.
fn mount_of<'a>(path: &Path, mounts: &'a [Mount]) -> Option<&'a Mount> {
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    above.max_by_key(|mount| mount.point.components().count())
}

fn refuse_shared(place: &Place<'_>) -> Result<()> {
    let Some(mount) = place.mount.filter(|mount| is_shared(&mount.kind)) else { return Ok(()) };
    let (folder, kind) = (place.folder.display(), &mount.kind);
    let message = format!("{folder} is on a file system that may be shared: {kind}");
    Err(Error::new(Code::StoreUnfit, message)
        .note(format!("it is mounted at {}", mount.point.display()))
        .note("there a lock may not keep out other machines, and a sync may not reach the disk")
        .hint("use a disk of this machine for `root` and `state` in [storage]")
        .hint(format!("if only this machine ever writes there, set {SHARED_ALLOWED}=1")))
}

fn refuse_apart(state: &Place<'_>, outputs: &Place<'_>) -> Result<()> {
    if state.device == outputs.device && state.mount == outputs.mount {
        return Ok(());
    }
    let (from, to) = (state.folder.display(), outputs.folder.display());
    let message = format!("the state {from} and the outputs {to} are on different file systems");
    Err(Error::new(Code::StoreUnfit, message)
        .note("files are written whole in the state folder, and only then put in place")
        .hint("keep `state` in [storage] on the file system of the outputs"))
}

fn is_shared(kind: &str) -> bool {
    SHARED.contains(&kind) || SHARED_FAMILIES.iter().any(|family| kind.starts_with(family))
}

/// Reads the mounts of a process. A line that is not understood is passed over.
fn parse_mounts(bytes: &[u8]) -> Vec<Mount> {
    bytes.split(|byte| *byte == b'\n').filter_map(parse_mount).collect()
}

/// Reads `22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw`: the fifth word is the place, the
/// first word after the lone dash the type.
fn parse_mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ');
    let point = unescaped(words.nth(4)?);
    words.find(|word| word == b"-")?;
    let kind = String::from_utf8_lossy(words.next()?).into_owned();
    Some(Mount { point: PathBuf::from(std::ffi::OsStr::from_bytes(&point)), kind })
}

/// Blanks, tabs, line ends and backslashes are written as `\040`.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { behind.get(3..).unwrap_or_default() } else { behind };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
31 27 0:40 / /mnt/a\\040b\\134c rw - nfs4 host:/x rw
32 27 0:41 / /mnt rw - fuse.sshfs me@host:/ rw
33 32 0:42 / /mnt/disk rw - xfs /dev/vdb rw
34 33 0:43 / /mnt/disk rw - overlay overlay rw

not a mount
1 2 3 4 /short rw
";

    fn kind_of<'a>(path: &str, mounts: &'a [Mount]) -> &'a str {
        mount_of(Path::new(path), mounts).map_or("", |mount| mount.kind.as_str())
    }

    #[test]
    fn a_path_is_on_the_longest_mount_above_it_and_of_several_on_the_last() {
        let mounts = parse_mounts(LINES);
        assert_eq!(mounts.len(), 6);
        assert_eq!(kind_of("/", &mounts), "ext4");
        assert_eq!(kind_of("/mntx/y", &mounts), "ext4");
        assert_eq!(kind_of("/mnt/a b\\c/d", &mounts), "nfs4");
        assert_eq!(kind_of("/mnt/a", &mounts), "fuse.sshfs");
        assert_eq!(kind_of("/mnt/disk/deep/down", &mounts), "overlay");
        assert_eq!(kind_of("/", &[]), "");
    }

    #[test]
    fn disks_of_this_machine_are_fit_and_shared_folders_are_not() {
        for fit in ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs", "ext3", "bcachefs"] {
            assert!(!is_shared(fit), "{fit}");
        }
        for unfit in
            "nfs nfs4 cifs smb3 smbfs fuse fuse.sshfs fuseblk 9p virtiofs ceph vboxsf".split(' ')
        {
            assert!(is_shared(unfit), "{unfit}");
        }
    }

    #[test]
    fn what_is_unfit_is_named_with_its_reason_and_a_way_out() {
        let mounts = parse_mounts(LINES);
        let at = |path: &'static str, device| Place {
            folder: Path::new(path),
            device,
            mount: mount_of(Path::new(path), &mounts),
        };
        let shared = refuse_shared(&at("/mnt/x", 1)).unwrap_err();
        assert_eq!(shared.code(), Code::StoreUnfit);
        assert!(shared.message().contains("/mnt/x") && shared.message().contains("fuse.sshfs"));
        assert!(shared.hints().iter().any(|hint| hint.contains(SHARED_ALLOWED)));
        assert_eq!(refuse_shared(&at("/srv", 1)), Ok(()));

        assert_eq!(refuse_apart(&at("/srv", 1), &at("/home", 1)), Ok(()));
        let device = refuse_apart(&at("/srv", 1), &at("/home", 2)).unwrap_err();
        // Mounted twice: one device, but nothing can be renamed from one to the other.
        let mount = refuse_apart(&at("/srv", 1), &at("/mnt/disk", 1)).unwrap_err();
        assert_eq!((device.code(), mount.code()), (Code::StoreUnfit, Code::StoreUnfit));
    }

    #[test]
    fn folders_that_are_not_there_yet_are_judged_by_those_above_them() {
        let here = std::env::temp_dir();
        let code = |judged: Result<()>| judged.map_err(|why| why.code());
        let missing = fitness(&here.join("not/yet/state"), &here.join("not/there/either"));
        assert_eq!(code(missing), code(fitness(&here, &here)));
        if Path::new("/proc/self").is_dir() {
            let apart = fitness(&here, Path::new("/proc/self")).unwrap_err();
            assert_eq!(apart.code(), Code::StoreUnfit);
        }
    }
}
