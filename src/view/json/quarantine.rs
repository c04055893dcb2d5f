//! The documents of `quarantine`.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{ErrorDoc, SCHEMA, error};
use crate::error::Error;
use crate::id::PipelineName;
use crate::ledger::FileId;
use crate::report::{Quarantined, QuarantinedRow};
use crate::spec::PipelineSpec;
use crate::state::TimeRange;
use crate::time::EventTime;
use crate::view::{AsideGroup, AsideView, QuarantineKey, QuarantineView};

/// What `quarantine list` says.
#[derive(Debug, Serialize)]
pub struct QuarantineDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// A part for each pipeline.
    pub pipelines: Vec<QuarantinePipelineDoc>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// The quarantined rows of a pipeline, counted.
#[derive(Debug, Serialize)]
pub struct QuarantinePipelineDoc {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// `rule`, `file` or `day`.
    pub by: &'static str,
    /// The rows of the windows that were looked at.
    pub rows: QuarantineRowsDoc,
    /// Windows that hold quarantined rows.
    pub windows: u64,
    /// The quarantined rows, by what they have in common.
    pub groups: Vec<QuarantineGroupDoc>,
    /// Windows that were begun and not committed.
    pub in_doubt: Vec<TimeRange>,
    /// Rows that belong to no window, unless only some windows are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aside: Option<AsideDoc>,
}

/// Rows that belong to no window, counted.
#[derive(Debug, Serialize)]
pub struct AsideDoc {
    /// How many there are.
    pub rows: u64,
    /// The source files that they stand in.
    pub files: u64,
    /// The rows, by what they have in common.
    pub groups: Vec<AsideGroupDoc>,
    /// Files of which they were begun and not committed.
    pub in_doubt: Vec<FileDoc>,
}

/// Such rows that have something in common.
#[derive(Debug, Serialize)]
pub struct AsideGroupDoc {
    /// Their table.
    pub table: String,
    /// `null_time`, `future` or `expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    /// The key of their file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The rows.
    pub rows: u64,
    /// The files that they stand in.
    pub files: u64,
}

/// A source file.
#[derive(Debug, Serialize)]
pub struct FileDoc {
    /// The table.
    pub table: String,
    /// The file's key.
    pub key: String,
    /// Whether its rows are shown, where rows are: what was committed before is still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<bool>,
}

/// Rows of windows, counted.
#[derive(Debug, Serialize)]
pub struct QuarantineRowsDoc {
    /// All of them.
    #[serde(rename = "in")]
    pub input: u64,
    /// Those that were put aside.
    pub quarantined: u64,
}

/// Quarantined rows that have something in common.
#[derive(Debug, Default, Serialize)]
pub struct QuarantineGroupDoc {
    /// Their table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The rule that put them aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The key of their file; null of files that the log does not name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Option<String>>,
    /// The day of their windows in the pipeline's zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// The rows.
    pub rows: u64,
    /// The windows that hold them.
    pub windows: u64,
    /// The start of the first of these.
    pub first: Option<EventTime>,
    /// The start of the last of these.
    pub last: Option<EventTime>,
}

/// What `quarantine show` says.
#[derive(Debug, Serialize)]
pub struct QuarantinedDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The rows.
    pub rows: Vec<QuarantinedRowDoc>,
    /// Whether there are more.
    pub more: bool,
    /// Windows that were begun and not committed.
    pub in_doubt: Vec<InDoubtDoc>,
    /// Files of which rows that belong to no window were begun and not committed.
    pub files_in_doubt: Vec<FileDoc>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// A window that was begun and not committed.
#[derive(Debug, Serialize)]
pub struct InDoubtDoc {
    /// Its start.
    pub start: EventTime,
    /// Its end.
    pub end: EventTime,
    /// Whether its rows are shown: what was committed of it before is still there.
    pub shown: bool,
}

/// A row that was put aside.
#[derive(Debug, Serialize)]
pub struct QuarantinedRowDoc {
    /// The start of its window, or of the one that it came too late for; null if it never had one.
    pub start: Option<EventTime>,
    /// The end of it.
    pub end: Option<EventTime>,
    /// Its table.
    pub table: String,
    /// The rule that put it aside.
    pub rule: String,
    /// All rules that it breaks.
    pub rules: Vec<String>,
    /// Why.
    pub reason: String,
    /// The file it stands in.
    pub file: String,
    /// Which row of the file it is, from 0.
    pub row: u64,
    /// Its values.
    #[serde(serialize_with = "in_order")]
    pub values: Vec<(String, Value)>,
}

