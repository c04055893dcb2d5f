//! Files that are put together to lie: numbers that no file can have, pages that are none, schemas
//! without an end.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::metadata::{
    ColumnChunkMetaDataBuilder, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
    RowGroupMetaDataBuilder,
};
use parquet::file::properties::WriterProperties;

use super::damage::{File, Style, footer_start, written, written_as};
use crate::support::Row;

const HUGE: i64 = 1_000_000_000;

type Forge = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Files that lie. Each has an hour of its own, from `first` on.
pub(super) fn files(first: usize, rows: impl Fn(usize) -> Vec<Row>) -> Vec<File> {
    let all = [tails(), footers(), numbers(), pages(), lengths()].into_iter().flatten();
    let lies = all.enumerate().map(|(place, (what, forge))| {
        let whole = written(Style::Plain, &rows(first + place));
        let bytes = forge(&whole);
        let name = format!("{place:03}-{what}.parquet");
        File { name, bytes, whole, must_be_refused: true }
    });
    lies.chain(odd(first, &rows)).collect()
}

/// Good files of somebody else.
fn odd(first: usize, rows: impl Fn(usize) -> Vec<Row>) -> Vec<File> {
    let first = first + 100;
    let kinds: [(&str, [&str; 3]); 4] = [
        ("names-twice", ["event_time", "value", "value"]),
        ("names-by-case", ["event_time", "value", "Value"]),
        ("no-event-time", ["time", "key", "value"]),
        ("event-time-by-case", ["Event_Time", "key", "value"]),
    ];
    let file = |(place, (what, names)): (usize, (&str, [&str; 3]))| {
        let rows = rows(first + place);
        let at = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0));
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2)));
        let columns =
            [(names[0], Arc::new(at) as _), (names[1], values.clone()), (names[2], values)];
        let bytes = written_as(&columns, WriterProperties::default());
        let whole = written(Style::Plain, &rows);
        File { name: format!("odd-{what}.parquet"), bytes, whole, must_be_refused: true }
    };
    let mut files: Vec<File> = kinds.into_iter().enumerate().map(file).collect();
    let rows = rows(first + kinds.len());
    let texts: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.1)).collect::<StringArray>());
    let bytes = written_as(&[("event_time", texts)], WriterProperties::default());
    let (name, whole) = ("odd-event-time-is-text.parquet".into(), written(Style::Plain, &rows));
    files.push(File { name, bytes, whole, must_be_refused: true });
    files
}

fn lie(what: &'static str, forge: impl Fn(&[u8]) -> Vec<u8> + 'static) -> (&'static str, Forge) {
    (what, Box::new(forge))
}

/// What is no Parquet, or only at its ends.
fn tails() -> Vec<(&'static str, Forge)> {
    let with_len = |len: u32| {
        move |whole: &[u8]| {
            let tail = whole.len() - 8;
            [&whole[..tail], &len.to_le_bytes(), b"PAR1"].concat()
        }
    };
    let ends =
        |magic: &'static [u8; 4]| move |whole: &[u8]| [&whole[..whole.len() - 4], magic].concat();
    vec![
        lie("empty", |_| Vec::new()),
        lie("three-bytes", |_| b"PAR".to_vec()),
        lie("magic-alone", |_| b"PAR1".to_vec()),
        lie("magic-twice", |_| b"PAR1PAR1".to_vec()),
        lie("no-footer", |_| b"PAR1\0\0\0\0PAR1".to_vec()),
        lie("zeros", |whole| vec![0; whole.len()]),
        lie("csv", |_| b"event_time,key,value\n2026-01-01,a,1\n".repeat(50)),
        lie("other-magic", ends(b"ORC1")),
        lie("encrypted", |whole| [b"PARE", &whole[4..whole.len() - 4], b"PARE"].concat()),
        lie("begins-plain-ends-encrypted", ends(b"PARE")),
        lie("footer-of-4-gib", with_len(u32::MAX)),
        lie("footer-of-2-gib", with_len(1 << 31)),
        lie("footer-of-all", |whole| {
            let len = u32::try_from(whole.len() - 8).unwrap();
            [&whole[..whole.len() - 8], &len.to_le_bytes(), b"PAR1"].concat()
        }),
        lie("footer-of-nothing", with_len(0)),
        lie("footer-that-is-too-large", |_| {
            let len: usize = (64 << 20) + 1;
            let mut bytes = b"PAR1".to_vec();
            bytes.resize(len + 4, 0);
            bytes.extend(u32::try_from(len).unwrap().to_le_bytes());
            [bytes.as_slice(), b"PAR1"].concat()
        }),
    ]
}

