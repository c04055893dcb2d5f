//! Byte arrays whose lengths are packed as deltas. Such a page says inside of itself, where it is
//! compressed, how many lengths it has, and the library makes room for as many.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::SerializedPageReader;

use super::refused;
use crate::source::thrift::Thrift;

/// The most values of one page of this encoding: each takes a few bytes as soon as the page is
/// opened. The largest row groups that writers make by themselves have as many rows.
const VALUES_MAX: u64 = 64 << 20;

/// Whether a page of this encoding, by its number, says inside of itself how many values it has.
pub(super) fn counts_by_itself(encoding: i64) -> bool {
    [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY]
        .into_iter()
        .any(|one| i64::from(one as i32) == encoding)
}

/// Whether the pages of `chunk`, which are `bytes`, have no more lengths than values.
pub(super) fn check(bytes: &Bytes, chunk: &ColumnChunkMetaData) -> Result<(), ParquetError> {
    // The library looks for pages where the chunk is in its file.
    let chunk = chunk.clone().into_builder();
    let chunk = chunk.set_data_page_offset(0).set_dictionary_page_offset(None).build()?;
    let mut pages = SerializedPageReader::new(Arc::new(bytes.clone()), &chunk, 0, None)?;
    while let Some(page) = pages.get_next_page()? {
        check_page(&page, &chunk)?;
    }
    Ok(())
}

fn check_page(page: &Page, chunk: &ColumnChunkMetaData) -> Result<(), ParquetError> {
    let streams = match page.encoding() {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => return Ok(()),
    };
    let values = u64::from(page.num_values());
    if values > VALUES_MAX {
        return Err(refused(format!("a page has {values} values, more than {VALUES_MAX}")));
    }
    let short = || refused("a page ends before its lengths do");
    let mut rest = past_levels(page, chunk).ok_or_else(short)?;
    // A page of nothing but nulls may have nothing behind its levels.
    let streams = if rest.rest().is_empty() { 0 } else { streams };
    for _ in 0..streams {
        let lengths = pass_deltas(&mut rest, values).ok_or_else(short)?;
        if lengths > values {
            let text = format!("a page of {values} values says to have {lengths} lengths");
            return Err(refused(text));
        }
    }
    Ok(())
}

/// What is behind the levels of a page of data.
fn past_levels<'a>(page: &'a Page, chunk: &ColumnChunkMetaData) -> Option<Thrift<'a>> {
    match page {
        Page::DataPage { buf, num_values, def_level_encoding, rep_level_encoding, .. } => {
            let column = chunk.column_descr();
            let mut rest = Thrift::new(buf);
            for (encoding, max) in [
                (rep_level_encoding, column.max_rep_level()),
                (def_level_encoding, column.max_def_level()),
            ] {
                if max > 0 {
                    let len = levels_len(rest, *encoding, *num_values, max)?;
                    rest.pass(len)?;
                }
            }
            Some(rest)
        }
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            let mut rest = Thrift::new(buf);
            rest.pass(u64::from(*rep_levels_byte_len))?;
            rest.pass(u64::from(*def_levels_byte_len))?;
            Some(rest)
        }
        Page::DictionaryPage { .. } => None,
    }
}

/// How many bytes the levels at `rest` take.
fn levels_len(rest: Thrift<'_>, encoding: Encoding, values: u32, max: i16) -> Option<u64> {
    if encoding == Encoding::RLE {
        let len = rest.rest().first_chunk().map(|len| u32::from_le_bytes(*len))?;
        return u64::from(len).checked_add(4);
    }
    // Packed: as many bits each as the largest one has.
    let bits = u64::from(i16::BITS.saturating_sub(max.leading_zeros()));
    u64::from(values).checked_mul(bits).map(|bits| bits.div_ceil(8))
}

/// Passes over numbers that are packed as deltas. Says how many they are, and does not pass over
/// them if those are more than `max`.
fn pass_deltas(rest: &mut Thrift<'_>, max: u64) -> Option<u64> {
    let (in_block, minis, count) = (rest.varint()?, rest.varint()?, rest.varint()?);
    rest.varint()?;
    let in_mini = in_block.checked_div(minis)?;
    let mut left = if count > max { 0 } else { count.saturating_sub(1) };
    while left > 0 {
        rest.varint()?;
        for bits in rest.pass(minis)? {
            if left > 0 {
                rest.pass(u64::from(*bits).checked_mul(in_mini)?.checked_div(8)?)?;
                left = left.saturating_sub(in_mini);
            }
        }
    }
    Some(count)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
mod tests {
    use arrow::array::{ArrayRef, ListBuilder, RecordBatch, StringArray, StringBuilder};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::Compression;
    use parquet::file::properties::{WriterProperties, WriterVersion};

    use super::*;

    fn passed(bytes: &[u8]) -> Option<(u64, &[u8])> {
        let mut rest = Thrift::new(bytes);
        pass_deltas(&mut rest, 100).map(|count| (count, rest.rest()))
    }

    #[test]
    fn deltas_end_behind_the_last_mini_block_that_has_a_number() {
        // Blocks of 128 in 4; 34 numbers from 0; deltas from 1 on, in 1, 2, 3 and 4 bits.
        let head = [128, 1, 4, 34, 0, 2, 1, 2, 3, 4];
        let bytes = [&head[..], &[0; 4 + 8], &[7, 7]].concat();
        assert_eq!(passed(&bytes), Some((34, &[7, 7][..])));
        assert_eq!(passed(&bytes[..head.len() + 11]), None);
        assert_eq!(passed(&[128, 1, 4, 1, 9, 7]), Some((1, &[7][..])));
    }

    #[test]
    fn pages_as_writers_make_them_are_good() {
        let lists = (0..3_000_i32).map(|n| match n % 7 {
            0 => None,
            1 => Some(Vec::new()),
            _ => Some(vec![Some(format!("text {n}")), None, Some("x".repeat(n as usize % 90))]),
        });
        let mut builder = ListBuilder::new(StringBuilder::new());
        lists.for_each(|list| builder.append_option(list));
        let nulls = Arc::new(StringArray::new_null(3_000)) as ArrayRef;
        let columns: [(&str, ArrayRef); 2] = [("l", Arc::new(builder.finish())), ("n", nulls)];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
                let properties = WriterProperties::builder()
                    .set_writer_version(version)
                    .set_dictionary_enabled(false)
                    .set_compression(Compression::SNAPPY)
                    .set_data_page_row_count_limit(1_000)
                    .set_encoding(encoding);
                let (mut file, properties) = (Vec::new(), properties.build());
                let writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties));
                let mut writer = writer.unwrap();
                writer.write(&batch).unwrap();
                let metadata = writer.close().unwrap();
                for chunk in metadata.row_group(0).columns() {
                    let (start, len) = chunk.byte_range();
                    let bytes = &file[start as usize..(start + len) as usize];
                    super::super::check_pages(&Bytes::copy_from_slice(bytes), chunk).unwrap();
                    assert!(chunk.encodings().any(|one| one == encoding));
                }
            }
        }
    }

    #[test]
    fn more_deltas_than_wanted_are_only_counted() {
        assert_eq!(passed(&[128, 1, 4, 101, 0, 7]), Some((101, &[7][..])));
        assert_eq!(passed(&[128, 1, 0, 5, 0]), None);
    }
}
