//! Reads a published object whole: every page is decoded, and the rows are hashed.

use futures::StreamExt;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use super::content::Content;
use crate::error::{Code, Error, Result};
use crate::hash::ContentHash;
use crate::source::OpenFile;
use crate::spec::Compression;

/// How many rows `file` has, and the hash of them if it was written with `compression`; `None`
/// where a column's type has no bytes to compare.
///
/// # Errors
/// If a page cannot be decoded, or the file changes meanwhile.
pub async fn decode(
    file: &OpenFile,
    compression: Compression,
) -> Result<(u64, Option<ContentHash>)> {
    // A task of its own: the library may panic over bytes that nobody should have written.
    let (name, file) = (file.name(), file.clone());
    let task = tokio::spawn(async move { read(&file, compression).await });
    task.await.unwrap_or_else(|panic| {
        let text = format!("cannot read {name}: decoding it panicked: {panic}");
        Err(Error::new(Code::CorruptInput, text))
    })
}

async fn read(file: &OpenFile, compression: Compression) -> Result<(u64, Option<ContentHash>)> {
    let builder =
        ParquetRecordBatchStreamBuilder::new_with_metadata(file.reader(), file.metadata.clone());
    let mut batches = builder.build().map_err(|why| file.failure(&why))?;
    let mut content = Content::new(batches.schema(), compression);
    let mut rows: u64 = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|why| file.failure(&why))?;
        rows = rows.saturating_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX));
        content.add(&batch);
    }
    Ok((rows, content.finish()))
}
