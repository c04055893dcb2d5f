//! Rows kept aside follow the rules of windows: announced, then published as announced. And the
//! bytes of entries that say what became of rows, in `fixtures/log/v1-rows`.

use super::log::{Log, batch_id, commit};
use crate::hash::Sha256;
use crate::id::{AttemptId, Generation};
use crate::invariant::Invariant;
use crate::ledger::FileId;
use crate::state::*;
use uuid::Uuid;

fn file<T>(key: &str, object: T) -> AsideFile<T> {
    let (table, generation) = ("orders".to_owned(), Generation(0));
    AsideFile { table, key: key.to_owned(), generation, object }
}

fn begun(key: &str, att: u128, before: Option<Sha256>) -> AsideFile<BatchOutput> {
    let (name, path) = ("quarantine.*".to_owned(), format!("aside/{key}"));
    let att = AttemptId(Uuid::from_u128(att));
    file(key, BatchOutput { name, path, before, att, optional: false })
}

fn published(begun: &AsideFile<BatchOutput>, rows: u64) -> AsideFile<CommittedOutput> {
    let BatchOutput { name, path, att, .. } = begun.object.clone();
    let sha256 = Sha256::of(att.0.as_bytes());
    file(&begun.key, CommittedOutput { name, path, bytes: 9, sha256, rows, att, content: None })
}

fn begin(n: u128, files: Vec<AsideFile<BatchOutput>>) -> Body {
    Body::BeginAside(BeginAside { batch: batch_id(n), files })
}

fn end(n: u128, files: Vec<AsideFile<CommittedOutput>>, failed: &[&str]) -> Body {
    let failure = || AsideFailure { code: "HW3001".to_owned(), message: "cut".to_owned() };
    let failed = failed.iter().map(|key| file(key, failure())).collect();
    Body::Aside(Aside { batch: batch_id(n), files, failed })
}

fn known<'a>(log: &'a Log, key: &str) -> Option<&'a AsideState> {
    log.state.asides.get(&FileId { table: "orders".to_owned(), key: key.to_owned() })
}

pub(super) fn golden() -> Log {
    let object = |name: &str, path: &str| ShapeOutput { name: name.into(), path: path.into() };
    let shape = Shape {
        size: "1h".to_owned(),
        week_start: None,
        timezone: "UTC".to_owned(),
        sources: Vec::new(),
        outputs: vec![object("hourly", "out/{start:%H}")],
        quarantines: vec![object("quarantine.orders", "quarantine/{start:%H}")],
    };
    let rule = |name: &str, expect: &str, action: &str| QueryRule {
        name: name.to_owned(),
        expect: expect.to_owned(),
        action: action.to_owned(),
    };
    let dedup = QueryDedup {
        keys: vec!["id".to_owned()],
        order_by: vec!["at".to_owned()],
        keep: "first".to_owned(),
        across_micros: 3_600_000_000,
    };
    let judged = QuerySource {
        table: "orders".to_owned(),
        rules: vec![rule("positive", "n > 0", "quarantine")],
        dedup: Some(dedup),
    };
    let check = QueryCheck { name: "few".to_owned(), sql: "SELECT 1".to_owned() };
    let query = Query { steps: Vec::new(), judged: vec![judged], checks: vec![check] };

    let mut log = Log::claimed();
    log.add(Body::Shape(shape));
    log.add(Body::Query(query));
    let (a, b) = (begun("a.parquet", 1, None), begun("b.parquet", 2, None));
    log.add(begin(1, vec![a.clone(), b]));
    log.add(end(1, vec![published(&a, 3)], &["b.parquet"]));
    let mut batch = log.batch(2, &[9]);
    let mut aside = batch.windows[0].outputs[0].clone();
    aside.name = "quarantine.orders".to_owned();
    aside.optional = true;
    aside.att = AttemptId(Uuid::from_u128(77));
    batch.windows[0].outputs.push(aside);
    log.add(Body::Begin(batch.clone()));
    batch.windows[0].outputs.truncate(1);
    let mut ends = commit(&batch);
    let rows = RowCounts { input: 4, used: 1, out: 1, dropped: 2, ..RowCounts::default() };
    ends.windows[0].rows = RowCounts { duplicate: 1, ..rows };
    let broken = RuleCount {
        table: "orders".to_owned(),
        rule: "even".to_owned(),
        action: "drop".to_owned(),
        rows: 2,
    };
    let file = FileBalance {
        table: "orders".to_owned(),
        key: "c.parquet".to_owned(),
        input: 4,
        used: 1,
        dropped: 2,
        duplicate: 1,
        ..FileBalance::default()
    };
    ends.windows[0].balance = Balance::new(vec![broken], [file]);
    ends.windows[0].checks = vec![CheckCount { name: "few".to_owned(), rows: 0 }];
    log.add(Body::Commit(ends));
    log
}

