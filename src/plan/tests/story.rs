//! Timelines as text: what happened to a pipeline, line by line, and what would be done now.
//!
//! ```text
//! file a 8 9 10x5      version of file `a` with a row in hours 8 and 9, and five in hour 10
//! file s/a 8           the same in table `s`, once there is `sources t s`
//! run                  everything that is due is committed
//! compute 9 10         only the windows 9 and 10 are computed and committed
//! crash 9 10           a run dies while it publishes the windows 9 and 10
//! fail 9               window 9 is computed, and fails
//! refuse 9             window 9 is found not to be computable
//! skip 8 12            the windows from 8 to 12 are skipped
//! backfill 3 6         windows are asked for; so do `reprocess` and `outdated`
//! query                the query asks something else from here on
//! follow               `on_query_change = "reprocess"`
//! gone a               file `a` is not listed any more
//! removed a            the same, and its rows are to go with it
//! held                 a listed file cannot be read
//! lateness 2           `allowed_lateness` of so many hours
//! begin 8              `begin` of the configuration; so do `delay` (in hours) and `sources`
//! ```
//!
//! Hours count from the start of 2026; a row lies in the middle of its hour.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::ledger::{FileId, FileRecord, InputVersion, Ledger};
use crate::plan::*;
use crate::spec::{
    Closes, FolderSpec, OnExpired, OnMissingColumn, OnNullTime, OnQueryChange, OnRemoved,
    OnTypeChange, PipelineSpec, QualitySpec, SourceOrigin, SourceSpec,
};
use crate::state::tests::log::{
    Log, claim, commit, failed, hour, hour_of, request, skip, watermark,
};
use crate::state::{Body, Failed, Query, Request, Skip, Verb, WatermarkMove};
use crate::time::{EventTime, ProcessingTime, Span};
use crate::window::{Margins, WindowGrid, WindowSize};

const HALF_AN_HOUR: Span = Span::from_seconds(1800);

