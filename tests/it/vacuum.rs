//! What nothing needs is deleted from the state, in two steps of two processes, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use highwater::error::{Code, Result};
use highwater::hash::Sha256;
use highwater::log::StateLog;
use highwater::store::{Fault, ObjectMeta, Store, Written};
use highwater::time::Span;
use serde_json::{Value, json};

use crate::kill::{kill_at, run_well};
use crate::support::{DAY_0, HOUR, Project, TINY, block_on, code, each, files_below};

/// Where vacuums are killed.
pub(crate) const POINTS: &[&str] = &[
    "gc_mark.before:1",
    "gc_mark.after:1",
    "gc_sweep.before:1",
    "gc_sweep.after:1",
    "remove.before:1",
    "remove.after:1",
    "remove.before:2",
    "remove.after:2",
];

/// Commands that are broken at the same time: those that try again and again do nothing but wait.
pub(crate) const AT_ONCE: usize = 32;

/// How a call is broken: after its effect, and whether all later calls are too.
pub(crate) const WAYS: [(bool, bool); 4] =
    [(false, false), (true, false), (false, true), (true, true)];

const NOW: [&str; 4] = ["vacuum", "--retention", "0s", "--yes"];

/// Runs that each bring one file: their segments take the place of those before.
fn merged() -> Project {
    let project = Project::new(TINY).without_checkpoints();
    for hour in 0..4 {
        project.feed(&format!("{hour}.parquet"), &[(DAY_0 + hour * HOUR, "a", 60 + hour)]);
        project.run();
    }
    project
}

fn segments(project: &Project) -> BTreeSet<String> {
    let names = files_below(project.path("_highwater/tiny/seg")).into_iter();
    names.map(|name| format!("seg/{name}")).collect()
}

/// The segments that the log refers to.
fn live(project: &Project) -> BTreeSet<String> {
    let opened = project.open();
    let state = block_on(opened.log(&opened.spec.pipelines[0].name).read()).unwrap().unwrap();
    state.segments.iter().map(|segment| segment.stored.key.clone()).collect()
}

fn keys(document: &Value, of: &str) -> BTreeSet<String> {
    let of = document["pipelines"][0][of].as_array().unwrap().iter();
    of.map(|dead| dead["key"].as_str().unwrap().to_owned()).collect()
}

fn ok(project: &Project, args: &[&str]) -> Value {
    let (code, document) = project.json(args);
    assert_eq!(code, 0, "{document}");
    document
}

#[test]
fn superseded_segments_are_marked_by_one_vacuum_and_deleted_by_a_later_one() {
    let project = merged();
    let (all, live) = (segments(&project), live(&project));
    let dead: BTreeSet<String> = all.difference(&live).cloned().collect();
    assert!(dead.len() >= 2 && !live.is_empty(), "{dead:?} {live:?}");
    let entries = project.entries("tiny").len();

    let looked = ok(&project, &["vacuum", "--dry-run"]);
    assert_eq!((keys(&looked, "marked"), keys(&looked, "deleted").len()), (dead.clone(), 0));
    let unasked = project.command(&["vacuum"]).output().unwrap();
    assert_eq!(code(&unasked), 2, "it asks first");
    assert_eq!(project.entries("tiny").len(), entries, "looking leaves no trace");

    let marked = ok(&project, &["vacuum", "--yes"]);
    assert_eq!(keys(&marked, "marked"), dead);
    assert_eq!(segments(&project), all, "marking deletes nothing");
    let waiting = ok(&project, &["vacuum", "--yes"]);
    assert_eq!(waiting["pipelines"][0]["waiting"]["objects"], dead.len());
    assert_eq!(segments(&project), all, "they are not old enough");
    let newest = project.entries("tiny").len();
    assert_eq!(newest, entries + 3, "claim, gc_mark, release, and nothing for waiting");

    let swept = ok(&project, &NOW);
    assert_eq!(keys(&swept, "deleted"), dead);
    assert_eq!(segments(&project), live);
    assert_eq!(files_below(project.path("_highwater/tiny/probe")), [""; 0]);
    project.assert_sound();

    let entries = project.entries("tiny").len();
    let nothing = ok(&project, &NOW);
    assert_eq!((keys(&nothing, "deleted").len(), keys(&nothing, "marked").len()), (0, 0));
    assert_eq!(project.entries("tiny").len(), entries, "an idle vacuum leaves no trace");
    project.feed("late.parquet", &[(DAY_0, "late", 1)]);
    project.run();
    project.assert_sound();
}