#[test]
fn what_is_published_as_begun_stands_and_what_failed_is_as_before() {
    let mut log = Log::claimed();
    let (a, b) = (begun("a", 1, None), begun("b", 2, None));
    log.add(begin(1, vec![a.clone(), b]));
    assert!(known(&log, "a").is_some_and(|known| known.is_in_doubt));
    log.add(end(1, vec![published(&a, 3)], &["b"]));
    let stands = known(&log, "a").unwrap();
    assert!(!stands.is_in_doubt && stands.committed == Some(published(&a, 3)));
    assert_eq!(known(&log, "b"), None);

    let sha256 = published(&a, 3).object.sha256;
    let again = begun("a", 3, Some(sha256));
    log.add(begin(2, vec![again.clone()]));
    // Its writer died: who takes over does not know what lies there.
    log.add(Body::Release);
    log.add(Body::Claim { takes: None, reason: ClaimReason::Released });
    let doubted = known(&log, "a").unwrap();
    assert!(doubted.is_in_doubt && doubted.committed == Some(published(&a, 3)));
    log.add(begin(3, vec![again.clone()]));
    log.add(end(3, Vec::new(), &["a"]));
    assert!(known(&log, "a").unwrap().is_in_doubt, "it was in doubt before it failed");
    log.add(begin(4, vec![again.clone()]));
    log.add(end(4, vec![published(&again, 0)], &[]));
    assert_eq!(known(&log, "a").unwrap().committed, Some(published(&again, 0)));
    let text = serde_json::to_string(&log.state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), log.state);
}

/// The rule that `body` breaks.
fn refused(log: &mut Log, body: Body) -> Invariant {
    let entry = log.entry(body);
    log.offer(entry).unwrap_err().invariant
}

#[test]
fn what_was_not_announced_so_is_refused() {
    let (a, b) = (begun("a", 1, None), begun("b", 2, None));
    let other = published(&begun("a", 9, None), 3);
    let mut log = Log::claimed();
    assert_eq!(refused(&mut log, begin(1, vec![a.clone(), a.clone()])), Invariant::Cm3);
    let lied = begun("a", 1, Some(Sha256::ZERO));
    assert_eq!(refused(&mut log, begin(1, vec![lied])), Invariant::Cm2);
    let early = AsideFile { generation: Generation(9), ..a.clone() };
    assert_eq!(refused(&mut log, begin(1, vec![early])), Invariant::In1);
    assert_eq!(refused(&mut log, end(1, vec![published(&a, 3)], &[])), Invariant::Cm3);
    log.add(begin(1, vec![a.clone()]));
    assert_eq!(refused(&mut log, begin(2, vec![b.clone()])), Invariant::Cm3);
    assert_eq!(refused(&mut log, end(2, vec![published(&a, 3)], &[])), Invariant::Cm3);
    assert_eq!(refused(&mut log, end(1, vec![published(&b, 3)], &[])), Invariant::Cm2);
    assert_eq!(refused(&mut log, end(1, vec![other], &[])), Invariant::Cm2);
    assert_eq!(refused(&mut log, end(1, Vec::new(), &["b"])), Invariant::Cm2);
}
