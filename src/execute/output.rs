//! Stages one output of one window: a whole Parquet file that no reader can see yet.
//!
//! The same rows give the same bytes but for the attempt's id in the footer. The file is read back
//! before anybody may publish it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::content::Content;
use super::query::run_failure;
use super::restore::ATTEMPT_KEY;
use crate::commit::{ObjectDigest, StagedOutput};
use crate::error::{Code, Error, Result};
use crate::hash::Sha256Stream;
use crate::id::{Epoch, PipelineName};
use crate::source::ATTEMPT;
use crate::spec::{Compression, ObjectSpec};
use crate::state::BatchOutput;
use crate::store::{Store, layout};
use crate::time::EventTime;

/// Where an object is staged, and of which window it is.
#[derive(Clone, Copy, Debug)]
pub struct Staging<'a> {
    /// The pipeline.
    pub pipeline: &'a PipelineName,
    /// The window's start.
    pub start: EventTime,
    /// The window's end.
    pub end: EventTime,
    /// The folder.
    pub folder: &'a Path,
    /// The writer's epoch, which the file carries in its name.
    pub epoch: Epoch,
    /// A larger object is refused.
    pub max_object_bytes: u64,
}

impl Staging<'_> {
    /// The file that `begun` is staged as.
    pub(super) fn staged_at(&self, begun: &BatchOutput) -> PathBuf {
        self.folder.join(layout::staged(self.epoch, begun.att))
    }
}

/// Stages an object with the columns of the one at `path` in `store`, and none of its rows.
///
/// # Errors
/// [`Code::RevisionGone`] if there is none that can be read; others if nothing can be staged.
pub async fn stage_nothing(
    staging: &Staging<'_>,
    object: &ObjectSpec<'_>,
    begun: &BatchOutput,
    store: &Arc<dyn Store>,
) -> Result<StagedOutput> {
    let gone = |why: String| {
        let name = store.name_of(&begun.path);
        Error::new(Code::RevisionGone, format!("{name} cannot be read: {why}"))
            .note("its columns are needed to publish it without rows")
            .hint("`highwater reprocess` computes the window anew")
    };
    let bytes = store.read(&begun.path).await?.ok_or_else(|| gone("it is not there".to_owned()))?;
    let file = ParquetRecordBatchReaderBuilder::try_new(bytes);
    let schema = file.map_err(|why| gone(why.to_string()))?.schema().clone();
    let no_rows = RecordBatchStreamAdapter::new(schema, futures::stream::empty());
    stage(staging, object, begun, Box::pin(no_rows)).await
}

/// Stages the rows of `stream` as the object that `begun` announced.
pub(super) async fn stage(
    staging: &Staging<'_>,
    output: &ObjectSpec<'_>,
    begun: &BatchOutput,
    mut stream: SendableRecordBatchStream,
) -> Result<StagedOutput> {
    let staged_at = staging.staged_at(begun);
    let failed =
        |why: &dyn std::fmt::Display| write_failure(&format!("cannot stage {}: {why}", begun.path));
    let hashed = HashedFile::create(&staged_at).map_err(|why| stage_failure(&begun.path, &why))?;
    let digest = hashed.digest.clone();
    let properties = properties(output.compression)?;
    let mut writer = ArrowWriter::try_new(hashed, stream.schema(), Some(properties))
        .map_err(|why| failed(&why))?;
    for (key, value) in [
        (ATTEMPT, begun.att.to_string()),
        ("highwater.pipeline", staging.pipeline.to_string()),
        ("highwater.output", output.name.to_owned()),
        ("highwater.window_start", staging.start.to_string()),
        ("highwater.window_end", staging.end.to_string()),
    ] {
        writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }
    let mut rows: u64 = 0;
    let mut content = Content::new(&stream.schema(), output.compression);
    while let Some(batch) = stream.next().await {
        let batch: RecordBatch = batch.map_err(|why| run_failure(&why))?;
        rows = rows.saturating_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX));
        content.add(&batch);
        writer.write(&batch).map_err(|why| digest.failure(&begun.path, &why))?;
        let so_far = digest
            .bytes()
            .saturating_add(u64::try_from(writer.in_progress_size()).unwrap_or(u64::MAX));
        check_size(so_far, staging, begun)?;
    }
    writer.close().map_err(|why| digest.failure(&begun.path, &why))?;
    let digest = digest.finish();
    check_size(digest.bytes, staging, begun)?;
    read_back(&staged_at, rows, digest.bytes).map_err(|why| failed(&why))?;
    let (path, att, content) = (begun.path.clone(), begun.att, content.finish());
    Ok(StagedOutput { staged_at, path, att, digest, rows, content })
}

