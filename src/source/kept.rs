//! What a look at new files has read of them, kept for those who read the same files next: their
//! footers, and the event times, which a scan needs once more.
//!
//! What comes first is kept, up to a bound in bytes; what does not fit is read again. Nothing is
//! ever kept of a version that its mark does not prove.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use crate::store::ObjectMeta;

/// What of a pipeline's new files is kept.
#[derive(Debug)]
pub(super) struct Kept {
    room: Room,
    files: Mutex<HashMap<String, KeptFile>>,
}

/// What of one file is kept.
#[derive(Clone, Debug)]
struct KeptFile {
    size: u64,
    mark: String,
    metadata: ArrowReaderMetadata,
    chunks: Arc<Chunks>,
}

/// How many bytes may still be kept.
#[derive(Clone, Debug)]
struct Room(Arc<AtomicU64>);

impl Room {
    fn take(&self, bytes: u64) -> bool {
        let less = |left: u64| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Column chunks of one file, by their first byte.
#[derive(Debug)]
pub(super) struct Chunks {
    room: Room,
    chunks: Mutex<BTreeMap<u64, Bytes>>,
}

impl Chunks {
    /// Keeps `bytes`, which are those of the file from `start` on, if there is room.
    pub(super) fn keep(&self, start: u64, bytes: &Bytes) {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        if !chunks.contains_key(&start) && self.room.take(len(bytes)) {
            chunks.insert(start, bytes.clone());
        }
    }

    /// The bytes of the file in `range`, if exactly these are kept. They are not kept any longer: a
    /// scan reads a chunk once.
    pub(super) fn take(&self, range: &Range<u64>) -> Option<Bytes> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = chunks.get(&range.start)?;
        if range.start.checked_add(len(kept)) != Some(range.end) {
            return None;
        }
        let bytes = chunks.remove(&range.start)?;
        self.room.give_back(len(&bytes));
        Some(bytes)
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        let chunks = self.chunks.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.room.give_back(chunks.values().map(len).fold(0, u64::saturating_add));
    }
}

fn len(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl Kept {
    /// Room for `bytes_max` bytes of footers, decoded, and of chunks, as stored.
    pub(super) fn new(bytes_max: u64) -> Self {
        let room = Room(Arc::new(AtomicU64::new(bytes_max)));
        Self { room, files: Mutex::default() }
    }

    /// Where the chunks of one file are kept while it is looked at.
    pub(super) fn chunks(&self) -> Arc<Chunks> {
        Arc::new(Chunks { room: self.room.clone(), chunks: Mutex::default() })
    }

    /// Keeps what was read of the version `seen`, unless other bytes could carry the same mark.
    pub(super) fn keep(
        &self,
        seen: &ObjectMeta,
        metadata: &ArrowReaderMetadata,
        chunks: Arc<Chunks>,
    ) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = memory_of(metadata);
        if let Some(before) = files.remove(&seen.key) {
            self.room.give_back(memory_of(&before.metadata));
        }
        if !seen.is_young && self.room.take(bytes) {
            let (size, mark, metadata) = (seen.size, seen.mark.clone(), metadata.clone());
            files.insert(seen.key.clone(), KeptFile { size, mark, metadata, chunks });
        }
    }

    /// What is kept of the version `seen`.
    pub(super) fn of(&self, seen: &ObjectMeta) -> Option<(ArrowReaderMetadata, Arc<Chunks>)> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = files.get(&seen.key)?;
        let is_it = (file.size, &file.mark) == (seen.size, &seen.mark) && !seen.is_young;
        is_it.then(|| (file.metadata.clone(), file.chunks.clone()))
    }
}

fn memory_of(metadata: &ArrowReaderMetadata) -> u64 {
    u64::try_from(metadata.metadata().memory_size()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_given_once_and_leaves_its_room() {
        let kept = Kept::new(10);
        let chunks = kept.chunks();
        let (six, five) = (Bytes::from_static(b"sixsix"), Bytes::from_static(b"fives"));
        chunks.keep(4, &six);
        chunks.keep(4, &five);
        chunks.keep(20, &five);
        assert_eq!(chunks.take(&(4..9)), None, "other bytes than are kept");
        assert_eq!(chunks.take(&(20..25)), None, "there was no room");
        assert_eq!(chunks.take(&(4..10)), Some(six));
        assert_eq!(chunks.take(&(4..10)), None);
        chunks.keep(20, &five);
        drop(chunks);
        let again = kept.chunks();
        again.keep(0, &Bytes::from_static(b"tenletters"));
        assert!(again.take(&(0..10)).is_some(), "what is dropped leaves its room");
    }
}
