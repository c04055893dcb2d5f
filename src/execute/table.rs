//! What SQL sees of a table: its columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::error::Result;
use crate::source::{OpenFile, PartitionColumn, WINDOW_START, partition_columns};
use crate::spec::SourceSpec;
use crate::time::EventTime;

/// The columns of a table.
pub type TableSchema = SchemaRef;

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

    fn field(&self) -> Field {
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
        let names_window = source.event_time.is_none();
        return names_window.then_some(AddedColumn::WindowStart).into_iter().collect();
    }
    partition_columns(source, keys).into_iter().map(AddedColumn::Folder).collect()
}

/// The table of `source`, which lists `keys`: the columns of one of its files, and those that are
/// added, all nullable.
///
/// # Errors
/// If two of the file's columns have the same name.
pub fn table_schema<'a>(
    source: &SourceSpec,
    file: &OpenFile,
    keys: impl Iterator<Item = &'a str>,
) -> Result<TableSchema> {
    let added = added_columns(source, keys);
    let is_shadowed = |name: &str| added.iter().any(|column| column.shadows(name));
    file.check_names()?;
    let own = file.schema().fields().iter().filter(|field| !is_shadowed(field.name()));
    let mut fields: Vec<Arc<Field>> =
        own.map(|field| Arc::new(field.as_ref().clone().with_nullable(true))).collect();
    let names: BTreeSet<String> = fields.iter().map(|field| field.name().to_lowercase()).collect();
    let added = added.iter().filter(|column| !names.contains(&column.name().to_lowercase()));
    fields.extend(added.map(|column| Arc::new(column.field())));
    Ok(Arc::new(Schema::new(fields)))
}
