//! Checkpoints beside the log: written now and then, so that a state is opened in a few requests
//! however long its log is.
//!
//! They are derived from the log. What is wrong with one costs time: the log is folded from its
//! beginning instead. Only a checkpoint that is whole, and of another history than the log, is
//! damage: then one of the two was restored from elsewhere.

use bytes::Bytes;

use super::StateLog;
use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use crate::id::{AttemptId, Seq};
use crate::state::checkpoint::{
    CHECKPOINT_BYTES_MAX, LatestHint, decode, decode_windows, encode, encode_windows,
};
use crate::state::{STRETCH_WINDOWS, SegmentRef, State, WindowState};
use crate::store::{Written, layout};

/// How often checkpoints are written, and how much they leave out.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A checkpoint is written once so many entries came after the one before.
    pub entries: u64,
    /// So many quiet windows in a row collapse into one stretch.
    pub windows: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { entries: 256, windows: STRETCH_WINDOWS }
    }
}

impl Pace {
    /// The pace of this process. A debug build takes another from `HIGHWATER_PACE=entries:windows`,
    /// so that a test need not make thousands of windows.
    #[must_use]
    pub fn of_process() -> Self {
        let wanted =
            if cfg!(debug_assertions) { std::env::var("HIGHWATER_PACE").ok() } else { None };
        let read = |text: &str| {
            let (entries, windows) = text.split_once(':')?;
            Some(Self { entries: entries.parse().ok()?, windows: windows.parse().ok()? })
        };
        wanted.and_then(|text| read(&text)).unwrap_or_default()
    }

    /// Whether a checkpoint is worth its cost: `last` is the newest entry that the one before knew.
    #[must_use]
    pub fn is_due(self, last: Option<Seq>, head: Seq) -> bool {
        let since = last.map_or(head.0, |last| head.0.saturating_sub(last.0));
        since >= self.entries
    }
}

/// How many checkpoints are tried, newest first, before the log is folded from its beginning.
const CHECKPOINTS_TRIED: usize = 3;

