//! Reads Parquet from a store, pinned to the version that was listed. Every error names the file:
//! those of the Parquet library do not.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, FooterTail, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};

use super::caught::caught;
use super::kept::Chunks;
use super::stored::SourceStore;
use super::{caps, int96};
use crate::error::{Code, Error, Result};
use crate::id::AttemptId;
use crate::store::ObjectMeta;

/// How much of a file's end is fetched in the hope that the footer is in it: it is of few files of
/// some hundred megabytes, and a small part of what is read of many small ones.
const FOOTER_GUESS_BYTES: u64 = 16 << 10;

/// The last bytes of every file: the length of its footer, and a word that says it is Parquet.
const TAIL_BYTES: u64 = 8;

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

    /// What reads its pages. It refuses those that claim more than a page may.
    #[must_use]
    pub fn reader(&self) -> StoreReader {
        let pages_of = Some(self.metadata.metadata().clone());
        StoreReader { pages_of, ..self.reader.clone() }
    }

    /// The same for the first look at the file: what it reads is kept in `chunks`.
    pub(super) fn keeping_reader(&self, chunks: &Arc<Chunks>) -> StoreReader {
        StoreReader { keeps: Some(chunks.clone()), ..self.reader() }
    }

    /// The file's name, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.reader.name()
    }

    /// Its rows, by its footer.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let rows = self.metadata.metadata().file_metadata().num_rows();
        u64::try_from(rows).unwrap_or_default()
    }

    /// The attempt that wrote it, if it is an object of ours.
    #[must_use]
    pub fn attempt(&self) -> Option<AttemptId> {
        let metadata = self.metadata.metadata().file_metadata();
        let mut pairs = metadata.key_value_metadata().into_iter().flatten();
        let attempt = pairs.find(|pair| pair.key == ATTEMPT)?.value.as_deref()?;
        attempt.parse().ok().map(AttemptId)
    }

    /// Whether SQL, which compares names without case, can tell the columns apart.
    ///
    /// # Errors
    /// If two of them have the same name.
    pub fn check_names(&self) -> Result<()> {
        match twin(self.schema().fields().iter().map(|field| field.name())) {
            None => Ok(()),
            Some(name) => {
                let text = format!("{} has two columns named `{name}`", self.name());
                Err(Error::new(Code::SchemaMismatch, text)
                    .hint("SQL could not tell them apart; names are compared without case"))
            }
        }
    }

    /// The error for a file that is Parquet, and still not what it says.
    pub(super) fn refusal(&self, what: &str) -> Error {
        reader_failure(&self.reader, &ParquetError::General(what.to_owned()))
    }

    /// The error for something the Parquet library could not do with this file.
    #[must_use]
    pub fn failure(&self, why: &ParquetError) -> Error {
        reader_failure(&self.reader, why)
    }
}

/// The first of `names` that one before it has too; case does not count.
fn twin<'a>(names: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let mut before = BTreeSet::new();
    names.map(String::as_str).find(|name| !before.insert(name.to_lowercase()))
}

/// The object `seen`, with its footer, which is read unless it is kept.
///
/// # Errors
/// If it is not Parquet, cannot be read, or is not the version that was seen. Of what is kept, that
/// is found when the first of its pages is read that is not.
pub async fn open(store: &Arc<SourceStore>, seen: &ObjectMeta) -> Result<OpenFile> {
    let Some((metadata, chunks)) = store.kept().of(seen) else {
        return open_anew(store, seen).await;
    };
    let reader = StoreReader { kept: Some(chunks), ..StoreReader::new(store, seen) };
    Ok(OpenFile { reader, metadata })
}

/// The same where nothing that was kept counts.
pub(super) async fn open_anew(store: &Arc<SourceStore>, seen: &ObjectMeta) -> Result<OpenFile> {
    load(StoreReader::new(store, seen)).await
}

/// The same for the object `seen` whose bytes are `held`.
pub(super) async fn open_held(
    store: &Arc<SourceStore>,
    seen: &ObjectMeta,
    held: Bytes,
) -> Result<OpenFile> {
    load(StoreReader { held: Some(held), ..StoreReader::new(store, seen) }).await
}

async fn load(mut reader: StoreReader) -> Result<OpenFile> {
    let load = async {
        let options = ArrowReaderOptions::new();
        int96::in_micros(ArrowReaderMetadata::load_async(&mut reader, options).await?)
    };
    let loaded = caught(load).await;
    match loaded {
        Some(Ok(metadata)) => Ok(OpenFile { reader, metadata }),
        Some(Err(why)) => Err(reader_failure(&reader, &why)),
        None => Err(panicked(&reader.name())),
    }
}

