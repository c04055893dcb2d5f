//! A log in the making, for tests of whatever stands on the fold.

use uuid::Uuid;

use crate::hash::Sha256;
use crate::id::{
    AttemptId, BatchId, Epoch, Generation, PipelineName, RequestId, Revision, RunId, Seq, StoreId,
};
use crate::state::codec::{self, Encoded};
use crate::state::{
    Balance, BatchOutput, BatchWindow, Begin, Body, ClaimReason, Commit, CommittedOutput,
    CommittedWindow, Entry, FORMAT, Failed, FailedWindow, Inputs, InputsDigest, LateKind,
    LateWindow, Query, QueryStep, Reason, Request, RowCounts, SegmentRef, Skip, State, TimeRange,
    Verb, Violation, WatermarkMove, Who,
};
use crate::time::{EventTime, ProcessingTime};

const MICROS_PER_HOUR: i64 = 3_600_000_000;
/// 2026-01-01T00:00:00Z.
const HOUR_0: i64 = 1_767_225_600_000_000;

/// The start of the window `n` hours after 2026 began.
pub(crate) fn hour(n: i64) -> EventTime {
    EventTime::from_micros(HOUR_0 + n * MICROS_PER_HOUR)
}

/// The inverse of [`hour`], rounded down.
pub(crate) fn hour_of(at: EventTime) -> i64 {
    (at.micros() - HOUR_0).div_euclid(MICROS_PER_HOUR)
}

/// From the start of one hourly window to the start of another.
pub(crate) fn hours(start: i64, end: i64) -> TimeRange {
    TimeRange { start: hour(start), end: hour(end) }
}

/// The batch that tests know by a number.
pub(crate) fn batch_id(n: u128) -> BatchId {
    BatchId(Uuid::from_u128(0xba7c << 64 | n))
}

/// A process of the host `name`.
pub(crate) fn who(name: &str) -> Who {
    Who {
        host: name.to_owned(),
        pid: 4242,
        boot: "b00t".to_owned(),
        start: "1".to_owned(),
        ver: "0.1.0".to_owned(),
    }
}

/// A claim of a released log.
pub(crate) fn claim() -> Body {
    Body::Claim { takes: None, reason: ClaimReason::Released }
}

/// A request for the windows from one hour to another.
pub(crate) fn request(verb: Verb, start: i64, end: i64) -> Body {
    let (start, end) = (hour(start), hour(end));
    Body::Request(Request::new(verb, start, end))
}

/// What a log says of a window that could not be computed.
pub(crate) fn failed(n: i64) -> FailedWindow {
    FailedWindow {
        start: hour(n),
        end: hour(n + 1),
        code: "HW2010".to_owned(),
        message: "divide by zero".to_owned(),
    }
}

/// A late mark of a committed window: one row of one new file.
pub(crate) fn late(n: i64) -> LateWindow {
    LateWindow { start: hour(n), end: hour(n + 1), why: LateKind::LateData, rows: 1, files: 1 }
}

/// A move of the watermark.
#[expect(clippy::unnecessary_wraps, reason = "entries may have none")]
pub(crate) fn watermark(from: i64, to: i64) -> Option<WatermarkMove> {
    Some(WatermarkMove { from: hour(from), to: hour(to) })
}

/// The end of `batch`: all its windows with one row each. The watermark stays.
pub(crate) fn commit(batch: &Begin) -> Commit {
    let committed = |window: &BatchWindow| CommittedWindow {
        start: window.start,
        end: window.end,
        rev: window.rev,
        reason: window.reason,
        inputs: InputsDigest { files: 1, sha256: Sha256::of(b"inputs") },
        rows: RowCounts { input: 1, used: 1, out: 1, ..RowCounts::default() },
        outputs: window.outputs.iter().map(published).collect(),
        unchanged: false,
        restores: None,
        balance: Balance::default(),
        checks: Vec::new(),
    };
    Commit {
        batch: batch.batch,
        windows: batch.windows.iter().map(committed).collect(),
        empty: Vec::new(),
        failed: Vec::new(),
        lost: Vec::new(),
        watermark: None,
    }
}

fn published(begun: &BatchOutput) -> CommittedOutput {
    CommittedOutput {
        name: begun.name.clone(),
        path: begun.path.clone(),
        bytes: 16,
        sha256: Sha256::of(begun.att.0.as_bytes()),
        rows: 1,
        att: begun.att,
        content: None,
    }
}

/// A skip of the windows from one hour to another. The watermark stays.
pub(crate) fn skip(start: i64, end: i64) -> Skip {
    Skip { range: hours(start, end), why: "the sensor was off".to_owned(), watermark: None }
}

/// A valid log: whatever is added must follow from what is there.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Entry>,
    pub(crate) state: State,
}

