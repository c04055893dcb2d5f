//! Reference tables: small sets of files that every window sees whole. Which bytes they are is told
//! by hash, so that a file that was only touched is no other version.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use super::SourceStores;
use super::caught::marked;
use super::reader::{open_held, panicked};
use super::stored::SourceStore;
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use crate::ledger::InputVersion;
use crate::spec::{PipelineSpec, ReferenceSpec};
use crate::state::{ReferenceVersion, References};
use crate::store::ObjectMeta;

/// The most files of one reference table.
const FILES_MAX: usize = 1_000;

/// A reference table in memory.
#[derive(Clone, Debug)]
pub struct ReferenceTable {
    /// Its name in SQL.
    pub table: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows, in the order of files and rows.
    pub batches: Vec<RecordBatch>,
}

/// Which bytes the reference tables of `spec` have now. What `known` says of a file whose mark is
/// still the same is believed; other files are hashed.
///
/// # Errors
/// If a table has no file, or too many; if a file cannot be read.
pub async fn reference_versions(
    spec: &PipelineSpec,
    stores: &SourceStores,
    known: Option<&References>,
) -> Result<References> {
    let mut tables = Vec::with_capacity(spec.references.len());
    for reference in &spec.references {
        let store = store_of(stores, reference)?;
        let known = known.iter().flat_map(|known| &known.tables);
        let known = known.filter(|known| known.table == reference.table);
        let known: Vec<_> = known.flat_map(|known| &known.files).collect();
        let mut files = Vec::new();
        for meta in listed(reference, store).await? {
            let is_known = |(key, version): &&&(String, InputVersion)| {
                *key == meta.key && version.size == meta.size && version.mark == meta.mark
            };
            let known = known.iter().find(is_known).filter(|_| !meta.is_young);
            let sha256 = match known {
                Some((_, version)) => version.sha256,
                None => store.store().sha256(&meta.key).await?,
            };
            files.push((meta.key, InputVersion { size: meta.size, mark: meta.mark, sha256 }));
        }
        tables.push(ReferenceVersion { table: reference.table.clone(), files });
    }
    Ok(References { tables })
}

/// Reads the reference tables of `spec`, which must have the bytes of `versions`.
///
/// # Errors
/// If a file is no Parquet, has other bytes by now, or other columns than the first of its table.
pub async fn read_references(
    spec: &PipelineSpec,
    stores: &SourceStores,
    versions: &References,
) -> Result<Vec<ReferenceTable>> {
    let mut tables = Vec::with_capacity(spec.references.len());
    for (reference, version) in spec.references.iter().zip(&versions.tables) {
        let store = store_of(stores, reference)?;
        let mut table: Option<ReferenceTable> = None;
        for (key, version) in &version.files {
            let (schema, batches) = read(store, key, version).await?;
            match &mut table {
                None => {
                    let name = reference.table.clone();
                    table = Some(ReferenceTable { table: name, schema, batches });
                }
                Some(table) if table.schema.fields() == schema.fields() => {
                    table.batches.extend(batches);
                }
                Some(_) => {
                    let name = store.store().name_of(key);
                    let text = format!("{name} has other columns than the files before it");
                    return Err(Error::new(Code::SchemaMismatch, text)
                        .note(format!("it belongs to reference table {}", reference.table)));
                }
            }
        }
        tables.extend(table);
    }
    Ok(tables)
}

fn store_of<'a>(
    stores: &'a SourceStores,
    reference: &ReferenceSpec,
) -> Result<&'a Arc<SourceStore>> {
    let table = &reference.table;
    stores
        .get(table)
        .ok_or_else(|| Error::new(Code::Bug, format!("reference {table} was given no store")))
}

/// The files of a reference table: the one it names, or all Parquet below the folder it names.
async fn listed(reference: &ReferenceSpec, store: &SourceStore) -> Result<Vec<ObjectMeta>> {
    let none = |what: &str| {
        let file = reference.file_name.as_deref();
        let table = &reference.table;
        let path = file.map_or(reference.folder.clone(), |name| reference.folder.below(name));
        Error::new(Code::SourceMissing, format!("reference {table}: {} {what}", reference.label))
            .note(format!("looked for at {path}; nothing was computed, outputs stand"))
            .hint(
                "put the file there, or correct `path` of the reference; it is relative to `root`",
            )
    };
    let files: Vec<ObjectMeta> = if let Some(name) = &reference.file_name {
        store.store().head(name).await?.into_iter().collect()
    } else {
        let files = store.store().list("").await;
        let files = files.map_err(|why| match why.code() {
            Code::SourceMissing => none("does not exist"),
            _ => why
                .within(format!("reference {}", reference.table))
                .hint("a `path` that ends in `.parquet` is one file, any other a folder"),
        })?;
        files.into_iter().filter(|meta| meta.key.ends_with(".parquet")).collect()
    };
    match files.len() {
        0 => Err(none("does not exist or holds no Parquet")),
        1..=FILES_MAX => Ok(files),
        more => Err(none(&format!("has {more} files; a reference may have {FILES_MAX}"))),
    }
}

async fn read(
    store: &Arc<SourceStore>,
    key: &str,
    version: &InputVersion,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let name = store.store().name_of(key);
    let changed = || {
        Error::new(Code::InputChanged, format!("{name} changed while it was read"))
            .hint("run again: the new version is taken in by itself")
    };
    let seen = store.store().head(key).await?.ok_or_else(changed)?;
    let bytes = store.store().read(key).await?;
    let bytes = bytes.filter(|bytes| Some(Sha256::of(bytes)) == version.sha256);
    let bytes = bytes.ok_or_else(changed)?;
    store.count(bytes.len());
    let seen = ObjectMeta { size: u64::try_from(bytes.len()).unwrap_or(u64::MAX), ..seen };
    let store = store.clone();
    // In a task of its own: a panic of a decoder on hostile bytes must not end the run.
    let task = tokio::spawn(marked(async move {
        let file = open_held(&store, &seen, bytes).await?;
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(
            file.reader(),
            file.metadata.clone(),
        );
        let batches = builder.build().map_err(|why| file.failure(&why))?;
        let batches = batches.try_collect::<Vec<_>>().await;
        Ok((file.schema().clone(), batches.map_err(|why| file.failure(&why))?))
    }));
    task.await.unwrap_or_else(|_| Err(panicked(&name)))
}
