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

impl StateLog {
    /// Files beside the entries that are none. `state` is the fold of all that could be read.
    ///
    /// # Errors
    /// If an entry is listed although one before it is missing; if the store fails.
    pub async fn foreign(&self, state: &State) -> Result<Vec<String>> {
        let listed = self.store().list("log/").await?;
        let newest = listed.iter().filter_map(|meta| layout::entry_of(&meta.key)).max();
        if newest > Some(state.head.seq) {
            // Somebody may have gone on writing since.
            let now = self.read().await?.map(|state| state.head.seq);
            if let Some((newest, end)) = newest.zip(now).filter(|(newest, now)| newest > now) {
                let hole = end.next().unwrap_or(end);
                return Err(self.missing(hole, newest));
            }
        }
        let foreign = listed.into_iter().filter(|meta| layout::entry_of(&meta.key).is_none());
        Ok(foreign.map(|meta| self.store().name_of(&meta.key)).collect())
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
