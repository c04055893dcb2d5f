//! The document of `lateness`.

use serde::Serialize;

use super::{ErrorDoc, SCHEMA};
use crate::id::PipelineName;
use crate::spec::PipelineSpec;
use crate::time::Span;
use crate::view::{AllowedLateness, LatenessView, Lookback, Missed, SourceLateness};

/// What `lateness` says.
#[derive(Debug, Serialize)]
pub struct LatenessDoc {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// Its sources that read files.
    pub sources: Vec<SourceLatenessDoc>,
    /// Its sources that read other pipelines.
    pub skipped: Vec<SkippedSourceDoc>,
    /// What went wrong.
    pub errors: Vec<ErrorDoc>,
}

/// How late the rows of one source came.
#[derive(Debug, Serialize)]
pub struct SourceLatenessDoc {
    /// The table's name in SQL.
    pub table: String,
    /// Files whose current versions were looked at.
    pub files: u64,
    /// Their rows with a usable event time.
    pub rows: u64,
    /// How long after their events rows arrived.
    pub delay: DelayDoc,
    /// What came after its window had been committed.
    pub late: LateDoc,
    /// What each allowed lateness would have missed.
    pub allowed_lateness: Vec<AllowedLatenessDoc>,
    /// What each blind lookback would have missed.
    pub lookback: Vec<LookbackDoc>,
}

/// How long after their events rows arrived, in seconds; `null` where nothing is known.
#[derive(Debug, Serialize)]
pub struct DelayDoc {
    /// Half of the rows within this, to within a fifth.
    pub p50_seconds: Option<i64>,
    /// Nine tenths of them.
    pub p90_seconds: Option<i64>,
    /// All but a hundredth.
    pub p99_seconds: Option<i64>,
    /// The longest, exactly.
    pub max_seconds: Option<i64>,
    /// Rows by class, ascending; classes without a row are left out.
    pub classes: Vec<DelayClassDoc>,
}

/// Rows whose delays are much alike.
#[derive(Debug, Serialize)]
pub struct DelayClassDoc {
    /// The longest delay of the class, in seconds.
    pub up_to_seconds: i64,
    /// How many rows.
    pub rows: u64,
}

/// What came after its window had been committed.
#[derive(Debug, Serialize)]
pub struct LateDoc {
    /// Rows.
    pub rows: u64,
    /// Windows with such a row.
    pub windows: u64,
}

/// What an allowed lateness would have missed.
#[derive(Debug, Serialize)]
pub struct AllowedLatenessDoc {
    /// The allowed lateness.
    pub seconds: i64,
    /// Whether it is the one in the configuration.
    pub configured: bool,
    /// Rows.
    pub rows_missed: u64,
    /// Windows with such a row.
    pub windows_missed: u64,
}

/// What a blind lookback would have missed.
#[derive(Debug, Serialize)]
pub struct LookbackDoc {
    /// How many windows before the watermark each run would compute again.
    pub windows: u32,
    /// Rows.
    pub rows_missed: u64,
    /// Windows with such a row.
    pub windows_missed: u64,
}

/// A source that reads another pipeline.
#[derive(Debug, Serialize)]
pub struct SkippedSourceDoc {
    /// The table's name in SQL.
    pub table: String,
    /// The pipeline it reads.
    pub upstream: PipelineName,
}

/// The document form of how late rows came.
#[must_use]
pub fn lateness(spec: &PipelineSpec, view: &LatenessView) -> LatenessDoc {
    let skipped = view.skipped.iter().cloned();
    LatenessDoc {
        schema: SCHEMA,
        pipeline: spec.name.clone(),
        sources: view.sources.iter().map(source).collect(),
        skipped: skipped.map(|(table, upstream)| SkippedSourceDoc { table, upstream }).collect(),
        errors: Vec::new(),
    }
}

fn source(source: &SourceLateness) -> SourceLatenessDoc {
    let quantile = |share| source.quantile(share).map(Span::seconds);
    let class =
        |(longest, rows): (Span, u64)| DelayClassDoc { up_to_seconds: longest.seconds(), rows };
    SourceLatenessDoc {
        table: source.table.clone(),
        files: source.files,
        rows: source.rows,
        delay: DelayDoc {
            p50_seconds: quantile(0.5),
            p90_seconds: quantile(0.9),
            p99_seconds: quantile(0.99),
            max_seconds: source.longest.map(Span::seconds),
            classes: source.delays.classes().map(class).collect(),
        },
        late: late(source.late),
        allowed_lateness: source.allowed.iter().map(allowed).collect(),
        lookback: source.lookback.iter().map(lookback).collect(),
    }
}

fn late(Missed { rows, windows }: Missed) -> LateDoc {
    LateDoc { rows, windows }
}

fn allowed(step: &AllowedLateness) -> AllowedLatenessDoc {
    AllowedLatenessDoc {
        seconds: step.allowed.seconds(),
        configured: step.is_configured,
        rows_missed: step.missed.rows,
        windows_missed: step.missed.windows,
    }
}

fn lookback(step: &Lookback) -> LookbackDoc {
    LookbackDoc {
        windows: step.windows,
        rows_missed: step.missed.rows,
        windows_missed: step.missed.windows,
    }
}
