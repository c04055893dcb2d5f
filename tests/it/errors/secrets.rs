//! A file with a mistake in it is shown, but never a secret that stands in it (F92).

use std::fs;

use super::{fed, place, with};
use crate::support::{Project, TINY, code};

const CANARY: &str = "CONFSECRET77";

/// What each command says of `config`, which none of them can use.
#[track_caller]
fn said(config: &str) -> Vec<String> {
    let project = fed(config);
    let says = |args: &[&str]| {
        let ended = project.command(args).output().unwrap();
        assert_eq!(code(&ended), 2, "{config}");
        let out = [ended.stdout, ended.stderr].concat();
        String::from_utf8(out).unwrap()
    };
    ["text", "json", "jsonl"].map(|format| says(&["run", "-v", "--format", format])).into()
}

/// Each place where a secret was put by mistake, or where it stands next to another mistake.
fn leaks() -> Vec<(String, &'static str)> {
    let storage = |lines: &str| with("root = \".\"", lines);
    let options =
        |line: &str| with("root = \".\"", &format!("root = \".\"\n[storage.options]\n{line}"));
    let path = |path: &str| with("path = \"in\"", &format!("path = \"{path}\""));
    vec![
        (options("aws_secret_access_key = \"CONFSECRET77\""), "HW1011"),
        (options("aws_secret_access_key = CONFSECRET77"), "HW1001"),
        (options("aws_secret_access_key \"CONFSECRET77\""), "HW1001"),
        (options("aws_secret_access_key = \"CONFSECRET77"), "HW1001"),
        (options("aws_secret_access_key = \"\"\"\nCONFSECRET77\n\"\"\""), "HW1011"),
        (options("aws_secret_access_key = [\"CONFSECRET77\"]"), "HW1010"),
        (storage("root = \".\"\noptions = { aws_session_token = \"CONFSECRET77\" }"), "HW1011"),
        (storage("root = \"s3://AKID:CONFSECRET77@b/p\""), "HW1010"),
        (storage("root = \"s3://b/p?X-Amz-Signature=CONFSECRET77\""), "HW1010"),
        (storage("root = \"s3://b/p#CONFSECRET77\""), "HW1010"),
        (storage("root = s3://AKID:CONFSECRET77@b/p"), "HW1001"),
        (path("s3://AKID:CONFSECRET77@b/p"), "HW1010"),
        (path("s3://b/p?sig=CONFSECRET77"), "HW1010"),
        (format!("aws_secret_access_key = \"CONFSECRET77\"\n{TINY}"), "HW1002"),
        (
            with(
                "[pipeline.tiny.window]",
                "[pipeline.tiny]\npassword = \"CONFSECRET77\"\n[pipeline.tiny.window]",
            ),
            "HW1002",
        ),
        (with("size = \"1h\"", "size = \"1h\"\ntoken = \"CONFSECRET77\""), "HW1002"),
    ]
}

#[test]
fn no_secret_of_the_configuration_is_shown() {
    for (config, name) in leaks() {
        for said in said(&config) {
            assert!(!said.contains(CANARY), "{said}");
            assert!(said.contains(name), "{name}: {said}");
        }
    }
}

#[test]
fn what_is_shown_in_its_place_has_its_width() {
    let config = with("root = \".\"", "root = \"s3://AKID:CONFSECRET77@b/p\"");
    let text = &said(&config)[0];
    assert!(text.contains("root = \"s3://*****************@b/p\""), "{text}");
    let (line, column) = place(&config, "\"s3://");
    assert!(text.contains(&format!("config.toml:{line}:{column}")), "{text}");
    // A mistake behind it on the same line stands where it stood.
    let config = with("root = \".\"", "root = \".\"\noptions = { password = \"ü77\" } x");
    let text = &said(&config)[0];
    assert!(!text.contains("ü77") && text.contains("options = *"), "{text}");
}

#[test]
fn an_environment_that_overrides_a_secret_does_not_tell_it() {
    let project = fed(&with("root = \".\"", "root = \"s3://AKID:CONFSECRET77@b/p\""));
    let mut command = project.command(&["run"]);
    let ended = command.env("HIGHWATER__STORAGE__ROOT", "s3://u:CONFSECRET77@b").output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("it overrides `root") && !said.contains(CANARY), "{said}");
}

#[test]
fn a_query_next_to_a_secret_is_shown_without_it() {
    let config = with("SELECT key,", "SELECT keyy,").replace(
        "sql = \"SELECT keyy, count(*) AS n, sum(value) AS total FROM events GROUP BY key\"",
        "sql = \"SELECT keyy FROM events WHERE 's3://a:CONFSECRET77@b' <> key\"",
    );
    let project = Project::new(TINY);
    project.feed("one.parquet", &[(crate::support::DAY_0, "a", 1)]);
    fs::write(project.path("config.toml"), config).unwrap();
    let ended = project.command(&["check"]).output().unwrap();
    let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    assert!(said.contains("HW2001") && said.contains("SELECT keyy"), "{said}");
    assert!(!said.contains(CANARY), "{said}");
}

#[test]
fn an_option_that_only_a_client_can_judge_is_shown_where_it_is_set() {
    for (option, value, name) in [
        ("aws_session_tokn", "CONFSECRET77", "HW1002"),
        ("aws_endpoint", "https://u:CONFSECRET77@host", "HW1010"),
    ] {
        let storage =
            format!("root = \"s3://bucket/p\"\n[storage.options]\n{option} = \"{value}\"");
        let config = with("root = \".\"", &storage);
        let (line, column) = place(&config, option);
        let told = super::refused(&fed(&config), &["run"], 2, name);
        let told = told.says(option).at("config.toml", line, column);
        assert!(!told.people.contains(CANARY), "{}", told.people);
    }
}
