//! What the protocol needs of a folder as a store, and what a full disk does to a run.

mod links;
mod modes;
mod names;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use highwater::clock::Clock;
use highwater::error::{Code, Error, Result};
use highwater::store::{LocalStore, ObjectMeta, Store, Written};
use tempfile::TempDir;

use crate::equal::assert_equal;
use crate::kill::run_well;
use crate::support::{
    DAY_0, Dice, HOUR, Project, Row, TINY, block_on, code, document, files_below, new_folder,
};

/// A store below a folder of its own, beside its staging folder.
struct Disk {
    folder: TempDir,
    store: LocalStore,
}

impl Disk {
    fn new() -> Self {
        let folder = new_folder();
        let (root, staging) = (folder.path().join("root"), folder.path().join("staging"));
        let store = LocalStore::new(root, staging, "disk", Clock::system());
        Self { folder, store }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// A file outside of the root that holds `text`.
    fn staged(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("staged");
        fs::write(&path, text).unwrap();
        path
    }

    fn create(&self, key: &str, text: &'static str) -> Written {
        block_on(self.store.create(key, Bytes::from(text)))
    }

    fn publish(&self, key: &str, text: &str, over: Option<&str>) -> Written {
        block_on(self.store.publish(key, &self.staged(text), over))
    }

    fn head(&self, key: &str) -> ObjectMeta {
        block_on(self.store.head(key)).unwrap().unwrap()
    }

    fn text(&self, key: &str) -> String {
        let bytes = block_on(self.store.read(key)).unwrap().unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn overwrite(&self, key: &str, text: &'static str) -> Result<()> {
        block_on(self.store.overwrite(key, Bytes::from(text)))
    }

    fn list(&self) -> Result<Vec<String>> {
        let listed = block_on(self.store.list(""))?;
        Ok(listed.into_iter().map(|meta| meta.key).collect())
    }
}

fn code_of<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.unwrap_err().code()
}

#[test]
fn what_exists_is_not_created_again() {
    let disk = Disk::new();
    assert!(matches!(disk.create("log/0.json", "first"), Written::Stored));
    assert!(matches!(disk.create("log/0.json", "second"), Written::Unclear(_)));
    assert_eq!(disk.text("log/0.json"), "first");
    assert_eq!(files_below(disk.folder.path().join("staging")), [""; 0]);
}

#[test]
fn of_many_creations_at_once_one_wins_and_its_bytes_stay() {
    let disk = Disk::new();
    for round in 0..50 {
        let key = format!("log/{round}.json");
        let create = |who: usize| {
            let (store, key) = (&disk.store, &key);
            move || {
                let written = block_on(store.create(key, Bytes::from(format!("writer {who}"))));
                matches!(written, Written::Stored).then_some(who)
            }
        };
        let winners: Vec<usize> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8).map(|who| scope.spawn(create(who))).collect();
            writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect()
        });
        let [winner] = winners[..] else { panic!("{winners:?} created {key}") };
        assert_eq!(disk.text(&key), format!("writer {winner}"));
    }
}

#[test]
fn an_object_is_replaced_only_over_the_version_that_was_seen() {
    let disk = Disk::new();
    assert!(matches!(disk.publish("a/data", "one", Some("3-1.000000001")), Written::Unclear(_)));
    assert_eq!(block_on(disk.store.head("a/data")).unwrap(), None);
    assert!(matches!(disk.publish("a/data", "one", None), Written::Stored));
    let one = disk.head("a/data").mark;
    assert!(matches!(disk.publish("a/data", "two!", None), Written::Unclear(_)));
    assert_eq!(disk.text("a/data"), "one");
    assert!(matches!(disk.publish("a/data", "two!", Some(&one)), Written::Stored));
    assert!(matches!(disk.publish("a/data", "three", Some(&one)), Written::Unclear(_)));
    assert_eq!(disk.text("a/data"), "two!");
    assert_eq!(files_below(disk.root()), ["a/data"]);
}

#[test]
fn who_reads_an_object_while_it_is_replaced_reads_the_old_version_to_its_end() {
    let disk = Disk::new();
    assert!(matches!(disk.publish("a/data", "old", None), Written::Stored));
    let mark = disk.head("a/data").mark;
    let mut reader = File::open(disk.root().join("a/data")).unwrap();
    assert!(matches!(disk.publish("a/data", "newer", Some(&mark)), Written::Stored));
    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();
    assert_eq!((read.as_str(), disk.text("a/data").as_str()), ("old", "newer"));
}