impl StateLog {
    /// The newest checkpoint that can be read and fits the log.
    ///
    /// # Errors
    /// If the store fails; if a whole checkpoint contradicts the log.
    pub(super) async fn newest_checkpoint(&self) -> Result<Option<State>> {
        if let Some(state) = self.hinted().await? {
            return Ok(Some(state));
        }
        let listed = self.store().list(layout::CHECKPOINTS).await;
        let listed = match listed {
            Err(why) if why.code() == Code::SourceMissing => Vec::new(),
            listed => listed?,
        };
        let mut keys: Vec<_> = listed.into_iter().map(|meta| meta.key).collect();
        keys.retain(|key| layout::checkpoint_of(key).is_some());
        keys.sort_by_key(|key| std::cmp::Reverse(layout::checkpoint_of(key)));
        for key in keys.into_iter().take(CHECKPOINTS_TRIED) {
            if let Some(state) = self.checkpoint_at(&key).await? {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    /// The checkpoint that the hint names, if it is one.
    async fn hinted(&self) -> Result<Option<State>> {
        let hint = self.store().read(layout::LATEST).await?;
        let hint = hint.and_then(|bytes| serde_json::from_slice::<LatestHint>(&bytes).ok());
        match hint.filter(|hint| layout::checkpoint_of(&hint.key).is_some()) {
            Some(hint) => self.checkpoint_at(&hint.key).await,
            None => Ok(None),
        }
    }

    /// The checkpoint at `key`; `None` if it is not whole, or of another log.
    async fn checkpoint_at(&self, key: &str) -> Result<Option<State>> {
        let Some(bytes) = self.store().read(key).await? else { return Ok(None) };
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > CHECKPOINT_BYTES_MAX {
            return Ok(None);
        }
        let decoded = tokio::task::spawn_blocking(move || decode(&bytes)).await;
        let Ok(Ok(state)) = decoded else { return Ok(None) };
        if state.pipeline != *self.pipeline() {
            return Ok(None);
        }
        self.check_head(&state).await?;
        Ok(Some(state))
    }

    /// Whether the log has the entry that `state` says is the newest it knows.
    async fn check_head(&self, state: &State) -> Result<()> {
        let (seq, hash) = (state.head.seq, state.head.hash);
        let Some(bytes) = self.store().read(&layout::entry(seq)).await? else {
            let why = format!("a checkpoint was made of it, up to entry {seq}, and it is missing");
            return Err(self.damaged(seq, &why));
        };
        let (_, found) = match crate::state::codec::decode(&bytes) {
            Ok(decoded) => decoded,
            Err(why) => self.read_again(seq, &why).await?,
        };
        if found == hash {
            return Ok(());
        }
        let why = format!("its hash is {found}, and a checkpoint was made of {hash}");
        Err(self
            .damaged(seq, &why)
            .note("the log, or its checkpoints, were restored from elsewhere"))
    }

    /// Takes up, in `state`, what the segments `wanted` hold. Where one cannot be read, everything
    /// is taken from the log itself.
    ///
    /// # Errors
    /// If the log is damaged; if the store fails.
    pub async fn recall(&self, state: &mut State, wanted: Vec<SegmentRef>) -> Result<()> {
        for segment in wanted {
            if let Some(windows) = self.windows_of(&segment).await? {
                state.recall(windows);
                continue;
            }
            let whole = self.replay_until(state.head.seq).await?;
            state.recall(whole.into_iter().flat_map(|whole| whole.windows.into_loaded()));
            return Ok(());
        }
        Ok(())
    }

    /// The facts that `segment` holds; `None` if it is not what was written.
    async fn windows_of(&self, segment: &SegmentRef) -> Result<Option<Vec<WindowState>>> {
        let Some(bytes) = self.store().read(&segment.key).await? else { return Ok(None) };
        let expected = segment.sha256;
        let decoded = tokio::task::spawn_blocking(move || {
            let is_whole = Sha256::of(&bytes) == expected;
            is_whole.then(|| decode_windows(&bytes).ok()).flatten()
        });
        Ok(decoded.await.ok().flatten())
    }

    /// Stores `state`, made small, as a checkpoint; the small state. It loses nothing if it fails.
    /// From then on what it covers is read no more, so that the log is looked at once more as a
    /// whole: an entry may be gone.
    ///
    /// # Errors
    /// If the store fails; [`Code::StateCorrupt`] if an entry is not listed.
    pub async fn save(&self, mut state: State, pace: Pace, clock: &Clock) -> Result<State> {
        self.check_listing(state.next_seq().unwrap_or(state.head.seq)).await?;
        for (start, segment) in state.worn(pace.windows) {
            if let Some(windows) = self.windows_of(&segment).await? {
                state.spread(start, windows);
            }
        }
        let seq = state.head.seq;
        while let Some(windows) = state.collapsible(pace.windows) {
            let bytes = encode_windows(&windows).map_err(textless)?;
            let key = layout::windows_segment(seq, AttemptId(clock.new_id()));
            let stored = SegmentRef {
                len: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                sha256: Sha256::of(&bytes),
                files: u64::try_from(windows.len()).unwrap_or(u64::MAX),
                key,
            };
            self.store_derived(&stored.key, bytes, stored.sha256).await?;
            state.collapse(&windows, stored);
        }
        let bytes = encode(&state).map_err(textless)?;
        let key = layout::checkpoint(seq, AttemptId(clock.new_id()));
        let hash = Sha256::of(&bytes);
        self.store_derived(&key, bytes, hash).await?;
        crate::crashpoint::pass("checkpoint.after");
        let hint = serde_json::to_vec(&LatestHint { key }).map_err(textless)?;
        self.store().overwrite(layout::LATEST, Bytes::from(hint)).await?;
        Ok(state)
    }

    /// Stores what has a name of its own.
    async fn store_derived(&self, key: &str, bytes: Vec<u8>, hash: Sha256) -> Result<()> {
        match self.store().create(key, Bytes::from(bytes)).await {
            Written::Stored => Ok(()),
            Written::Refused(why) | Written::Untrusted(why) => Err(why),
            Written::Unclear(why) => match self.store().sha256(key).await? {
                Some(found) if found == hash => Ok(()),
                _ => Err(why),
            },
        }
    }
}

fn textless(why: impl std::fmt::Display) -> Error {
    Error::new(Code::Bug, format!("a checkpoint has no text: {why}"))
}
