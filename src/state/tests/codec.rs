//! Entries survive their bytes, and no other bytes pass for one.

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::log::{Log, encoded};
use crate::hash::{ContentHash, Sha256};
use crate::id::{AttemptId, BatchId, Epoch, Generation, RequestId, Revision, Seq};
use crate::ledger::InputVersion;
use crate::state::codec::{DecodeError, ENTRY_BYTES_MAX, decode, encode};
use crate::state::*;
use crate::time::EventTime;

/// The stored form of a body that is whatever text.
fn stored(body: &str) -> Vec<u8> {
    let (len, sha256) = (body.len(), Sha256::of(body.as_bytes()));
    format!("{body}\n{{\"len\":{len},\"sha256\":\"{sha256}\"}}\n").into_bytes()
}

/// The stored form of an entry whose JSON was changed by somebody who can hash.
fn rewritten(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = serde_json::to_value(&Log::claimed().entries[1]).unwrap();
    change(&mut value);
    stored(&value.to_string())
}

#[track_caller]
fn assert_damaged(bytes: &[u8]) {
    let decoded = decode(bytes);
    assert!(matches!(decoded, Err(DecodeError::Damaged(_))), "{decoded:?}");
}

#[track_caller]
fn assert_too_new(bytes: &[u8]) {
    let decoded = decode(bytes);
    assert!(matches!(decoded, Err(DecodeError::TooNew(_))), "{decoded:?}");
}

#[test]
fn an_entry_is_two_lines_the_second_of_which_anybody_can_check() {
    let entry = &Log::new().entries[0];
    let body = serde_json::to_string(entry).unwrap();
    assert_eq!(encoded(entry).bytes, stored(&body));
    assert_eq!(encoded(entry).hash, Sha256::of(body.as_bytes()));
}

#[test]
fn every_change_of_a_byte_is_damage() {
    let good = encoded(&Log::new().entries[0]).bytes;
    for place in 0..good.len() {
        for mask in [0x01, 0x20, 0x80, good[place], good[place] ^ b' '] {
            let mut bad = good.clone();
            bad[place] ^= mask;
            if bad != good {
                assert_damaged(&bad);
            }
        }
    }
}

#[test]
fn every_missing_byte_is_damage() {
    let good = encoded(&Log::new().entries[0]).bytes;
    for len in 0..good.len() {
        assert_damaged(&good[..len]);
        assert_damaged(&good[good.len() - len..]);
        assert_damaged(&[&good[..len], &good[len + 1..]].concat());
    }
}

#[test]
fn every_added_byte_is_damage() {
    let good = encoded(&Log::new().entries[0]).bytes;
    for place in 0..=good.len() {
        for byte in [b' ', b'\n', b'\r', b'\t', b'0', 0] {
            let mut bad = good.clone();
            bad.insert(place, byte);
            assert_damaged(&bad);
        }
    }
    assert_damaged(&good.repeat(2));
}