fn check_size(bytes: u64, staging: &Staging<'_>, begun: &BatchOutput) -> Result<()> {
    if bytes <= staging.max_object_bytes {
        return Ok(());
    }
    let (path, max) = (&begun.path, staging.max_object_bytes);
    Err(Error::new(Code::WindowTooLarge, format!("{path} would be larger than {max} bytes"))
        .note("the window was not published; its previous output, if any, stands")
        .hint("raise `max_object_bytes` in [engine], or use smaller windows"))
}

/// Whether the staged file is whole: its footer can be read and says what was written.
fn read_back(staged_at: &Path, rows: u64, bytes: u64) -> Result<(), String> {
    let file = File::open(staged_at).map_err(|why| why.to_string())?;
    let len = file.metadata().map_err(|why| why.to_string())?.len();
    if len != bytes {
        return Err(format!("{len} of {bytes} bytes are on disk"));
    }
    let reader = SerializedFileReader::new(file).map_err(|why| why.to_string())?;
    let found = reader.metadata().file_metadata().num_rows();
    if u64::try_from(found) != Ok(rows) {
        return Err(format!("its footer says {found} rows, {rows} were written"));
    }
    Ok(())
}

/// The attempt that the footer of a staged file names, and its rows.
pub(super) fn named_attempt(staged_at: &Path) -> Result<(String, u64), String> {
    let file = File::open(staged_at).map_err(|why| why.to_string())?;
    let reader = SerializedFileReader::new(file).map_err(|why| why.to_string())?;
    let metadata = reader.metadata().file_metadata();
    let mut pairs = metadata.key_value_metadata().into_iter().flatten();
    let named = pairs.find(|pair| pair.key == ATTEMPT_KEY).and_then(|pair| pair.value.clone());
    let rows = u64::try_from(metadata.num_rows()).unwrap_or_default();
    Ok((named.unwrap_or_default(), rows))
}

/// Fixed but for the compression: nothing in it depends on time, machine or earlier windows.
fn properties(compression: Compression) -> Result<WriterProperties> {
    let compression = match compression {
        Compression::Uncompressed => ParquetCompression::UNCOMPRESSED,
        Compression::Snappy => ParquetCompression::SNAPPY,
        Compression::Lz4 => ParquetCompression::LZ4_RAW,
        Compression::Zstd(level) => {
            let level = ZstdLevel::try_new(i32::from(level));
            ParquetCompression::ZSTD(level.map_err(|why| write_failure(&why.to_string()))?)
        }
    };
    Ok(WriterProperties::builder()
        .set_compression(compression)
        .set_created_by("highwater".to_owned())
        .build())
}

fn write_failure(message: &str) -> Error {
    Error::new(Code::StoreFailed, message)
        .note("nothing half-written is visible; the window's previous output, if any, stands")
}

pub(super) fn stage_failure(path: &str, why: &io::Error) -> Error {
    let error = write_failure(&format!("cannot stage {path}: {why}"));
    match why.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::new(Code::StorageFull, error.message())
                .note("nothing half-written is visible, and committed windows stand")
                .hint("make room and run `highwater run` again: it goes on where it stopped")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Error::new(Code::PermissionDenied, error.message())
                .hint("the state folder must be writable for the user that runs highwater")
        }
        _ => error,
    }
}

/// A new file whose bytes are hashed as they are written.
#[derive(Debug)]
struct HashedFile {
    file: File,
    digest: Digest,
}

/// What was written so far; shared, because the writer that owns the file is used up by closing it.
#[derive(Clone, Debug, Default)]
struct Digest(Arc<Mutex<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    bytes: u64,
    hash: Sha256Stream,
    /// The first failure of the disk: the Parquet library tells it only in words.
    failure: Option<io::Error>,
}

impl HashedFile {
    fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        Ok(Self { file, digest: Digest::default() })
    }
}

impl Digest {
    fn bytes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    fn failure(&self, path: &str, why: &parquet::errors::ParquetError) -> Error {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match progress.failure.take() {
            Some(cause) => stage_failure(path, &cause),
            None => write_failure(&format!("cannot stage {path}: {why}")),
        }
    }

    fn finish(&self) -> ObjectDigest {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = std::mem::take(&mut progress.hash);
        ObjectDigest { bytes: progress.bytes, sha256: hash.finish() }
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        let mut progress = self.digest.0.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(len) => {
                progress.bytes =
                    progress.bytes.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
                progress.hash.update(&bytes[..len]);
                Ok(len)
            }
            Err(why) => {
                let copy = io::Error::new(why.kind(), why.to_string());
                progress.failure = Some(why);
                Err(copy)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
