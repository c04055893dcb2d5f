//! What a run costs does not grow with what it has seen before.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use highwater::clock::Clock;
use highwater::error::{Code, Result};
use highwater::hash::Sha256;
use highwater::id::Generation;
use highwater::ledger::{self, FileRecord, InputVersion, Ledger};
use highwater::log::{read_ledger, write_segment};
use highwater::source::{SourceStore, Upstreams, discover};
use highwater::state::{Segment, SegmentRef, State};
use highwater::store::{ObjectMeta, Store, Written};
use highwater::time::{EventTime, ProcessingTime};

use crate::support::{DAY_0, HOUR, Project, TINY, block_on};

const FILES: usize = 200_000;

/// A store in memory that counts what it is asked.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// What it lists beside them: their bytes are never to be asked for.
    others: Vec<ObjectMeta>,
    asked: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counting {
    fn count(&self, call: &'static str) {
        *self.asked.lock().unwrap().entry(call).or_default() += 1;
    }

    /// Holds `bytes` at `key`.
    pub(crate) fn hold(&self, key: String, bytes: Vec<u8>) {
        self.objects.lock().unwrap().insert(key, bytes.into());
    }

    /// The bytes of all objects whose keys begin with `folder`.
    pub(crate) fn sizes(&self, folder: &str) -> u64 {
        let objects = self.objects.lock().unwrap();
        let sizes = objects.iter().filter(|(key, _)| key.starts_with(folder));
        sizes.map(|(_, bytes)| u64::try_from(bytes.len()).unwrap()).sum()
    }

    /// What it was asked since the last time, by call.
    pub(crate) fn asked(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn get(&self, key: &str) -> Option<Bytes> {
        self.objects.lock().unwrap().get(key).cloned()
    }
}

fn meta(key: &str, size: usize) -> ObjectMeta {
    ObjectMeta {
        key: key.to_owned(),
        size: size.try_into().unwrap(),
        mark: "written".to_owned(),
        modified_at: ProcessingTime::from_micros(DAY_0 + 9 * HOUR),
        is_young: false,
    }
}

#[async_trait]
impl Store for Counting {
    fn name_of(&self, key: &str) -> String {
        key.to_owned()
    }

    async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        self.count("list");
        let mut listed = self.others.clone();
        let objects = self.objects.lock().unwrap();
        listed.extend(objects.iter().map(|(key, bytes)| meta(key, bytes.len())));
        listed.retain(|meta| meta.key.starts_with(folder));
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.count("head");
        Ok(self.get(key).map(|bytes| meta(key, bytes.len())))
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>> {
        self.count("read");
        Ok(self.get(key))
    }

    async fn read_ranges(&self, seen: &ObjectMeta, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.count("read_ranges");
        let bytes = self.get(&seen.key).expect("only what is new is read");
        let place = |at: u64| usize::try_from(at).unwrap();
        Ok(ranges.iter().map(|range| bytes.slice(place(range.start)..place(range.end))).collect())
    }

    async fn sha256(&self, key: &str) -> Result<Option<Sha256>> {
        self.count("sha256");
        Ok(self.get(key).map(|bytes| Sha256::of(&bytes)))
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Written {
        self.count("create");
        self.objects.lock().unwrap().insert(key.to_owned(), bytes);
        Written::Stored
    }

    async fn overwrite(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.count("overwrite");
        self.objects.lock().unwrap().insert(key.to_owned(), bytes);
        Ok(())
    }

    async fn remove(&self, _: &ObjectMeta) -> Result<()> {
        unreachable!("nothing is removed")
    }

    async fn publish(&self, _: &str, _: &Path, _: Option<&str>) -> Written {
        unreachable!("nothing is published")
    }
}

/// The record of an old file, one of [`FILES`].
fn record(place: usize) -> FileRecord {
    let hour = DAY_0 + i64::try_from(place).unwrap() % 1_000 * HOUR;
    let old = meta(&key(place), 4_000);
    let text = serde_json::json!({
        "table": "events",
        "key": old.key,
        "version": InputVersion { size: old.size, mark: old.mark, sha256: None },
        "arrived_at": old.modified_at,
        "rows": 1,
        "bytes_in_memory": 100,
        "event_range": null,
        "cells": [[EventTime::from_micros(hour), 1]],
    });
    serde_json::from_value(text).unwrap()
}

fn key(place: usize) -> String {
    format!("hour={:03}/part-{place:06}.parquet", place % 1_000)
}

/// The ledger of all old files, from a segment and back.
async fn stored_ledger() -> Ledger {
    let records: Vec<FileRecord> = (0..FILES).map(record).collect();
    let lines: Vec<_> = records.iter().map(|record| (Generation(1), record)).collect();
    let store = Counting::default();
    let clock = Clock::system();
    let stored = write_segment(&store, Generation(1), &lines, &clock).await.unwrap();
    let mut state = State::before_first_run("tiny".to_owned().try_into().unwrap());
    state.segments.push(Segment { stored, first: Generation(1) });
    let ledger = read_ledger(&store, &state).await.unwrap();
    assert_eq!(store.asked(), [("create", 1), ("read", 1)].into());
    ledger
}

#[test]
fn a_damaged_ledger_is_told_wherever_the_damage_is() {
    let records: Vec<FileRecord> = (0..10_000).map(record).collect();
    let lines: Vec<_> = records.iter().map(|record| (Generation(1), record)).collect();
    let text = ledger::encode(&lines).unwrap();
    let read = |bytes: Option<Vec<u8>>, sha256: Sha256| {
        let store = Counting::default();
        let stored = SegmentRef { key: "seg/it".to_owned(), len: 0, sha256, files: 10_000 };
        if let Some(bytes) = bytes {
            store.hold(stored.key.clone(), bytes);
        }
        let mut state = State::before_first_run("tiny".to_owned().try_into().unwrap());
        state.segments.push(Segment { stored, first: Generation(1) });
        let ledger = block_on(read_ledger(&store, &state));
        (ledger.map(|ledger| ledger.files().count()), store.asked()["read"])
    };
    let whole = Sha256::of(&text);
    assert_eq!(read(Some(text.clone()), whole), (Ok(10_000), 1));
    let told = |bytes: Option<Vec<u8>>, sha256: Sha256, what: &str, reads: u64| {
        let (why, asked) = read(bytes, sha256);
        let why = why.unwrap_err();
        assert_eq!((why.code(), asked), (Code::StateCorrupt, reads), "{why}");
        assert!(why.message().contains(what) && why.message().contains("seg/it"), "{why}");
    };
    told(None, whole, "is missing", 2);
    told(Some(Vec::new()), whole, "has the hash", 2);
    for at in (0..text.len()).step_by(text.len() / 9).chain([text.len() - 1]) {
        let mut flipped = text.clone();
        flipped[at] ^= 1;
        told(Some(flipped), whole, "has the hash", 2);
        // Whoever wrote it so: no line is passed over.
        let start = text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut lied = text.clone();
        lied[start] = b'{';
        let hash = Sha256::of(&lied);
        told(Some(lied), hash, "says: ", 1);
    }
}

#[test]
fn one_new_file_among_200_000_is_all_that_is_read() {
    let project = Project::new(TINY);
    project.feed("new.parquet", &[(DAY_0, "a", 1), (DAY_0 + HOUR, "b", 2)]);
    let bytes = std::fs::read(project.path("in/new.parquet")).unwrap();
    let others = (0..FILES).map(|place| meta(&key(place), 4_000)).collect();
    let store = Arc::new(Counting { others, ..Counting::default() });
    let spec = &project.spec().pipelines[0];
    let stores = [("events".to_owned(), SourceStore::new(store.clone()))].into();
    block_on(async {
        let ledger = stored_ledger().await;
        let now = Clock::system().now();
        let upstreams = Upstreams::new();
        let look = || discover(spec, &stores, &upstreams, &ledger, now);
        // Nothing new: the listing is all there is to it.
        let found = look().await.unwrap();
        assert_eq!((found.listed.len(), found.records.len()), (FILES, 0));
        assert_eq!(store.asked(), [("list", 1)].into());

        store.objects.lock().unwrap().insert("hour=000/new.parquet".to_owned(), bytes.into());
        let found = look().await.unwrap();
        assert_eq!((found.records.len(), found.records[0].rows), (1, 2));
        assert!(found.missing.is_empty() && found.unreadable.is_empty());
        // Its footer, and its event times.
        assert_eq!(store.asked(), [("list", 1), ("read_ranges", 2)].into());
    });
}

#[test]
fn runs_that_bring_a_file_each_leave_few_segments() {
    let project = Project::new(TINY);
    for hour in 0..40 {
        project.feed(&format!("{hour:02}.parquet"), &[(DAY_0 + hour * HOUR, "a", hour)]);
        project.run();
    }
    let entries = project.entries("tiny");
    let inputs = entries.iter().filter(|entry| entry["kind"] == "inputs");
    let held = inputs.fold(0, |held, entry| held + 1 - entry["replaces"].as_u64().unwrap_or(0));
    assert!(held <= 6, "{held} segments of 40 admissions");
    let before = entries.len();
    project.run();
    assert_eq!(project.entries("tiny").len(), before, "nothing is new to the merged ledger");
    // A file in the oldest segment is known by its generation, and can be replaced.
    project.feed("03.parquet", &[(DAY_0 + 3 * HOUR, "b", 3)]);
    let reports = project.run();
    assert_eq!(reports[0].windows_done, 1);
    project.assert_sound();
}