/// An object whose keys keep their order.
fn in_order<S: Serializer>(values: &[(String, Value)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(values.iter().map(|(name, value)| (name, value)))
}

/// The document form of the quarantined rows of some pipelines.
#[must_use]
pub fn quarantine(found: &[(&PipelineSpec, QuarantineView)], errors: &[Error]) -> QuarantineDoc {
    let pipeline = |(spec, view): &(&PipelineSpec, QuarantineView)| QuarantinePipelineDoc {
        pipeline: spec.name.clone(),
        by: view.by.as_str(),
        rows: QuarantineRowsDoc { input: view.rows.input, quarantined: view.rows.quarantined },
        windows: view.windows,
        groups: groups(view),
        in_doubt: view.in_doubt.clone(),
        aside: view.aside.as_ref().map(aside),
    };
    let pipelines = found.iter().map(pipeline).collect();
    QuarantineDoc { schema: SCHEMA, pipelines, errors: errors.iter().map(error).collect() }
}

fn aside(view: &AsideView) -> AsideDoc {
    let group = |one: &AsideGroup| AsideGroupDoc {
        table: one.table.clone(),
        rule: one.rule,
        key: one.key.clone(),
        rows: one.rows,
        files: one.files,
    };
    AsideDoc {
        rows: view.rows,
        files: view.files,
        groups: view.groups.iter().map(group).collect(),
        in_doubt: view.in_doubt.iter().map(|id| file(id, None)).collect(),
    }
}

fn file(id: &FileId, shown: Option<bool>) -> FileDoc {
    FileDoc { table: id.table.clone(), key: id.key.clone(), shown }
}

fn groups(view: &QuarantineView) -> Vec<QuarantineGroupDoc> {
    let group = |key: &QuarantineKey| match key.clone() {
        QuarantineKey::Rule { table, rule } => QuarantineGroupDoc {
            table: Some(table),
            rule: Some(rule),
            ..QuarantineGroupDoc::default()
        },
        QuarantineKey::File { table, key } => QuarantineGroupDoc {
            table: Some(table),
            key: Some(Some(key)),
            ..QuarantineGroupDoc::default()
        },
        QuarantineKey::OtherFiles => {
            QuarantineGroupDoc { key: Some(None), ..QuarantineGroupDoc::default() }
        }
        QuarantineKey::Day(day) => {
            QuarantineGroupDoc { day: Some(day), ..QuarantineGroupDoc::default() }
        }
    };
    let counted = view.groups.iter().map(|one| QuarantineGroupDoc {
        rows: one.rows,
        windows: one.windows,
        first: Some(one.first),
        last: Some(one.last),
        ..group(&one.key)
    });
    counted.collect()
}

/// The document form of quarantined rows of one pipeline.
#[must_use]
pub fn quarantined(spec: &PipelineSpec, found: &Quarantined) -> QuarantinedDoc {
    let row = |row: &QuarantinedRow| QuarantinedRowDoc {
        start: row.window.map(|window| window.start),
        end: row.window.map(|window| window.end),
        table: row.table.clone(),
        rule: row.rule.clone(),
        rules: row.rules.clone(),
        reason: row.reason.clone(),
        file: row.file.clone(),
        row: row.row,
        values: row.values.clone(),
    };
    let in_doubt = |(window, shown): &(TimeRange, bool)| InDoubtDoc {
        start: window.start,
        end: window.end,
        shown: *shown,
    };
    QuarantinedDoc {
        schema: SCHEMA,
        pipeline: spec.name.clone(),
        rows: found.rows.iter().map(row).collect(),
        more: found.is_cut,
        in_doubt: found.in_doubt.iter().map(in_doubt).collect(),
        files_in_doubt: found
            .files_in_doubt
            .iter()
            .map(|(id, shown)| file(id, Some(*shown)))
            .collect(),
        errors: Vec::new(),
    }
}
