//! Reads the log and the outputs as they are written, by a parser of its own, and says what breaks
//! a promise.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::bucket::{Append, Mode, ROOT, STATE, Told, hash};
use super::fault::SOMETIMES;
use super::world::Pid;
use crate::support::{DAY_0, HOUR, texts};

/// Somebody who sees each write that the store takes.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    /// The bodies of the log, and the hashes of them.
    pub(crate) entries: Vec<(Value, String)>,
    /// The hashes of the stored entries, with their trailers.
    stored: Vec<String>,
    attempts: BTreeSet<String>,
    pub(crate) epoch: u64,
    /// The epoch that each process claimed last.
    claimed: BTreeMap<Pid, u64>,
    watermark: Option<i64>,
    /// Starts of windows that are committed.
    covered: BTreeSet<i64>,
    /// Stretches of windows without rows.
    empty: Vec<(i64, i64)>,
    /// The last committed hash of each object.
    committed: BTreeMap<String, String>,
    /// Attempts that were begun since, by object.
    begun: BTreeMap<String, BTreeSet<String>>,
    /// The windows of the newest batch: their starts, and the objects and attempts of them.
    batch: Vec<(i64, String, String)>,
    /// The hash of each object that is there.
    pub(crate) visible: BTreeMap<String, String>,
    /// What broke a promise.
    pub(crate) violations: Vec<String>,
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn instant(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_default();
    chrono::DateTime::parse_from_rfc3339(text).map_or(i64::MIN, |at| at.timestamp_micros())
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Watcher {
    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(what());
        }
    }

    /// Whether somebody else has claimed the log since `pid` did.
    pub(crate) fn is_superseded(&self, pid: Pid) -> bool {
        self.claimed.get(&pid).is_some_and(|epoch| *epoch < self.epoch)
    }

    /// `bytes` are stored at `key`.
    pub(crate) fn stored(&mut self, key: &str, bytes: &Bytes, mode: &Mode, pid: Pid) {
        if let Some(name) = key.strip_prefix(STATE).and_then(|key| key.strip_prefix("log/")) {
            self.must(*mode == Mode::Create, || format!("{key} was written {mode:?}"));
            let slot = name.strip_suffix(".json").and_then(|digits| digits.parse().ok());
            self.entry(slot.unwrap_or(u64::MAX), bytes, pid);
        } else if key.ends_with(".parquet") {
            self.object(key, bytes, mode);
        }
    }

    /// The object at `key` is removed.
    pub(crate) fn removed(&mut self, key: &str) {
        let name = key.strip_prefix(STATE).unwrap_or(key);
        if let Some(id) = name.strip_prefix("inbox/") {
            let id = id.trim_end_matches(".json");
            let is_logged = self.entries.iter().any(|(entry, _)| text(entry, "inbox") == id);
            self.must(is_logged, || format!("{name} was removed, and the log does not have it"));
        } else {
            self.must(name.starts_with("probe/"), || format!("{name} was removed"));
        }
    }

    fn entry(&mut self, slot: u64, bytes: &[u8], pid: Pid) {
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let [body, trailer, b""] = lines.as_slice() else {
            return self.violations.push(format!("entry {slot} is not two lines"));
        };
        let (Some(trailer), Some(entry)) = (parse(trailer), parse(body)) else {
            return self.violations.push(format!("entry {slot} is no JSON"));
        };
        let hash_of_body = hash(body);
        let n = self.entries.len() as u64;
        self.must(slot == n && entry["n"] == n, || format!("entry {slot} stands at place {n}"));
        let is_whole = text(&trailer, "sha256") == hash_of_body;
        self.must(is_whole, || format!("entry {slot} has another hash than it says"));
        let prev = self.entries.last().map_or("0".repeat(64), |(_, hash)| hash.clone());
        self.must(text(&entry, "prev") == prev, || format!("entry {slot} breaks the chain"));
        let is_new = self.attempts.insert(text(&entry, "att").to_owned());
        self.must(is_new, || format!("entry {slot} repeats an attempt"));
        let epoch = entry["epoch"].as_u64().unwrap_or(u64::MAX);
        let kind = text(&entry, "kind").to_owned();
        let expected = self.epoch + u64::from(kind == "claim");
        self.must(epoch == expected, || {
            format!("entry {slot}, a {kind}, is of epoch {epoch}, expected {expected}")
        });
        self.epoch = epoch;
        match kind.as_str() {
            "claim" => {
                self.claimed.insert(pid, epoch);
                if !entry["takes"].is_null() {
                    SOMETIMES.note("takeover");
                }
            }
            "begin" => self.begin(&entry),
            "commit" => {
                self.commit(slot, &entry);
                self.failed(&entry["failed"]);
            }
            "failed" if !entry["batch"].is_null() => self.failed(&entry["windows"]),
            "skip" => self.violations.push(format!("entry {slot} skips")),
            _ => {}
        }
        self.entries.push((entry, hash_of_body));
        self.stored.push(hash(bytes));
    }

    fn begin(&mut self, entry: &Value) {
        self.batch.clear();
        for window in items(&entry["windows"]) {
            for output in items(&window["outputs"]) {
                let path = format!("{ROOT}{}", text(output, "path"));
                let attempt = text(output, "att").to_owned();
                self.begun.entry(path.clone()).or_default().insert(attempt.clone());
                self.batch.push((instant(&window["start"]), path, attempt));
            }
        }
    }

    /// These windows of the newest batch failed: nothing of it will be published.
    fn failed(&mut self, windows: &Value) {
        let starts: Vec<i64> =
            items(windows).iter().map(|window| instant(&window["start"])).collect();
        for (_, path, attempt) in self.batch.iter().filter(|(start, ..)| starts.contains(start)) {
            if let Some(begun) = self.begun.get_mut(path) {
                begun.remove(attempt);
            }
        }
        self.begun.retain(|_, attempts| !attempts.is_empty());
    }

    fn commit(&mut self, slot: u64, entry: &Value) {
        let batch = text(entry, "batch");
        let begun = self
            .entries
            .iter()
            .rev()
            .find(|(entry, _)| matches!(text(entry, "kind"), "begin" | "claim"));
        let is_own =
            begun.is_some_and(|(begin, _)| text(begin, "batch") == batch && !batch.is_empty());
        self.must(is_own, || format!("entry {slot} commits batch {batch}, which is not open"));
        for window in items(&entry["windows"]) {
            self.covered.insert(instant(&window["start"]));
            for output in items(&window["outputs"]) {
                let path = format!("{ROOT}{}", text(output, "path"));
                let sha = text(output, "sha256").to_owned();
                let visible = self.visible.get(&path).cloned();
                self.must(visible.as_ref() == Some(&sha), || {
                    format!("entry {slot} commits {path} as {sha}, and {visible:?} is there")
                });
                self.begun.remove(&path);
                self.committed.insert(path, sha);
            }
        }
        let empty = items(&entry["empty"]).iter();
        self.empty.extend(empty.map(|range| (instant(&range["start"]), instant(&range["end"]))));
        if !entry["watermark"].is_null() {
            let moved = &entry["watermark"];
            let (from, to) = (instant(&moved["from"]), instant(&moved["to"]));
            let stood = *self.watermark.get_or_insert(from);
            let is_forward = stood == from && from < to;
            self.must(is_forward, || {
                format!("entry {slot} moves the watermark from {from} to {to}")
            });
            self.watermark = Some(to);
            // No event is older.
            let mut start = DAY_0;
            while start < to {
                let is_empty = self.empty.iter().any(|(from, to)| *from <= start && start < *to);
                let is_done = start < from || is_empty || self.covered.contains(&start);
                self.must(is_done, || format!("entry {slot} passes window {start}"));
                start += HOUR;
            }
        }
    }

    fn object(&mut self, key: &str, bytes: &Bytes, mode: &Mode) {
        self.must(*mode != Mode::Overwrite, || format!("{key} was overwritten blindly"));
        match attempt_of(bytes) {
            Ok(attempt) => {
                let is_begun = self.begun.get(key).is_some_and(|begun| begun.contains(&attempt));
                // A write that was repeated may land over itself once it is committed: the same
                // bytes, over no other version than its own.
                let is_itself = self.visible.get(key) == Some(&hash(bytes));
                let is_itself = is_itself && self.committed.get(key) == Some(&hash(bytes));
                self.must(is_begun || is_itself, || {
                    format!("{key} is by {attempt}, which was not begun")
                });
            }
            Err(why) => self.violations.push(format!("{key} is not whole: {why}")),
        }
        self.visible.insert(key.to_owned(), hash(bytes));
    }

    /// What is wrong once all is done.
    pub(crate) fn at_the_end(&mut self) {
        if !self.begun.is_empty() {
            self.violations.push(format!("in doubt at the end: {:?}", self.begun));
        }
        for (path, sha) in &self.committed {
            if self.visible.get(path) != Some(sha) {
                self.violations.push(format!("{path} is not what was committed"));
            }
        }
        let mut done = BTreeMap::<u64, u32>::new();
        let mut taken = BTreeMap::<&str, u32>::new();
        for (entry, _) in &self.entries {
            match text(entry, "kind") {
                "request" => {
                    done.entry(entry["n"].as_u64().unwrap()).or_default();
                    if !entry["inbox"].is_null() {
                        *taken.entry(text(entry, "inbox")).or_default() += 1;
                    }
                }
                "request_done" => *done.entry(entry["id"].as_u64().unwrap()).or_default() += 1,
                _ => {}
            }
        }
        for (id, count) in done.iter().filter(|(_, count)| **count != 1) {
            self.violations.push(format!("request {id} was done {count} times"));
        }
        for (id, count) in taken.iter().filter(|(_, count)| **count != 1) {
            self.violations.push(format!("inbox item {id} was taken in {count} times"));
        }
    }

    /// Compares what was told of appends with the log, in one pass over them.
    pub(crate) fn check_appends(&mut self, appends: &[Append]) {
        let slots: BTreeMap<&String, u64> = self.stored.iter().zip(0..).collect();
        let mut wrong = Vec::new();
        let mut refused = BTreeMap::<(Pid, &String), bool>::new();
        let mut answered: Vec<(u64, u64)> = Vec::new();
        for append in appends {
            let slot = slots.get(&append.hash).copied();
            let told = append.told.map(|(_, told)| told);
            let only_refused = refused.entry((append.pid, &append.hash)).or_insert(true);
            *only_refused &= told == Some(Told::Refused);
            if told == Some(Told::Ok) && slot != Some(append.slot) {
                wrong.push(format!("p{} was told that it wrote {}", append.pid, append.slot));
            }
            if let (Some(slot), Some((at, Told::Ok))) = (slot, append.told) {
                answered.push((at, slot));
            }
        }
        for ((pid, hash), only_refused) in refused {
            if only_refused && slots.contains_key(hash) {
                wrong.push(format!("p{pid} was refused, and its entry is in the log"));
            }
        }
        // Whatever was answered before something was sent stands before it.
        answered.sort_unstable();
        let mut newest = 0;
        let mut next = answered.iter().peekable();
        let mut sent = BTreeSet::new();
        for append in appends {
            while let Some((_, slot)) = next.next_if(|(at, _)| *at < append.sent) {
                newest = newest.max(*slot);
            }
            // The same bytes sent again are the same append: it began when they were first sent.
            let is_first = sent.insert(&append.hash);
            if is_first && slots.get(&append.hash).is_some_and(|slot| *slot < newest) {
                wrong.push(format!("entry {} overtook entry {newest}", append.slot));
            }
        }
        self.violations.append(&mut wrong);
    }
}

fn parse(line: &[u8]) -> Option<Value> {
    serde_json::from_slice(line).ok()
}

/// The attempt that wrote a Parquet file, which is read whole.
fn attempt_of(bytes: &Bytes) -> Result<String, String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone());
    let reader = reader.map_err(|why| why.to_string())?;
    let words = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let attempt = words.iter().find(|word| word.key == "highwater.attempt");
    let attempt = attempt.and_then(|word| word.value.clone()).ok_or("it names no attempt")?;
    for batch in reader.build().map_err(|why| why.to_string())? {
        batch.map_err(|why| why.to_string())?;
    }
    Ok(attempt)
}

/// The rows of a Parquet file as text.
pub(crate) fn rows(bytes: &Bytes) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap().build().unwrap();
    reader.flat_map(|batch| texts(&batch.unwrap())).collect()
}
