//! What the store holds, and all that ever happened to it.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::fault::{Faults, SOMETIMES};
use super::log::Watcher;
use super::world::Pid;
use crate::support::DAY_0;

/// Where the project lies in the bucket.
pub(crate) const ROOT: &str = "w/";

/// Where the state of its pipeline lies.
pub(crate) const STATE: &str = "w/_highwater/tiny/";

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) bytes: Bytes,
    pub(crate) version: u64,
    pub(crate) at: u64,
}

impl Object {
    pub(crate) fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

/// On which condition something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Create,
    Update(String),
    Overwrite,
    Delete,
}

/// Something sent to the store.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) pid: Pid,
    pub(crate) key: String,
    pub(crate) bytes: Bytes,
    pub(crate) mode: Mode,
}

/// What its sender was told of an append to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Ok,
    Refused,
    Nothing,
}

/// One try to append to the log.
#[derive(Clone, Debug)]
pub(crate) struct Append {
    pub(crate) pid: Pid,
    pub(crate) slot: u64,
    pub(crate) hash: String,
    pub(crate) sent: u64,
    /// When and what was answered.
    pub(crate) told: Option<(u64, Told)>,
}

/// A change, and what was there before.
type Change = (u64, String, Option<Object>);

/// The store.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    objects: BTreeMap<String, Object>,
    changes: Vec<Change>,
    versions: u64,
    pub(crate) faults: Option<Faults>,
    pub(crate) watcher: Watcher,
    pub(crate) appends: Vec<Append>,
    /// How many writes have landed that their sender had given up.
    pub(crate) landed: u64,
    /// All writes and what became of them, in words.
    pub(crate) trace: Vec<String>,
}

impl Bucket {
    pub(crate) fn get(&self, key: &str) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Keys and objects below `prefix`.
    pub(crate) fn below(&self, prefix: &str) -> Vec<(String, Object)> {
        let objects = self.objects.iter().filter(|(key, _)| key.starts_with(prefix));
        objects.map(|(key, object)| (key.clone(), object.clone())).collect()
    }

    /// The same as it was at `time`.
    pub(crate) fn below_at(&self, prefix: &str, time: u64) -> Vec<(String, Object)> {
        let mut objects: BTreeMap<String, Object> = self.below(prefix).into_iter().collect();
        let undone = self.changes.iter().rev().take_while(|(at, _, _)| *at > time);
        for (_, key, before) in undone.filter(|(_, key, _)| key.starts_with(prefix)) {
            match before {
                Some(object) => _ = objects.insert(key.clone(), object.clone()),
                None => _ = objects.remove(key),
            }
        }
        objects.into_iter().collect()
    }

    /// Puts `bytes` at `key`, as somebody who is no process of the history.
    pub(crate) fn put(&mut self, now: u64, key: &str, bytes: Bytes) {
        self.trace.push(format!("{} fed {key}", time(now)));
        self.store(now, key, bytes);
    }

    fn store(&mut self, now: u64, key: &str, bytes: Bytes) {
        self.versions += 1;
        let object = Object { bytes, version: self.versions, at: now };
        let before = self.objects.insert(key.to_owned(), object);
        self.changes.push((now, key.to_owned(), before));
    }

    /// Carries out `sent`, if its condition holds. Whether it does.
    pub(crate) fn carry_out(&mut self, now: u64, sent: &Delivery) -> bool {
        let there = self.objects.get(&sent.key);
        let holds = match &sent.mode {
            Mode::Create => there.is_none(),
            Mode::Update(etag) => there.is_some_and(|object| object.etag() == *etag),
            Mode::Overwrite | Mode::Delete => true,
        };
        if !holds {
            return false;
        }
        if sent.mode == Mode::Delete {
            self.watcher.removed(&sent.key);
            let before = self.objects.remove(&sent.key);
            self.changes.push((now, sent.key.clone(), before));
        } else {
            self.watcher.stored(&sent.key, &sent.bytes, &sent.mode, sent.pid);
            self.store(now, &sent.key, sent.bytes.clone());
        }
        true
    }

    /// What was sent long ago arrives.
    pub(crate) fn land(&mut self, now: u64, sent: &Delivery) {
        let landed = self.carry_out(now, sent);
        self.landed += u64::from(landed);
        let what = if landed { "landed" } else { "had no effect" };
        if self.watcher.is_superseded(sent.pid) {
            SOMETIMES.note("late landing after takeover");
        }
        SOMETIMES.note(format!("late: {what}"));
        let (at, Delivery { pid, key, mode, .. }) = (time(now), sent);
        self.trace.push(format!("{at} p{pid} late {mode:?} {key}: {what}"));
    }

    /// What a message calls the kind of write.
    pub(crate) fn step_of(key: &str, bytes: &[u8]) -> String {
        if !key.starts_with(STATE) {
            return if key.ends_with(".parquet") { "publish" } else { "owner" }.to_owned();
        }
        match key[STATE.len()..].split('/').next().unwrap_or_default() {
            "log" => {
                let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let entry: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
                entry["kind"].as_str().unwrap_or("entry").to_owned()
            }
            "ckpt" if key.ends_with("LATEST") => "hint".to_owned(),
            "ckpt" => "checkpoint".to_owned(),
            "seg" => "segment".to_owned(),
            "lease" => "heartbeat".to_owned(),
            other => other.to_owned(),
        }
    }
}

/// A time for people: seconds since the history began.
pub(crate) fn time(now: u64) -> String {
    format!("{}.{:06}", now / 1_000_000, now % 1_000_000)
}

/// The hash of `bytes` in hex.
pub(crate) fn hash(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        _ = write!(text, "{byte:02x}");
    }
    text
}

/// When something was written, as a store says it.
pub(crate) fn modified(at: u64) -> chrono::DateTime<chrono::Utc> {
    let micros = DAY_0 + i64::try_from(at).unwrap();
    chrono::DateTime::from_timestamp_micros(micros).unwrap()
}
