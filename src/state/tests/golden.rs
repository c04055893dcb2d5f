//! The log of `fixtures/log/v1`: one entry of each kind but those of `upkeep` and `columns`, as
//! version 0.1.0 wrote them. Logs are never rewritten, so these bytes must be readable, and
//! writable, for ever.

use std::collections::BTreeSet;

use super::log::{
    Log, claim, commit, encoded, failed, hour, hours, late, request, skip, watermark,
};
use crate::hash::Sha256;
use crate::id::Revision;
use crate::ledger::InputVersion;
use crate::state::codec::{self, KINDS};
use crate::state::*;

/// The same log, in code.
fn golden() -> Log {
    let shape = Shape {
        size: "1h".to_owned(),
        week_start: None,
        timezone: "Europe/Berlin".to_owned(),
        sources: vec![ShapeSource {
            table: "orders".to_owned(),
            event_time: "event_ts".to_owned(),
            event_timezone: "UTC".to_owned(),
            event_time_unit: None,
            upstream: None,
            lookback_micros: 3_600_000_000,
            lookahead_micros: 0,
        }],
        outputs: vec![ShapeOutput {
            name: "hourly".to_owned(),
            path: "out/dt={start:%Y-%m-%d}/hour={start:%H}".to_owned(),
        }],
        quarantines: Vec::new(),
    };
    let query = Query {
        steps: vec![QueryStep {
            name: "hourly".to_owned(),
            sql: "SELECT count(*) AS n\nFROM orders -- „all“".to_owned(),
        }],
        judged: Vec::new(),
        checks: Vec::new(),
    };
    let shops = InputVersion {
        size: 700,
        mark: "1700000000000000000".to_owned(),
        sha256: Some(Sha256::of(b"shops")),
    };
    let references = References {
        tables: vec![ReferenceVersion {
            table: "shops".to_owned(),
            files: vec![("shops.parquet".to_owned(), shops)],
        }],
    };
    let watermarks = Watermarks {
        sources: vec![SourceWatermark {
            table: "orders".to_owned(),
            at: hour(12),
            by: PromisedBy::Idle,
        }],
    };
    let refused = RowCounts { null_time: 2, future: 1, ..RowCounts::default() };
    let last_event_at = vec![("orders".to_owned(), hour(11))];

    let mut log = Log::new();
    log.add(claim());
    log.add(Body::Shape(shape));
    log.add(Body::Query(query));
    log.add(Body::References(references));
    log.add(Body::Inputs(Inputs { last_event_at, refused, ..log.inputs(Vec::new()) }));
    log.add(Body::Watermarks(watermarks));
    let begin = log.begin(1, &[9, 10]);
    let mut end = commit(&begin);
    end.windows.truncate(1);
    end.failed = vec![failed(10)];
    end.empty = vec![hours(0, 9)];
    end.watermark = watermark(0, 10);
    log.add(Body::Commit(end));
    log.add(Body::Inputs(log.inputs(vec![late(9)])));
    log.add(request(Verb::Reprocess, 8, 10));
    let id = log.newest_request();
    log.fail(2, &[9]);
    let begin = log.begin(3, &[9]);
    let why = "restored from history".to_owned();
    log.add(Body::Abort { batch: begin.batch, why, blank: Vec::new() });
    log.add(Body::RequestDone { id, cancelled: true });
    log.add(Body::Skip(Skip { watermark: watermark(10, 11), ..skip(10, 11) }));
    log.add(Body::Release);
    go_back(&mut log);
    log
}

/// A revision that is lost, and the windows that go back.
fn go_back(log: &mut Log) {
    log.add(claim());
    for (batch, output) in [(4, None), (5, Some("hourly".to_owned()))] {
        let begin = log.begin(batch, &[9]);
        let rev = Revision(u32::try_from(batch).unwrap() - 3);
        let lost = output.map(|output| LostOutput { start: hour(9), rev, output });
        let lost = lost.into_iter().collect();
        log.add(Body::Commit(Commit { lost, ..commit(&begin) }));
    }
    let to = Some(RollbackTo::Revision(Revision(1)));
    let Body::Request(request) = request(Verb::Rollback, 9, 10) else { unreachable!() };
    log.add(Body::Request(Request { to, ..request }));
    let begin = log.begin(6, &[9]);
    let mut back = commit(&begin);
    back.windows[0].reason = Reason::Requested;
    back.windows[0].restores = Some(Revision(1));
    log.add(Body::Rollback(back));
    let begin = log.begin(7, &[12]);
    let mut window = commit(&begin).windows.remove(0);
    window.outputs[0].rows = 0;
    let blank = BlankWindow { start: window.start, end: window.end, outputs: window.outputs };
    let why = "HW2010 divide by zero".to_owned();
    log.add(Body::Abort { batch: begin.batch, why, blank: vec![blank] });
    log.add(Body::Release);
}

/// The logs that are stored, by folder.
fn logs() -> [(&'static str, Log); 4] {
    [
        ("v1", golden()),
        ("v1-upkeep", super::upkeep::golden()),
        ("v1-columns", super::columns::golden()),
        ("v1-rows", super::aside::golden()),
    ]
}

#[test]
fn every_kind_of_entry_is_written_as_it_always_was() {
    let mut kinds = BTreeSet::new();
    for (folder, log) in logs() {
        for (entry, stored) in log.entries.iter().zip(super::stored_in(folder)) {
            let written = String::from_utf8(encoded(entry).bytes).unwrap();
            let stored = String::from_utf8(stored).unwrap();
            assert_eq!(written, stored, "entry {} of {folder}", entry.n);
            kinds.insert(entry.body.kind());
        }
        assert_eq!(super::stored_in(folder).count(), log.entries.len(), "{folder}");
    }
    assert_eq!(kinds, KINDS.iter().copied().collect());
}

#[test]
fn stored_logs_are_read_as_they_always_were() {
    for (folder, log) in logs() {
        let stored = super::stored_in(folder);
        let entries: Vec<_> = stored.map(|bytes| codec::decode(&bytes).unwrap().0).collect();
        assert_eq!(Log::fold(&entries).unwrap(), log.state, "{folder}");
    }
}
