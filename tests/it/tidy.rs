//! Reads the source and fails where it breaks the rules of the layout: who may name whom, which
//! crates stay at which edge, how long a file and a line may be, what no file may be left with.
//!
//! Test code may name anything: files `tests.rs`, folders `tests/`, items under `#[cfg(test)]`.

mod code;
mod wrong;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use code::{Named, Token, paths, shipped, tokens};

/// Who may name whom, bottom to top: a module may name only modules that stand above it here.
const MAY_NAME: &[(&str, &str)] = &[
    // words
    ("error", ""),
    ("invariant", ""),
    ("time", ""),
    ("id", ""),
    ("hash", ""),
    // domain
    ("window", "time"),
    ("ledger", "hash id time"),
    ("spec", "error id time window"),
    ("config", "error id spec time window"),
    ("state", "error hash id invariant ledger time window"),
    ("plan", "error hash id invariant ledger spec state time window"),
    ("garbage", "id state time"),
    ("commit", "error hash id invariant ledger state time window"),
    ("report", "error garbage hash id ledger plan spec state time window"),
    ("view", "error garbage hash id ledger plan report spec state time window"),
    // edges
    ("clock", "time"),
    ("crashpoint", ""),
    ("process", "error state"),
    ("store", "clock error garbage hash id spec time"),
    ("log", "clock crashpoint error hash id ledger process spec state store time"),
    ("source", "error hash id ledger spec state store time window"),
    // Neither log nor publish: it computes and commits nothing.
    ("execute", "commit error hash id ledger plan source spec state store time window"),
    // Neither source nor execute: it commits and computes nothing.
    ("publish", "clock commit crashpoint error hash id ledger log plan state store time"),
    // driver
    (
        "run",
        "clock commit crashpoint error execute garbage hash id ledger log plan process publish \
         report source spec state store time window",
    ),
    // people
    ("cli", "clock config error id log plan report run spec state store time view window"),
    // roots
    ("lib", ""),
    ("main", "cli"),
];

/// Which modules may name a crate.
const ONLY: &[(&str, &str)] =
    &[("datafusion", "execute"), ("arrow", "execute source"), ("parquet", "execute source")];

/// What modules that do no IO may not name.
const NOT_PURE: &str =
    "tokio datafusion arrow parquet std::fs std::net std::env SystemTime Instant";

/// What stands above the modules that do IO.
const ENGINE: &str = "#[cfg(feature = \"engine\")]";

const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];
const MARKERS: &[&str] = &["FIXME", "XXX"];
const MOST_LINES: usize = 500;
const MOST_COLUMNS: usize = 100;

#[test]
fn modules_name_only_what_the_table_allows() {
    assert_none(&findings("src", |file| imports(file, MAY_NAME)));
}

#[test]
fn the_table_goes_one_way_and_is_complete() {
    let sources = read("src");
    let modules: BTreeSet<&str> = sources.iter().map(Source::module).collect();
    assert_none(&[misplaced(MAY_NAME), uncovered(MAY_NAME, &modules)].concat());
}

#[test]
fn crates_and_clocks_stay_at_their_edges() {
    let sources = read("src");
    let pure = sources.iter().find(|file| file.path == "lib.rs").map(|file| pure(&file.text));
    let pure = pure.unwrap_or_default();
    assert!(pure.contains("plan"), "lib.rs is not understood: {pure:?}");
    assert_none(&findings("src", |file| crates(file, &pure)));
}

#[test]
fn files_are_short_documented_and_finished() {
    assert_none(&findings("src", |file| [shape(file), leftovers(file)].concat()));
    assert_none(&findings("tests/it", shape));
}

#[test]
fn no_file_is_forgotten() {
    assert_none(&[forgotten(&read("src")), forgotten(&read("tests/it"))].concat());
}

#[test]
fn every_fixture_is_in_the_catalogue() {
    let catalogue = fs::read_to_string(root().join("fixtures/README.md")).unwrap();
    assert_none(&uncatalogued(&catalogue, &entries(&root().join("fixtures"))));
}

/// A source file; its path is relative to the folder it was looked for in.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The module at the top that this file is of.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Its place in the tree of modules: empty for a root, `["plan", "tests"]` for `plan/tests.rs`.
    fn place(&self) -> Vec<&str> {
        let path = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let path = path.strip_suffix("/mod").unwrap_or(path);
        if matches!(path, "lib" | "main") { Vec::new() } else { path.split('/').collect() }
    }

    fn is_test(&self) -> bool {
        self.place().contains(&"tests")
    }
}

fn lists(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|listed| listed == word)
}

/// `plan/mod.rs:2: plan may not import log`, for each such line.
fn imports(file: &Source, table: &[(&str, &str)]) -> Vec<String> {
    let module = file.module();
    let allowed = table.iter().find(|row| row.0 == module).map_or("", |row| row.1);
    let mut found = Vec::new();
    for path in shipped_paths(file) {
        if let Some(named) = from_root(&path, file)
            && named.text != module
            && !lists(allowed, named.text)
        {
            let (line, named) = (named.line, named.text);
            found.push(format!("{}:{line}: {module} may not import {named}", file.path));
        }
    }
    found.dedup();
    found
}

/// The top-level module that `path` leads to, if it starts at the crate's root.
fn from_root<'a>(path: &Named<'a>, file: &Source) -> Option<Token<'a>> {
    let depth = file.place().len();
    let supers = path.iter().take_while(|token| token.text == "super").count();
    match path.first()?.text {
        "crate" => path.get(1).copied(),
        "highwater" if file.path == "main.rs" => path.get(1).copied(),
        "super" if supers >= depth => path.get(supers).copied(),
        _ => None,
    }
}

