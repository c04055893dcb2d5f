//! The state log in its store: reads it into a [`State`], creates it, and keeps the ledger's
//! segments beside it.
//!
//! It never lists: entries are contiguous, so the first free place is the end (reliability §1.7).
//! Appending is the business of `commit` and `publish`; nothing here rewrites or deletes.

mod lease;
mod ledger;

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

pub use lease::{Lease, LeaseInfo, sweep_staging};
pub use ledger::{read_ledger, write_segment};

use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use crate::id::{AttemptId, Epoch, PipelineName, RunId, Seq, StoreId};
use crate::state::codec::{self, DecodeError};
use crate::state::{Body, Entry, FORMAT, State, Who};
use crate::store::{Store, Written, layout};

/// Entries read at once. Bounds memory by this many entries of at most
/// [`codec::ENTRY_BYTES_MAX`] each.
const READS_AT_ONCE: usize = 16;

/// The log of one pipeline.
#[derive(Clone, Debug)]
pub struct StateLog {
    store: Arc<dyn Store>,
    pipeline: PipelineName,
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

    /// The state the log says is true; `None` if there is no log yet.
    ///
    /// # Errors
    /// If an entry is damaged, breaks a rule, or was written by a newer version; if the store
    /// fails.
    pub async fn read(&self) -> Result<Option<State>> {
        let mut state: Option<State> = None;
        self.for_each(|entry, hash| {
            let folded = match &mut state {
                Some(state) => state.apply(&entry, hash),
                None => State::start(&entry, hash).map(|first| state = Some(first)),
            };
            folded.map_err(|violation| self.damaged(violation.seq, &violation.to_string()))
        })
        .await?;
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
        let reads = futures::stream::iter(0_u64..).map(|seq| async move {
            let key = layout::entry(Seq(seq));
            (Seq(seq), self.store.read(&key).await)
        });
        let mut reads = std::pin::pin!(reads.buffered(READS_AT_ONCE));
        while let Some((seq, bytes)) = reads.next().await {
            let Some(bytes) = bytes? else {
                // What was asked for at the same time shows whether this is a hole.
                let mut later = None;
                for _ in 1..READS_AT_ONCE {
                    if let Some((seq, bytes)) = reads.next().await {
                        later = later.or(bytes?.map(|_| seq));
                    }
                }
                return self.check_end(seq, later).await;
            };
            let (entry, hash) = codec::decode(&bytes).map_err(|why| self.undecodable(seq, &why))?;
            if entry.n != seq {
                return Err(self.damaged(seq, &format!("it says that it is entry {}", entry.n)));
            }
            visit(entry, hash)?;
        }
        Ok(())
    }

    /// Whether the log ends before `end`, although an entry may have been seen at `later`.
    async fn check_end(&self, end: Seq, later: Option<Seq>) -> Result<()> {
        match later.filter(|later| *later > end) {
            // It may have been written, and more behind it, since it was looked for.
            Some(later) if self.store.read(&layout::entry(end)).await?.is_none() => {
                Err(self.damaged(end, &format!("it is missing, and entry {later} is there")))
            }
            _ => Ok(()),
        }
    }

    /// The newest entry there is a file of. Only for comparison with what was read: how far a log
    /// reaches is never told by a list.
    ///
    /// # Errors
    /// If the store cannot be listed.
    async fn newest_listed(&self) -> Result<Option<Seq>> {
        let listed = self.store.list("log/").await?;
        Ok(listed.iter().filter_map(|meta| layout::entry_of(&meta.key)).max())
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
    pub async fn read_or_create(&self, who: &Who, run: RunId, clock: &Clock) -> Result<State> {
        let state = self.read().await?;
        let end = state.as_ref().map_or(Some(Seq(0)), State::next_seq).unwrap_or(Seq(u64::MAX));
        self.check_end(end, self.newest_listed().await?).await?;
        if let Some(state) = state {
            return Ok(state);
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
        self.read().await?.ok_or_else(|| {
            let name = self.store.name_of(&key);
            Error::new(Code::OutcomeUnknown, format!("{name} was written but cannot be read back"))
                .hint("run again: that is safe")
        })
    }
}