#[test]
fn a_staged_file_that_is_gone_replaces_nothing() {
    let disk = Disk::new();
    assert!(matches!(disk.publish("a/data", "one", None), Written::Stored));
    let (mark, nowhere) = (disk.head("a/data").mark, disk.folder.path().join("nowhere"));
    let written = block_on(disk.store.publish("a/data", &nowhere, Some(&mark)));
    assert!(matches!(written, Written::Refused(_)), "{written:?}");
    assert_eq!(disk.text("a/data"), "one");
}

#[test]
fn bytes_of_a_version_that_is_gone_are_not_read() {
    let disk = Disk::new();
    assert!(matches!(disk.create("a", "0123456789"), Written::Stored));
    let seen = disk.head("a");
    let read = |seen: &ObjectMeta| block_on(disk.store.read_ranges(seen, &[2..4, 0..1, 9..10]));
    let pieces = [Bytes::from("23"), Bytes::from("0"), Bytes::from("9")];
    assert_eq!(read(&seen).unwrap(), pieces);

    let mut other = seen.clone();
    other.mark.push('0');
    assert_eq!(code_of(read(&other)), Code::InputChanged);
    fs::write(disk.root().join("a"), "x").unwrap();
    assert_eq!(code_of(read(&seen)), Code::InputChanged);
    fs::remove_file(disk.root().join("a")).unwrap();
    assert_eq!(code_of(read(&seen)), Code::InputChanged);
    let beyond = ObjectMeta { size: 3, ..seen };
    assert_eq!(code_of(read(&beyond)), Code::InputChanged, "it is gone, whatever was seen of it");
}

#[test]
fn what_is_not_there_is_none() {
    let disk = Disk::new();
    assert_eq!(block_on(disk.store.head("a/b")).unwrap(), None);
    assert_eq!(block_on(disk.store.read("a/b")).unwrap(), None);
    assert_eq!(block_on(disk.store.sha256("a/b")).unwrap(), None);
    assert_eq!(code_of(disk.list()), Code::SourceMissing);
    fs::create_dir(disk.root()).unwrap();
    assert_eq!(disk.list().unwrap(), [""; 0]);
    // A file where a folder should be.
    fs::write(disk.root().join("a"), "").unwrap();
    assert_eq!(block_on(disk.store.head("a/b")).unwrap(), None);
    assert!(matches!(disk.create("a/b", "x"), Written::Refused(_)));
}

#[test]
fn a_list_is_in_order_of_keys_and_leaves_out_what_is_hidden() {
    let disk = Disk::new();
    let keys = ["a-b/x", "a/b/y", "a/z", "a.b", "b/1", "b/10", "b/2", "ü/ö"];
    let hidden = ["_OWNER.json", ".a", "a/_SUCCESS", "a/.crc", "_tmp/x", ".git/x", "b/_d/e/f"];
    for key in keys.iter().chain(&hidden) {
        let path = disk.root().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, key).unwrap();
    }
    let mut sorted = keys;
    sorted.sort_unstable();
    assert_eq!(disk.list().unwrap(), sorted);
}

#[test]
fn a_list_of_many_names_and_many_folders_has_each_once() {
    let disk = Disk::new();
    let flat = (0..2_500).map(|place| format!("flat/{:04}", place * 7 % 2_500));
    let nested = (0..300).map(|place| format!("{}/{}/{place}", place % 50, place % 7));
    // A folder sorts with its `/`: between these two.
    let beside = ["flat-a", "flat.a", "flat0"].map(str::to_owned);
    let mut keys: Vec<String> = flat.chain(nested).chain(beside).collect();
    for key in &keys {
        let path = disk.root().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, key).unwrap();
    }
    keys.sort_unstable();
    assert_eq!(disk.list().unwrap(), keys);
    let of_flat = block_on(disk.store.list("flat/")).unwrap();
    assert_eq!(of_flat.len(), 2_500);
    assert_eq!(of_flat[7], disk.head("flat/0007"));

    // Whoever meets what cannot be listed, it is told.
    for link in ["49/5/link", "flat/link"] {
        symlink("nowhere", disk.root().join(link)).unwrap();
        let refused = disk.list().unwrap_err();
        assert!(refused.message().contains(link), "{refused}");
        let (objects, links) = block_on(disk.store.survey("")).unwrap();
        assert_eq!((objects.len(), links), (keys.len(), vec![link.to_owned()]));
        fs::remove_file(disk.root().join(link)).unwrap();
    }
}

