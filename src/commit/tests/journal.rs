//! A log in memory, and everything that follows from it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::commit::{Effect, ObjectVersion};
use crate::hash::{Sha256, Sha256Stream};
use crate::id::{AttemptId, Revision, RunId, Seq};
use crate::ledger::FileId;
use crate::state::codec::{self, Encoded};
use crate::state::tests::log::{Log, encoded};
use crate::state::{BatchOutput, Body, Head, State};
use crate::time::EventTime;

/// An effect that a run wants done. Two that do the same have the same name.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) effect: Effect,
    pub(super) name: u128,
    /// The journal once this entry is in it, and the one before: an entry names its predecessor, so
    /// that there is one journal that it can follow. Kept because it takes long to find.
    follows: OnceLock<(Sha256, Arc<Journal>)>,
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Wanted {
    pub(super) fn new(effect: Effect) -> Arc<Self> {
        let mut name = Sha256Stream::default();
        let mut add = |part: &[u8]| {
            name.update(&part.len().to_le_bytes());
            name.update(part);
        };
        match &effect {
            Effect::CreateEntry { bytes, .. } => [b"create", &bytes[..]].map(&mut add),
            Effect::Publish { staged, over, .. } => {
                add(over.as_ref().map_or(b"", |ObjectVersion(version)| version.as_bytes()));
                [staged.path.as_bytes(), staged.att.0.as_bytes()].map(add)
            }
            // There are few others, and they are small.
            other => [b"other", format!("{other:?}").as_bytes()].map(&mut add),
        };
        Arc::new(Self { effect, name: name.finish().first_half(), follows: OnceLock::new() })
    }

    /// Whether it changes the store.
    pub(super) fn is_write(&self) -> bool {
        matches!(self.effect, Effect::CreateEntry { .. } | Effect::Publish { .. })
    }

    /// `journal` once these bytes are in it.
    pub(super) fn follow(&self, journal: &Journal, seq: Seq, bytes: &[u8]) -> Arc<Journal> {
        let head = journal.state.head.hash;
        let after = || Arc::new(journal.clone().with(seq, bytes));
        let (before, known) = self.follows.get_or_init(|| (head, after()));
        if *before == head { known.clone() } else { after() }
    }
}

/// A log, its fold, and what it says of objects.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    pub(super) entries: BTreeMap<Seq, Encoded>,
    /// The fold of the log.
    pub(super) state: State,
    /// What each object may hold.
    pub(super) announced: BTreeMap<String, Announced>,
    /// The run that committed each window last, with other objects or the same.
    pub(super) committed_by: BTreeMap<EventTime, RunId>,
    /// The names of the objects of each revision.
    pub(super) revisions: BTreeMap<(EventTime, Revision), Vec<String>>,
    /// Whether machines are copied with the run on them. Two copies are one writer to the log, and
    /// what one says it did not touch the other may have published.
    pub(super) has_copies: bool,
    /// The only run that wrote in an epoch, by epoch.
    runs: BTreeMap<u64, RunId>,
    /// The first thing that was not as it must be.
    pub(super) violation: Option<String>,
}

/// What an object may hold: what its last commit says and, while it is in doubt, every attempt
/// begun after it.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    owner: Owner,
    pub(super) attempts: Vec<Sha256>,
}

/// Whose rows an object holds.
#[derive(Clone, Debug)]
enum Owner {
    /// Those of the window that starts here.
    Window(EventTime),
    /// Those of a source file that belong to no window.
    File(FileId),
}

impl Journal {
    /// A log that has just begun.
    pub(super) fn new() -> Self {
        let log = Log::new();
        Self {
            entries: BTreeMap::from([(Seq(0), encoded(&log.entries[0]))]),
            state: log.state,
            announced: BTreeMap::new(),
            committed_by: BTreeMap::new(),
            revisions: BTreeMap::new(),
            has_copies: false,
            runs: BTreeMap::new(),
            violation: None,
        }
    }

    /// Whether the log up to `head` is the beginning of this one.
    pub(super) fn holds(&self, head: Head) -> bool {
        self.entries.get(&head.seq).is_some_and(|entry| entry.hash == head.hash)
    }

    /// Takes in a new entry, and what it says of objects.
    fn with(mut self, seq: Seq, bytes: &[u8]) -> Self {
        let (entry, hash) = codec::decode(bytes).unwrap();
        self.entries.insert(seq, Encoded { bytes: bytes.to_vec(), hash });
        if let Err(violation) = self.state.apply(&entry, hash) {
            self.violation.get_or_insert(violation.to_string());
        }
        if *self.runs.entry(entry.epoch.0).or_insert(entry.run) != entry.run {
            self.violation.get_or_insert(format!("CM-4: two runs write in epoch {}", entry.epoch));
        }
        match entry.body {
            Body::Begin(begin) => {
                for window in &begin.windows {
                    let announce = |output| self.announce(output, || Owner::Window(window.start));
                    window.outputs.iter().for_each(announce);
                }
            }
            Body::BeginAside(begin) => {
                for file in begin.files {
                    let (table, key) = (file.table, file.key);
                    self.announce(&file.object, || Owner::File(FileId { table, key }));
                }
            }
            Body::Commit(commit) => {
                for window in &commit.windows {
                    let names = window.outputs.iter().map(|output| output.name.clone()).collect();
                    self.revisions.insert((window.start, window.rev), names);
                    self.committed_by.insert(window.start, entry.run);
                }
            }
            _ => (),
        }
        self.forget_attempts();
        self
    }

    fn announce(&mut self, output: &BatchOutput, owner: impl FnOnce() -> Owner) {
        let nothing = || Announced { owner: owner(), attempts: Vec::new() };
        let object = self.announced.entry(output.path.clone()).or_insert_with(nothing);
        object.attempts.push(bytes_of(output.att));
    }

    /// An object that is not in doubt holds what its last commit says, nothing else. It is not
    /// there, if that says nothing of it.
    fn forget_attempts(&mut self) {
        let (state, has_copies) = (&self.state, self.has_copies);
        for (path, object) in &mut self.announced {
            if !object.owner.may_be_touched(state, has_copies) {
                object.attempts = object.owner.committed(state, path).into_iter().collect();
            }
        }
    }
}

impl Owner {
    /// Whether an attempt that was not committed may lie there.
    fn may_be_touched(&self, state: &State, has_copies: bool) -> bool {
        match self {
            Self::Window(start) => {
                state.in_doubt.contains_key(start) || has_copies && state.failed.contains_key(start)
            }
            Self::File(file) => state.asides.get(file).is_some_and(|known| known.is_in_doubt),
        }
    }

    /// What lies at `path` by the log.
    fn committed(&self, state: &State, path: &str) -> Option<Sha256> {
        match self {
            Self::Window(start) => {
                let mut outputs = state.windows.get(start)?.committed.outputs.iter();
                Some(outputs.find(|output| output.path == path)?.sha256)
            }
            Self::File(file) => Some(state.asides.get(file)?.committed.as_ref()?.object.sha256),
        }
    }
}

/// The hash of what an attempt publishes: no two attempts publish the same bytes.
pub(super) fn bytes_of(attempt: AttemptId) -> Sha256 {
    Sha256::of(attempt.0.as_bytes())
}
