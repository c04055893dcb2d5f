//! Other servers: the Blob interface of Azure, a bucket that keeps all versions, and a server that
//! does not keep its promises.

use highwater::store::{Store, Written};
use serde_json::Value;

use super::kills::{expected, feed, kill_at};
use super::{Lake, Server};
use crate::equal::assert_equal;
use crate::support::{block_on, code, document};

/// Where runs are killed.
const POINTS: &[&str] =
    &["claim.after:1", "begin.after:1", "publish.after:1", "publish.before:3", "commit.before:1"];

#[test]
fn the_blob_interface_keeps_the_promises_and_runs_that_are_killed_are_finished() {
    let Some(lake) = Server::azure().map(Lake::on) else { return };
    let checked = lake.command(&["check", "--online"]).output().unwrap();
    // There is no input yet, but the store was asked.
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(said.contains("the store keeps its promises"), "{said}");
    for (round, point) in (0..).zip(POINTS) {
        feed(&lake, round);
        kill_at(&lake, point);
        lake.run_well();
    }
    assert_equal(&lake.outputs(), &expected(i64::try_from(POINTS.len()).unwrap()));
    lake.assert_sound();
}

#[test]
fn what_was_deleted_from_a_bucket_of_versions_can_be_created_again() {
    let Some(lake) = Server::versioned().map(Lake::on) else { return };
    feed(&lake, 0);
    lake.run_well();
    let log = "_highwater/tiny/log";
    let entries = block_on(lake.store.list(log)).unwrap().len();
    let next = format!("{log}/{entries:020}.json");
    // A bucket of versions has a marker then in the place of each.
    let written = block_on(lake.store.create(&next, "{}".into()));
    assert!(matches!(written, Written::Stored), "{written:?}");
    let outputs = lake.outputs();
    let published = outputs.keys().next().unwrap();
    for key in [&next, published, "_highwater/tiny/ckpt/LATEST"] {
        let seen = block_on(lake.store.head(key)).unwrap().unwrap();
        block_on(lake.store.remove(&seen)).unwrap();
        assert_eq!(block_on(lake.store.head(key)).unwrap(), None, "{key}");
    }
    let mended = lake.command(&["reprocess", "tiny", "--damaged", "--yes"]).output().unwrap();
    assert_eq!(code(&mended), 0, "{mended:?}");
    assert_equal(&lake.outputs(), &outputs);
    feed(&lake, 1);
    lake.run_well();
    assert_equal(&lake.outputs(), &expected(2));
    lake.assert_sound();
}

#[test]
fn a_store_whose_racing_creations_can_both_win_is_refused() {
    let Some(lake) = Server::liar().map(Lake::on) else { return };
    feed(&lake, 0);
    for args in [&["run"][..], &["check", "--online"]] {
        let ended = lake.command(args).args(["--format", "json"]).output().unwrap();
        let said = document(&ended);
        assert_eq!(code(&ended), 5, "{said}");
        let codes: Vec<&Value> =
            said["errors"].as_array().unwrap().iter().map(|error| &error["code"]).collect();
        assert!(codes.iter().any(|code| **code == "HW6011"), "{said}");
    }
    let log = block_on(lake.store.list("_highwater/tiny/log/")).unwrap();
    assert_eq!(log.len(), 0, "nothing was written to a log: {log:?}");
}
