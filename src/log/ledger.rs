//! Segments: immutable files of records, one JSON document a line, named and hashed by the log. A
//! line is a record and the generation that admitted it.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use crate::id::{AttemptId, Generation};
use crate::ledger::{self, Admitted, FileRecord, Ledger};
use crate::state::{SegmentRef, State};
use crate::store::{Store, Written, layout};

/// Segments read at once.
const READS_AT_ONCE: usize = 8;

/// So many bytes of a segment are taken apart by one thread, and some more, up to the end of a
/// line.
const PIECE_BYTES: usize = 1 << 20;

/// Threads that take segments apart.
const DECODES_AT_ONCE: usize = 4;

/// How the segment of `records` will be named, without storing it; only for looking ahead.
fn reference(key: String, bytes: &[u8], files: usize) -> SegmentRef {
    SegmentRef {
        key,
        len: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        sha256: Sha256::of(bytes),
        files: u64::try_from(files).unwrap_or(u64::MAX),
    }
}

/// Stores `records` as the segment of `generation`, to be named by an `inputs` entry.
///
/// # Errors
/// If the store fails. A segment that no entry names means nothing.
pub async fn write_segment(
    store: &dyn Store,
    generation: Generation,
    records: &[(Generation, &FileRecord)],
    clock: &Clock,
) -> Result<SegmentRef> {
    let bytes = ledger::encode(records)
        .map_err(|why| Error::new(Code::Bug, format!("a ledger record has no text: {why}")))?;
    let key = layout::inputs_segment(generation, AttemptId(clock.new_id()));
    let segment = reference(key, &bytes, records.len());
    match store.create(&segment.key, Bytes::from(bytes)).await {
        Written::Stored => Ok(segment),
        Written::Refused(why) | Written::Untrusted(why) => Err(why),
        // The name is ours alone, so whatever is there now is ours: if it is whole, it landed.
        Written::Unclear(why) => match store.sha256(&segment.key).await? {
            Some(hash) if hash == segment.sha256 => Ok(segment),
            _ => Err(why),
        },
    }
}

/// The ledger that `state` refers to.
///
/// # Errors
/// If a segment is missing or not what the log says; if the store fails.
pub async fn read_ledger(store: &dyn Store, state: &State) -> Result<Ledger> {
    let texts = state.segments.iter().map(|segment| read_segment(store, &segment.stored));
    let texts = futures::stream::iter(texts).buffered(READS_AT_ONCE);
    let pieces = texts.map_ok(|text| futures::stream::iter(text.pieces().map(Ok))).try_flatten();
    let decoded = pieces.map_ok(|piece| on_a_thread(move || piece.decode()));
    let mut decoded = std::pin::pin!(decoded.try_buffered(DECODES_AT_ONCE));
    let mut pieces = Vec::new();
    while let Some(piece) = decoded.try_next().await? {
        pieces.push(piece);
    }
    on_a_thread(move || Ok(Ledger::load(pieces))).await
}

/// What a segment says, or a part of it: whole lines.
struct Text {
    name: Arc<str>,
    bytes: Bytes,
}

/// A segment, which is what was written.
async fn read_segment(store: &dyn Store, segment: &SegmentRef) -> Result<Text> {
    let name: Arc<str> = store.name_of(&segment.key).into();
    let expected = segment.sha256;
    // A bit may have flipped on the way: what is damaged is so when it is read again.
    let mut reads_left = 2_u8;
    loop {
        reads_left = reads_left.saturating_sub(1);
        let bytes = store.read(&segment.key).await?;
        let hashed = bytes.clone().unwrap_or_default();
        let hash = on_a_thread(move || Ok(Sha256::of(&hashed))).await?;
        match bytes {
            Some(bytes) if hash == expected => return Ok(Text { name, bytes }),
            _ if reads_left > 0 => {}
            Some(_) => {
                return Err(damaged(&name, &format!("has the hash {hash}, expected {expected}")));
            }
            None => return Err(damaged(&name, "is missing")),
        }
    }
}

impl Text {
    /// Parts of about [`PIECE_BYTES`] that are taken apart beside each other, in order.
    fn pieces(self) -> impl Iterator<Item = Self> {
        let Self { name, mut bytes } = self;
        std::iter::from_fn(move || {
            let line_end = bytes.iter().skip(PIECE_BYTES).position(|byte| *byte == b'\n');
            let end = line_end.and_then(|end| end.checked_add(PIECE_BYTES)?.checked_add(1));
            let piece = bytes.split_to(end.unwrap_or(bytes.len()));
            (!piece.is_empty()).then(|| Self { name: name.clone(), bytes: piece })
        })
    }

    fn decode(&self) -> Result<Vec<Admitted>> {
        let records = ledger::decode(&self.bytes);
        records.map_err(|why| damaged(&self.name, &format!("says: {why}")))
    }
}

fn damaged(name: &str, why: &str) -> Error {
    Error::new(Code::StateCorrupt, format!("the ledger is damaged: {name} {why}"))
        .note("nothing was computed or written; outputs stand as they are")
        .hint("restore this file from a backup of the state folder: it is never rewritten")
}

/// Does `work` where it holds up nothing else.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| {
        Err(Error::new(Code::Bug, format!("a segment of the ledger cannot be decoded: {panic}")))
    })
}
