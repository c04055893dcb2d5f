//! Windows that were begun and not computed, because their run was told to end.

use super::log::{Log, batch_id, claim, commit, failed, hour};
use super::*;

fn stopped(n: i64) -> FailedWindow {
    FailedWindow::stopped(hour(n), hour(n + 1))
}

#[test]
fn a_stopped_window_has_not_failed() {
    let mut log = Log::claimed();
    let begin = log.begin(1, &[9, 10]);
    let mut commit = commit(&begin);
    commit.windows.truncate(1);
    commit.failed = vec![stopped(10)];
    log.add(Body::Commit(commit));
    assert!(log.state.failed.is_empty() && log.state.in_doubt.is_empty());
    assert_eq!((log.revision(9), log.state.is_computed(hour(10))), (1, false));

    log.begin(2, &[10]);
    log.add(Body::Failed(Failed { batch: Some(batch_id(2)), windows: vec![stopped(10)] }));
    assert!(log.state.failed.is_empty() && log.state.in_doubt.is_empty());
}

#[test]
fn a_stopped_window_stays_as_due_as_it_was() {
    let mut log = Log::claimed();
    log.begin(1, &[9, 10]);
    log.add(claim());
    assert_eq!(in_doubt(&log), [9, 10]);
    log.begin(2, &[9]);
    log.add(Body::Failed(Failed { batch: Some(batch_id(2)), windows: vec![failed(9)] }));
    log.begin(3, &[9, 10]);
    let windows = vec![stopped(9), stopped(10)];
    log.add(Body::Failed(Failed { batch: Some(batch_id(3)), windows }));
    assert_eq!(in_doubt(&log), [9, 10]);
    assert_eq!(log.state.failed.get(&hour(9)), Some(&failed(9)));
    assert_eq!(log.state.failed.len(), 1);
}