/// A pipeline with hourly windows, and all that became of it.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) spec: PipelineSpec,
    pub(crate) log: Log,
    pub(crate) ledger: Ledger,
    missing: BTreeSet<FileId>,
    is_held: bool,
    held: BTreeSet<FileId>,
    outdated: Outdated,
    batches: u128,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self {
            spec: spec(),
            log: Log::claimed(),
            ledger: Ledger::default(),
            missing: BTreeSet::new(),
            is_held: false,
            held: BTreeSet::new(),
            outdated: Outdated::default(),
            batches: 0,
        }
    }

    /// The story told by `text`.
    #[track_caller]
    pub(crate) fn tell(text: &str) -> Self {
        let mut story = Self::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            story.happen(verb, &rest.split_whitespace().collect::<Vec<_>>());
        }
        story
    }

    fn happen(&mut self, verb: &str, words: &[&str]) {
        let numbers: Vec<i64> = words.iter().filter_map(|word| word.parse().ok()).collect();
        match (verb, numbers.as_slice()) {
            ("file", _) => self.files(vec![file(words[0], &words[1..])]),
            ("run", []) => self.run(),
            ("compute", windows) => {
                self.batches += 1;
                self.log.compute(self.batches, windows);
            }
            ("crash", windows) => self.crash(windows),
            ("fail", windows) => self.fail(windows),
            ("refuse", windows) => {
                let windows = windows.iter().map(|n| failed(*n)).collect();
                self.log.add(Body::Failed(Failed { batch: None, windows }));
            }
            ("skip", [start, end]) => self.skip(*start, *end),
            ("backfill", [start, end]) => self.request(Verb::Backfill, *start, *end),
            ("reprocess", [start, end]) => self.request(Verb::Reprocess, *start, *end),
            ("outdated", [start, end]) => {
                let (verb, only_outdated, why) = (Verb::Reprocess, true, None);
                let (start, end) = (hour(*start), hour(*end));
                let ask = Request { only_outdated, why, ..Request::new(verb, start, end) };
                self.log.add(Body::Request(ask));
            }
            ("query", []) => {
                self.outdated.queries = self.log.state.queries.keys().copied().collect();
                self.log.add(Body::Query(Query {
                    steps: Vec::new(),
                    judged: Vec::new(),
                    checks: Vec::new(),
                }));
            }
            ("follow", []) => self.spec.on_query_change = OnQueryChange::Reprocess,
            ("gone", []) => drop(self.missing.insert(file_id(words[0]))),
            ("removed", []) => {
                let before = self.ledger.file(&file_id(words[0])).unwrap();
                self.files(vec![before.record.without_rows()]);
            }
            ("held", []) => self.is_held = true,
            ("wait", []) => drop(self.held.insert(file_id(words[0]))),
            ("arrived", []) => self.held.clear(),
            ("margins", [before, after]) => {
                let hours = |n: i64| Span::from_seconds(u32::try_from(n * 3600).unwrap());
                let margins = Margins { lookback: hours(*before), lookahead: hours(*after) };
                let sources = &mut self.spec.sources;
                let source = sources.iter_mut().find(|source| source.table == words[0]);
                source.unwrap().margins = margins;
            }
            ("min_rows", [rows]) => {
                self.spec.quality.min_rows = u64::try_from(*rows).unwrap();
            }
            ("begin", [at]) => self.spec.begin = Some(hour(*at)),
            ("delay", [hours]) => {
                let seconds = u32::try_from(hours * 3600).unwrap();
                for source in &mut self.spec.sources {
                    source.watermark_delay = Span::from_seconds(seconds);
                }
            }
            ("lateness", [hours]) => {
                let seconds = u32::try_from(hours * 3600).unwrap();
                self.spec.sources[0].allowed_lateness = Some(Span::from_seconds(seconds));
            }
            ("sources", []) => self.spec.sources = words.iter().map(|word| source(word)).collect(),
            _ => panic!("nobody knows how to `{verb}` {words:?}"),
        }
    }

    /// Admits these files with one entry, as a run does before it plans.
    pub(crate) fn files(&mut self, records: Vec<FileRecord>) {
        let log = &mut self.log;
        let segment = log.inputs(Vec::new()).segment;
        let records = judge_lateness(&self.spec, &log.state, &self.ledger, records).0;
        let inputs = admission(&self.spec, &log.state, &self.ledger, &records, segment, 0).unwrap();
        let generation = inputs.generation;
        log.add(Body::Inputs(inputs));
        for record in records {
            self.ledger.admit(record, generation);
        }
    }

    pub(crate) fn crash(&mut self, windows: &[i64]) {
        self.batches += 1;
        self.log.begin(self.batches, windows);
        self.log.add(claim());
    }

    pub(crate) fn fail(&mut self, windows: &[i64]) {
        self.batches += 1;
        self.log.fail(self.batches, windows);
    }

    pub(crate) fn request(&mut self, verb: Verb, start: i64, end: i64) {
        self.log.add(request(verb, start, end));
    }

    fn skip(&mut self, start: i64, end: i64) {
        let at = self.log.state.watermark.filter(|at| *at == hour(start));
        let watermark = at.and_then(|_| watermark(start, end));
        self.log.add(Body::Skip(Skip { watermark, ..skip(start, end) }));
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.facts())
    }

    /// What is known at the end.
    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            spec: &self.spec,
            state: &self.log.state,
            ledger: &self.ledger,
            missing: &self.missing,
            is_held: self.is_held,
            held: &self.held,
            outdated: &self.outdated,
        }
    }

    /// Commits what is due now, batch by batch, and ends the requests that are met.
    pub(crate) fn run(&mut self) {
        let plan = self.plan();
        for batch in batches(&plan, u64::MAX) {
            let windows: Vec<_> =
                batch.windows.iter().map(|due| hour_of(due.window.start())).collect();
            self.batches += 1;
            let begin = self.log.begin(self.batches, &windows);
            let mut end = commit(&begin);
            end.empty = batch.empty;
            // As far as the fold lets it go.
            let mut ahead = self.log.clone();
            ahead.add(Body::Commit(end.clone()));
            let from = ahead.state.watermark.or(plan.base).unwrap();
            let to = ahead.state.contiguous_end(from);
            end.watermark = (from < to).then_some(WatermarkMove { from, to });
            self.log.add(Body::Commit(end));
        }
        for id in self.plan().met {
            self.log.add(Body::RequestDone { id, cancelled: false });
        }
    }
}

/// What is due at the end of the story told by `text`.
#[track_caller]
pub(crate) fn timeline(text: &str) -> String {
    render(&Story::tell(text).plan())
}

