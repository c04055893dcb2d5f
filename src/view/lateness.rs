//! How long after their events the rows of a pipeline came, and what it would have cost to wait
//! less, or to look back blindly.
//!
//! It knows the current version of each file only: what a replaced version brought is not counted.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Generation, PipelineName};
use crate::ledger::{Delays, FileRecord, Ledger};
use crate::spec::{PipelineSpec, SourceSpec};
use crate::state::{Body, Entry};
use crate::time::{EventTime, Span};
use crate::window::{WindowGrid, WindowSize};

const MINUTES_PER_DAY: u32 = 1_440;

/// The allowed latenesses that are tried beside the configured one, in minutes.
const ALLOWED_MINUTES: [u32; 8] = [0, 15, 60, 360, 1_440, 3 * 1_440, 7 * 1_440, 30 * 1_440];

/// More windows than this are not looked back: nobody would recompute them in every run.
const LOOKBACK_MAX: u32 = 2_100;

/// How late the rows of a pipeline came.
#[derive(Clone, Debug, PartialEq)]
pub struct LatenessView {
    /// Its sources that read files.
    pub sources: Vec<SourceLateness>,
    /// Its sources that read what another pipeline commits, and that pipeline: their rows come when
    /// it runs, which says nothing of their events.
    pub skipped: Vec<(String, PipelineName)>,
}

/// How late the rows of one source came.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceLateness {
    /// The table's name in SQL.
    pub table: String,
    /// Files whose current versions were looked at.
    pub files: u64,
    /// Their rows with a usable event time.
    pub rows: u64,
    /// How long after their events rows arrived.
    pub delays: Delays,
    /// The longest of those times, exactly; `None` without a row.
    pub longest: Option<Span>,
    /// What came after its window had been committed.
    pub late: Missed,
    /// The longest that a row came after its window, in event time; `None` if none was late.
    pub overdue: Option<Span>,
    /// What each allowed lateness would have missed, ascending.
    pub allowed: Vec<AllowedLateness>,
    /// What each blind lookback would have missed, ascending.
    pub lookback: Vec<Lookback>,
}

/// Rows that a policy misses, and how many windows they are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Rows.
    pub rows: u64,
    /// Windows with at least one such row.
    pub windows: u64,
}

/// What an allowed lateness would have missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedLateness {
    /// How long after its window closed a row is still taken in.
    pub allowed: Span,
    /// Whether it is the one in the configuration.
    pub is_configured: bool,
    /// What it would have missed.
    pub missed: Missed,
}

/// What a run would have missed that computes the last windows before its watermark again, whether
/// anything came for them or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookback {
    /// How many windows.
    pub windows: u32,
    /// What it would have missed.
    pub missed: Missed,
}

impl SourceLateness {
    /// The delay that this share of the rows does not exceed, from 0 to 1, to within a fifth.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Span> {
        let within = self.delays.quantile(share)?;
        // An estimate within its class must not exceed what is known exactly.
        Some(self.longest.map_or(within, |longest| within.min(longest)))
    }
}

/// The watermark that was published when each admission was made; takes in entry after entry.
#[derive(Clone, Debug, Default)]
pub struct AdmissionWatermarks {
    published: Option<EventTime>,
    /// Admissions before the first watermark do not appear.
    at: BTreeMap<Generation, EventTime>,
}

impl AdmissionWatermarks {
    /// Takes in the next entry.
    pub fn take(&mut self, entry: &Entry) {
        let moved = match &entry.body {
            Body::Inputs(inputs) => {
                self.published.map(|at| self.at.insert(inputs.generation, at));
                return;
            }
            Body::Commit(commit) => commit.watermark,
            Body::Skip(skip) => skip.watermark,
            _ => None,
        };
        self.published = moved.map(|moved| moved.to).or(self.published);
    }

    /// The watermark that the rows of an admission were judged against; `None` if there was none.
    #[must_use]
    pub fn before(&self, generation: Generation) -> Option<EventTime> {
        self.at.get(&generation).copied()
    }
}

/// How late the rows of `ledger` came.
#[must_use]
pub fn lateness(
    spec: &PipelineSpec,
    ledger: &Ledger,
    watermarks: &AdmissionWatermarks,
) -> LatenessView {
    let mut view = LatenessView { sources: Vec::new(), skipped: Vec::new() };
    for source in &spec.sources {
        match source.upstream() {
            Some(upstream) => {
                view.skipped.push((source.table.clone(), upstream.pipeline.clone()));
            }
            None => view.sources.push(of_source(spec, source, ledger, watermarks)),
        }
    }
    view
}

fn of_source(
    spec: &PipelineSpec,
    source: &SourceSpec,
    ledger: &Ledger,
    watermarks: &AdmissionWatermarks,
) -> SourceLateness {
    let (mut files, mut rows) = (0_u64, 0_u64);
    let (mut delays, mut longest) = (Delays::default(), None);
    let mut late = Vec::new();
    let known = ledger.files_of(&source.table).filter(|(_, known)| !known.record.removed);
    for (_, known) in known {
        let record = &known.record;
        files = files.saturating_add(1);
        rows = cells(record).fold(rows, |sum, (_, rows)| sum.saturating_add(*rows));
        delays.merge(&record.delays);
        longest = longest.max(longest_delay(record));
        if let Some(watermark) = watermarks.before(known.came_with()) {
            late.extend(cells(record).filter_map(|cell| late_cell(&spec.grid, *cell, watermark)));
        }
    }
    SourceLateness {
        table: source.table.clone(),
        files,
        rows,
        delays,
        longest,
        late: missed(&late, |_| true),
        overdue: late.iter().map(LateCell::overdue).max(),
        allowed: allowed_ladder(source, &late),
        lookback: lookback_ladder(&spec.grid, &late),
    }
}

