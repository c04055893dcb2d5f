//! That runs are killed at every point that the source names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::SCENARIOS;
use crate::support::files_below;
use crate::{retire, vacuum};

#[test]
fn every_named_point_of_the_source_is_killed_at() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut named = BTreeSet::new();
    for file in files_below(&root) {
        let text = fs::read_to_string(root.join(file)).unwrap();
        for call in text.split("crashpoint::pass(").skip(1) {
            let name = call.split('"').nth(1).unwrap().to_owned();
            match name.strip_prefix("{kind}") {
                Some(end) => named.extend(kinds().iter().map(|kind| format!("{kind}{end}"))),
                None => _ = named.insert(name),
            }
        }
    }
    let points = SCENARIOS.iter().flat_map(|scenario| scenario.points);
    let points = points.chain(retire::POINTS).chain(vacuum::POINTS);
    let killed: BTreeSet<_> =
        points.map(|point| point.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(named, killed);
}

/// The kinds of entries that a run appends: a log is begun by `init` outside of any batch.
fn kinds() -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/state/entry/mod.rs");
    let text = fs::read_to_string(source).unwrap();
    let (_, rest) = text.split_once("pub fn kind(&self)").unwrap();
    let (body, _) = rest.split_once("\n    }\n").unwrap();
    let kinds = body.split('"').skip(1).step_by(2).map(str::to_owned);
    kinds.filter(|kind| kind != "init").collect()
}
