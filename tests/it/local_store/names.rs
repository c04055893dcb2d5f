//! Names that leave their place, or that not every disk tells apart, are refused before anything is
//! written.

use std::fs;

use crate::support::{DAY_0, HOUR, Project, TINY, files_below};

const PATH: &str = "out/totals/dt={start:%Y-%m-%d}/hour={start:%H}";

/// Writes `to` in place of `from` in a project that is fine, and runs it: its exit code, and what
/// it says.
fn run(from: &str, to: &str) -> (Project, i32, String) {
    let project = Project::new(TINY);
    project.feed("a.parquet", &[(DAY_0, "a", 60), (DAY_0 + HOUR, "b", 70)]);
    let changed = TINY.replace(from, to);
    assert_ne!(changed, TINY);
    fs::write(project.path("config.toml"), changed).unwrap();
    let (checked, _) = project.json(&["check"]);
    let (code, said) = project.json(&["run"]);
    assert!(checked == 0 || checked == code, "check {checked}, run {code}: {said}");
    (project, code, said.to_string())
}

#[test]
fn an_output_path_stays_in_its_place_and_is_made_of_plain_characters() {
    let long = "x".repeat(300);
    let deep = ["y"; 600].join("/");
    for name in [
        "..",
        "../../x",
        ".",
        "a/./b",
        "a/../b",
        "a//b",
        "/abs",
        "_x",
        ".x",
        "a\\\\b",
        "a b",
        "a%b",
        "a#b",
        "a?b",
        "a:b",
        "a*b",
        "a~b",
        "a+b",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{1f600}",
        "\u{202e}x",
        "a\\u0000b",
        "a\\nb",
        "a\\tb",
        "",
        &long,
        &deep,
    ] {
        let path = PATH.replace("out/totals", name);
        let (project, code, said) = run(PATH, &path);
        assert_eq!(code, 2, "{name}: {said}");
        assert!(said.contains("HW1010"), "{name}: {said}");
        assert_eq!(files_below(project.path("")), ["config.toml", "in/a.parquet"], "{name}");
    }
}

#[test]
fn folders_and_pipelines_that_differ_only_by_case_are_one_on_some_disks() {
    let more = TINY.replace("tiny", "Tiny").replace("out/", "other/");
    let (_, more) = more.split_once("threads = 2").unwrap();
    for (from, to) in [
        (PATH, PATH.replace("out/totals", "out/LARGE")),
        (PATH, PATH.replace("out/totals", "IN/totals")),
        ("threads = 2", format!("threads = 2\n{more}")),
    ] {
        let (project, code, said) = run(from, &to);
        assert_eq!(code, 2, "{to}: {said}");
        assert!(said.contains("HW1011"), "{to}: {said}");
        assert_eq!(files_below(project.path("")), ["config.toml", "in/a.parquet"]);
    }
}
