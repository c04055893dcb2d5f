//! What is read from a state folder: entries, their fold, checkpoints, segments, requests, names.

use highwater::hash::Sha256;
use highwater::id::{Epoch, PipelineName, RequestId, Seq, StoreId};
use highwater::ledger::{self, Admitted, Ledger};
use highwater::state::checkpoint::{self, decode_windows, encode_windows};
use highwater::state::codec::{self, decode, encode};
use highwater::state::{Entry, SegmentRef, State};
use highwater::time::EventTime;
use serde_json::{Map, Value, json};

use super::refuses_changes;

/// The windows that collapse into a stretch; few, so that small inputs have some.
const ROW: usize = 3;

/// An entry as it may lie on disk, and any body with a trailer that is right for it.
pub(crate) fn entry(bytes: &[u8]) {
    check_entry(bytes);
    if !bytes.contains(&b'\n') {
        check_entry(&sealed(bytes));
    }
}

fn check_entry(stored: &[u8]) {
    let Ok((entry, hash)) = decode(stored) else { return };
    let body = stored.split(|byte| *byte == b'\n').next().unwrap_or_default();
    assert_eq!(hash, Sha256::of(body));
    refuses_changes(stored, |bytes| decode(bytes).is_ok());
    let encoded = encode(&entry).expect("what was read can be written");
    assert_eq!(decode(&encoded.bytes), Ok((entry, encoded.hash)));
}

/// `body` with the trailer that belongs to it.
fn sealed(body: &[u8]) -> Vec<u8> {
    let trailer = format!("\n{{\"len\":{},\"sha256\":\"{}\"}}\n", body.len(), Sha256::of(body));
    [body, trailer.as_bytes()].concat()
}

/// A log whose bodies are the lines of the input. Place, chain, store and pipeline are put right, so
/// that what is left to be wrong is what happened; behind a `!` a line is taken as it is.
pub(crate) fn replay(bytes: &[u8]) {
    let entries = chained(bytes);
    let Some(((first, hash), rest)) = entries.split_first() else { return };
    let Ok(mut state) = State::start(first, *hash) else { return };
    // The same log, folded from a checkpoint in its middle.
    let mut resumed = None;
    for (place, (entry, hash)) in rest.iter().enumerate() {
        if place == rest.len() / 2 {
            let stored = checkpoint::encode(&state).expect("a state has a text");
            resumed = Some(checkpoint::decode(&stored).expect("a checkpoint is whole"));
        }
        let before = state.clone();
        let foreseen = state.foresee_request(request_for(&state));
        assert_eq!(foreseen.requests.len(), state.requests.len() + 1);
        let applied = state.apply(entry, *hash);
        if let Some(resumed) = &mut resumed {
            assert_eq!(resumed.apply(entry, *hash), applied, "a checkpoint folds otherwise");
        }
        // What broke a rule is no fold of anything any more.
        if applied.is_err() {
            return;
        }
        check_step(&before, &state, entry);
    }
    assert!(resumed.is_none_or(|resumed| resumed == state), "a checkpoint folds otherwise");
    exercise(state);
}

fn chained(bytes: &[u8]) -> Vec<(Entry, Sha256)> {
    let mut entries: Vec<(Entry, Sha256)> = Vec::new();
    for line in super::lines(bytes).into_iter().filter(|line| !line.is_empty()) {
        let body = match (line.strip_prefix('!'), serde_json::from_str::<Map<_, _>>(line)) {
            (Some(line), _) => line.to_owned(),
            (None, Ok(fields)) => Value::Object(in_chain(fields, &entries)).to_string(),
            (None, Err(_)) => continue,
        };
        if let Ok(entry) = decode(&sealed(body.as_bytes())) {
            entries.push(entry);
        }
    }
    entries
}

fn in_chain(mut fields: Map<String, Value>, before: &[(Entry, Sha256)]) -> Map<String, Value> {
    let place = Seq(u64::try_from(before.len()).unwrap_or_default());
    fields.insert("n".to_owned(), json!(place));
    fields.insert("prev".to_owned(), json!(before.last().map_or(Sha256::ZERO, |last| last.1)));
    if let Some((first, _)) = before.first() {
        fields.insert("store".to_owned(), json!(first.store));
        fields.insert("pipe".to_owned(), json!(first.pipe));
    }
    fields
}

fn request_for(state: &State) -> highwater::state::Request {
    let at = state.watermark.unwrap_or(EventTime::FIRST);
    let verb = highwater::state::Verb::Reprocess;
    highwater::state::Request::new(verb, EventTime::FIRST, at)
}

/// What no entry may do, whatever it says.
fn check_step(before: &State, after: &State, entry: &Entry) {
    assert_eq!(Some(after.head.seq), before.next_seq());
    assert_eq!(after.head.seq, entry.n);
    assert!(before.epoch <= after.epoch && before.generation <= after.generation);
    if before.watermark != after.watermark {
        let to = after.watermark.expect("the watermark does not vanish");
        let from = before.watermark.unwrap_or(EventTime::from_micros(i64::MIN));
        assert!(from <= to, "the watermark moves back from {from} to {to}");
    }
    for start in before.windows.keys() {
        assert!(after.is_computed(*start), "the window at {start} is not computed any more");
    }
    let shared = |start| after.is_computed(start) && after.skipped.contains(start);
    assert!(!after.windows.keys().any(|start| shared(*start)), "computed and skipped");
    let (windows, _) = after.windows.totals();
    assert!(windows >= before.windows.totals().0);
}