#[test]
fn what_is_not_known_to_be_garbage_stays() {
    let project = merged();
    let state = project.path("_highwater/tiny");
    let attempt = "01a1f814-e0fc-70df-b23c-bd853d54dc04";
    let foreign = [
        "seg/notes.txt".to_owned(),
        // One that a writer at work may be about to name.
        format!("seg/inputs-{:020}.{attempt}.seg", 99),
        format!("tmp/{:020}-{attempt}", 99),
        format!("lease/{:020}.json", 99),
        "inbox/x".to_owned(),
    ];
    let garbage = [
        format!("tmp/{:020}-{attempt}", 1),
        format!("lease/{:020}.json", 1),
        format!("probe/{attempt}"),
    ];
    for name in foreign.iter().chain(&garbage) {
        fs::create_dir_all(state.join(name).parent().unwrap()).unwrap();
        fs::write(state.join(name), "x").unwrap();
    }
    ok(&project, &["vacuum", "--yes"]);
    ok(&project, &NOW);
    let is_there = |name: &&String| state.join(name).exists();
    assert_eq!(foreign.iter().filter(is_there).count(), foreign.len());
    assert_eq!(garbage.iter().filter(is_there).count(), 0);
    let entries: Vec<u64> =
        project.entries("tiny").iter().map(|entry| entry["n"].as_u64().unwrap()).collect();
    assert!(entries.iter().zip(0..).all(|(n, place)| *n == place), "{entries:?}");
}

#[test]
fn what_was_written_anew_since_it_was_marked_is_spared() {
    let project = merged();
    ok(&project, &["vacuum", "--yes"]);
    let dead: Vec<String> = segments(&project).difference(&live(&project)).cloned().collect();
    let rewritten = project.path("_highwater/tiny").join(&dead[0]);
    fs::write(&rewritten, "something else").unwrap();
    let swept = ok(&project, &NOW);
    assert_eq!(swept["pipelines"][0]["spared"], json!([dead[0]]));
    assert_eq!(keys(&swept, "deleted").len(), dead.len() - 1);
    assert!(rewritten.exists());
    // It is marked anew, as what it is now.
    assert_eq!(keys(&swept, "marked"), BTreeSet::from([dead[0].clone()]));
    ok(&project, &NOW);
    assert!(!rewritten.exists());
}

/// The state of a pipeline that goes on, and is vacuumed, as soon as somebody reads a segment.
#[derive(Debug)]
struct Moving {
    inner: Arc<dyn Store>,
    project: PathBuf,
    newer: PathBuf,
    has_moved: AtomicBool,
}

impl Moving {
    fn go_on(&self) {
        if !self.has_moved.swap(true, Ordering::SeqCst) {
            fs::remove_dir_all(&self.project).unwrap();
            for name in files_below(&self.newer) {
                fs::create_dir_all(self.project.join(&name).parent().unwrap()).unwrap();
                fs::copy(self.newer.join(&name), self.project.join(&name)).unwrap();
            }
        }
    }
}

#[async_trait]
impl Store for Moving {
    fn name_of(&self, key: &str) -> String {
        self.inner.name_of(key)
    }

    async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        self.inner.list(folder).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.inner.head(key).await
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>> {
        if key.starts_with("seg/") {
            self.go_on();
        }
        self.inner.read(key).await
    }

    async fn read_ranges(&self, seen: &ObjectMeta, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.read_ranges(seen, ranges).await
    }

