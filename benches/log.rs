//! A log in which one hourly window after the other was begun and committed.

use highwater::hash::Sha256;
use highwater::id::{
    AttemptId, BatchId, Epoch, Generation, PipelineName, Revision, RunId, Seq, StoreId,
};
use highwater::state::codec;
use highwater::state::{
    Balance, BatchOutput, BatchWindow, Begin, Body, ClaimReason, Commit, CommittedOutput,
    CommittedWindow, Entry, FORMAT, InputsDigest, Query, QueryStep, Reason, RowCounts, State,
    TimeRange, WatermarkMove, Who,
};
use highwater::time::{EventTime, ProcessingTime};
use uuid::Uuid;

const MICROS_PER_HOUR: i64 = 3_600_000_000;
/// 2026-01-01T00:00:00Z.
const HOUR_0: i64 = 1_767_225_600_000_000;
const OUTPUT: &str = "per_country";

/// The start of the window `n` hours after 2026 began.
pub(crate) fn hour(n: u32) -> EventTime {
    EventTime::from_micros(HOUR_0 + i64::from(n) * MICROS_PER_HOUR)
}

/// The stored entries of a log with the first `windows` hours committed, each by its own batch.
pub(crate) fn stored(windows: u32) -> Vec<Vec<u8>> {
    let mut log = Log::default();
    log.add(Body::Init);
    log.add(Body::Claim { takes: None, reason: ClaimReason::Released });
    let step = QueryStep { name: OUTPUT.to_owned(), sql: "SELECT 1 FROM events".to_owned() };
    log.add(Body::Query(Query { steps: vec![step], judged: Vec::new(), checks: Vec::new() }));
    for n in 0..windows {
        let begin = begin(n);
        let commit = commit(n, &begin);
        log.add(Body::Begin(begin));
        log.add(Body::Commit(commit));
    }
    log.entries
}

/// What a process that opens the log knows then.
pub(crate) fn fold(entries: &[Vec<u8>]) -> State {
    let (first, hash) = codec::decode(&entries[0]).unwrap();
    let mut state = State::start(&first, hash).unwrap();
    for entry in &entries[1..] {
        let (entry, hash) = codec::decode(entry).unwrap();
        state.apply(&entry, hash).unwrap();
    }
    state
}

#[derive(Default)]
struct Log {
    entries: Vec<Vec<u8>>,
    head: Option<Sha256>,
}

impl Log {
    fn add(&mut self, body: Body) {
        let n = u64::try_from(self.entries.len()).unwrap();
        let who = Who {
            host: "host".to_owned(),
            pid: 4242,
            boot: "b00t".to_owned(),
            start: "1".to_owned(),
            ver: "0.1.0".to_owned(),
        };
        let entry = Entry {
            v: FORMAT,
            rf: Vec::new(),
            wf: Vec::new(),
            store: StoreId(Uuid::from_u128(1)),
            pipe: PipelineName::new("visits").unwrap(),
            n: Seq(n),
            prev: self.head.unwrap_or(Sha256::ZERO),
            epoch: Epoch(n.min(1)),
            att: AttemptId(Uuid::from_u128(n.into())),
            run: RunId(Uuid::from_u128(2)),
            ts: ProcessingTime::from_micros(HOUR_0),
            who,
            body,
        };
        let encoded = codec::encode(&entry).unwrap();
        self.head = Some(encoded.hash);
        self.entries.push(encoded.bytes);
    }
}

fn begin(n: u32) -> Begin {
    let output = BatchOutput {
        name: OUTPUT.to_owned(),
        path: format!("visits/dt=2026-01-01/hour={n:06}/data.parquet"),
        before: None,
        att: AttemptId(Uuid::from_u128(u128::from(n))),
        optional: false,
    };
    let window = BatchWindow {
        start: hour(n),
        end: hour(n + 1),
        rev: Revision(1),
        reason: Reason::New,
        outputs: vec![output],
    };
    Begin {
        batch: BatchId(Uuid::from_u128(u128::from(n))),
        generation: Generation(0),
        query: Seq(2),
        references: None,
        windows: vec![window],
    }
}

fn commit(n: u32, begin: &Begin) -> Commit {
    let published = |begun: &BatchOutput| CommittedOutput {
        name: begun.name.clone(),
        path: begun.path.clone(),
        bytes: 4096,
        sha256: Sha256::of(begun.path.as_bytes()),
        rows: 200,
        att: begun.att,
        content: None,
    };
    let committed = |window: &BatchWindow| CommittedWindow {
        start: window.start,
        end: window.end,
        rev: window.rev,
        reason: window.reason,
        inputs: InputsDigest { files: 1, sha256: Sha256::of(b"inputs") },
        rows: RowCounts { input: 70_000, used: 70_000, out: 200, ..RowCounts::default() },
        outputs: window.outputs.iter().map(published).collect(),
        unchanged: false,
        restores: None,
        balance: Balance::default(),
        checks: Vec::new(),
    };
    // The first commit says that there was nothing before it.
    let from = if n == 0 { EventTime::FIRST } else { hour(n) };
    let before = TimeRange { start: EventTime::FIRST, end: hour(0) };
    Commit {
        batch: begin.batch,
        windows: begin.windows.iter().map(committed).collect(),
        empty: if n == 0 { vec![before] } else { Vec::new() },
        failed: Vec::new(),
        lost: Vec::new(),
        watermark: Some(WatermarkMove { from, to: hour(n + 1) }),
    }
}