/// Crates and parts of the standard library that stand where they may not.
fn crates(file: &Source, pure: &BTreeSet<String>) -> Vec<String> {
    let module = file.module();
    let mut found = Vec::new();
    for path in shipped_paths(file) {
        let elsewhere = ONLY.iter().filter(|row| !lists(row.1, module)).map(|row| row.0);
        let impure = NOT_PURE.split_whitespace().filter(|_| pure.contains(module));
        for name in elsewhere.chain(impure) {
            if let Some(line) = line_naming(&path, name) {
                found.push(format!("{}:{line}: {module} may not name {name}", file.path));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The line on which `path` names `name`, which may be a path of several words.
fn line_naming(path: &Named<'_>, name: &str) -> Option<usize> {
    let name: Vec<&str> = name.split("::").collect();
    let part = path
        .windows(name.len())
        .find(|part| part.iter().map(|token| token.text).eq(name.iter().copied()))?;
    part.last().map(|token| token.line)
}

/// The modules that `lib.rs` declares for every build.
fn pure(lib: &str) -> BTreeSet<String> {
    let mut gated = false;
    let mut found = BTreeSet::new();
    for line in lib.lines().map(str::trim) {
        gated |= line == ENGINE;
        if let Some(name) = line.trim_start_matches("pub ").strip_prefix("mod ") {
            if !gated {
                found.insert(name.trim_end_matches(';').to_owned());
            }
            gated = false;
        }
    }
    found
}

/// Rows that name a module which does not stand above them; without one, there is no cycle.
fn misplaced(table: &[(&str, &str)]) -> Vec<String> {
    let mut above = BTreeSet::new();
    let mut found = Vec::new();
    for (module, allowed) in table {
        for named in allowed.split_whitespace().filter(|named| !above.contains(named)) {
            found.push(format!("table: {module} names {named}, which does not stand above it"));
        }
        if !above.insert(*module) {
            found.push(format!("table: {module} has two rows"));
        }
    }
    found
}

/// Modules without a row, and rows without a module.
fn uncovered(table: &[(&str, &str)], modules: &BTreeSet<&str>) -> Vec<String> {
    let rows: BTreeSet<&str> = table.iter().map(|row| row.0).collect();
    let missing = modules.difference(&rows).map(|name| format!("table: {name} has no row"));
    let stale = rows.difference(modules).map(|name| format!("table: there is no module {name}"));
    missing.chain(stale).collect()
}

/// Too many lines, too long lines, no documentation.
fn shape(file: &Source) -> Vec<String> {
    let Source { path, text } = file;
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES && !file.is_test() {
        found.push(format!("{path}: {lines} lines, {MOST_LINES} are allowed"));
    }
    for (line, content) in (1..).zip(text.lines()) {
        let columns = content.chars().count();
        if columns > MOST_COLUMNS {
            found.push(format!("{path}:{line}: {columns} columns, {MOST_COLUMNS} are allowed"));
        }
    }
    if !text.starts_with("//!") {
        found.push(format!("{path}:1: says nothing about itself: begin with `//!`"));
    }
    found
}

/// What a finished file does not hold.
fn leftovers(file: &Source) -> Vec<String> {
    let Source { path, text } = file;
    let mut found = Vec::new();
    for pair in tokens(text).windows(2) {
        if let [name, bang] = pair
            && bang.text == "!"
            && MACROS.contains(&name.text)
        {
            found.push(format!("{path}:{}: `{}!` is left", name.line, name.text));
        }
    }
    for (line, content) in (1..).zip(text.lines()) {
        for marker in MARKERS.iter().filter(|marker| content.contains(**marker)) {
            found.push(format!("{path}:{line}: `{marker}` is left"));
        }
    }
    found
}

/// Files that no other file declares, so that no compiler reads them.
fn forgotten(sources: &[Source]) -> Vec<String> {
    let declares = |file: &Source, name: &str| {
        tokens(&file.text).windows(3).any(|three| {
            let [word, module, end] = three else { return false };
            word.text == "mod" && module.text == name && end.text == ";"
        })
    };
    let mut found = Vec::new();
    for file in sources {
        let place = file.place();
        if let Some((name, parent)) = place.split_last()
            && !sources.iter().any(|other| other.place() == parent && declares(other, name))
        {
            found.push(format!("{}:1: no file says `mod {name};`", file.path));
        }
    }
    found
}

/// Entries of the fixtures' folder that the catalogue does not name.
fn uncatalogued(catalogue: &str, entries: &[String]) -> Vec<String> {
    let named = |entry: &&String| {
        [format!("`{entry}`"), format!("`{entry}/")].iter().any(|text| catalogue.contains(text))
    };
    let others = entries.iter().filter(|entry| *entry != "README.md" && !named(entry));
    others.map(|entry| format!("fixtures/README.md: does not name `{entry}`")).collect()
}

/// What the code of `file` names, without its tests.
fn shipped_paths(file: &Source) -> Vec<Named<'_>> {
    if file.is_test() { Vec::new() } else { paths(&shipped(&tokens(&file.text))) }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names in `folder`, sorted.
fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every Rust file in `folder`, deep.
fn read(folder: &str) -> Vec<Source> {
    let folder = root().join(folder);
    let mut found = Vec::new();
    let mut paths = entries(&folder);
    while let Some(path) = paths.pop() {
        let at = folder.join(&path);
        if at.is_dir() {
            paths.extend(entries(&at).iter().map(|name| format!("{path}/{name}")));
        } else if at.extension().is_some_and(|extension| extension == "rs") {
            found.push(Source { text: fs::read_to_string(&at).unwrap(), path });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn findings(folder: &str, check: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    read(folder).iter().flat_map(check).collect()
}

fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}
