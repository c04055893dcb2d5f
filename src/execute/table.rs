//! What SQL sees of a table: its columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

use super::Prepared;
use super::columns::{self, Allowed};
use crate::error::{Code, Error, Result};
use crate::ledger::InputVersion;
use crate::source::{OpenFile, PartitionColumn, WINDOW_START, partition_columns};
use crate::spec::SourceSpec;
use crate::state::{Column, Columns, ColumnsFile};
use crate::time::EventTime;

/// The columns of a table.
pub type TableSchema = SchemaRef;

/// The most columns that a table may have: they are logged as one.
const COLUMNS_MAX: usize = 10_000;

/// The most bytes that the columns of a table may take in the log.
const COLUMNS_BYTES_MAX: usize = 1 << 20;

/// A column that is not in the files of a source.
#[derive(Clone, Debug)]
pub(super) enum AddedColumn {
    /// It is told by the folders that a file lies in.
    Folder(PartitionColumn),
    /// It is the start of the window that another pipeline published the row with.
    WindowStart,
}

impl AddedColumn {
    /// Its name in SQL.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Folder(column) => &column.name,
            Self::WindowStart => WINDOW_START,
        }
    }

    /// Whether a column of the files has its name and is not to be seen. A column that a folder
    /// tells gives way to one in the files; the window's start does not: it is the event time.
    pub(super) fn shadows(&self, name: &str) -> bool {
        matches!(self, Self::WindowStart) && name == WINDOW_START
    }

    pub(super) fn field(&self) -> Field {
        match self {
            Self::Folder(column) => column.field(),
            Self::WindowStart => {
                let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
                Field::new(WINDOW_START, instant, true)
            }
        }
    }

    /// Its value in the file `key`, all rows of which have the event time `at` if they share one,
    /// `rows` times.
    pub(super) fn values(&self, key: &str, at: Option<EventTime>, rows: usize) -> Result<ArrayRef> {
        match self {
            Self::Folder(column) => column.values(key, rows),
            Self::WindowStart => {
                let values = vec![at.map(EventTime::micros); rows];
                Ok(Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")))
            }
        }
    }
}

/// The columns of `source`, which lists `keys`, that are not in its files.
pub(super) fn added_columns<'a>(
    source: &SourceSpec,
    keys: impl Iterator<Item = &'a str>,
) -> Vec<AddedColumn> {
    if source.upstream().is_some() {
        return window_start(source).into_iter().collect();
    }
    partition_columns(source, keys).into_iter().map(AddedColumn::Folder).collect()
}

/// The start of the window that rows of `source` were published with, if SQL sees it.
fn window_start(source: &SourceSpec) -> Option<AddedColumn> {
    let names_window = source.upstream().is_some() && source.event_time.is_none();
    names_window.then_some(AddedColumn::WindowStart)
}

