//! Rows that are put aside: whole, with the reason and where they came from.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::Fate;
use super::rules::{Broken, Rules};
use crate::error::{Code, Error, Result};
use crate::execute::route::Piece;
use crate::execute::sql::bug;
use crate::spec::SourceSpec;
use crate::window::Window;

/// The rule that put a row aside.
const RULE: &str = "_rule";
/// All rules that it breaks.
const RULES: &str = "_rules";
/// Why, in the words of the rule.
const REASON: &str = "_reason";
/// The file it stands in.
const SOURCE_FILE: &str = "_source_file";
/// Which row of the file it is; the first is 0.
const SOURCE_ROW: &str = "_source_row";
/// The start of its window.
const WINDOW_START: &str = "_window_start";

/// The columns of a quarantine object: those of the source's rows, and what is known of them.
pub(in crate::execute) fn schema(read: &SchemaRef) -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let item = Arc::new(Field::new_list_field(DataType::Utf8, false));
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let added = [
        text(RULE),
        Field::new(RULES, DataType::List(item), false),
        text(REASON),
        text(SOURCE_FILE),
        Field::new(SOURCE_ROW, DataType::Int64, false),
        Field::new(WINDOW_START, instant, false),
    ];
    let own = read.fields().iter().cloned();
    Arc::new(Schema::new(own.chain(added.map(Arc::new)).collect::<Vec<_>>()))
}

/// Refuses columns of the source that have the name of one that is added.
pub(super) fn check_names(source: &SourceSpec, read: &SchemaRef) -> Result<()> {
    let added = [RULE, RULES, REASON, SOURCE_FILE, SOURCE_ROW, WINDOW_START];
    let mut own = read.fields().iter().map(|field| field.name());
    let Some(name) = own.find(|name| added.iter().any(|added| added.eq_ignore_ascii_case(name)))
    else {
        return Ok(());
    };
    let text = format!("source {} has a column `{name}`, which quarantine adds", source.table);
    Err(Error::new(Code::Conflict, text)
        .note(format!("it adds: {}", added.join(", ")))
        .hint("give the column another name, or let rules `drop` rows instead"))
}

/// The rows of `piece` that are `aside`, of `window`; `None` if there are none.
pub(super) fn rows(
    source: &SourceSpec,
    rules: &Rules,
    window: Window,
    piece: &Piece,
    broken: &Broken,
    fates: &[Fate],
) -> Result<Option<RecordBatch>> {
    let is_aside: BooleanArray = piece
        .times
        .iter()
        .zip(fates)
        .map(|(at, fate)| Some(window.contains(*at) && *fate == Fate::Quarantined))
        .collect();
    if is_aside.true_count() == 0 {
        return Ok(None);
    }
    let failed = |why: arrow::error::ArrowError| bug(&why.into());
    let own = filter_record_batch(&piece.batch, &is_aside).map_err(failed)?;
    let specs: Vec<_> = rules.specs().collect();
    let (mut deciders, mut all, mut rows) = (Vec::new(), names(), Vec::new());
    for (row, broken) in broken.iter().enumerate().filter(|(row, _)| is_aside.value(*row)) {
        deciders.push(rules.decider(*broken).and_then(|place| specs.get(place)));
        for (place, rule) in (0_u32..).zip(&specs) {
            if broken.checked_shr(place).unwrap_or_default() & 1 == 1 {
                all.values().append_value(&rule.name);
            }
        }
        all.append(true);
        rows.push(piece.rows.get(row).copied().and_then(|row| i64::try_from(row).ok()));
    }
    let count = deciders.len();
    let rule = deciders.iter().map(|rule| Some(rule.map_or("", |rule| rule.name.as_str())));
    let reason = deciders.iter().map(|rule| Some(rule.map_or("", |rule| rule.reason.as_str())));
    let file = source.name_of(&piece.key);
    let starts = TimestampMicrosecondArray::from(vec![window.start().micros(); count]);
    let added: [ArrayRef; 6] = [
        Arc::new(rule.collect::<StringArray>()),
        Arc::new(all.finish()),
        Arc::new(reason.collect::<StringArray>()),
        Arc::new(StringArray::from(vec![file.as_str(); count])),
        Arc::new(rows.into_iter().collect::<Int64Array>()),
        Arc::new(starts.with_timezone("UTC")),
    ];
    let columns = own.columns().iter().cloned().chain(added).collect();
    RecordBatch::try_new(schema(&piece.batch.schema()), columns).map(Some).map_err(failed)
}

fn names() -> ListBuilder<StringBuilder> {
    let item = Field::new_list_field(DataType::Utf8, false);
    ListBuilder::new(StringBuilder::new()).with_field(item)
}