impl Log {
    /// A log that has just begun.
    pub(crate) fn new() -> Self {
        let init = Entry {
            v: FORMAT,
            rf: Vec::new(),
            wf: Vec::new(),
            store: StoreId(Uuid::from_u128(1)),
            pipe: PipelineName::new("orders").unwrap(),
            n: Seq(0),
            prev: Sha256::ZERO,
            epoch: Epoch(0),
            att: AttemptId(Uuid::from_u128(0)),
            run: RunId(Uuid::from_u128(2)),
            ts: ProcessingTime::from_micros(HOUR_0),
            who: who("host"),
            body: Body::Init,
        };
        let state = State::start(&init, encoded(&init).hash).unwrap();
        Self { entries: vec![init], state }
    }

    /// A log that is claimed and knows its query.
    pub(crate) fn claimed() -> Self {
        let step = QueryStep { name: "hourly".to_owned(), sql: "SELECT 1".to_owned() };
        let mut log = Self::new();
        log.add(claim());
        log.add(Body::Query(Query { steps: vec![step], judged: Vec::new(), checks: Vec::new() }));
        log
    }

    /// The fold of `entries`.
    pub(crate) fn fold(entries: &[Entry]) -> Result<State, Violation> {
        let mut state = State::start(&entries[0], encoded(&entries[0]).hash)?;
        entries[1..].iter().try_for_each(|entry| state.apply(entry, encoded(entry).hash))?;
        Ok(state)
    }

    /// The entry that the holder of the log would write next.
    pub(crate) fn entry(&self, body: Body) -> Entry {
        let n = self.state.next_seq().unwrap();
        let is_claim = matches!(body, Body::Claim { .. });
        let epoch = if is_claim { self.state.epoch.next().unwrap() } else { self.state.epoch };
        Entry {
            n,
            prev: self.state.head.hash,
            epoch,
            att: AttemptId(Uuid::from_u128(n.0.into())),
            body,
            ..self.entries[0].clone()
        }
    }

    /// Adds `entry` if it may follow; otherwise the log is as it was.
    pub(crate) fn offer(&mut self, entry: Entry) -> Result<(), Violation> {
        let mut state = self.state.clone();
        state.apply(&entry, encoded(&entry).hash)?;
        self.state = state;
        self.entries.push(entry);
        Ok(())
    }

    /// Adds what must be able to follow.
    pub(crate) fn add(&mut self, body: Body) -> Seq {
        let entry = self.entry(body);
        let seq = entry.n;
        self.offer(entry).unwrap();
        seq
    }

    /// Admits files that make these committed windows late.
    pub(crate) fn inputs(&self, late: Vec<LateWindow>) -> Inputs {
        let generation = self.state.generation.next().unwrap();
        Inputs {
            generation,
            segment: segment(generation),
            replaces: 0,
            last_event_at: Vec::new(),
            refused: RowCounts::default(),
            late,
        }
    }

    /// A batch of hourly windows as a writer would begin it now.
    pub(crate) fn batch(&self, batch: u128, windows: &[i64]) -> Begin {
        let window = |n: &i64| BatchWindow {
            start: hour(*n),
            end: hour(n + 1),
            rev: self.state.next_revision(hour(*n)).unwrap(),
            reason: Reason::New,
            outputs: vec![BatchOutput {
                name: "hourly".to_owned(),
                path: format!("out/hourly/{n}/data.parquet"),
                before: None,
                att: AttemptId(Uuid::from_u128(batch << 32 | u128::from(n.unsigned_abs()))),
                optional: false,
            }],
        };
        Begin {
            batch: batch_id(batch),
            generation: self.state.generation,
            query: self.state.query().map_or(Seq(0), |(seq, _)| seq),
            references: None,
            windows: windows.iter().map(window).collect(),
        }
    }

    /// Begins a batch.
    pub(crate) fn begin(&mut self, batch: u128, windows: &[i64]) -> Begin {
        let begin = self.batch(batch, windows);
        self.add(Body::Begin(begin.clone()));
        begin
    }

    /// Begins and commits a batch; the watermark stays.
    pub(crate) fn compute(&mut self, batch: u128, windows: &[i64]) {
        let begin = self.begin(batch, windows);
        self.add(Body::Commit(commit(&begin)));
    }

    /// Begins a batch of which every window fails.
    pub(crate) fn fail(&mut self, batch: u128, windows: &[i64]) {
        let begin = self.begin(batch, windows);
        let windows = windows.iter().map(|n| failed(*n)).collect();
        self.add(Body::Failed(Failed { batch: Some(begin.batch), windows }));
    }

    /// The revision of the window at an hour; 0 if it was never computed.
    pub(crate) fn revision(&self, n: i64) -> u32 {
        let Revision(rev) =
            self.state.windows.get(&hour(n)).map_or(Revision(0), |window| window.committed.rev);
        rev
    }

    /// The newest entry's name as a request.
    pub(crate) fn newest_request(&self) -> RequestId {
        RequestId(self.state.head.seq)
    }
}

fn segment(generation: Generation) -> SegmentRef {
    SegmentRef {
        key: format!("ledger/{generation}.jsonl"),
        len: 512,
        sha256: Sha256::of(b"segment"),
        files: 1,
    }
}

/// The stored form of an entry.
pub(crate) fn encoded(entry: &Entry) -> Encoded {
    codec::encode(entry).unwrap()
}