/// The error for the file `name`, on whose bytes a decoder panicked.
#[must_use]
pub fn panicked(name: &str) -> Error {
    Error::new(Code::CorruptInput, format!("cannot read {name}: its decoder panicked"))
        .hint("put a whole file in its place and run `highwater run`: it is taken in by itself")
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
fn failure(name: &str, size: u64, why: &ParquetError) -> Error {
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
    if text.contains("encrypted footer") {
        return "it is encrypted, which this version does not read".to_owned();
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
    /// Its bytes, if they were read before.
    held: Option<Bytes>,
    /// Some of its chunks, which need not be read again.
    kept: Option<Arc<Chunks>>,
    /// Where what is read is kept, for who reads it next.
    keeps: Option<Arc<Chunks>>,
    /// The footer, if what is read from now on are pages.
    pages_of: Option<Arc<ParquetMetaData>>,
}

impl StoreReader {
    fn new(store: &Arc<SourceStore>, seen: &ObjectMeta) -> Self {
        let (source, seen) = (store.clone(), Arc::new(seen.clone()));
        Self { source, seen, held: None, kept: None, keeps: None, pages_of: None }
    }

    fn name(&self) -> String {
        self.source.store().name_of(&self.seen.key)
    }

    /// Whether the file has what `range` asks for. A store may make room for it first.
    fn check_range(&self, range: &Range<u64>) -> Result<(), ParquetError> {
        if range.start <= range.end && range.end <= self.seen.size {
            return Ok(());
        }
        let (start, end) = (range.start, range.end);
        let what = format!("its footer points to bytes {start} to {end}, which it does not have");
        Err(ParquetError::General(what))
    }

    /// What `ranges` of the file hold: read from the store, but for what is kept.
    async fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ParquetError> {
        let kept = |range| self.kept.as_ref().and_then(|kept| kept.take(range));
        let known: Vec<Option<Bytes>> = ranges.iter().map(kept).collect();
        let unknown = ranges.iter().zip(&known).filter(|(_, known)| known.is_none());
        let unknown: Vec<Range<u64>> = unknown.map(|(range, _)| range.clone()).collect();
        let mut read = Vec::new();
        if !unknown.is_empty() {
            read = self
                .source
                .store()
                .read_ranges(&self.seen, &unknown)
                .await
                .map_err(|why| ParquetError::External(Box::new(why)))?;
        }
        for (range, piece) in unknown.iter().zip(&read) {
            self.source.count(piece.len());
            if let Some(keeps) = &self.keeps {
                keeps.keep(range.start, piece);
            }
        }
        let mut read = read.into_iter();
        let pieces: Vec<Bytes> =
            known.into_iter().filter_map(|known| known.or_else(|| read.next())).collect();
        let is_all = pieces.len() == ranges.len();
        is_all.then_some(pieces).ok_or_else(|| ParquetError::EOF("no bytes".to_owned()))
    }

    /// The bytes of the footer.
    async fn footer(&mut self) -> Result<Bytes, ParquetError> {
        let size = self.seen.size;
        let cut = |what: &str| ParquetError::EOF(format!("{size} bytes are less than {what}"));
        let guess = self.get_bytes(size.saturating_sub(FOOTER_GUESS_BYTES)..size).await?;
        let end = guess.len().checked_sub(8).ok_or_else(|| cut("footer"))?;
        let tail = FooterTail::try_from(guess.get(end..).unwrap_or_default())?;
        if tail.is_encrypted_footer() {
            return Err(ParquetError::General("it has an encrypted footer".to_owned()));
        }
        let len = u64::try_from(tail.metadata_length()).unwrap_or(u64::MAX);
        caps::check_footer_len(len)?;
        let start = size.checked_sub(TAIL_BYTES).and_then(|end| end.checked_sub(len));
        let start = start.ok_or_else(|| cut("footer"))?;
        match end.checked_sub(tail.metadata_length()) {
            Some(start) => Ok(guess.slice(start..end)),
            None => self.get_bytes(start..start.saturating_add(len)).await,
        }
    }
}

/// What `ranges` of `bytes` hold.
fn slices(bytes: &Bytes, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ParquetError> {
    let slice = |range: &Range<u64>| {
        let place = usize::try_from(range.start)?..usize::try_from(range.end)?;
        let is_there = place.end <= bytes.len();
        is_there.then(|| bytes.slice(place)).ok_or_else(|| ParquetError::EOF("no bytes".to_owned()))
    };
    ranges.iter().map(slice).collect()
}

/// The column chunk that takes `range` of its file.
fn chunk_at<'a>(
    metadata: &'a ParquetMetaData,
    range: &Range<u64>,
) -> Result<&'a ColumnChunkMetaData, ParquetError> {
    let mut chunks = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let is_it = |chunk: &&ColumnChunkMetaData| {
        let (start, len) = chunk.byte_range();
        start == range.start && start.checked_add(len) == Some(range.end)
    };
    chunks.find(is_it).ok_or_else(|| {
        let Range { start, end } = range;
        ParquetError::General(format!("no column has the bytes from {start} to {end}"))
    })
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
            ranges.iter().try_for_each(|range| self.check_range(range))?;
            let pieces = match &self.held {
                Some(held) => slices(held, &ranges)?,
                None => self.read(&ranges).await?,
            };
            if let Some(metadata) = &self.pages_of {
                for (range, piece) in ranges.iter().zip(&pieces) {
                    caps::check_pages(piece, chunk_at(metadata, range)?)?;
                }
            }
            Ok(pieces)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let options = options.map(|options| options.metadata_options().clone());
        async move {
            let bytes = self.footer().await?;
            caps::check_schema(&bytes)?;
            let metadata =
                ParquetMetaDataReader::decode_metadata_with_options(&bytes, options.as_ref())?;
            caps::check_numbers(&metadata, self.seen.size)?;
            Ok(Arc::new(metadata))
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
