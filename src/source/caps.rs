//! What a Parquet file may claim. The library allocates what headers say before it looks at what
//! they say it of, and a failed allocation ends the process: so it is asked before.

mod deltas;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use super::thrift::Thrift;

/// The largest footer, in bytes.
pub(super) const FOOTER_BYTES_MAX: u64 = 64 << 20;

/// Groups of a schema inside each other. The library walks them by recursion.
const SCHEMA_DEPTH_MAX: usize = 100;

/// The largest page before compression, in bytes.
const PAGE_BYTES_MAX: i64 = 1 << 30;

/// How many times its size in the file a page may have, if it is larger than [`PAGE_BYTES_FREE`].
const PAGE_RATIO_MAX: i64 = 1_000;

/// A page of this size before compression may have been compressed to anything, in bytes.
const PAGE_BYTES_FREE: i64 = 16 << 20;

/// How many rows a file may claim for each of its bytes. Writers begin a new page, with a header of
/// its own, after some ten thousand rows.
const ROWS_PER_BYTE_MAX: u64 = 100_000;

fn refused(what: impl Into<String>) -> ParquetError {
    ParquetError::General(what.into())
}

/// Whether a footer may be read that says to have `len` bytes.
pub(super) fn check_footer_len(len: u64) -> Result<(), ParquetError> {
    if len <= FOOTER_BYTES_MAX {
        return Ok(());
    }
    Err(refused(format!("its footer has {len} bytes, more than {FOOTER_BYTES_MAX}")))
}

/// Whether the schema in the footer `bytes` may be decoded.
pub(super) fn check_schema(bytes: &[u8]) -> Result<(), ParquetError> {
    let mut children = Vec::new();
    let read = Thrift::new(bytes).fields(|footer, number, kind| {
        if number != 2 || !kind.is_list() {
            return Some(false);
        }
        let (kind, len) = footer.list()?;
        for _ in 0..len {
            if !kind.is_struct() {
                return None;
            }
            children.push(children_of(footer)?);
        }
        Some(true)
    });
    if read.is_none() {
        return Err(refused("its footer is not what a footer is"));
    }
    // How many elements each open group still has to come.
    let mut open: Vec<u64> = Vec::new();
    let mut to_come = u64::try_from(children.len()).unwrap_or(u64::MAX);
    for count in children {
        to_come = to_come.saturating_sub(1);
        let count = u64::try_from(count).ok().filter(|count| *count <= to_come);
        let Some(count) = count else {
            return Err(refused("a group of its schema has more columns than there are"));
        };
        if let Some(last) = open.last_mut() {
            *last = last.saturating_sub(1);
        }
        if count > 0 {
            open.push(count);
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.len() > SCHEMA_DEPTH_MAX {
            return Err(refused(format!("its schema is deeper than {SCHEMA_DEPTH_MAX} groups")));
        }
    }
    Ok(())
}

/// How many children the schema element says to have.
fn children_of(element: &mut Thrift<'_>) -> Option<i64> {
    let mut children = 0;
    element.fields(|value, number, _| {
        if number != 5 {
            return Some(false);
        }
        children = value.number()?;
        Some(true)
    })?;
    Some(children)
}

/// Whether the numbers of rows and the places of columns can be true, which the footer of a file of
/// `size` bytes says.
pub(super) fn check_numbers(metadata: &ParquetMetaData, size: u64) -> Result<(), ParquetError> {
    let rows = metadata.file_metadata().num_rows();
    let max = size.saturating_mul(ROWS_PER_BYTE_MAX);
    if !u64::try_from(rows).is_ok_and(|rows| rows <= max) {
        return Err(refused(format!(
            "its footer says {rows} rows, which {size} bytes cannot hold"
        )));
    }
    let mut groups = metadata.row_groups().iter().map(RowGroupMetaData::num_rows);
    let sum = groups.try_fold(0_i64, |sum, rows| sum.checked_add(rows).filter(|_| rows >= 0));
    if sum != Some(rows) {
        return Err(refused(format!("its footer says {rows} rows, and its row groups do not")));
    }
    let mut chunks = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
    chunks.try_for_each(|chunk| {
        let first = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
        let end = first.checked_add(chunk.compressed_size());
        let is_there = first >= 0 && chunk.data_page_offset() >= 0 && chunk.compressed_size() >= 0;
        let end = end.and_then(|end| u64::try_from(end).ok());
        if is_there && end.is_some_and(|end| end <= size) {
            return Ok(());
        }
        let name = chunk.column_path().string();
        Err(refused(format!("column `{name}` is said to be where the file has no bytes")))
    })
}

/// What a page's header says.
#[derive(Debug, Default)]
struct PageHeader {
    bytes: Option<i64>,
    stored: Option<i64>,
    dictionary: Option<i64>,
    /// How the values of a page of data are encoded, by number.
    encoding: Option<i64>,
}

/// Whether the pages of a column chunk, which are `bytes`, may be decoded.
pub(super) fn check_pages(bytes: &Bytes, chunk: &ColumnChunkMetaData) -> Result<(), ParquetError> {
    let mut rest = bytes.as_ref();
    let mut has_deltas = false;
    while !rest.is_empty() {
        let at = bytes.len().saturating_sub(rest.len());
        let mut thrift = Thrift::new(rest);
        let header = page_header(&mut thrift);
        let sizes = header.as_ref().and_then(|header| header.bytes.zip(header.stored));
        let Some((header, (page, stored))) = header.as_ref().zip(sizes) else {
            return Err(refused(format!("there is no page where one should be, at byte {at}")));
        };
        if page > PAGE_BYTES_MAX {
            return Err(refused(format!("a page has {page} bytes, more than {PAGE_BYTES_MAX}")));
        }
        if page > PAGE_BYTES_FREE && page > stored.saturating_mul(PAGE_RATIO_MAX) {
            return Err(refused(format!("a page has {page} bytes, and {stored} in the file")));
        }
        // A value of a dictionary has a byte at least.
        if let Some(values) = header.dictionary.filter(|values| *values > page) {
            return Err(refused(format!("a dictionary of {page} bytes has {values} values")));
        }
        let next = usize::try_from(stored).ok().and_then(|stored| thrift.rest().get(stored..));
        let Some(next) = next.filter(|_| page >= 0) else {
            return Err(refused(format!("a page has {stored} bytes, more than its column")));
        };
        has_deltas |= header.encoding.is_some_and(deltas::counts_by_itself);
        rest = next;
    }
    if has_deltas { deltas::check(bytes, chunk) } else { Ok(()) }
}

fn page_header(thrift: &mut Thrift<'_>) -> Option<PageHeader> {
    let mut header = PageHeader::default();
    thrift.fields(|value, number, kind| {
        match number {
            2 => header.bytes = Some(value.number()?),
            3 => header.stored = Some(value.number()?),
            5 if kind.is_struct() => header.encoding = number_of(value, 2)?,
            7 if kind.is_struct() => header.dictionary = number_of(value, 1)?,
            8 if kind.is_struct() => header.encoding = number_of(value, 4)?,
            _ => return Some(false),
        }
        Some(true)
    })?;
    Some(header)
}

/// The number in the field `wanted` of a struct. Whatever cannot be read is `None`.
#[expect(clippy::option_option, reason = "a field may be missing from a struct that can be read")]
fn number_of(thrift: &mut Thrift<'_>, wanted: i64) -> Option<Option<i64>> {
    let mut found = None;
    thrift.fields(|value, number, _| {
        if number != wanted {
            return Some(false);
        }
        found = Some(value.number()?);
        Some(true)
    })?;
    Some(found)
}