/// Footers by hand.
fn footers() -> Vec<(&'static str, Forge)> {
    let footer = |bytes: Vec<u8>| move |whole: &[u8]| with_footer(body(whole), &bytes);
    // Field 1, the version: 1. Field 2, the schema: a list.
    let schema = |list: &[u8]| footer([&[0x15, 2, 0x19], list].concat());
    let group = |children: &[u8]| [&[0x48, 1, b'g', 0x15][..], children, &[0]].concat();
    let deep = |groups: usize| {
        let mut list = vec![0xfc];
        list.extend(varint(u64::try_from(groups + 1).unwrap()));
        (0..groups).for_each(|_| list.extend(group(&[2])));
        list.extend([0x15, 2, 0x38, 1, b'c', 0]);
        // Field 3, the rows: none. Field 4, the row groups: none.
        list.extend([0x16, 0, 0x19, 0x0c, 0]);
        list
    };
    vec![
        lie("list-of-2-billion", schema(&[0xfc, 0xff, 0xff, 0xff, 0xff, 0x07])),
        lie("list-of-all", schema(&[0xfc, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])),
        lie("list-without-items", schema(&[0xf0, 0xff, 0xff, 0xff, 0x7f])),
        lie("structs-without-end", footer(vec![0x1c; 100_000])),
        lie("lists-without-end", footer(vec![0x19; 100_000])),
        lie("varints-without-end", footer(vec![0xff; 100_000])),
        lie("schema-deep", schema(&deep(200))),
        lie("schema-very-deep", schema(&deep(200_000))),
        lie("schema-of-2-billion-children", {
            let root = group(&[0xfe, 0xff, 0xff, 0xff, 0x0f]);
            schema(&[&[0x1c][..], &root, &[0x16, 0, 0x19, 0x0c, 0]].concat())
        }),
        lie("schema-of-less-than-no-children", {
            schema(&[&[0x1c][..], &group(&[1]), &[0x16, 0, 0x19, 0x0c, 0]].concat())
        }),
        lie("schema-without-columns", schema(&[0x0c, 0x16, 0, 0x19, 0x0c, 0])),
        lie("binary-of-2-billion", schema(&[0x1c, 0x48, 0xff, 0xff, 0xff, 0xff, 0x07, 0])),
    ]
}

