//! Nothing is written through a link, neither by a store nor by a run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use highwater::clock::Clock;
use highwater::error::Code;
use highwater::store::{LocalStore, Store, Written};

use super::{Disk, code_of, refused};
use crate::kill::run_well;
use crate::support::{DAY_0, HOUR, Project, TINY, block_on, files_below};

/// A disk in whose root `link` leads to `target`, which is beside it.
fn linked(link: &str, target: &str) -> (Disk, PathBuf) {
    let disk = Disk::new();
    let elsewhere = disk.folder.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("folder")).unwrap();
    fs::write(elsewhere.join("file"), "theirs").unwrap();
    let link = disk.root().join(link);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(elsewhere.join(target), link).unwrap();
    (disk, elsewhere)
}

#[test]
fn a_store_writes_through_no_link() {
    for (link, target, key) in [
        ("a", "folder", "a/data"),
        ("a", "folder", "a/b/data"),
        ("a/b", "folder", "a/b/data"),
        ("a/data", "file", "a/data"),
        ("a/data", "nowhere", "a/data"),
        ("a", "nowhere", "a/data"),
    ] {
        let (disk, elsewhere) = linked(link, target);
        let seen = block_on(disk.store.head(key)).unwrap().map(|meta| meta.mark);
        assert_eq!(refused(disk.create(key, "ours")).code(), Code::StoreUnfit, "{key}");
        let written = refused(disk.publish(key, "ours", seen.as_deref()));
        assert_eq!(written.code(), Code::StoreUnfit, "{key}");
        assert!(written.message().contains("is a link"), "{written}");
        assert_eq!(code_of(disk.overwrite(key, "ours")), Code::StoreUnfit, "{key}");
        assert_eq!(files_below(&elsewhere), ["file"]);
        assert_eq!(fs::read(elsewhere.join("file")).unwrap(), b"theirs");
    }
}

#[test]
fn the_root_itself_may_be_a_link() {
    let (disk, elsewhere) = linked("to", "folder");
    let clock = Clock::system();
    let store = LocalStore::new(disk.root().join("to"), elsewhere.join("tmp"), "to", clock);
    let written = block_on(store.create("a/data", Bytes::from("ours")));
    assert!(matches!(written, Written::Stored), "{written:?}");
    assert_eq!(files_below(elsewhere.join("folder")), ["a/data"]);
}

#[test]
fn state_is_not_read_through_a_link() {
    let (disk, _) = linked("log/0.json", "file");
    assert_eq!(disk.text("log/0.json"), "theirs");
    let private = disk.store.clone().private();
    assert_eq!(code_of(block_on(private.read("log/0.json"))), Code::StoreUnfit);
}

/// Moves `path` of a project away, and puts a link to it in its place.
fn replace_by_link(project: &Project, path: &str) {
    let (here, there) = (project.path(path), project.path("moved"));
    fs::rename(&here, &there).unwrap();
    symlink(there, here).unwrap();
}

/// Puts what a link of a project leads to in its place again.
fn put_back(project: &Project, path: &Path) {
    fs::remove_file(path).unwrap();
    fs::rename(project.path("moved"), path).unwrap();
}

#[test]
fn a_run_refuses_links_in_outputs_and_state_and_goes_on_once_they_are_gone() {
    for path in [
        "_highwater/tiny",
        "_highwater/tiny/lock",
        "_highwater/tiny/log",
        "_highwater/tiny/log/00000000000000000002.json",
        "_highwater/tiny/tmp",
        "out",
        "out/totals/dt=2026-01-01",
        "out/totals/dt=2026-01-01/hour=00",
        "out/totals/dt=2026-01-01/hour=00/data.parquet",
    ] {
        let project = Project::new(TINY);
        project.feed("a.parquet", &[(DAY_0, "a", 60), (DAY_0 + HOUR, "b", 70)]);
        project.feed("b.parquet", &[(DAY_0 + 2 * HOUR, "c", 80)]);
        run_well(&project, &["run"]);
        project.feed("late.parquet", &[(DAY_0 + 9, "late", 80)]);
        let before = project.outputs();
        // Without a checkpoint the log is read from its beginning.
        fs::remove_dir_all(project.path("_highwater/tiny/ckpt")).unwrap();
        replace_by_link(&project, path);
        let (code, said) = project.json(&["run"]);
        assert!(code != 0 && said.to_string().contains("is a link"), "{path}: {said}");
        put_back(&project, &project.path(path));
        let totals = "out/totals/dt=2026-01-01/hour=00/data.parquet";
        assert_eq!(project.outputs()[totals], before[totals], "{path}");
        run_well(&project, &["run"]);
        assert_ne!(project.outputs()[totals], before[totals], "{path}");
        project.assert_sound();
    }
}