#[test]
fn what_a_newer_version_wrote_is_named_as_such() {
    assert_too_new(&rewritten(|entry| entry["v"] = json!(2)));
    assert_too_new(&rewritten(|entry| entry["rf"] = json!(["compressed"])));
    assert_too_new(&rewritten(|entry| entry["kind"] = json!("config")));
    // The body of a newer format may be anything.
    assert_too_new(&stored(r#"{"v":2,"kind":"claim","epoch":"seven"}"#));
}

#[test]
fn an_unknown_field_is_ignored_and_a_missing_one_is_damage() {
    let entry = &Log::claimed().entries[1];
    let more = rewritten(|entry| entry["moon"] = json!({"phase": "full"}));
    assert_eq!(decode(&more).unwrap().0, *entry);
    let less = rewritten(|entry| drop(entry.as_object_mut().unwrap().remove("epoch")));
    assert_damaged(&less);
    assert_damaged(&stored("[]"));
}

#[test]
fn an_unknown_writer_feature_does_not_keep_anybody_from_reading() {
    let bytes = rewritten(|entry| entry["wf"] = json!(["compressed"]));
    let (entry, _) = decode(&bytes).unwrap();
    assert_eq!(codec::unknown_writer_feature(&entry), Some("compressed"));
    assert_eq!(codec::unknown_writer_feature(&Log::new().entries[0]), None);
}

#[test]
fn an_entry_larger_than_4_mib_is_neither_written_nor_read() {
    let mut entry = Log::new().entries.remove(0);
    let spare = ENTRY_BYTES_MAX - encoded(&entry).bytes.len();
    entry.who.host.push_str(&"x".repeat(spare - 16));
    let bytes = encoded(&entry).bytes;
    assert!(bytes.len() <= ENTRY_BYTES_MAX && decode(&bytes).is_ok());

    entry.who.host.push_str(&"x".repeat(32));
    assert!(encode(&entry).is_err());
    assert_damaged(&stored(&serde_json::to_string(&entry).unwrap()));
}

fn any_time() -> impl Strategy<Value = EventTime> + Clone {
    (EventTime::FIRST.micros()..=EventTime::END.micros()).prop_map(EventTime::from_micros)
}

fn any_uuid() -> impl Strategy<Value = Uuid> + Clone {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn any_hash() -> impl Strategy<Value = Sha256> + Clone {
    any::<u64>().prop_map(|seed| Sha256::of(&seed.to_be_bytes()))
}

fn few<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(of, 0..3)
}

prop_compose! {
    fn any_range()(start in any_time(), end in any_time()) -> TimeRange {
        TimeRange { start, end }
    }
}

prop_compose! {
    fn any_rows()(n in any::<[u64; 12]>()) -> RowCounts {
        let [input, margin, used, out, quarantined, dropped, duplicate, ..] = n;
        let [.., late, expired, null_time, future, before_begin] = n;
        RowCounts {
            input, margin, used, out, quarantined, dropped, duplicate, late, expired, null_time,
            future, before_begin,
        }
    }
}

fn any_reason() -> impl Strategy<Value = Reason> {
    use Reason::{FailedBefore, InDoubt, InputChanged, LateData, New, Requested, UpstreamChanged};
    let reasons =
        vec![New, LateData, InputChanged, UpstreamChanged, Requested, InDoubt, FailedBefore];
    prop::sample::select(reasons)
}

prop_compose! {
    fn any_failed()(at in any_range(), code: String, message: String) -> FailedWindow {
        FailedWindow { start: at.start, end: at.end, code, message }
    }
}

prop_compose! {
    fn any_committed()(
        at in any_range(), rev: u32, reason in any_reason(), rows in any_rows(), files: u64,
        sha256 in any_hash(),
        outputs in few((any::<[String; 2]>(), any::<[u64; 2]>(), any_hash(), any_uuid())),
        sum: Option<u128>, unchanged: bool, restores: Option<u32>,
        checks in few(any::<(String, u64)>()),
    ) -> CommittedWindow {
        let content = sum.map(|sum| ContentHash::new("a", sum));
        let output = |([name, path], [bytes, rows], sha256, att): ([String; 2], [u64; 2], _, _)| {
            let (att, content) = (AttemptId(att), content.clone());
            CommittedOutput { name, path, bytes, sha256, rows, att, content }
        };
        CommittedWindow {
            start: at.start,
            end: at.end,
            rev: Revision(rev),
            reason,
            inputs: InputsDigest { files, sha256 },
            rows,
            outputs: outputs.into_iter().map(output).collect(),
            unchanged,
            restores: restores.map(Revision),
            balance: Balance::default(),
            checks: checks.into_iter().map(|(name, rows)| CheckCount { name, rows }).collect(),
        }
    }
}

prop_compose! {
    fn any_begun()(
        at in any_range(), rev: u32, reason in any_reason(),
        outputs in few((any::<[String; 2]>(), prop::option::of(any_hash()), any_uuid())),
    ) -> BatchWindow {
        let output = |([name, path], before, att): ([String; 2], _, _)| {
            BatchOutput { name, path, before, att: AttemptId(att), optional: before.is_none() }
        };
        let outputs = outputs.into_iter().map(output).collect();
        BatchWindow { start: at.start, end: at.end, rev: Revision(rev), reason, outputs }
    }
}

prop_compose! {
    fn any_watermark()(moved in prop::option::of(any_range())) -> Option<WatermarkMove> {
        moved.map(|TimeRange { start, end }| WatermarkMove { from: start, to: end })
    }
}

prop_compose! {
    fn any_inputs()(
        generation: u64, key: String, numbers: [u64; 2], sha256 in any_hash(),
        last_event_at in few((any::<String>(), any_time())), refused in any_rows(),
        late in few((any_range(), any::<[u64; 2]>(), any::<bool>())),
    ) -> Inputs {
        let [len, files] = numbers;
        let late_window = |(at, [rows, files], changed): (TimeRange, [u64; 2], bool)| {
            let why = if changed { LateKind::InputChanged } else { LateKind::LateData };
            LateWindow { start: at.start, end: at.end, why, rows, files }
        };
        Inputs {
            generation: Generation(generation),
            segment: SegmentRef { key, len, sha256, files },
            replaces: files % 3,
            last_event_at,
            refused,
            late: late.into_iter().map(late_window).collect(),
        }
    }
}

fn any_claim() -> impl Strategy<Value = Body> {
    use ClaimReason::{DeadPid, Flock, Forced, LeaseExpired, Released};
    let reason = prop::sample::select(vec![Released, Flock, DeadPid, LeaseExpired, Forced]);
    (any::<Option<u64>>(), reason)
        .prop_map(|(takes, reason)| Body::Claim { takes: takes.map(Epoch), reason })
}

fn any_shape() -> impl Strategy<Value = Body> {
    let sources = few((any::<[String; 3]>(), any::<Option<String>>()));
    let outputs = few(any::<[String; 2]>());
    (any::<[String; 2]>(), any::<Option<String>>(), sources, outputs).prop_map(
        |([size, timezone], week_start, sources, outputs)| {
            let source = |(texts, event_time_unit): ([String; 3], Option<String>)| {
                let [table, event_time, event_timezone] = texts;
                ShapeSource {
                    table,
                    event_time,
                    event_timezone,
                    event_time_unit,
                    upstream: None,
                    lookback_micros: 0,
                    lookahead_micros: 1,
                }
            };
            let output = |[name, path]: [String; 2]| ShapeOutput { name, path };
            let sources = sources.into_iter().map(source).collect();
            let outputs = outputs.into_iter().map(output).collect();
            Body::Shape(Shape {
                size,
                week_start,
                timezone,
                sources,
                outputs,
                quarantines: Vec::new(),
            })
        },
    )
}

fn any_query() -> impl Strategy<Value = Body> {
    (few(any::<[String; 2]>()), few(any::<[String; 2]>())).prop_map(|(steps, checks)| {
        let step = |[name, sql]: [String; 2]| QueryStep { name, sql };
        let check = |[name, sql]: [String; 2]| QueryCheck { name, sql };
        Body::Query(Query {
            steps: steps.into_iter().map(step).collect(),
            judged: Vec::new(),
            checks: checks.into_iter().map(check).collect(),
        })
    })
}

fn any_references() -> impl Strategy<Value = Body> {
    few((any::<[String; 2]>(), any::<[u64; 2]>())).prop_map(|tables| {
        let table = |([table, key], [size, mark]): ([String; 2], [u64; 2])| {
            let sha256 = Some(Sha256::of(key.as_bytes()));
            let version = InputVersion { size, mark: mark.to_string(), sha256 };
            ReferenceVersion { table, files: vec![(key, version)] }
        };
        Body::References(References { tables: tables.into_iter().map(table).collect() })
    })
}

fn any_watermarks() -> impl Strategy<Value = Body> {
    let by = vec![PromisedBy::Upstream, PromisedBy::Clock, PromisedBy::Idle];
    few((any::<String>(), any_time(), prop::sample::select(by))).prop_map(|sources| {
        let source = |(table, at, by)| SourceWatermark { table, at, by };
        Body::Watermarks(Watermarks { sources: sources.into_iter().map(source).collect() })
    })
}

fn any_request() -> impl Strategy<Value = Body> {
    let verb = prop::sample::select(vec![Verb::Backfill, Verb::Reprocess, Verb::Rollback]);
    let to = prop_oneof![
        any::<u32>().prop_map(|rev| RollbackTo::Revision(Revision(rev))),
        any::<u64>().prop_map(|seq| RollbackTo::Seq(Seq(seq))),
    ];
    let (to, why) = (prop::option::of(to), any::<Option<String>>());
    (verb, any_range(), to, few(any_range()), why).prop_map(|(verb, at, to, within, why)| {
        let only_outdated = verb == Verb::Reprocess;
        let request = Request::new(verb, at.start, at.end);
        Body::Request(Request { only_outdated, to, within, why, ..request })
    })
}

fn any_begin() -> impl Strategy<Value = Body> {
    (any_uuid(), any::<[u64; 2]>(), any::<Option<u64>>(), few(any_begun())).prop_map(
        |(batch, [generation, query], references, windows)| {
            let (generation, query) = (Generation(generation), Seq(query));
            let references = references.map(Seq);
            Body::Begin(Begin { batch: BatchId(batch), generation, query, references, windows })
        },
    )
}

fn any_aside() -> impl Strategy<Value = Body> {
    let file = (any::<[String; 3]>(), any::<[u64; 2]>(), any::<bool>());
    (any_uuid(), few(file), any::<bool>()).prop_map(|(batch, files, is_begun)| {
        let batch = BatchId(batch);
        let name = || "quarantine.*".to_owned();
        let file =
            |([table, key, path], [generation, rows], is_first): ([String; 3], [u64; 2], bool)| {
                let before = (!is_first).then(|| Sha256::of(key.as_bytes()));
                let att = AttemptId(batch.0);
                let begun =
                    BatchOutput { name: name(), path: path.clone(), before, att, optional: false };
                let (bytes, sha256) = (rows, Sha256::of(path.as_bytes()));
                let done =
                    CommittedOutput { name: name(), path, bytes, sha256, rows, att, content: None };
                let generation = Generation(generation);
                let of = |table: &String, key: &String| (table.clone(), key.clone());
                let ((t1, k1), (t2, k2)) = (of(&table, &key), of(&table, &key));
                (
                    AsideFile { table: t1, key: k1, generation, object: begun },
                    AsideFile { table: t2, key: k2, generation, object: done },
                    AsideFile {
                        table,
                        key: key.clone(),
                        generation,
                        object: AsideFailure { code: key.clone(), message: key },
                    },
                )
            };
        let (mut begun, mut done, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (one, two, three) in files.into_iter().map(file) {
            begun.push(one);
            done.push(two);
            failed.push(three);
        }
        if is_begun {
            Body::BeginAside(BeginAside { batch, files: begun })
        } else {
            Body::Aside(Aside { batch, files: done, failed })
        }
    })
}

fn any_commit() -> impl Strategy<Value = Commit> {
    let lost = few((any_time(), any::<u32>(), any::<String>()));
    let parts = (any_uuid(), few(any_committed()), few(any_range()), few(any_failed()));
    (parts, lost, any_watermark()).prop_map(|((batch, windows, empty, failed), lost, watermark)| {
        let lost = lost.into_iter().map(|(start, rev, output)| {
            let rev = Revision(rev);
            LostOutput { start, rev, output }
        });
        let (batch, lost) = (BatchId(batch), lost.collect());
        Commit { batch, windows, empty, failed, lost, watermark }
    })
}

fn any_abort() -> impl Strategy<Value = Body> {
    (any_uuid(), any::<String>(), few(any_committed())).prop_map(|(batch, why, windows)| {
        let blank = |window: CommittedWindow| {
            let CommittedWindow { start, end, outputs, .. } = window;
            BlankWindow { start, end, outputs }
        };
        let blank = windows.into_iter().map(blank).collect();
        Body::Abort { batch: BatchId(batch), why, blank }
    })
}

fn any_retire() -> impl Strategy<Value = Body> {
    let phase = prop::sample::select(vec![RetirePhase::Announced, RetirePhase::Done]);
    let words = any::<[Option<String>; 2]>();
    (phase, words, any::<u64>()).prop_map(|(phase, [output, why], objects)| {
        Body::Retire(Retire { phase, output, objects, why })
    })
}

fn any_mark() -> impl Strategy<Value = Body> {
    let object = (any::<[String; 2]>(), any::<u64>())
        .prop_map(|([key, mark], size)| MarkedObject { key, size, mark });
    (any::<u32>(), few(object)).prop_map(|(at, objects)| {
        Body::GcMark(GcMark { at: ProcessingTime::from_micros(at.into()), objects })
    })
}

fn any_body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::Init),
        any_claim(),
        Just(Body::Release),
        any_shape(),
        any_aside(),
        any_query(),
        any_references(),
        any_watermarks(),
        any_inputs().prop_map(Body::Inputs),
        any_request(),
        (any::<u64>(), any::<bool>())
            .prop_map(|(id, cancelled)| Body::RequestDone { id: RequestId(Seq(id)), cancelled }),
        any_begin(),
        any_commit().prop_map(Body::Commit),
        any_commit().prop_map(Body::Rollback),
        any_abort(),
        (prop::option::of(any_uuid().prop_map(BatchId)), few(any_failed()))
            .prop_map(|(batch, windows)| Body::Failed(Failed { batch, windows })),
        (any_range(), any::<String>(), any_watermark())
            .prop_map(|(range, why, watermark)| Body::Skip(Skip { range, why, watermark })),
        any_retire(),
        any_mark(),
        (any::<u64>(), few(any::<String>()))
            .prop_map(|(mark, spared)| Body::GcSweep(GcSweep { mark: Seq(mark), spared })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_survives_its_stored_form(body in any_body()) {
        let entry = Entry { body, ..Log::new().entries.remove(0) };
        let encoded = encode(&entry).unwrap();
        prop_assert_eq!(encoded.bytes.split(|byte| *byte == b'\n').count(), 3, "two lines");
        prop_assert_eq!(decode(&encoded.bytes), Ok((entry, encoded.hash)));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>, body: String) {
        prop_assert!(decode(&bytes).is_err());
        prop_assert!(decode(&stored(&body)).is_err());
    }
}