/// All rows of a file by cell, whether they were taken in or came too late.
fn cells(record: &FileRecord) -> impl Iterator<Item = &(EventTime, u64)> {
    record.cells.iter().chain(&record.expired)
}

/// How long after its first event a file arrived.
fn longest_delay(record: &FileRecord) -> Option<Span> {
    let (first, _) = record.event_range?;
    Span::from_micros(record.arrived_at.delay_after(first).max(0))
}

/// Rows that came after their window had been committed.
#[derive(Clone, Copy, Debug)]
struct LateCell {
    /// The end of their window.
    end: EventTime,
    /// The watermark that was published when they came.
    watermark: EventTime,
    rows: u64,
}

impl LateCell {
    /// How far the watermark had passed their window.
    fn overdue(&self) -> Span {
        let micros = self.watermark.micros().saturating_sub(self.end.micros());
        Span::from_micros(micros).unwrap_or_default()
    }
}

fn late_cell(
    grid: &WindowGrid,
    (cell, rows): (EventTime, u64),
    watermark: EventTime,
) -> Option<LateCell> {
    let end = grid.window_at(cell)?.end();
    (end <= watermark).then_some(LateCell { end, watermark, rows })
}

fn missed(late: &[LateCell], is_missed: impl Fn(&LateCell) -> bool) -> Missed {
    let mut windows = BTreeSet::new();
    let mut rows = 0_u64;
    for cell in late.iter().filter(|cell| is_missed(cell)) {
        windows.insert(cell.end);
        rows = rows.saturating_add(cell.rows);
    }
    Missed { rows, windows: u64::try_from(windows.len()).unwrap_or(u64::MAX) }
}

/// The rule is that of `plan::judge_lateness`: a row has expired once the watermark has passed the
/// end of its window by the allowed lateness.
fn allowed_ladder(source: &SourceSpec, late: &[LateCell]) -> Vec<AllowedLateness> {
    let tried = ALLOWED_MINUTES.map(|minutes| Span::from_seconds(minutes.saturating_mul(60)));
    let steps: BTreeSet<Span> = tried.into_iter().chain(source.allowed_lateness).collect();
    let step = |allowed: Span| AllowedLateness {
        allowed,
        is_configured: source.allowed_lateness == Some(allowed),
        missed: missed(late, |cell| cell.overdue() >= allowed),
    };
    steps.into_iter().map(step).collect()
}

fn lookback_ladder(grid: &WindowGrid, late: &[LateCell]) -> Vec<Lookback> {
    let steps = lookbacks(grid.size());
    let mut earliest = BTreeMap::<EventTime, EventTime>::new();
    for cell in late {
        let end = earliest.entry(cell.watermark).or_insert(cell.end);
        *end = (*end).min(cell.end);
    }
    let reached: BTreeMap<EventTime, Vec<EventTime>> = earliest
        .into_iter()
        .map(|(watermark, until)| (watermark, reaches(grid, watermark, until, &steps)))
        .collect();
    let step = |(place, windows): (usize, &u32)| {
        let is_missed = |cell: &LateCell| {
            let reach = reached.get(&cell.watermark).and_then(|reaches| reaches.get(place));
            reach.is_some_and(|from| cell.end <= *from)
        };
        Lookback { windows: *windows, missed: missed(late, is_missed) }
    };
    steps.iter().enumerate().map(step).collect()
}

/// Where the last so many windows before `watermark` begin, for each of `steps`, ascending. It goes
/// back no further than to the window that ends at `until`.
fn reaches(
    grid: &WindowGrid,
    watermark: EventTime,
    until: EventTime,
    steps: &[u32],
) -> Vec<EventTime> {
    let mut at = watermark;
    let mut gone = 0;
    let mut reaches = Vec::new();
    for step in steps {
        while gone < *step && at >= until {
            let before = EventTime::from_micros(at.micros().saturating_sub(1));
            let Some(window) = grid.window_at(before) else { break };
            at = window.start();
            gone = gone.saturating_add(1);
        }
        reaches.push(at);
    }
    reaches
}

/// The lookbacks that people choose for windows of this size, in windows.
fn lookbacks(size: WindowSize) -> Vec<u32> {
    let steps = match size {
        WindowSize::Minutes(minutes) => {
            let per_day = MINUTES_PER_DAY.checked_div(u32::from(minutes)).unwrap_or(1);
            vec![1, 3, 7, per_day, per_day.saturating_mul(7)]
        }
        WindowSize::Day => vec![1, 3, 7, 30],
        WindowSize::Week { .. } => vec![1, 2, 4, 12],
        WindowSize::Month => vec![1, 2, 3, 12],
    };
    let steps: BTreeSet<u32> = steps.into_iter().filter(|step| *step <= LOOKBACK_MAX).collect();
    steps.into_iter().collect()
}
