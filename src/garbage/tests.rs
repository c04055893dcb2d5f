//! What is garbage, what is not, and what of it may go.

use uuid::Uuid;

use super::*;

/// No copy of anything is needed.
const NO_COPIES: BTreeSet<String> = BTreeSet::new();
use crate::id::AttemptId;
use crate::state::Body;
use crate::state::tests::log::{Log, claim, hour};

fn stored(key: &str, role: Role) -> Stored {
    let object = MarkedObject { key: key.to_owned(), size: 7, mark: "m".to_owned() };
    Stored { object, role }
}

fn keys(found: &[Garbage]) -> Vec<(&str, Why)> {
    found.iter().map(|found| (found.object.key.as_str(), found.why)).collect()
}

/// A log at epoch 2 with two admissions, of which the second took the place of the first.
fn merged() -> (State, [String; 2]) {
    let mut log = Log::claimed();
    let first = log.inputs(Vec::new());
    log.add(Body::Inputs(first.clone()));
    let second = crate::state::Inputs { replaces: 1, ..log.inputs(Vec::new()) };
    log.add(Body::Inputs(second.clone()));
    log.add(claim());
    (log.state, [first.segment.key, second.segment.key])
}

#[test]
fn a_segment_is_garbage_once_no_state_can_refer_to_it() {
    let (state, [first, second]) = merged();
    assert_ne!(first, second);
    let twin = format!("seg/{}", AttemptId(Uuid::from_u128(9)));
    let listing = [
        stored(&first, Role::Segment(Generation(1))),
        stored(&second, Role::Segment(Generation(2))),
        stored(&twin, Role::Segment(Generation(2))),
        stored("seg/next", Role::Segment(Generation(3))),
    ];
    let mut expected = [(first.as_str(), Why::Unreferenced), (&twin, Why::Unreferenced)];
    expected.sort();
    let found = garbage(&state, &listing, &NO_COPIES);
    let mut found = keys(&found);
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn what_carries_an_epoch_is_garbage_once_a_newer_one_is_claimed() {
    let (state, _) = merged();
    assert_eq!(state.epoch, Epoch(2));
    let listing: Vec<Stored> = (1..=3)
        .flat_map(|epoch| {
            [("tmp", Role::Staged(Epoch(epoch))), ("lease", Role::Heartbeat(Epoch(epoch)))]
                .map(|(folder, role)| stored(&format!("{folder}/{epoch}"), role))
        })
        .collect();
    let found = garbage(&state, &listing, &NO_COPIES);
    assert_eq!(keys(&found), [("lease/1", Why::Superseded), ("tmp/1", Why::Superseded)]);
}

#[test]
fn the_newest_checkpoints_stay_and_probes_do_not() {
    let (state, _) = merged();
    let checkpoints =
        [9, 1, 5, 7, 3].map(|seq| stored(&format!("ckpt/{seq}"), Role::Checkpoint(Seq(seq))));
    let mut listing = checkpoints.to_vec();
    assert_eq!(
        keys(&garbage(&state, &listing, &NO_COPIES)),
        [("ckpt/1", Why::Older), ("ckpt/3", Why::Older)]
    );
    listing.truncate(CHECKPOINTS_KEPT);
    assert_eq!(garbage(&state, &listing, &NO_COPIES), []);
    let probe = [stored("probe/x", Role::Probe)];
    assert_eq!(keys(&garbage(&state, &probe, &NO_COPIES)), [("probe/x", Why::Unreferenced)]);
}

#[test]
fn only_what_is_still_there_as_it_was_marked_and_still_of_no_use_is_swept() {
    let (mut state, [first, second]) = merged();
    let roles = [
        (first.as_str(), Role::Segment(Generation(1))),
        ("tmp/1", Role::Staged(Epoch(1))),
        ("tmp/rewritten", Role::Staged(Epoch(1))),
    ];
    let mut listing: Vec<Stored> = roles.iter().map(|(key, role)| stored(key, *role)).collect();
    let mut marked: Vec<_> =
        garbage(&state, &listing, &NO_COPIES).into_iter().map(|found| found.object).collect();
    assert_eq!(marked.len(), 3);
    // It was deleted by somebody since.
    marked.push(MarkedObject { key: "tmp/gone".into(), size: 1, mark: "m".into() });
    // It was written again.
    listing[2].object.mark = "n".to_owned();
    // And here the log takes up again what nothing referred to.
    state.segments[0].stored.key.clone_from(&first);
    listing.push(stored(&second, Role::Segment(Generation(2))));

    let found = sweep(&marked, &listing, &garbage(&state, &listing, &NO_COPIES));
    assert_eq!(keys(&found.delete), [("tmp/1", Why::Superseded)]);
    let mut spared = found.spared;
    spared.sort();
    let mut expected = [first, "tmp/rewritten".to_owned()];
    expected.sort();
    assert_eq!(spared, expected);
}

#[test]
fn a_mark_ripens_by_the_clock_of_the_store() {
    let at = |hours: i64| ProcessingTime::from_micros(hour(hours).micros());
    let day = Span::from_seconds(86_400);
    assert!(!is_ripe(at(0), at(23), day));
    assert!(is_ripe(at(0), at(24), day));
    assert!(is_ripe(at(0), at(0), Span::ZERO));
    // A store whose clock went back says nothing.
    assert!(!is_ripe(at(1), at(0), Span::ZERO));
}