/// Numbers of footers that no file can have.
fn numbers() -> Vec<(&'static str, Forge)> {
    let group = |change: fn(RowGroupMetaDataBuilder) -> RowGroupMetaDataBuilder| {
        move |whole: &[u8]| forged(whole, body(whole), 0, change, |column| column)
    };
    let column = |change: fn(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder| {
        move |whole: &[u8]| forged(whole, body(whole), 0, |group| group, change)
    };
    vec![
        lie("a-billion-rows", group(|group| group.set_num_rows(HUGE))),
        lie("a-million-rows", group(|group| group.set_num_rows(1_000_000))),
        lie("all-rows", group(|group| group.set_num_rows(i64::MAX))),
        lie("less-than-no-rows", group(|group| group.set_num_rows(-40))),
        lie("a-row-too-many", group(|group| group.set_num_rows(41))),
        lie("a-row-too-few", group(|group| group.set_num_rows(39))),
        lie("chunk-of-a-tib", column(|chunk| chunk.set_total_compressed_size(1 << 40))),
        lie("chunk-of-all", column(|chunk| chunk.set_total_compressed_size(i64::MAX / 4))),
        lie("chunk-below-none", column(|chunk| chunk.set_total_compressed_size(-1))),
        lie("chunk-of-a-byte", column(|chunk| chunk.set_total_compressed_size(1))),
        lie("chunk-behind-the-end", column(|chunk| chunk.set_data_page_offset(1 << 40))),
        lie("chunk-before-the-start", column(|chunk| chunk.set_data_page_offset(-1))),
        lie("chunk-at-the-start", column(|chunk| chunk.set_data_page_offset(0))),
        lie("dictionary-behind", column(|chunk| chunk.set_dictionary_page_offset(Some(i64::MAX)))),
    ]
}

/// Pages by hand, in the place of the event times.
fn pages() -> Vec<(&'static str, Forge)> {
    let huge = i64::from(i32::MAX);
    let chunk =
        |codec: Compression, bytes: Vec<u8>| move |whole: &[u8]| forge_chunk(whole, codec, &bytes);
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let rle_of_one = [1, 0x80, 0xa8, 0xd6, 0xb9, 0x07, 0];
    vec![
        lie("page-of-2-gib-snappy", chunk(Compression::SNAPPY, page(huge, 9, 40, &[0; 9]))),
        lie("page-of-2-gib-zstd", chunk(zstd, page(huge, 9, 40, &[0; 9]))),
        lie("page-of-2-gib-gzip", {
            chunk(Compression::GZIP(GzipLevel::default()), page(huge, 9, 40, &[0; 9]))
        }),
        lie("page-of-a-gib-lz4", chunk(Compression::LZ4_RAW, page(1 << 30, 9, 40, &[0; 9]))),
        lie(
            "page-of-2-gib-in-the-file",
            chunk(Compression::UNCOMPRESSED, page(9, huge, 40, &[0; 9])),
        ),
        lie("page-below-none", chunk(Compression::SNAPPY, page(-1, 9, 40, &[0; 9]))),
        lie("page-in-the-file-below-none", chunk(Compression::SNAPPY, page(9, -9, 40, &[0; 9]))),
        lie("page-of-2-billion-values", {
            chunk(Compression::UNCOMPRESSED, page(9, 9, huge, &[0; 9]))
        }),
        lie("page-below-no-values", chunk(Compression::UNCOMPRESSED, page(9, 9, -1, &[0; 9]))),
        lie(
            "bomb-snappy",
            chunk(Compression::SNAPPY, {
                // Says to be a GiB, as snappy says it.
                let body = [0x80, 0x80, 0x80, 0x80, 0x04, 0xfe, 1, 0];
                page(1 << 30, 8, 40, &body)
            }),
        ),
        lie("dictionary-of-2-billion", chunk(Compression::UNCOMPRESSED, dictionary(huge, &[0; 8]))),
        lie("dictionary-below-none", chunk(Compression::UNCOMPRESSED, dictionary(-1, &[0; 8]))),
        lie("a-billion-rows-in-300-bytes", move |whole| {
            let mut bytes = dictionary(1, &[0; 8]);
            let body = [&[6, 0, 0, 0][..], &rle_of_one[1..], &[1], &rle_of_one].concat();
            let len = i64::try_from(body.len()).unwrap();
            bytes.extend(encoded_page(len, len, HUGE, Encoding::RLE_DICTIONARY, &body));
            let (body, start, len) = appended(whole, &bytes);
            let place = |chunk: ColumnChunkMetaDataBuilder| {
                let chunk = chunk.set_data_page_offset(start).set_total_compressed_size(len);
                chunk.set_num_values(HUGE)
            };
            forged(whole, &body, 0, |group| group.set_num_rows(HUGE), place)
        }),
        lie(
            "deltas-in-blocks-of-all",
            chunk(Compression::UNCOMPRESSED, {
                let body = [varint(u64::MAX - 127), varint(1), varint(40), vec![0; 9]].concat();
                let len = i64::try_from(body.len()).unwrap();
                encoded_page(len, len, 40, Encoding::DELTA_BINARY_PACKED, &body)
            }),
        ),
        lie("header-without-end", chunk(Compression::UNCOMPRESSED, vec![0x1c; 10_000])),
        lie(
            "header-of-2-billion-bytes",
            chunk(Compression::UNCOMPRESSED, vec![0x18, 0xff, 0xff, 0xff, 0xff, 0x07, 0]),
        ),
        lie("no-pages", chunk(Compression::UNCOMPRESSED, vec![0; 40])),
    ]
}

/// Pages of byte arrays that say inside of themselves how many lengths they have, in the place of
/// the keys.
fn lengths() -> Vec<(&'static str, Forge)> {
    const MANY: u64 = 1 << 33;
    let lie_of = |what, values: i64, as_: Encoding, body: Vec<u8>| {
        lie(what, move |whole| {
            let len = i64::try_from(body.len()).unwrap();
            forge_keys(
                whole,
                Compression::UNCOMPRESSED,
                &encoded_page(len, len, values, as_, &body),
            )
        })
    };
    let (lengths, both) = (Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY);
    vec![
        lie_of("lengths-of-8-billion", 40, lengths, zeros(MANY)),
        lie_of("prefixes-of-8-billion", 40, both, zeros(MANY)),
        lie_of("suffixes-of-8-billion", 40, both, [zeros(40), zeros(MANY)].concat()),
        lie_of("lengths-of-a-billion-values", HUGE, lengths, zeros(1_000_000_000)),
        lie_of("lengths-without-end", 40, lengths, vec![0xff; 100]),
        lie("lengths-of-8-billion-snappy", |whole| forge_keys_snappy(whole, MANY)),
    ]
}

/// `whole` with a compressed page for its keys that says to have so many lengths.
pub(super) fn forge_keys_snappy(whole: &[u8], count: u64) -> Vec<u8> {
    let page = zeros(count);
    let len = u8::try_from(page.len()).unwrap();
    // As snappy says it: so long, and all of it as it is.
    let body = [&[len, (len - 1) << 2][..], &page].concat();
    let (page, stored) = (i64::from(len), i64::try_from(body.len()).unwrap());
    let page = encoded_page(page, stored, 40, Encoding::DELTA_LENGTH_BYTE_ARRAY, &body);
    forge_keys(whole, Compression::SNAPPY, &page)
}

/// So many zeros, packed as deltas in one block; the lengths of as many empty texts.
fn zeros(count: u64) -> Vec<u8> {
    [varint(1 << 40), varint(1), varint(count), vec![0; 3]].concat()
}

/// What is before the footer.
fn body(whole: &[u8]) -> &[u8] {
    &whole[..footer_start(whole)]
}

fn with_footer(body: &[u8], footer: &[u8]) -> Vec<u8> {
    let len = u32::try_from(footer.len()).unwrap().to_le_bytes();
    [body, footer, &len, b"PAR1"].concat()
}

/// `body` with the footer of `whole`, in which the row group and its column at `place` are changed.
fn forged(
    whole: &[u8],
    body: &[u8],
    place: usize,
    group: impl Fn(RowGroupMetaDataBuilder) -> RowGroupMetaDataBuilder,
    column: impl Fn(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder,
) -> Vec<u8> {
    let footer = &whole[footer_start(whole)..whole.len() - 8];
    let true_one = ParquetMetaDataReader::decode_metadata(footer).unwrap();
    let mut chunks = true_one.row_group(0).columns().to_vec();
    chunks[place] = column(chunks[place].clone().into_builder()).build().unwrap();
    let groups = true_one.row_group(0).clone().into_builder().set_column_metadata(chunks);
    // The writer adds up the rows of the groups for those of the file.
    let of_file = true_one.file_metadata().clone();
    let lie = ParquetMetaData::new(of_file, vec![group(groups).build().unwrap()]);
    let mut bytes = Vec::new();
    ParquetMetaDataWriter::new(&mut bytes, &lie).finish().unwrap();
    [body, &bytes].concat()
}

/// `whole` with `chunk` behind its pages, and where that begins and how long it is.
fn appended(whole: &[u8], chunk: &[u8]) -> (Vec<u8>, i64, i64) {
    let start = i64::try_from(footer_start(whole)).unwrap();
    ([body(whole), chunk].concat(), start, i64::try_from(chunk.len()).unwrap())
}

/// `whole` with a page for its keys on which the decoder of a debug build panics: the lengths of
/// its
/// levels, of two billion bytes each, are added up.
pub(super) fn panicking(whole: &[u8]) -> Vec<u8> {
    let huge = i64::from(i32::MAX);
    let header = [
        [vec![0x15, 6], number(0x15, 9), number(0x15, 9), vec![0x5c]].concat(),
        [number(0x15, 40), number(0x15, 0), number(0x15, 40), vec![0x15, 0]].concat(),
        [number(0x15, huge), number(0x15, huge), vec![0, 0]].concat(),
    ];
    let (body, start, len) = appended(whole, &[header.concat().as_slice(), &[0; 9]].concat());
    let place = |chunk: ColumnChunkMetaDataBuilder| {
        chunk.set_data_page_offset(start).set_total_compressed_size(len)
    };
    forged(whole, &body, 1, |group| group, place)
}

/// `whole` with the pages `chunk` for its event times.
fn forge_chunk(whole: &[u8], codec: Compression, chunk: &[u8]) -> Vec<u8> {
    forge_column(whole, 0, codec, chunk)
}

/// `whole` with the pages `chunk` for its keys.
fn forge_keys(whole: &[u8], codec: Compression, chunk: &[u8]) -> Vec<u8> {
    forge_column(whole, 1, codec, chunk)
}

fn forge_column(whole: &[u8], column: usize, codec: Compression, chunk: &[u8]) -> Vec<u8> {
    let (body, start, len) = appended(whole, chunk);
    let place = |chunk: ColumnChunkMetaDataBuilder| {
        let chunk = chunk.set_data_page_offset(start).set_total_compressed_size(len);
        chunk.set_compression(codec)
    };
    forged(whole, &body, column, |group| group, place)
}

/// A page of plain values.
fn page(bytes: i64, stored: i64, values: i64, body: &[u8]) -> Vec<u8> {
    encoded_page(bytes, stored, values, Encoding::PLAIN, body)
}

fn encoded_page(bytes: i64, stored: i64, values: i64, as_: Encoding, body: &[u8]) -> Vec<u8> {
    let header = [
        vec![0x15, 0],
        number(0x15, bytes),
        number(0x15, stored),
        vec![0x2c],
        number(0x15, values),
        number(0x15, as_ as i64),
        vec![0x15, 6, 0x15, 6, 0, 0],
    ];
    [header.concat().as_slice(), body].concat()
}

/// A page of plain dictionary values.
fn dictionary(values: i64, body: &[u8]) -> Vec<u8> {
    let len = i64::try_from(body.len()).unwrap();
    let header = [
        vec![0x15, 4],
        number(0x15, len),
        number(0x15, len),
        vec![0x4c],
        number(0x15, values),
        vec![0x15, 0, 0, 0],
    ];
    [header.concat().as_slice(), body].concat()
}

/// A field that holds a number.
fn number(field: u8, value: i64) -> Vec<u8> {
    let zigzag = (value << 1) ^ (value >> 63);
    [vec![field], varint(zigzag.cast_unsigned())].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push(u8::try_from(value & 127).unwrap() | 128);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}
