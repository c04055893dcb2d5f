//! Reads Parquet from a store, pinned to the version that was listed. Every error names the file:
//! those of the Parquet library do not.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::error::{Code, Error, Result};
use crate::id::AttemptId;
use crate::store::{ObjectMeta, Store};

/// How much of a file's end is fetched in the hope that the footer is in it.
const FOOTER_GUESS_BYTES: usize = 64 << 10;

/// What the footers of objects of ours call the attempt that wrote them.
pub const ATTEMPT: &str = "highwater.attempt";

/// A Parquet file whose footer was read.
#[derive(Clone, Debug)]
pub struct OpenFile {
    reader: StoreReader,
    /// The footer, and the Arrow schema it amounts to.
    pub metadata: ArrowReaderMetadata,
}

impl OpenFile {
    /// The columns of the file.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// What reads its pages.
    #[must_use]
    pub fn reader(&self) -> StoreReader {
        self.reader.clone()
    }

    /// The file's name, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.reader.name()
    }

    /// The attempt that wrote it, if it is an object of ours.
    #[must_use]
    pub fn attempt(&self) -> Option<AttemptId> {
        let metadata = self.metadata.metadata().file_metadata();
        let mut pairs = metadata.key_value_metadata().into_iter().flatten();
        let attempt = pairs.find(|pair| pair.key == ATTEMPT)?.value.as_deref()?;
        attempt.parse().ok().map(AttemptId)
    }

    /// The error for something the Parquet library could not do with this file.
    #[must_use]
    pub fn failure(&self, why: &ParquetError) -> Error {
        reader_failure(&self.reader, why)
    }
}

/// The store of one source, and how much was read from it.
#[derive(Debug)]
pub struct SourceStore {
    store: Arc<dyn Store>,
    bytes_read: AtomicU64,
}

impl SourceStore {
    /// Reads from `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { store, bytes_read: AtomicU64::new(0) })
    }

    /// The store itself.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Counts bytes that were read past the readers of this module.
    pub(super) fn count(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of Parquet read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }
}

/// Reads the footer of the object `seen`.
///
/// # Errors
/// If it is not Parquet, cannot be read, or is not the version that was seen.
pub async fn open(store: &Arc<SourceStore>, seen: &ObjectMeta) -> Result<OpenFile> {
    let mut reader = StoreReader { source: store.clone(), seen: Arc::new(seen.clone()) };
    let metadata = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await;
    match metadata {
        Ok(metadata) => Ok(OpenFile { reader, metadata }),
        Err(why) => Err(reader_failure(&reader, &why)),
    }
}

fn reader_failure(reader: &StoreReader, why: &ParquetError) -> Error {
    let error = failure(&reader.name(), reader.seen.size, why);
    if error.code() == Code::CorruptInput {
        error.note(format!("it was modified {}", reader.seen.modified_at))
    } else {
        error
    }
}

/// The error for what the Parquet library says of the file `name` of `size` bytes.
pub(super) fn failure(name: &str, size: u64, why: &ParquetError) -> Error {
    // An error of the store travels through the Parquet library as an external one.
    if let ParquetError::External(inner) = why
        && let Some(error) = inner.downcast_ref::<Error>()
    {
        return error.clone();
    }
    let what = said(size, &why.to_string());
    Error::new(Code::CorruptInput, format!("cannot read {name}: {what}"))
        .note(format!("it has {size} bytes"))
        .hint("put a whole file in its place and run `highwater run`: it is taken in by itself")
}

/// What is wrong with a file of `size` bytes, of which the Parquet library says `text`.
fn said(size: u64, text: &str) -> String {
    let ends_wrong = ["Corrupt footer", "less than footer", "requires at least"];
    if size == 0 {
        return "it is empty".to_owned();
    }
    if ends_wrong.iter().any(|sign| text.contains(sign)) {
        return "it does not end as Parquet does: it was cut short, or is something else"
            .to_owned();
    }
    // Each layer of the library puts its own name in front.
    let layers = ["Arrow: ", "Parquet argument error: ", "Parquet error: ", "EOF: ", "External: "];
    let mut text = text;
    while let Some(rest) = layers.iter().find_map(|layer| text.strip_prefix(layer)) {
        text = rest;
    }
    text.to_owned()
}

/// A listed object as the Parquet library reads it.
#[derive(Clone)]
pub struct StoreReader {
    source: Arc<SourceStore>,
    seen: Arc<ObjectMeta>,
}

impl StoreReader {
    fn name(&self) -> String {
        self.source.store.name_of(&self.seen.key)
    }
}

impl fmt::Debug for StoreReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreReader({})", self.name())
    }
}

impl AsyncFileReader for StoreReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let pieces = self.get_byte_ranges(vec![range]).await?;
            pieces.into_iter().next().ok_or_else(|| ParquetError::EOF("no bytes".to_owned()))
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            let read = self.source.store.read_ranges(&self.seen, &ranges).await;
            let pieces = read.map_err(|why| ParquetError::External(Box::new(why)))?;
            let bytes = pieces.iter().fold(0, |sum: u64, piece| {
                sum.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX))
            });
            self.source.bytes_read.fetch_add(bytes, Ordering::Relaxed);
            Ok(pieces)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let options = options.map(|options| options.metadata_options().clone());
        let size = self.seen.size;
        async move {
            let reader = ParquetMetaDataReader::new()
                .with_metadata_options(options)
                .with_prefetch_hint(Some(FOOTER_GUESS_BYTES));
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_layers_are_no_part_of_what_is_wrong() {
        let text = "Arrow: Parquet argument error: Parquet error: Unexpected struct field type 15";
        assert_eq!(said(100, text), "Unexpected struct field type 15");
        assert_eq!(said(0, "EOF: file size of 0 is less than footer"), "it is empty");
        let cut = "Parquet error: Invalid Parquet file. Corrupt footer";
        assert!(said(100, cut).starts_with("it does not end as Parquet does"));
    }
}
