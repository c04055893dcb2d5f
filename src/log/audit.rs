//! Reads a log without taking anything for granted: every entry from the first, and what lies
//! beside them.

use super::StateLog;
use super::ledger::read_ledger;
use crate::error::{Code, Error, Result};
use crate::id::Seq;
use crate::ledger::Ledger;
use crate::state::codec::{self, DecodeError};
use crate::state::{Entry, State};
use crate::store::layout;

/// Files beyond the end of a log that are looked into: of more, some are taken for entries.
const LOOKS_MAX: usize = 100;

impl StateLog {
    /// Files beside the entries, or beyond the last, that are none. `state` is the fold of all that
    /// could be read.
    ///
    /// # Errors
    /// If an entry is listed although one before it is missing; if the store fails.
    pub async fn foreign(&self, state: &State) -> Result<Vec<String>> {
        let listed = self.store().list("log/").await?;
        let newest = listed.iter().filter_map(|meta| layout::entry_of(&meta.key)).max();
        let mut end = state.head.seq;
        if newest > Some(end) {
            // Somebody may have gone on writing since.
            end = self.read().await?.map_or(end, |state| state.head.seq);
        }
        let beyond = listed.iter().filter_map(|meta| layout::entry_of(&meta.key));
        let mut beyond: Vec<Seq> = beyond.filter(|seq| *seq > end).collect();
        beyond.sort_unstable();
        for (looks, seq) in beyond.iter().enumerate() {
            if looks >= LOOKS_MAX || self.is_ours(*seq, state).await? {
                return Err(self.missing(end.next().unwrap_or(end), *seq));
            }
        }
        let is_foreign = |seq: Seq| beyond.binary_search(&seq).is_ok();
        let foreign = listed.into_iter();
        let foreign = foreign.filter(|meta| layout::entry_of(&meta.key).is_none_or(is_foreign));
        Ok(foreign.map(|meta| self.store().name_of(&meta.key)).collect())
    }

    /// Whether what is called entry `seq`, and that none leads to, was an entry of this log: then
    /// those before it are lost. What nobody can read is some other file.
    async fn is_ours(&self, seq: Seq, state: &State) -> Result<bool> {
        let bytes = self.store().read(&layout::entry(seq)).await?.unwrap_or_default();
        Ok(match codec::decode(&bytes) {
            Ok((entry, _)) => entry.n == seq && entry.store == state.store,
            Err(DecodeError::TooNew(_)) => true,
            Err(DecodeError::Damaged(_)) => false,
        })
    }

    /// The state and the ledger that it refers to. A vacuum may take away a segment that newer
    /// states do without: the log is read once more before a segment is called missing.
    ///
    /// # Errors
    /// As [`Self::read`] and [`read_ledger`].
    pub async fn read_with_ledger(&self) -> Result<Option<(State, Ledger)>> {
        let Some(state) = self.read().await? else { return Ok(None) };
        let why = match read_ledger(self.store().as_ref(), &state).await {
            Ok(ledger) => return Ok(Some((state, ledger))),
            Err(why) => why,
        };
        match self.read().await? {
            Some(newer) if why.code() == Code::StateCorrupt && newer.segments != state.segments => {
                let ledger = read_ledger(self.store().as_ref(), &newer).await?;
                Ok(Some((newer, ledger)))
            }
            _ => Err(why),
        }
    }

    /// The entry at `seq`, whose bytes made no sense: a bit may have flipped on their way here, so
    /// that only what is read twice is damaged.
    pub(super) async fn read_again(
        &self,
        seq: Seq,
        why: &DecodeError,
    ) -> Result<(Entry, crate::hash::Sha256)> {
        let bytes = self.store().read(&layout::entry(seq)).await?.unwrap_or_default();
        codec::decode(&bytes).map_err(|_| self.undecodable(seq, why))
    }

    /// The error for a hole in the log.
    pub(super) fn missing(&self, seq: Seq, later: Seq) -> Error {
        self.damaged(seq, &format!("it is missing, and entry {later} is there")).hint(
            "if a lifecycle rule of the bucket, or a clean-up job, removes old files: exclude the \
             state from it, for every entry is needed for ever",
        )
    }
}