/// The error of a write that was certainly not done.
fn refused(written: Written) -> Error {
    match written {
        Written::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_that_are_too_long_are_refused_and_leave_nothing() {
    let disk = Disk::new();
    let (part, whole) = ("x".repeat(256), ["x".repeat(200).as_str(); 25].join("/"));
    let longest = "x".repeat(255);
    assert!(matches!(disk.create(&format!("a/{longest}"), "x"), Written::Stored));
    for long in [format!("a/{part}"), format!("{part}/a"), whole] {
        assert_eq!(refused(disk.create(&long, "x")).code(), Code::StoreUnfit);
        assert_eq!(refused(disk.publish(&long, "x", None)).code(), Code::StoreUnfit);
        assert_eq!(code_of(disk.overwrite(&long, "x")), Code::StoreUnfit);
    }
    assert_eq!(files_below(disk.root()), [format!("a/{longest}")]);
    assert_eq!(files_below(disk.folder.path().join("staging")), [""; 0]);
}

/// What a listing says if `link` in the root leads to `target`.
fn with_link(target: impl Fn(&Path) -> PathBuf) -> Result<Vec<String>> {
    let disk = Disk::new();
    fs::create_dir_all(disk.root().join("d")).unwrap();
    fs::write(disk.root().join("d/file"), "x").unwrap();
    fs::write(disk.folder.path().join("outside"), "x").unwrap();
    symlink(target(&disk.root()), disk.root().join("link")).unwrap();
    disk.list()
}

#[test]
fn links_are_followed_to_files_inside_and_refused_elsewhere() {
    assert_eq!(with_link(|root| root.join("d/file")).unwrap(), ["d/file", "link"]);
    assert_eq!(with_link(|_| "d/file".into()).unwrap(), ["d/file", "link"]);
    for refused in ["../outside", "d", ".", "nowhere", "link"] {
        assert_eq!(code_of(with_link(|_| refused.into())), Code::StoreFailed, "{refused}");
    }
}

/// Two windows whose objects are larger than their log.
fn project() -> Project {
    let project = Project::new(TINY);
    let mut dice = Dice(1);
    let rows: Vec<Row> = (0..2000)
        .map(|n| (DAY_0 + n * HOUR / 900, "a", i64::try_from(dice.roll(1 << 40)).unwrap()))
        .collect();
    project.feed("a.parquet", &rows);
    project
}

#[test]
fn a_run_that_may_write_no_more_is_loud_and_is_made_good_later() {
    let undisturbed = project();
    run_well(&undisturbed, &["run"]);
    let late = [(DAY_0 + 9, "late", 80)];
    // In KiB: nothing at all fits, the first entries do, the log does and objects do not.
    for limit in [0, 1, 4] {
        let project = project();
        let limited = |project: &Project| {
            let binary = project.command(&[]).get_program().to_owned();
            let mut command = std::process::Command::new("bash");
            command.current_dir(project.path("")).arg("-c");
            command.arg(format!("ulimit -f {limit}; exec \"$0\" run --format json"));
            command.arg(binary).output().unwrap()
        };
        let ended = limited(&project);
        let said = document(&ended);
        assert_eq!(code(&ended), 5, "limit {limit}: {said}");
        assert!(said.to_string().contains("HW6004"), "limit {limit}: {said}");
        assert_eq!(project.strays(), [""; 0]);
        run_well(&project, &["run"]);
        assert_equal(&project.outputs(), &undisturbed.outputs());
        project.assert_sound();

        let before = project.outputs();
        project.feed("late.parquet", &late);
        assert_eq!(code(&limited(&project)), 5, "limit {limit}");
        assert_equal(&project.outputs(), &before);
        run_well(&project, &["run"]);
        assert_eq!(project.outputs().len(), before.len());
        project.assert_sound();
        assert_eq!(files_below(project.path("_highwater/tiny/tmp")), [""; 0]);
    }
}
