//! Reads rows back that were put aside.

mod value;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Field, Int64Type, TimestampMicrosecondType};
use futures::StreamExt;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use serde_json::Value;
use std::sync::Arc;

use super::judge::{REASON, RULE, RULES, SOURCE_FILE, SOURCE_ROW};
use crate::error::{Code, Error, Result};
use crate::source::{OpenFile, WINDOW_START};
use crate::time::EventTime;
use value::values;

/// Rows decoded at once: nobody asks for many.
const BATCH_ROWS: usize = 1_024;

/// How many columns are added to those of the source: they stand last.
const ADDED: usize = 6;

/// A row that was put aside.
#[derive(Clone, Debug, PartialEq)]
pub struct AsideRow {
    /// The rule that put it aside.
    pub rule: String,
    /// All rules that it breaks.
    pub rules: Vec<String>,
    /// Why, in the words of the rule.
    pub reason: String,
    /// The file it stands in.
    pub file: String,
    /// Which row of the file it is, from 0.
    pub row: u64,
    /// The start of its window, or of the one that it came too late for; `None` if it never had
    /// one.
    pub window_start: Option<EventTime>,
    /// Its values in the order of the columns.
    pub values: Vec<(String, Value)>,
}

/// The rows of the quarantine object `file` that `rule` put aside and that stand in `source_file`,
/// where they are given: the first `most`.
///
/// # Errors
/// If a page cannot be decoded, the file changes meanwhile, or is no quarantine object.
pub async fn read_aside(
    file: &OpenFile,
    rule: Option<&str>,
    source_file: Option<&str>,
    most: usize,
) -> Result<Vec<AsideRow>> {
    let (name, file) = (file.name(), file.clone());
    let (rule, source_file) = (rule.map(str::to_owned), source_file.map(str::to_owned));
    // A task of its own: the library may panic over bytes that nobody should have written.
    let task =
        tokio::spawn(
            async move { read(&file, rule.as_deref(), source_file.as_deref(), most).await },
        );
    task.await.unwrap_or_else(|panic| {
        let text = format!("cannot read {name}: decoding it panicked: {panic}");
        Err(Error::new(Code::CorruptInput, text))
    })
}

async fn read(
    file: &OpenFile,
    rule: Option<&str>,
    source_file: Option<&str>,
    most: usize,
) -> Result<Vec<AsideRow>> {
    let builder =
        ParquetRecordBatchStreamBuilder::new_with_metadata(file.reader(), file.metadata.clone());
    let batches = builder.with_batch_size(BATCH_ROWS).build();
    let mut batches = batches.map_err(|why| file.failure(&why))?;
    let mut found = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|why| file.failure(&why))?;
        let other = || {
            let text = format!("{} is no quarantine object of this version", file.name());
            Error::new(Code::CorruptInput, text)
        };
        let left = most.saturating_sub(found.len());
        found.extend(rows_of(&batch, rule, source_file, left).ok_or_else(other)?);
        if found.len() >= most {
            break;
        }
    }
    Ok(found)
}

/// The wanted rows of a batch; `None` if it has not the columns of a quarantine object.
fn rows_of(
    batch: &RecordBatch,
    rule: Option<&str>,
    source_file: Option<&str>,
    most: usize,
) -> Option<Vec<AsideRow>> {
    let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
    let (rules, files) = (text(RULE)?, text(SOURCE_FILE)?);
    let is_it = |row: &u32| {
        let Ok(row) = usize::try_from(*row) else { return false };
        rule.is_none_or(|rule| rules.value(row) == rule)
            && source_file.is_none_or(|file| files.value(row) == file)
    };
    let all = 0..u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
    let wanted: UInt32Array = all.filter(is_it).take(most).collect();
    let batch = take_record_batch(batch, &wanted).ok()?;
    let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
    let (rules, reasons, files) = (text(RULE)?, text(REASON)?, text(SOURCE_FILE)?);
    let all = batch.column_by_name(RULES)?.as_list_opt::<i32>()?;
    let rows = batch.column_by_name(SOURCE_ROW)?.as_primitive_opt::<Int64Type>()?;
    let starts = batch.column_by_name(WINDOW_START)?;
    let starts = starts.as_primitive_opt::<TimestampMicrosecondType>()?;
    let own = batch.num_columns().checked_sub(ADDED)?;
    let schema = batch.schema();
    let columns: Vec<(&Arc<Field>, Vec<Value>)> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .take(own)
        .map(|(field, column)| (field, values(field, column)))
        .collect();
    let row = |row: usize| {
        let names = all.value(row);
        let names = names.as_string_opt::<i32>()?;
        let value = |(field, values): &(&Arc<Field>, Vec<Value>)| {
            (field.name().clone(), values.get(row).cloned().unwrap_or_default())
        };
        Some(AsideRow {
            rule: rules.value(row).to_owned(),
            rules: names.iter().flatten().map(str::to_owned).collect(),
            reason: reasons.value(row).to_owned(),
            file: files.value(row).to_owned(),
            row: u64::try_from(rows.value(row)).ok()?,
            window_start: starts.is_valid(row).then(|| EventTime::from_micros(starts.value(row))),
            values: columns.iter().map(value).collect(),
        })
    };
    (0..batch.num_rows()).map(row).collect()
}
