//! The saved corpus of the fuzzer, every file of it through its target once.

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::each;
use targets::TARGETS;

#[test]
fn what_must_hold_of_any_input_holds_of_those_that_were_saved() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let folders = fs::read_dir(&corpus).unwrap().map(|folder| folder.unwrap().file_name());
    let folders: BTreeSet<String> = folders.map(|name| name.into_string().unwrap()).collect();
    let named = TARGETS.iter().map(|target| target.name.to_owned());
    assert_eq!(folders, named.collect(), "each target has a folder, and each folder a target");
    let mut inputs = Vec::new();
    for target in TARGETS {
        let files = fs::read_dir(corpus.join(target.name)).unwrap();
        inputs.extend(files.map(|file| (target, file.unwrap().path())));
    }
    assert!(inputs.len() >= 100);
    let name = |(_, path): &(_, std::path::PathBuf)| path.display().to_string();
    each(2, &inputs, name, |(target, path)| (target.check)(&fs::read(path).unwrap()));
}