    async fn sha256(&self, key: &str) -> Result<Option<Sha256>> {
        self.inner.sha256(key).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Written {
        self.inner.create(key, bytes).await
    }

    async fn overwrite(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.inner.overwrite(key, bytes).await
    }

    async fn remove(&self, seen: &ObjectMeta) -> Result<()> {
        self.inner.remove(seen).await
    }

    async fn publish(&self, key: &str, staged: &Path, over: Option<&str>) -> Written {
        self.inner.publish(key, staged, over).await
    }
}

#[test]
fn a_reader_that_misses_a_segment_reads_the_log_again() {
    let project = merged();
    let newer = project.copy();
    newer.feed("more.parquet", &[(DAY_0 + 4 * HOUR, "a", 1), (DAY_0 + 5 * HOUR, "a", 1)]);
    for hour in 6..10 {
        newer.feed(&format!("{hour}.parquet"), &[(DAY_0 + hour * HOUR, "a", 1)]);
        newer.run();
    }
    ok(&newer, &["vacuum", "--yes"]);
    ok(&newer, &NOW);
    assert!(live(&project).is_disjoint(&segments(&newer)), "nothing of the older state is left");

    let opened = project.open();
    let name = &opened.spec.pipelines[0].name;
    let moving = Moving {
        inner: opened.log(name).store().clone(),
        project: project.path("_highwater/tiny"),
        newer: newer.path("_highwater/tiny"),
        has_moved: AtomicBool::new(false),
    };
    let log = StateLog::new(Arc::new(moving), name.clone());
    let (state, ledger) = block_on(log.read_with_ledger()).unwrap().unwrap();
    assert_eq!(ledger.files().count(), 9);
    assert_eq!(state.head.seq.0, newer.entries("tiny").len() as u64 - 1);

    // A segment that the newest state needs is damage.
    let needed = live(&newer).into_iter().next().unwrap();
    fs::remove_file(project.path("_highwater/tiny").join(needed)).unwrap();
    let why = block_on(log.read_with_ledger()).unwrap_err();
    assert_eq!(why.code(), Code::StateCorrupt);
}

#[test]
fn a_vacuum_that_is_killed_is_finished_by_later_ones() {
    let ready = merged();
    ok(&ready, &["vacuum", "--yes"]);
    let fresh = merged();
    for point in POINTS {
        let project = if point.starts_with("gc_mark") { fresh.copy() } else { ready.copy() };
        let (all, live) = (segments(&project), live(&project));
        kill_at(&project, &NOW, point);
        if !point.starts_with("remove") {
            assert_eq!(segments(&project), all, "{point}: the log says it first");
        }
        assert!(segments(&project).is_superset(&live), "{point}");
        project.assert_sound();
        run_well(&project, &["run"]);
        for _ in 0..2 {
            run_well(&project, &NOW);
        }
        assert_eq!(segments(&project), live, "{point}");
        project.assert_sound();
    }
}

#[test]
fn a_vacuum_broken_at_any_call_does_no_harm() {
    let ready = merged();
    ok(&ready, &["vacuum", "--yes"]);
    let live = live(&ready);
    let vacuum = |project: &Project, fault: &Arc<Fault>| {
        let opened = project.open().with_fault(fault.clone());
        let name = opened.spec.pipelines[0].name.clone();
        block_on(opened.vacuum(&name, Span::ZERO))
    };
    let counted = Fault::new(u64::MAX, false, false);
    vacuum(&ready.copy(), &counted).unwrap();
    let jobs: Vec<_> = (1..=counted.calls()).flat_map(|call| WAYS.map(|way| (call, way))).collect();
    assert!(jobs.len() > 200, "{}", jobs.len());
    let work = |(call, (after_effect, for_ever)): &(u64, (bool, bool))| {
        let project = ready.copy();
        let _ = vacuum(&project, &Fault::new(*call, *after_effect, *for_ever));
        assert!(segments(&project).is_superset(&live));
        project.run();
        let never = Fault::new(u64::MAX, false, false);
        (0..2).for_each(|_| _ = vacuum(&project, &never).unwrap());
        assert_eq!(segments(&project), live);
    };
    each(AT_ONCE, &jobs, |job| format!("the vacuum broken at {job:?}"), work);
}

#[test]
fn a_file_that_cannot_be_deleted_is_named_and_the_others_go() {
    let project = merged();
    ok(&project, &["vacuum", "--yes"]);
    let live = live(&project);
    let dead = segments(&project).difference(&live).count();
    let mut named = 0;
    // Whichever call it is that deletes: then exactly one file stays.
    for call in 1..1_000 {
        let project = project.copy();
        let fault = Fault::new(call, false, false);
        let opened = project.open().with_fault(fault.clone());
        let name = opened.spec.pipelines[0].name.clone();
        let Ok(vacuumed) = block_on(opened.vacuum(&name, Span::ZERO)) else { continue };
        if !vacuumed.failed.is_empty() {
            assert_eq!((vacuumed.failed.len(), vacuumed.swept.len()), (1, dead - 1));
            assert!(vacuumed.failed[0].path.contains("seg/inputs-"));
            named += 1;
        }
        // How far a log is read ahead is a matter of chance.
        if fault.calls() + 50 < call {
            break;
        }
    }
    assert!(named >= dead, "{named}");
}
