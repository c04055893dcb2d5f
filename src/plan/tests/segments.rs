//! How segments of the ledger are merged: few of them, and each record rewritten a few times.

use crate::plan::segments_to_merge;
use crate::state::tests::log::Log;
use crate::state::{Body, Inputs};

/// Admits so many files, merging as a run does. How many records were written.
fn admit(log: &mut Log, files: u64) -> u64 {
    let replaces = segments_to_merge(&log.state, files);
    let newest = log.state.segments.iter().rev().take(usize::try_from(replaces).unwrap());
    let written = files + newest.map(|segment| segment.stored.files).sum::<u64>();
    let mut inputs = Inputs { replaces, ..log.inputs(Vec::new()) };
    inputs.segment.files = written;
    log.add(Body::Inputs(inputs));
    written
}

#[test]
fn an_hourly_run_for_a_year_leaves_a_handful_of_segments() {
    let mut log = Log::claimed();
    let (mut written, mut most, mut runs) = (0, 0, 0);
    while runs < 8_760 {
        written += admit(&mut log, 1);
        most = most.max(log.state.segments.len());
        runs += 1;
    }
    assert!(most <= 14, "{most} segments");
    assert!(written <= 14 * runs, "{written} records were written");
    let kept: u64 = log.state.segments.iter().map(|segment| segment.stored.files).sum();
    assert_eq!(kept, runs);
}

#[test]
fn a_large_segment_is_never_rewritten() {
    let mut log = Log::claimed();
    assert_eq!(admit(&mut log, 40_000), 40_000);
    assert_eq!(admit(&mut log, 1), 1);
    assert_eq!(admit(&mut log, 200_000), 200_000);
    assert_eq!(admit(&mut log, 3), 3);
    assert_eq!(admit(&mut log, 3), 6);
    assert_eq!(log.state.segments.len(), 4);
}
