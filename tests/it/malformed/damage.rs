//! Good files, cut and changed.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};

use crate::support::{Dice, Row};

/// An input file and what it should have been.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) whole: Vec<u8>,
    /// Whether no reader may make anything of it.
    pub(super) must_be_refused: bool,
}

/// The ways that good files are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Style {
    Plain,
    SnappyDictionary,
    ZstdSecondVersion,
    Lz4Nested,
    GzipDelta,
}

impl Style {
    const ALL: [Self; 5] = [
        Self::Plain,
        Self::SnappyDictionary,
        Self::ZstdSecondVersion,
        Self::Lz4Nested,
        Self::GzipDelta,
    ];

    fn properties(self) -> WriterProperties {
        let builder = WriterProperties::builder();
        match self {
            Self::Plain => builder.set_dictionary_enabled(false),
            Self::SnappyDictionary => builder.set_compression(Compression::SNAPPY),
            Self::ZstdSecondVersion => builder
                .set_writer_version(WriterVersion::PARQUET_2_0)
                .set_compression(Compression::ZSTD(ZstdLevel::default()))
                .set_data_page_row_count_limit(10),
            Self::Lz4Nested => builder.set_compression(Compression::LZ4_RAW),
            Self::GzipDelta => builder
                .set_dictionary_enabled(false)
                .set_compression(Compression::GZIP(parquet::basic::GzipLevel::default()))
                .set_column_encoding("event_time".into(), Encoding::DELTA_BINARY_PACKED)
                .set_column_encoding("key".into(), Encoding::DELTA_BYTE_ARRAY),
        }
        .build()
    }
}

/// `rows` as a file of this style.
pub(super) fn written(style: Style, rows: &[Row]) -> Vec<u8> {
    let at = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0));
    let keys = rows.iter().map(|row| Some(row.1)).collect::<StringArray>();
    let values = rows.iter().map(|row| row.2).collect::<Int64Array>();
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("event_time", Arc::new(at)),
        ("key", Arc::new(keys)),
        ("value", Arc::new(values.clone())),
    ];
    if matches!(style, Style::Lz4Nested) {
        let lists = rows.iter().map(|row| (row.2 % 3 > 0).then(|| vec![Some(row.2), None]));
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
        let inner: Vec<(&str, ArrayRef)> = vec![("list", Arc::new(lists)), ("n", Arc::new(values))];
        let inner = RecordBatch::try_from_iter(inner).unwrap();
        columns.insert(1, ("nested", Arc::new(StructArray::from(inner))));
    }
    written_as(&columns, style.properties())
}

/// `columns` as a file.
pub(super) fn written_as(columns: &[(&str, ArrayRef)], properties: WriterProperties) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Files of every style, cut everywhere and changed in many places. Each has an hour of its own,
/// from
/// `first` on.
pub(super) fn files(first: usize, rows: impl Fn(usize) -> Vec<Row>) -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    let mut dice = Dice(20_260_101);
    for style in Style::ALL {
        let mut add = |what: String, change: &mut dyn FnMut(&mut Vec<u8>), must_be_refused| {
            let whole = written(style, &rows(first + files.len()));
            let mut bytes = whole.clone();
            change(&mut bytes);
            let name = format!("{:03}-{style:?}-{what}.parquet", files.len());
            files.push(File { name, bytes, whole, must_be_refused });
        };
        for step in 0..16 {
            add(format!("cut-{step}"), &mut |bytes| bytes.truncate(bytes.len() * step / 16), true);
        }
        for end in [1, 4, 7, 8, 9] {
            add(format!("short-{end}"), &mut |bytes| bytes.truncate(bytes.len() - end), true);
        }
        for place in 0..24 {
            let (part, bit) = (dice.roll(1_000), dice.roll(8));
            let mut flip = |bytes: &mut Vec<u8>| {
                // Two thirds of them in the footer, where a byte changes what all others mean.
                let footer = footer_start(bytes);
                let (from, to) = if place % 3 == 0 { (4, footer) } else { (footer, bytes.len()) };
                let at = from + (to - from) * usize::try_from(part).unwrap() / 1_000;
                bytes[at] ^= 1 << bit;
            };
            add(format!("flip-{place}"), &mut flip, false);
        }
    }
    files
}

/// Where the footer of a whole file begins.
pub(super) fn footer_start(bytes: &[u8]) -> usize {
    let tail = bytes.len() - 8;
    let len = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap());
    tail - usize::try_from(len).unwrap()
}
