//! How the columns of a file become those of its table: each is found by name, read as the type
//! that the table has, and NULL where the file lacks it and that is allowed.

mod cast;
pub(super) mod kind;
#[cfg(test)]
mod tests;
mod widen;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};

use super::table::AddedColumn;
use crate::error::{Code, Error, Result};
use crate::source::OpenFile;
use crate::spec::{OnMissingColumn, SourceSpec};
pub(in crate::execute) use widen::Allowed;

/// Where a column of the table comes from in one file.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// The file has it.
    Decoded(DecodedColumn),
    /// The file lacks it: NULLs of this type.
    Missing(DataType),
    /// It is in no file.
    Added(AddedColumn),
}

/// A column that a file has.
#[derive(Clone, Debug)]
pub(super) struct DecodedColumn {
    /// Its place among the decoded columns.
    place: usize,
    name: String,
    /// What it is read as.
    kind: DataType,
    /// The file, for messages.
    file: String,
}

/// Where each column of the table comes from in this file, and which root columns to decode.
///
/// # Errors
/// If a column is missing or has a type that is not read as the table's, and nothing allows that.
pub(super) fn origins(
    source: &SourceSpec,
    file: &OpenFile,
    schema: &SchemaRef,
    added: &[AddedColumn],
    time: Option<usize>,
) -> Result<(Vec<Origin>, Vec<usize>)> {
    let mut found = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        found.push(find(source, file, field, added)?);
    }
    let places = found.iter().filter_map(|origin| match origin {
        Origin::Decoded(column) => Some(column.place),
        Origin::Missing(_) | Origin::Added(_) => None,
    });
    let mut roots: Vec<usize> = places.chain(time).collect();
    roots.sort_unstable();
    roots.dedup();
    for origin in &mut found {
        if let Origin::Decoded(column) = origin {
            column.place = roots.binary_search(&column.place).unwrap_or_default();
        }
    }
    Ok((found, roots))
}

/// Where the column `field` comes from; its place is still that among the file's root columns.
fn find(
    source: &SourceSpec,
    file: &OpenFile,
    field: &FieldRef,
    added: &[AddedColumn],
) -> Result<Origin> {
    let (name, kind) = (field.name(), field.data_type());
    let added = added.iter().find(|column| column.name() == name);
    let own = file.schema().column_with_name(name);
    let own = own.filter(|_| added.is_none_or(|added| !added.shadows(name)));
    if let Some((place, own)) = own {
        if !fits(kind, own.data_type(), Allowed::by(source)) {
            return Err(other_type(source, file, field, own.data_type()));
        }
        let (name, kind, file) = (name.clone(), kind.clone(), file.name());
        return Ok(Origin::Decoded(DecodedColumn { place, name, kind, file }));
    }
    if let Some(added) = added.filter(|added| added.field().data_type() == kind) {
        return Ok(Origin::Added(added.clone()));
    }
    let twin = name.to_lowercase();
    let columns = file.schema().fields();
    if let Some(twin) = columns.iter().find(|other| other.name().to_lowercase() == twin) {
        let (file, twin) = (file.name(), twin.name());
        let text = format!("{file} has a column `{twin}`, and table {} `{name}`", source.table);
        return Err(Error::new(Code::SchemaMismatch, text)
            .note("SQL could not tell them apart; names are compared without case")
            .hint("give it the same name in all files"));
    }
    match source.on_missing_column {
        OnMissingColumn::Null => Ok(Origin::Missing(kind.clone())),
        OnMissingColumn::Fail => Err(missing(source, file, name)),
    }
}

/// Whether a column of type `file` is read as one of type `table`.
pub(super) fn fits(table: &DataType, file: &DataType, allowed: Allowed) -> bool {
    joined(table, file, allowed).as_ref() == Some(table)
}

/// As [`widen::joined`], of whatever type a file has.
pub(super) fn joined(table: &DataType, file: &DataType, allowed: Allowed) -> Option<DataType> {
    widen::joined(table, &kind::of_table(file)?, allowed)
}

impl DecodedColumn {
    /// Some rows of it as values of the table; `before` are the rows of the file that come before
    /// those of `batch`.
    pub(super) fn take(
        &self,
        batch: &RecordBatch,
        rows: &UInt32Array,
        before: u64,
    ) -> Result<ArrayRef> {
        let taken = take(batch.column(self.place), rows, None)
            .map_err(|why| Error::new(Code::Bug, format!("rows cannot be taken: {why}")))?;
        cast::cast(&taken, &self.kind).map_err(|why| {
            let is_wrong = |at: &usize| cast::cast(&taken.slice(*at, 1), &self.kind).is_err();
            let first = (0..taken.len()).find(is_wrong).and_then(|at| rows.values().get(at));
            let row = before.saturating_add(u64::from(first.copied().unwrap_or_default()));
            let Self { name, kind, file, .. } = self;
            let text = format!("column `{name}` of {file}, row {row}: no {kind} holds its value");
            Error::new(Code::SchemaMismatch, text)
                .note(format!("{why}; rows are counted from 0"))
                .note("nothing is rounded, cut or made NULL; the window's output, if any, stands")
                .hint("mend the file and run again")
        })
    }
}

fn other_type(source: &SourceSpec, file: &OpenFile, field: &FieldRef, own: &DataType) -> Error {
    let (name, then, table) = (field.name(), field.data_type(), &source.table);
    let text = format!("column `{name}` of {} has type {own}, expected {then}", file.name());
    let (widen, null) = ("on_type_change = \"widen\"", "on_missing_column = \"null\"");
    let allowed = Allowed::by(source);
    let may = |allowed| joined(then, own, allowed).is_some();
    if may(allowed) {
        // A run looks for what is wider before it computes: this one came after that.
        return mismatch(format!("{text}; its table is not that wide yet"))
            .hint("run again: the table takes in the wider type by itself");
    }
    let wanted = if may(Allowed { widening: true, ..allowed }) {
        widen.to_owned()
    } else if may(Allowed { widening: true, nulls: true }) {
        format!("{widen} and {null}")
    } else {
        return mismatch(format!("{text}, and no type holds the values of both"));
    };
    mismatch(format!("{text}, and source {table} has not {wanted}"))
        .hint(format!("or set {wanted} for source {table}: nothing is lost or rounded then"))
}

fn missing(source: &SourceSpec, file: &OpenFile, name: &str) -> Error {
    let table = &source.table;
    let null = "on_missing_column = \"null\"";
    // Whatever the query asks for, a row is put aside with all that it has.
    let whose = if source.has_quarantine() { ", whose rows are put aside whole," } else { "" };
    mismatch(format!(
        "column `{name}` is missing from {}, and source {table}{whose} has not {null}",
        file.name()
    ))
    .hint(format!("or set {null} for source {table}: it is read as NULL then"))
}

fn mismatch(text: String) -> Error {
    Error::new(Code::SchemaMismatch, text)
        .note("the log says what the columns of a table are: those of its first file, at first")
        .hint(
            "mend the file and run again, or change what needs the column: the query, or a rule \
             with `quarantine`, which needs all of them",
        )
}
