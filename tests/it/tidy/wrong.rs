//! Each rule finds what breaks it: a check that cannot fail checks nothing.

use std::collections::BTreeSet;

use super::{
    Source, code, crates, forgotten, imports, leftovers, misplaced, pure, shape, uncatalogued,
    uncovered,
};

const TABLE: &[(&str, &str)] = &[("time", ""), ("log", ""), ("plan", "time")];

fn file(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

fn imported(path: &str, text: &str) -> Vec<String> {
    imports(&file(path, text), TABLE)
}

#[test]
fn a_forbidden_import_is_found_where_it_stands() {
    let wanted = ["plan/mod.rs:2: plan may not import log"];
    for text in [
        "//! Plans.\nuse crate::log;",
        "use crate::time;\nuse crate::log::{Entry, StateLog};",
        "use crate::{\nlog::Entry, time};",
        "use crate::{time::{EventTime, Span},\n log};",
        "use {std::fs, crate\n::log::{self, Entry}};",
        "fn f() {\n crate::log::open() }",
        "use crate::{time as\n t, log as l};",
        "\npub use super::log::*;",
        "\nuse super::{log};",
        "const A: char = '\"'; /* \n */ use crate::log; const B: char = '\"';",
        "fn f<'a>(x: &'a str) -> &'a str {\n crate::log::g(x) }",
        "#[cfg(test)] mod tests { fn f() { \"}\"; } }\nuse crate::log;",
        "#[cfg(not(test))]\nuse crate::log;",
        "#[cfg(test)] const N: [u8; 2] = [0; 2];\nuse crate::log;",
        "const S: &str = r#\"\"\n\"#; use crate::log;",
    ] {
        assert_eq!(imported("plan/mod.rs", text), wanted, "{text}");
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    for text in [
        "use crate::time::EventTime; use crate::plan::Plan; use std::{fs, log};",
        "// use crate::log;\n//! [`crate::log`]\n/* /* */ crate::log */",
        "const S: &str = \"\\\"use crate::log;\"; const R: &str = r##\"\"# crate::log\"##;",
        "#[cfg(test)]\nmod tests { use crate::log; fn f() { if true {} } }",
        "#[cfg(all(test, unix))]\n#[expect(dead_code)]\nuse crate::{log, log::Entry};",
        "pub(crate) fn f() {} pub(in crate::plan) fn g() {} fn log() { log::info(1) }",
    ] {
        assert_eq!(imported("plan.rs", text), [""; 0], "{text}");
    }
    assert_eq!(imported("plan/tests.rs", "use crate::log;"), [""; 0]);
    assert_eq!(imported("plan/tests/late.rs", "use crate::log;"), [""; 0]);
    assert_eq!(imported("plan/log.rs", "use super::log;"), [""; 0], "a sibling, not the module");
}

#[test]
fn other_ways_to_the_root_are_found() {
    let deep = imported("plan/late.rs", "use super::super::log;");
    assert_eq!(deep, ["plan/late.rs:1: plan may not import log"]);
    let all = imported("plan.rs", "use crate::*;");
    assert_eq!(all, ["plan.rs:1: plan may not import *"]);
    let root = imported("main.rs", "fn main() { highwater::log::open(); }");
    assert_eq!(root, ["main.rs:1: main may not import log"]);
}

#[test]
fn a_table_that_is_wrong_is_found() {
    let cycle = [("log", "plan"), ("plan", "log"), ("log", "")];
    let wanted =
        ["table: log names plan, which does not stand above it", "table: log has two rows"];
    assert_eq!(misplaced(&cycle), wanted);
    let modules = BTreeSet::from(["log", "plan", "view"]);
    let wanted = ["table: view has no row", "table: there is no module time"];
    assert_eq!(uncovered(TABLE, &modules), wanted);
}

#[test]
fn crates_out_of_place_are_found() {
    let pure = pure("mod plan;\n#[cfg(feature = \"engine\")]\npub mod cli;\npub mod view;");
    assert_eq!(pure, BTreeSet::from(["plan".to_owned(), "view".to_owned()]));
    let found = |path: &str, text: &str| crates(&file(path, text), &pure);
    let fs = ["plan.rs:2: plan may not name std::fs"];
    assert_eq!(found("plan.rs", "use std::{\nfs::File, io};"), fs);
    assert_eq!(found("plan.rs", "\nfn f() { std::fs::read(p) }"), fs);
    let clock = ["plan.rs:1: plan may not name SystemTime"];
    assert_eq!(found("plan.rs", "use std::time::{Duration, SystemTime};"), clock);
    assert_eq!(found("cli.rs", "use std::fs; use tokio::task;"), [""; 0]);
    let edge = ["cli.rs:1: cli may not name datafusion"];
    assert_eq!(found("cli.rs", "use datafusion as df;"), edge);
    assert_eq!(found("execute.rs", "use datafusion::arrow; use parquet::file;"), [""; 0]);
}

#[test]
fn a_file_out_of_shape_is_found() {
    let long = format!("//! Ä{}\n", "é".repeat(95));
    assert_eq!(shape(&file("plan.rs", &long)), [""; 0], "columns are not bytes");
    let longer = format!("//! Ä{}\n", "é".repeat(96));
    assert_eq!(shape(&file("plan.rs", &longer)), ["plan.rs:1: 101 columns, 100 are allowed"]);
    let lines = "//!\n".repeat(501);
    assert_eq!(shape(&file("plan.rs", &lines)), ["plan.rs: 501 lines, 500 are allowed"]);
    assert_eq!(shape(&file("plan/tests.rs", &lines)), [""; 0]);
    let mute = ["plan.rs:1: says nothing about itself: begin with `//!`"];
    assert_eq!(shape(&file("plan.rs", "mod a;\n")), mute);
}

#[test]
fn unfinished_work_is_found() {
    let text = "fn f() {\n todo!() } // FIXME\nfn todo() { \"dbg!\"; }";
    let wanted = ["plan.rs:2: `todo!` is left", "plan.rs:2: `FIXME` is left"];
    assert_eq!(leftovers(&file("plan.rs", text)), wanted);
}

#[test]
fn a_forgotten_file_is_found() {
    let tree = [
        file("lib.rs", "pub mod plan; // mod cli;"),
        file("plan/mod.rs", "mod late;"),
        file("plan/late.rs", ""),
        file("plan/early.rs", ""),
        file("cli.rs", ""),
    ];
    let wanted =
        ["plan/early.rs:1: no file says `mod early;`", "cli.rs:1: no file says `mod cli;`"];
    assert_eq!(forgotten(&tree), wanted);
}

#[test]
fn an_unnamed_fixture_is_found() {
    let there = ["README.md", "flights", "flights_feed.py", "log"].map(str::to_owned);
    let found = uncatalogued("`flights_feed.py` `log/v1`", &there);
    assert_eq!(found, ["fixtures/README.md: does not name `flights`"]);
}

#[test]
fn text_that_is_no_rust_ends() {
    for text in ["\"", "'\\", "/* /*", "r#\"", "use a::{b", "#[cfg(test)]", "#[cfg(test)] }", "a::"]
    {
        code::paths(&code::shipped(&code::tokens(text)));
    }
}
