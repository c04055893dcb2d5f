//! Who may read what a run writes, and what becomes of a run that may not write.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use highwater::store::{Store, Written};

use super::Disk;
use crate::equal::assert_equal;
use crate::kill::run_well;
use crate::support::{DAY_0, HOUR, Project, TINY, block_on, code, files_below};

/// Somebody who is not root and owns nothing.
const NOBODY: u32 = 65_534;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn fed() -> Project {
    let project = Project::new(TINY);
    project.feed("a.parquet", &[(DAY_0, "a", 60), (DAY_0 + HOUR, "b", 70)]);
    project.feed("b.parquet", &[(DAY_0 + 2 * HOUR, "c", 80)]);
    project
}

/// The binary under `umask`.
fn run_under(project: &Project, umask: &str) {
    let plain = project.command(&[]);
    let mut command = Command::new("bash");
    command.current_dir(project.path("")).arg("-c");
    command.arg(format!("umask {umask}; exec \"$0\" run")).arg(plain.get_program());
    let ended = command.output().unwrap();
    assert_eq!(code(&ended), 0, "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn state_is_for_its_owner_and_outputs_are_for_whom_the_umask_says() {
    for (umask, file, folder) in [("022", 0o644, 0o755), ("007", 0o660, 0o770)] {
        let project = fed();
        run_under(&project, umask);
        let outputs = files_below(project.path("out"));
        assert_eq!(outputs.len(), 6);
        for output in &outputs {
            let path = project.path("out").join(output);
            assert_eq!(mode(&path), file, "{output}");
            assert_eq!(mode(path.parent().unwrap()), folder, "the folder of {output}");
        }
        assert_eq!(mode(&project.path("_highwater/tiny")), 0o700);
        let state = files_below(project.path("_highwater/tiny"));
        assert!(state.len() > 8, "{state:?}");
        for name in &state {
            let path = project.path("_highwater/tiny").join(name);
            assert_eq!(mode(&path), 0o600, "{name}");
            assert_eq!(mode(path.parent().unwrap()), 0o700, "the folder of {name}");
        }
    }
}

#[test]
fn an_object_that_is_adopted_keeps_its_mode_and_is_not_copied() {
    let disk = Disk::new();
    let staged = disk.staged("rows");
    fs::set_permissions(&staged, Permissions::from_mode(0o640)).unwrap();
    let written = block_on(disk.store.publish("a/data", &staged, None));
    assert!(matches!(written, Written::Stored), "{written:?}");
    let seen = disk.head("a/data");
    let private = disk.store.clone().private();
    let written = block_on(private.adopt("hist/data", &disk.store, &seen));
    assert!(matches!(written, Written::Stored), "{written:?}");
    let (object, kept) = (disk.root().join("a/data"), disk.root().join("hist/data"));
    assert_eq!((mode(&object), mode(&kept)), (0o640, 0o640));
    assert_eq!(fs::metadata(object).unwrap().ino(), fs::metadata(kept).unwrap().ino());
}

#[test]
fn a_version_that_is_gone_is_not_adopted() {
    let disk = Disk::new();
    assert!(matches!(disk.publish("a/data", "one", None), Written::Stored));
    let seen = disk.head("a/data");
    assert!(matches!(disk.publish("a/data", "two!", Some(&seen.mark)), Written::Stored));
    let written = block_on(disk.store.adopt("hist/data", &disk.store, &seen));
    assert!(matches!(written, Written::Refused(_)), "{written:?}");
    assert_eq!(files_below(disk.root()), ["a/data"]);
}

/// The binary as somebody whom permissions bind; `None`, having said so, if that cannot be had.
fn as_nobody(project: &Project, args: &[&str]) -> Option<Command> {
    let plain = project.command(args);
    if fs::metadata(project.path("")).unwrap().uid() != 0 {
        return Some(plain);
    }
    let mut command = Command::new("setpriv");
    command.current_dir(project.path("")).arg(format!("--reuid={NOBODY}"));
    command.arg(format!("--regid={NOBODY}")).arg("--clear-groups");
    command.arg(plain.get_program());
    let tried = command.arg("--version").output();
    if !tried.is_ok_and(|ended| ended.status.success()) {
        let _ = writeln!(std::io::stderr(), "skipped: nobody is there who is not root");
        return None;
    }
    let mut again = Command::new("setpriv");
    let before: Vec<_> = command.get_args().take(4).collect();
    again.current_dir(project.path("")).args(before).args(args);
    Some(again)
}

/// Gives everything in a project to nobody.
fn give_away(project: &Project) {
    let mut folders = vec![project.path("")];
    while let Some(folder) = folders.pop() {
        _ = chown(&folder, Some(NOBODY), Some(NOBODY));
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            _ = chown(&path, Some(NOBODY), Some(NOBODY));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
}

#[test]
fn a_folder_that_may_not_be_written_is_loud_and_its_windows_stay_due() {
    let whole = fed();
    run_well(&whole, &["run"]);
    let late = [(DAY_0 + 9, "late", 80), (DAY_0 + HOUR + 9, "late", 81)];
    whole.feed("late.parquet", &late);
    run_well(&whole, &["run"]);
    for folder in [
        "_highwater/tiny/log",
        "_highwater/tiny/tmp",
        "_highwater/tiny/seg",
        "out/totals/dt=2026-01-01/hour=00",
    ] {
        let project = fed();
        let Some(mut run) = as_nobody(&project, &["run", "--format", "json"]) else { return };
        run_well(&project, &["run"]);
        project.feed("late.parquet", &late);
        let before = project.outputs();
        give_away(&project);
        fs::set_permissions(project.path(folder), Permissions::from_mode(0o500)).unwrap();
        let ended = run.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(matches!(code(&ended), 5 | 75), "{folder}: {ended:?}");
        assert!(said.contains("Permission denied"), "{folder}: {said}");
        let first = "out/totals/dt=2026-01-01/hour=00/data.parquet";
        assert_eq!(project.outputs()[first], before[first]);
        fs::set_permissions(project.path(folder), Permissions::from_mode(0o700)).unwrap();
        assert_eq!(code(&run.output().unwrap()), 0, "{folder}");
        assert_equal(&project.outputs(), &whole.outputs());
        project.assert_sound();
    }
}
