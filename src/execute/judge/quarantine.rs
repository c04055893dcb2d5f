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
use crate::execute::message::{self, Asked};
use crate::execute::scan::Piece;
use crate::execute::sql::bug;
use crate::spec::{OnViolation, SourceSpec};
use crate::time::EventTime;
use crate::window::Window;

/// The rule that put a row aside.
pub(in crate::execute) const RULE: &str = "_rule";
/// All rules that it breaks.
pub(in crate::execute) const RULES: &str = "_rules";
/// Why, in the words of the rule.
pub(in crate::execute) const REASON: &str = "_reason";
/// The file it stands in.
pub(in crate::execute) const SOURCE_FILE: &str = "_source_file";
/// Which row of the file it is; the first is 0.
pub(in crate::execute) const SOURCE_ROW: &str = "_source_row";
/// The start of its window.
const WINDOW_START: &str = "_window_start";

/// The columns of a quarantine object: those of the source's rows, and what is known of them. The
/// window of a chain's source that a row came with gives way to the one that it is of.
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
        // Rows that belong to no window have none.
        Field::new(WINDOW_START, instant, true),
    ];
    let own = read.fields().iter().filter(|field| field.name() != WINDOW_START).cloned();
    Arc::new(Schema::new(own.chain(added.map(Arc::new)).collect::<Vec<_>>()))
}

/// Refuses columns of the source that have the name of one that is added.
pub(in crate::execute) fn check_names(source: &SourceSpec, read: &SchemaRef) -> Result<()> {
    let added = [RULE, RULES, REASON, SOURCE_FILE, SOURCE_ROW, WINDOW_START];
    let is_chained = source.upstream().is_some() && source.event_time.is_none();
    let own = read.fields().iter().map(|field| field.name());
    let mut own = own.filter(|name| !is_chained || *name != WINDOW_START);
    let Some(name) = own.find(|name| added.iter().any(|added| added.eq_ignore_ascii_case(name)))
    else {
        return Ok(());
    };
    let text = format!("source {} has a column `{name}`, which quarantine adds", source.table);
    let error = Error::new(Code::Conflict, text).note(format!("it adds: {}", added.join(", ")));
    let mut rules = source.rules.iter();
    let error = match rules.find(|rule| rule.on_violation == OnViolation::Quarantine) {
        Some(rule) => message::at_all(error, &Asked::from(rule)),
        None => error,
    };
    Err(error.hint(
        "give the column another name; or let rules, `on_null_time` and `on_expired` `drop` rows",
    ))
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
    let mut origins = Origins::new(source.name_of(&piece.key));
    for (row, broken) in broken.iter().enumerate().filter(|(row, _)| is_aside.value(*row)) {
        let decider = rules.decider(*broken).and_then(|place| specs.get(place));
        let (rule, reason) = decider.map_or(("", ""), |rule| (&rule.name, &rule.reason));
        let all = (0_u32..)
            .zip(&specs)
            .filter(|(place, _)| broken.checked_shr(*place).unwrap_or_default() & 1 == 1);
        let all = all.map(|(_, rule)| rule.name.as_str());
        let row = piece.rows.get(row).copied().unwrap_or(u64::MAX);
        origins.add(rule, all, reason, row, Some(window.start()));
    }
    with_origins(&own, origins).map(Some)
}

/// Why rows were put aside, and where they came from, row by row.
pub(in crate::execute) struct Origins {
    file: String,
    rules: StringBuilder,
    all: ListBuilder<StringBuilder>,
    reasons: StringBuilder,
    rows: Vec<Option<i64>>,
    windows: Vec<Option<i64>>,
}

impl Origins {
    /// No rows yet, of the file that a person would call so.
    pub(in crate::execute) fn new(file: String) -> Self {
        Self {
            file,
            rules: StringBuilder::new(),
            all: names(),
            reasons: StringBuilder::new(),
            rows: Vec::new(),
            windows: Vec::new(),
        }
    }

    /// Adds a row: which rule put it aside, all that it breaks, why, which row of the file it is,
    /// and the start of its window.
    pub(in crate::execute) fn add<'r>(
        &mut self,
        rule: &str,
        all: impl IntoIterator<Item = &'r str>,
        reason: &str,
        row: u64,
        window: Option<EventTime>,
    ) {
        self.rules.append_value(rule);
        all.into_iter().for_each(|rule| self.all.values().append_value(rule));
        self.all.append(true);
        self.reasons.append_value(reason);
        self.rows.push(i64::try_from(row).ok());
        self.windows.push(window.map(EventTime::micros));
    }
}

/// The rows `own`, with what is known of each.
pub(in crate::execute) fn with_origins(
    own: &RecordBatch,
    mut origins: Origins,
) -> Result<RecordBatch> {
    let files = vec![origins.file.as_str(); own.num_rows()];
    let starts = TimestampMicrosecondArray::from(origins.windows).with_timezone("UTC");
    let added: [ArrayRef; 6] = [
        Arc::new(origins.rules.finish()),
        Arc::new(origins.all.finish()),
        Arc::new(origins.reasons.finish()),
        Arc::new(StringArray::from(files)),
        Arc::new(Int64Array::from(origins.rows)),
        Arc::new(starts),
    ];
    let own_schema = own.schema();
    let kept = own_schema.fields().iter().zip(own.columns());
    let kept = kept.filter(|(field, _)| field.name() != WINDOW_START);
    let columns = kept.map(|(_, column)| column.clone()).chain(added).collect();
    RecordBatch::try_new(schema(&own_schema), columns).map_err(|why| bug(&why.into()))
}

fn names() -> ListBuilder<StringBuilder> {
    let item = Field::new_list_field(DataType::Utf8, false);
    ListBuilder::new(StringBuilder::new()).with_field(item)
}
