//! Segments: immutable files of records, one JSON document a line, named and hashed by the log. A
//! line is a record and the generation that admitted it.

use bytes::Bytes;
use futures::StreamExt;

use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use crate::id::{AttemptId, Generation};
use crate::ledger::{self, FileRecord, Ledger};
use crate::state::{SegmentRef, State};
use crate::store::{Store, Written, layout};

/// Segments read at once.
const READS_AT_ONCE: usize = 8;

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
    let reads = state.segments.iter().map(|segment| read_segment(store, &segment.stored));
    let mut reads = std::pin::pin!(futures::stream::iter(reads).buffered(READS_AT_ONCE));
    let mut ledger = Ledger::default();
    while let Some(records) = reads.next().await {
        for (generation, record) in records? {
            ledger.admit(record, generation);
        }
    }
    Ok(ledger)
}

/// The records of one segment. They are taken apart beside others, for that is what takes time.
async fn read_segment(
    store: &dyn Store,
    segment: &SegmentRef,
) -> Result<Vec<(Generation, FileRecord)>> {
    let name = store.name_of(&segment.key);
    let expected = segment.sha256;
    let mut bytes = store.read(&segment.key).await?;
    if bytes.as_ref().map(|bytes| Sha256::of(bytes)) != Some(expected) {
        // A bit may have flipped on the way: what is damaged is so when it is read again.
        bytes = store.read(&segment.key).await?;
    }
    let decoded = tokio::task::spawn_blocking(move || decode(&name, bytes, expected));
    decoded.await.unwrap_or_else(|panic| {
        Err(Error::new(Code::Bug, format!("a segment of the ledger cannot be decoded: {panic}")))
    })
}

fn decode(
    name: &str,
    bytes: Option<Bytes>,
    expected: Sha256,
) -> Result<Vec<(Generation, FileRecord)>> {
    let damaged = |why: String| {
        Error::new(Code::StateCorrupt, format!("the ledger is damaged: {name} {why}"))
            .note("nothing was computed or written; outputs stand as they are")
            .hint("restore this file from a backup of the state folder: it is never rewritten")
    };
    let bytes = bytes.ok_or_else(|| damaged("is missing".to_owned()))?;
    let hash = Sha256::of(&bytes);
    if hash != expected {
        return Err(damaged(format!("has the hash {hash}, expected {expected}")));
    }
    ledger::decode(&bytes).map_err(|why| damaged(format!("says: {why}")))
}
