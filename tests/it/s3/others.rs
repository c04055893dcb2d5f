//! Other servers: the Blob interface of Azure, and one that does not keep its promises.

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
    let log = block_on(super::Store::list(lake.store.as_ref(), "_highwater/tiny/log/")).unwrap();
    assert_eq!(log.len(), 0, "nothing was written to a log: {log:?}");
}
