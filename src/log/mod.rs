//! The state log in its store: reads it into a [`State`], creates it, and keeps the ledger's
//! segments beside it.
//!
//! It never lists: entries are contiguous, so the first free place is the end (reliability §1.7).
//! Appending is the business of `commit` and `publish`; nothing here rewrites or deletes.

mod audit;
mod checkpoint;
mod entries;
mod inbox;
mod lease;
mod ledger;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

pub use checkpoint::Pace;
pub use inbox::{Inbox, InboxItem};
pub use lease::{
    Beat, Heart, Lease, LeaseInfo, Progress, is_locked, newest_beat, show_alive, sweep_staging,
    unstage,
};
pub use ledger::{read_ledger, write_segment};

use entries::Entries;

use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use crate::id::{AttemptId, Epoch, PipelineName, RunId, Seq, StoreId};
use crate::state::codec::{self, DecodeError};
use crate::state::{Body, Entry, FORMAT, State, Who};
use crate::store::{Store, Written, layout};

/// The log of one pipeline.
#[derive(Clone, Debug)]
pub struct StateLog {
    store: Arc<dyn Store>,
    pipeline: PipelineName,
}

/// A state, and how much of it was read from a checkpoint.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The state, with the facts of few windows.
    pub state: State,
    /// The newest entry that the checkpoint knew; `None` if there was no checkpoint.
    pub checkpoint: Option<Seq>,
}

