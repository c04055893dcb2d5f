//! Properties of every log that the fold accepts.

use proptest::prelude::*;

use super::log::{
    Log, batch_id, claim, commit, encoded, failed, hour, hours, late, request, skip, watermark,
};
use crate::id::Revision;
use crate::state::*;

/// What somebody tries to write next; much of it is not allowed.
#[derive(Clone, Debug)]
enum Try {
    Claim,
    Release,
    Inputs(Option<i64>),
    Begin(u128, Vec<i64>),
    /// Commits the batch: these of its windows, with an empty stretch and a move of the watermark.
    Commit {
        batch: u128,
        windows: usize,
        empty: Option<(i64, i64)>,
        to: Option<i64>,
    },
    /// Commits the batch: its windows go back to this revision.
    GoBack(u128, u32),
    Failed(Option<u128>, i64),
    Abort(u128),
    Skip(i64, i64),
    Request,
    RequestDone(u64),
}

/// Where the row of windows begins.
const BASE: i64 = 0;

fn any_try() -> impl Strategy<Value = Try> {
    let hour = || BASE..8_i64;
    let batch = || 0..4_u128;
    let commit =
        (batch(), 0..3_usize, prop::option::of((hour(), hour())), prop::option::of(hour()))
            .prop_map(|(batch, windows, empty, to)| Try::Commit { batch, windows, empty, to });
    prop_oneof![
        1 => Just(Try::Claim),
        1 => Just(Try::Release),
        2 => prop::option::of(hour()).prop_map(Try::Inputs),
        4 => (batch(), prop::collection::vec(hour(), 1..3)).prop_map(|(id, at)| Try::Begin(id, at)),
        8 => commit,
        4 => (batch(), 0..4_u32).prop_map(|(batch, rev)| Try::GoBack(batch, rev)),
        1 => (prop::option::of(batch()), hour()).prop_map(|(batch, at)| Try::Failed(batch, at)),
        1 => batch().prop_map(Try::Abort),
        1 => (hour(), hour()).prop_map(|(start, end)| Try::Skip(start, end)),
        1 => Just(Try::Request),
        1 => (0..20_u64).prop_map(Try::RequestDone),
    ]
}

/// The entry body that `attempt` would append to `log`; `None` if there is nothing to say it of.
fn body(log: &Log, attempt: Try) -> Option<Body> {
    Some(match attempt {
        Try::Claim => claim(),
        Try::Release => Body::Release,
        Try::Inputs(at) => Body::Inputs(log.inputs(at.into_iter().map(late).collect())),
        Try::Begin(batch, windows) => Body::Begin(log.batch(batch, &windows)),
        Try::Commit { batch, windows, empty, to } => {
            let begun = log.entries.iter().rev().find_map(|entry| match &entry.body {
                Body::Begin(begin) if begin.batch == batch_id(batch) => Some(begin),
                _ => None,
            })?;
            let mut end = commit(begun);
            end.windows.truncate(windows);
            end.empty = empty.into_iter().map(|(start, end)| hours(start, end)).collect();
            let from = log.state.watermark.map_or(BASE, super::log::hour_of);
            end.watermark = to.and_then(|to| watermark(from, to));
            Body::Commit(end)
        }
        Try::GoBack(batch, rev) => {
            let begun = log.entries.iter().rev().find_map(|entry| match &entry.body {
                Body::Begin(begin) if begin.batch == batch_id(batch) => Some(begin),
                _ => None,
            })?;
            let mut end = commit(begun);
            for window in &mut end.windows {
                window.restores = Some(Revision(rev));
                window.reason = Reason::Requested;
            }
            Body::Rollback(end)
        }
        Try::Failed(batch, at) => {
            Body::Failed(Failed { batch: batch.map(batch_id), windows: vec![failed(at)] })
        }
        Try::Abort(batch) => {
            Body::Abort { batch: batch_id(batch), why: String::new(), blank: Vec::new() }
        }
        Try::Skip(start, end) => Body::Skip(skip(start, end)),
        Try::Request => request(Verb::Backfill, 0, 8),
        Try::RequestDone(id) => Body::RequestDone { id: RequestId(Seq(id)), cancelled: false },
    })
}

/// Each revision has one entry, and what is restored was there.
fn check_revisions(window: &WindowState) {
    let seqs = window.earlier.iter().map(|earlier| earlier.seq).chain([window.published]);
    assert!(seqs.is_sorted_by(|a, b| a < b), "{window:?}");
    let revs: Vec<u32> = window.earlier.iter().map(|earlier| earlier.rev.0).collect();
    assert_eq!(revs, (1..window.committed.rev.0).collect::<Vec<_>>());
    let restores = window.committed.restores.map(|rev| rev.0);
    assert!(restores.is_none_or(|rev| revs.contains(&rev)), "{window:?}");
}

/// What one more entry may do to a state.
fn check_step(before: &State, after: &State) {
    assert!(before.watermark <= after.watermark, "WM-1");
    if let Some(watermark) = after.watermark {
        assert!(after.contiguous_end(hour(BASE)) >= watermark, "WM-2");
    }
    assert!(before.epoch <= after.epoch, "CM-4");
    for (start, window) in &after.windows {
        let (old, new) = (before.windows.get(start), &window.committed);
        let rev = old.map_or(0, |old| old.committed.rev.0);
        assert!(new.rev.0 == rev + 1 || old == Some(window), "CM-3");
        assert!(new.rows.closes(), "IN-2");
        check_revisions(window);
        assert!(!after.empty.contains(*start) && !after.skipped.contains(*start), "computed once");
    }
    assert!(
        before.windows.totals().0 <= after.windows.totals().0,
        "what is committed stays committed"
    );
    for (start, doubt) in &before.in_doubt {
        let ended =
            !after.open.contains_key(&doubt.batch) && before.open.contains_key(&doubt.batch);
        assert!(after.in_doubt.contains_key(start) || ended, "CM-2: only an end clears a doubt");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_accepted_entry_breaks_an_invariant(tries in prop::collection::vec(any_try(), 0..60)) {
        let mut log = Log::claimed();
        for attempt in tries {
            let before = log.state.clone();
            if let Some(body) = body(&log, attempt)
                && log.offer(log.entry(body)).is_ok()
            {
                check_step(&before, &log.state);
            }
        }
        let cut = log.entries.len() / 2 + 1;
        let mut resumed = Log::fold(&log.entries[..cut]).unwrap();
        for entry in &log.entries[cut..] {
            resumed.apply(entry, encoded(entry).hash).unwrap();
        }
        prop_assert_eq!(&resumed, &log.state, "from any prefix");
        let replayed: Vec<_> = log
            .entries
            .iter()
            .map(|entry| codec::decode(&encoded(entry).bytes).unwrap().0)
            .collect();
        prop_assert_eq!(Log::fold(&replayed).unwrap(), log.state);
    }
}