/// The table of `source`, which lists `keys`: its columns and those that are added, all nullable.
///
/// # Errors
/// If two of them have names that SQL cannot tell apart, or a newer version has logged them.
pub fn table_schema<'a>(
    source: &SourceSpec,
    columns: &Columns,
    keys: impl Iterator<Item = &'a str>,
) -> Result<TableSchema> {
    let mut fields = columns.columns.iter().map(field).collect::<Result<Vec<_>>>()?;
    for added in added_columns(source, keys) {
        let name = added.name().to_lowercase();
        match fields.iter().find(|field| field.name().to_lowercase() == name) {
            None => fields.push(Arc::new(added.field())),
            Some(field) if field.name() == added.name() => {}
            Some(field) => {
                let (added, table) = (added.name(), &source.table);
                let text = format!(
                    "source {table} has a column `{}` in its files and folders `{added}=…`",
                    field.name()
                );
                return Err(Error::new(Code::SchemaMismatch, text)
                    .note("SQL could not tell them apart; names are compared without case")
                    .hint("rename one of the two, or set hive_partitioning = false"));
            }
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn field(column: &Column) -> Result<FieldRef> {
    let Column { name, kind, .. } = column;
    let of = columns::kind::parse(kind).ok_or_else(|| {
        let text = format!("the log says that column `{name}` has type {kind}");
        Error::new(Code::StateTooNew, text)
            .note("this version does not know that type")
            .hint("use the version that wrote the log, or a newer one")
    })?;
    Ok(Arc::new(Field::new(name, of, true)))
}

/// The columns of a table whose first file is `file`, called `key`, of this `version`.
///
/// # Errors
/// If two of them have names that SQL cannot tell apart, or there are too many.
pub fn file_columns(
    source: &SourceSpec,
    file: &OpenFile,
    key: &str,
    version: &InputVersion,
) -> Result<Columns> {
    file.check_names()?;
    let column = |(name, kind): (String, DataType)| Column { name, kind: text(&kind), file: 0 };
    let own = own_columns(source, file).into_iter().map(column).collect();
    let files = vec![ColumnsFile { key: key.to_owned(), version: version.clone() }];
    let columns = Columns { table: source.table.clone(), files, columns: own };
    if is_small(&columns) {
        return Ok(columns);
    }
    let text = format!("{} has too many columns for a table", file.name());
    let most = format!("{COLUMNS_MAX} columns, or {COLUMNS_BYTES_MAX} bytes of names and types");
    Err(Error::new(Code::SchemaMismatch, text).note(format!("a table may have {most}")))
}

/// The columns of `file` that may be seen, with the types that a table would give them.
fn own_columns(source: &SourceSpec, file: &OpenFile) -> Vec<(String, DataType)> {
    let shadow = window_start(source);
    let is_seen = |name: &str| shadow.as_ref().is_none_or(|column| !column.shadows(name));
    let own = file.schema().fields().iter().filter(|field| is_seen(field.name()));
    let own = own.filter_map(|field| {
        Some((field.name().clone(), columns::kind::of_table(field.data_type())?))
    });
    own.collect()
}

fn text(kind: &DataType) -> String {
    columns::kind::text(kind).unwrap_or_default()
}

fn is_small(columns: &Columns) -> bool {
    let bytes =
        columns.columns.iter().map(|column| column.name.len().saturating_add(column.kind.len()));
    columns.columns.len() <= COLUMNS_MAX
        && bytes.fold(0, usize::saturating_add) <= COLUMNS_BYTES_MAX
}

/// Whether `file`, a later version of the one that `columns` came with first, still has them.
#[must_use]
pub fn has_columns(source: &SourceSpec, columns: &Columns, file: &OpenFile) -> bool {
    let own = own_columns(source, file);
    let mut first = columns.columns.iter().filter(|column| column.file == 0);
    first.all(|column| {
        let own = own.iter().find(|(name, _)| *name == column.name);
        let then = columns::kind::parse(&column.kind);
        own.zip(then).is_some_and(|((_, own), then)| columns::fits(&then, own, Allowed::by(source)))
    })
}

/// `columns` and those of `file` that they lack, behind them; `None` if it has no others.
#[must_use]
pub fn gained_columns(
    source: &SourceSpec,
    columns: &Columns,
    file: &OpenFile,
    key: &str,
    version: &InputVersion,
) -> Option<Columns> {
    let known: BTreeSet<String> =
        columns.columns.iter().map(|column| column.name.to_lowercase()).collect();
    let others = own_columns(source, file).into_iter();
    let others = others.filter(|(name, _)| !known.contains(&name.to_lowercase()));
    changed(columns, others.collect(), key, version)
}

/// `columns` with types that hold the values of `file` too; `None` if they do already, or cannot.
/// Only those that are needed by `prepared` are looked at.
#[must_use]
pub fn widened_columns(
    source: &SourceSpec,
    columns: &Columns,
    prepared: &Prepared,
    file: &OpenFile,
    key: &str,
    version: &InputVersion,
) -> Option<Columns> {
    let needed = prepared.columns(&source.table)?;
    let wider = own_columns(source, file).into_iter().filter_map(|(name, own)| {
        needed.column_with_name(&name)?;
        let then = columns::kind::parse(&columns.column(&name)?.kind)?;
        let now = columns::joined(&then, &own, Allowed::by(source))?;
        (now != then).then_some((name, now))
    });
    changed(columns, wider.collect(), key, version)
}

/// `columns` with these in place of those of the same names, and behind them.
fn changed(
    columns: &Columns,
    news: Vec<(String, DataType)>,
    key: &str,
    version: &InputVersion,
) -> Option<Columns> {
    if news.is_empty() {
        return None;
    }
    let mut columns = columns.clone();
    let file = columns.files.len();
    columns.files.push(ColumnsFile { key: key.to_owned(), version: version.clone() });
    for (name, kind) in news {
        let column = Column { name, kind: text(&kind), file };
        match columns.columns.iter_mut().find(|other| other.name == column.name) {
            Some(other) => *other = column,
            None => columns.columns.push(column),
        }
    }
    forget_unnamed_files(&mut columns);
    Some(columns).filter(|columns| is_small(columns) && columns.is_sound())
}

/// Drops the files, but the first, that no column names any more.
fn forget_unnamed_files(columns: &mut Columns) {
    let named: BTreeSet<usize> = columns.columns.iter().map(|column| column.file).collect();
    let kept: Vec<usize> =
        (0..columns.files.len()).filter(|file| *file == 0 || named.contains(file)).collect();
    let files = kept.iter().filter_map(|file| columns.files.get(*file).cloned()).collect();
    columns.files = files;
    for column in &mut columns.columns {
        column.file = kept.binary_search(&column.file).unwrap_or_default();
    }
}