impl StateLog {
    /// The log of `pipeline` in its state prefix `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, pipeline: PipelineName) -> Self {
        Self { store, pipeline }
    }

    /// The state prefix.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Whose log it is.
    #[must_use]
    pub fn pipeline(&self) -> &PipelineName {
        &self.pipeline
    }

    /// The state the log says is true, with the facts of every window; `None` if there is no log
    /// yet.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn read(&self) -> Result<Option<State>> {
        let Some(Opening { mut state, .. }) = self.open().await? else { return Ok(None) };
        let wanted = state.wanted_whole();
        self.recall(&mut state, wanted).await?;
        Ok(Some(state))
    }

    /// The state the log says is true, with the facts of few windows: from the newest checkpoint
    /// and what came after it. `None` if there is no log yet.
    ///
    /// # Errors
    /// If an entry is damaged, breaks a rule, or was written by a newer version; if the store
    /// fails.
    pub async fn open(&self) -> Result<Option<Opening>> {
        let from = self.newest_checkpoint().await?;
        let checkpoint = from.as_ref().map(|state| state.head.seq);
        let state = self.fold(from, None).await?;
        Ok(state.map(|state| Opening { state, checkpoint }))
    }

    /// The state as the log alone tells it, from its beginning; `None` if there is no log yet.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn replay(&self) -> Result<Option<State>> {
        self.fold(None, None).await
    }

    /// The same up to and including entry `last`.
    async fn replay_until(&self, last: Seq) -> Result<Option<State>> {
        self.fold(None, Some(last)).await
    }

    /// Folds what comes after `from` into it.
    async fn fold(&self, from: Option<State>, last: Option<Seq>) -> Result<Option<State>> {
        let mut state = from;
        let first = state.as_ref().map_or(Some(Seq(0)), State::next_seq).unwrap_or(Seq(u64::MAX));
        let mut entries = Entries::from(self, first);
        while let Some((entry, hash)) = entries.next().await? {
            let seq = entry.n;
            let folded = match &mut state {
                Some(state) => {
                    let wanted = state.wanted_by(&entry);
                    // Boxed: what a recall may need is a fold of its own.
                    Box::pin(self.recall(state, wanted)).await?;
                    state.apply(&entry, hash)
                }
                None => State::start(&entry, hash).map(|first| state = Some(first)),
            };
            folded.map_err(|violation| self.damaged(violation.seq, &violation.to_string()))?;
            if Some(seq) == last {
                break;
            }
        }
        match state {
            Some(state) if state.pipeline != self.pipeline => {
                Err(self.damaged(Seq(0), &format!("it is the log of pipeline {}", state.pipeline)))
            }
            state => Ok(state),
        }
    }

    /// Calls `visit` with each entry in order, and the hash of its body.
    ///
    /// # Errors
    /// As [`Self::read`]; the first error of `visit` ends it.
    pub async fn for_each(&self, mut visit: impl FnMut(Entry, Sha256) -> Result<()>) -> Result<()> {
        let mut entries = Entries::from(self, Seq(0));
        while let Some((entry, hash)) = entries.next().await? {
            visit(entry, hash)?;
        }
        Ok(())
    }

    /// Whether there is an entry `seq`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_entry(&self, seq: Seq) -> Result<bool> {
        Ok(self.store.head(&layout::entry(seq)).await?.is_some())
    }

    /// Whether the log ends before `end`, although an entry may have been seen at `later`.
    async fn check_end(&self, end: Seq, later: Option<Seq>) -> Result<()> {
        match later.filter(|later| *later > end) {
            // It may have been written, and more behind it, since it was looked for.
            Some(later) if self.store.read(&layout::entry(end)).await?.is_none() => {
                Err(self.missing(end, later))
            }
            _ => Ok(()),
        }
    }

    /// Whether all entries before `end`, and none behind it, are listed. Only for comparison with
    /// what was read: how far a log reaches is never told by a list.
    async fn check_listing(&self, end: Seq) -> Result<()> {
        let listed = self.store.list("log/").await?;
        let listed: BTreeSet<Seq> =
            listed.iter().filter_map(|meta| layout::entry_of(&meta.key)).collect();
        let newest = listed.last().copied();
        let absent = (0..end.0).map(Seq).find(|seq| !listed.contains(seq));
        if let Some((absent, newest)) = absent.zip(newest)
            && self.store.read(&layout::entry(absent)).await?.is_none()
        {
            return Err(self.missing(absent, newest));
        }
        self.check_end(end, newest).await
    }

    /// The error for an entry that cannot be decoded.
    #[must_use]
    pub fn undecodable(&self, seq: Seq, why: &DecodeError) -> Error {
        match why {
            DecodeError::Damaged(why) => self.damaged(seq, why),
            DecodeError::TooNew(why) => {
                let name = self.store.name_of(&layout::entry(seq));
                Error::new(
                    Code::StateTooNew,
                    format!("{name} was written by a newer version: {why}"),
                )
                .hint("use the highwater version that wrote it, or a newer one")
            }
        }
    }

    /// The error for an entry that is not what was written.
    #[must_use]
    pub fn damaged(&self, seq: Seq, why: &str) -> Error {
        let name = self.store.name_of(&layout::entry(seq));
        Error::new(Code::StateCorrupt, format!("the state log is damaged at {name}: {why}"))
            .note("nothing was computed or written; outputs stand as they are")
            .hint("restore this file from a backup of the state folder: no entry is ever rewritten")
    }

    /// Creates the log if there is none, and reads its state. Only the holder of the lease may.
    ///
    /// # Errors
    /// As [`Self::read`], and if the first entry cannot be written.
    pub async fn open_or_create(&self, who: &Who, run: RunId, clock: &Clock) -> Result<Opening> {
        let opening = self.open().await?;
        let next = opening.as_ref().map_or(Some(Seq(0)), |opening| opening.state.next_seq());
        // A long log is listed only when a checkpoint is made of it.
        if opening.as_ref().is_none_or(|opening| opening.checkpoint.is_none()) {
            self.check_listing(next.unwrap_or(Seq(u64::MAX))).await?;
        }
        if let Some(opening) = opening {
            return Ok(opening);
        }
        let entry = Entry {
            v: FORMAT,
            rf: Vec::new(),
            wf: Vec::new(),
            store: StoreId(clock.new_id()),
            pipe: self.pipeline.clone(),
            n: Seq(0),
            prev: Sha256::ZERO,
            epoch: Epoch(0),
            att: AttemptId(clock.new_id()),
            run,
            ts: clock.now(),
            who: who.clone(),
            body: Body::Init,
        };
        let encoded = codec::encode(&entry).map_err(|why| Error::new(Code::Bug, why))?;
        let key = layout::entry(Seq(0));
        match self.store.create(&key, Bytes::from(encoded.bytes)).await {
            Written::Refused(why) | Written::Untrusted(why) => return Err(why),
            // Whoever created it, its state is the one to go on from.
            Written::Stored | Written::Unclear(_) => {}
        }
        self.open().await?.ok_or_else(|| {
            let name = self.store.name_of(&key);
            Error::new(Code::OutcomeUnknown, format!("{name} was written but cannot be read back"))
                .hint("run again: that is safe")
        })
    }
}