/// Asks `state` everything that it answers, and makes it small: that changes no answer.
fn exercise(mut state: State) {
    let whole = state.clone();
    let starts: Vec<EventTime> = whole.windows.keys().copied().collect();
    let stored = SegmentRef { key: "s".to_owned(), len: 0, sha256: Sha256::ZERO, files: 0 };
    while let Some(windows) = state.collapsible(ROW) {
        let text = encode_windows(&windows).expect("facts have a text");
        assert_eq!(decode_windows(&text).as_ref(), Ok(&windows));
        assert_eq!(windows.len(), ROW);
        state.collapse(&windows, stored.clone());
    }
    for start in &starts {
        assert!(state.is_computed(*start), "a window is lost in a stretch");
        assert!(state.has_computed_in(*start, EventTime::from_micros(i64::MAX)));
    }
    assert_eq!(state.windows.totals(), whole.windows.totals());
    let at = whole.watermark.unwrap_or(EventTime::FIRST);
    assert_eq!(state.contiguous_end(at), whole.contiguous_end(at));
    ask(&state, at);
    state.recall(whole.windows.clone().into_loaded());
    assert!(starts.iter().all(|start| state.windows.get(start) == whole.windows.get(start)));
}

fn ask(state: &State, at: EventTime) {
    assert!(state.contiguous_end(at) >= at);
    if let Some(moved) = state.watermark_after([(at, EventTime::END)], at) {
        assert!(moved.from < moved.to);
    }
    let _ = state.next_revision(at);
    let _ = state.count_outdated(|query, _| query == Seq(0));
    let _ = (state.wanted_whole(), state.wanted([at]), state.worn(ROW));
    let _ = (state.query(), state.references(), state.next_seq());
}

/// A checkpoint as it may lie on disk, and any body with a header that is right for it.
pub(crate) fn checkpoint(bytes: &[u8]) {
    check_checkpoint(bytes);
    let seq = serde_json::from_slice::<Value>(bytes).ok();
    let seq = seq.and_then(|body| body.get("head")?.get("seq").cloned()).unwrap_or_default();
    let (len, hash) = (bytes.len(), Sha256::of(bytes));
    let header = json!({ "v": 1, "n": seq, "len": len, "sha256": hash }).to_string();
    check_checkpoint(&[header.as_bytes(), b"\n", bytes].concat());
}

fn check_checkpoint(stored: &[u8]) {
    let Ok(state) = checkpoint::decode(stored) else { return };
    let encoded = checkpoint::encode(&state).expect("what was read can be written");
    refuses_changes(&encoded, |bytes| checkpoint::decode(bytes).is_ok_and(|read| read != state));
    assert_eq!(checkpoint::decode(&encoded).as_ref(), Ok(&state));
    ask(&state, state.watermark.unwrap_or(EventTime::FIRST));
    assert!(state.collapsible(ROW).is_none_or(|windows| windows.len() == ROW));
}

/// The facts of windows that a checkpoint leaves out.
pub(crate) fn facts(bytes: &[u8]) {
    let Ok(windows) = decode_windows(bytes) else { return };
    let encoded = encode_windows(&windows).expect("what was read can be written");
    assert_eq!(decode_windows(&encoded), Ok(windows));
}

/// A segment of the ledger.
pub(crate) fn segment(bytes: &[u8]) {
    let Ok(records) = ledger::decode(bytes) else { return };
    let borrowed: Vec<_> = records.iter().map(|known| (known.generation, &known.record)).collect();
    let encoded = ledger::encode(&borrowed).expect("what was read can be written");
    assert_eq!(ledger::decode(&encoded).as_ref(), Ok(&records));
    let (first, last) = (EventTime::from_micros(i64::MIN), EventTime::from_micros(i64::MAX));
    let mut ledger = Ledger::default();
    for Admitted { record, generation } in records {
        let _ = (record.expired_rows(), record.delays.rows(), record.delays.quantile(0.5));
        assert_eq!(record.without_rows().rows_between(first, last), 0);
        ledger.admit(record, generation);
    }
    for (id, file) in ledger.files() {
        assert_eq!(ledger.file(id), Some(file));
        let _ = ledger.rows_between(&id.table, first, last);
        let _ = ledger.first_cell(&id.table, first, last);
        let _ = ledger.files_between(&id.table, last, first).len();
    }
}

/// What was left for the holder of a lease.
pub(crate) fn request(bytes: &[u8]) {
    let Ok(request) = codec::decode_request(bytes) else { return };
    let encoded = codec::encode_request(&request).expect("what was read can be written");
    assert_eq!(codec::decode_request(&encoded), Ok(request));
}

/// What people and files name things by: a line each.
pub(crate) fn names(bytes: &[u8]) {
    for line in super::lines(bytes) {
        if let Ok(id) = line.parse::<RequestId>() {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        if let Some(hash) = Sha256::parse(line) {
            assert_eq!(hash.to_string(), line);
        }
        let quoted = json!(line).to_string();
        let named = serde_json::from_str::<PipelineName>(&quoted).ok();
        assert_eq!(named, PipelineName::new(line), "a name may be read that cannot be given");
        if let Some(name) = &named {
            assert!(!name.as_str().contains(['/', '\\', '.', '\0']) && !line.is_empty());
            assert_eq!(json!(name).to_string(), quoted);
        }
        if let Ok(store) = serde_json::from_str::<StoreId>(&quoted) {
            let text = json!(store).to_string();
            assert_eq!(serde_json::from_str::<StoreId>(&text).ok(), Some(store));
        }
        if let Ok(epoch) = serde_json::from_str::<Epoch>(line) {
            assert!(epoch.next().is_none_or(|next| next > epoch));
        }
    }
}