/// A plan, one fact a line.
pub(crate) fn render(plan: &Plan) -> String {
    let mut text = String::new();
    for due in &plan.windows {
        let (at, reason) = (name(due.window.start()), due.reason.as_str());
        write!(text, "compute {at} {reason}, rows {}", due.rows).unwrap();
        if due.margin > 0 {
            write!(text, "+{}", due.margin).unwrap();
        }
        if due.late_files > 0 {
            write!(text, ", late {} of {}", due.late_rows, due.late_files).unwrap();
        }
        text.push('\n');
    }
    for range in &plan.empty {
        writeln!(text, "empty {}..{}", name(range.start), name(range.end)).unwrap();
    }
    for (due, error) in &plan.refused {
        writeln!(text, "refuse {} {}", name(due.window.start()), error.code()).unwrap();
    }
    for range in &plan.withheld {
        writeln!(text, "withhold {}..{}", name(range.start), name(range.end)).unwrap();
    }
    for due in &plan.held {
        writeln!(text, "hold {}", name(due.window.start())).unwrap();
    }
    for window in &plan.open {
        writeln!(text, "open {}", name(window.start())).unwrap();
    }
    for _ in &plan.met {
        text.push_str("met\n");
    }
    text
}

fn name(at: EventTime) -> String {
    if at == EventTime::FIRST { "FIRST".to_owned() } else { hour_of(at).to_string() }
}

fn file_id(name: &str) -> FileId {
    let (table, key) = name.split_once('/').unwrap_or(("t", name));
    FileId { table: table.to_owned(), key: key.to_owned() }
}

/// A version of a file, from its name and words like `9` and `10x5`.
fn file(name: &str, hours: &[&str]) -> FileRecord {
    let rows = hours.iter().map(|word| {
        let (at, rows) = word.split_once('x').unwrap_or((word, "1"));
        (at.parse().unwrap(), rows.parse().unwrap())
    });
    record(name, &rows.collect::<Vec<_>>())
}

/// A version of a file with so many rows in the middle of these hours, ascending.
pub(crate) fn record(name: &str, rows: &[(i64, u64)]) -> FileRecord {
    let middle = |(n, _): &(i64, u64)| hour(*n).plus(HALF_AN_HOUR).unwrap();
    let total = rows.iter().map(|(_, rows)| rows).sum();
    let version = InputVersion { size: 100 * total, mark: format!("{rows:?}"), sha256: None };
    FileRecord {
        rows: total,
        bytes_in_memory: 1000 * total,
        event_range: rows.first().map(middle).zip(rows.last().map(middle)),
        cells: rows.iter().map(|(n, rows)| (hour(*n), *rows)).collect(),
        ..FileRecord::empty(file_id(name), version, ProcessingTime::from_micros(0))
    }
}

fn spec() -> PipelineSpec {
    PipelineSpec {
        name: Log::new().state.pipeline,
        description: None,
        owner: None,
        enabled: true,
        overdue_after: None,
        on_query_change: OnQueryChange::Report,
        grid: WindowGrid::new(WindowSize::Minutes(60), chrono_tz::Tz::UTC),
        begin: None,
        sources: vec![source("t")],
        references: Vec::new(),
        steps: Vec::new(),
        checks: Vec::new(),
        quality: QualitySpec::default(),
        outputs: Vec::new(),
        quarantines: Vec::new(),
        aside: "aside".to_owned(),
    }
}

fn source(table: &str) -> SourceSpec {
    SourceSpec {
        table: table.to_owned(),
        origin: SourceOrigin::Folder(FolderSpec {
            path: crate::spec::Location::Folder("in".into()),
            label: "in".to_owned(),
            glob: glob::Pattern::default(),
            hive_partitioning: false,
            partition_columns: Vec::new(),
            settle: Span::ZERO,
        }),
        event_time: Some("at".to_owned()),
        event_timezone: chrono_tz::Tz::UTC,
        event_time_unit: None,
        closes: Closes::EventTime,
        idle_timeout: None,
        margins: Margins::default(),
        watermark_delay: Span::ZERO,
        max_future: Span::ZERO,
        on_null_time: OnNullTime::Fail,
        allowed_lateness: None,
        on_expired: OnExpired::Drop,
        on_corrupt_file: crate::spec::OnCorruptFile::Fail,
        on_removed: OnRemoved::Keep,
        on_missing_column: OnMissingColumn::Fail,
        on_type_change: OnTypeChange::Fail,
        max_windows_per_file: usize::MAX,
        rules: Vec::new(),
        dedup: None,
    }
}
