//! What SQL sees of a source: its columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::error::{Code, Error, Result};
use crate::source::{OpenFile, PartitionColumn};

/// The columns of a table.
pub type TableSchema = SchemaRef;

/// The table of a source: the columns of one of its files and of its folders, all nullable.
///
/// # Errors
/// If two of the file's columns have the same name.
pub fn table_schema(file: &OpenFile, folders: &[PartitionColumn]) -> Result<TableSchema> {
    let mut names = BTreeSet::new();
    let mut fields: Vec<Arc<Field>> = Vec::new();
    for field in file.schema().fields() {
        if !names.insert(field.name().to_lowercase()) {
            let text = format!("{} has two columns named `{}`", file.name(), field.name());
            return Err(Error::new(Code::SchemaMismatch, text)
                .hint("SQL could not tell them apart; names are compared without case"));
        }
        fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
    }
    let folders = folders.iter().filter(|column| !names.contains(&column.name.to_lowercase()));
    fields.extend(folders.map(|column| Arc::new(column.field())));
    Ok(Arc::new(Schema::new(fields)))
}
