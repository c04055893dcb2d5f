//! Several real processes at once: one works, the others step aside, and nobody is harmed.

use std::process::{Output, Stdio};

use serde_json::Value;

use crate::equal::assert_equal;
use crate::kill::{hold, kill, run_well};
use crate::support::{DAY_0, HOUR, Outputs, Project, Row, TINY, code, document, files_below};

/// How often processes are started at once.
const ROUNDS: i64 = 5;

/// Feeds three windows more, and late rows for one before.
fn feed(project: &Project, round: i64) {
    let first = DAY_0 + 3 * round * HOUR;
    let rows: Vec<Row> = (0..4).map(|hour| (first + hour * HOUR, "new", 60 + round)).collect();
    project.feed(&format!("new-{round}.parquet"), &rows);
    project.feed(&format!("late-{round}.parquet"), &[(DAY_0 + round, "late", 60 + round)]);
}

fn expected(config: &str) -> Outputs {
    let project = Project::new(config);
    (0..ROUNDS).for_each(|round| feed(&project, round));
    project.run();
    project.outputs()
}

/// Starts the binary once for each of `commands`, all at once, and waits for all.
fn at_once(project: &Project, commands: &[&[&str]]) -> Vec<Output> {
    let start = |args: &&[&str]| {
        let mut command = project.command(args);
        command.args(["--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let children: Vec<_> = commands.iter().map(start).collect();
    children.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

fn race(processes: usize) {
    let project = Project::new(TINY);
    for round in 0..ROUNDS {
        feed(&project, round);
        let ended = at_once(&project, &vec![&["run"][..]; processes]);
        let codes: Vec<i32> = ended.iter().map(code).collect();
        assert!(codes.contains(&0), "{ended:?}");
        assert!(codes.iter().all(|code| [0, 11, 12].contains(code)), "{ended:?}");
        let starts = |entry: &Value| entry["kind"] == "claim";
        let claims = project.entries("tiny").iter().filter(|entry| starts(entry)).count();
        // Whoever comes after the work is done has nothing to claim.
        assert_eq!(i64::try_from(claims).unwrap(), round + 1, "{codes:?}");
    }
    assert_equal(&project.outputs(), &expected(TINY));
    project.assert_sound();
}

#[test]
fn of_two_runs_at_once_one_works() {
    race(2);
}

#[test]
fn of_four_runs_at_once_one_works() {
    race(4);
}

#[test]
fn different_pipelines_of_a_project_do_not_wait_for_each_other() {
    let (head, pipeline) = TINY.split_at(TINY.find("[pipeline.").unwrap());
    let other = pipeline.replace("pipeline.tiny", "pipeline.other").replace("out/", "out/other/");
    let pipeline = pipeline.replace("out/", "out/tiny/");
    let config = format!("{head}{pipeline}{other}");
    let project = Project::new(&config);
    for round in 0..ROUNDS {
        feed(&project, round);
        let ended = at_once(&project, &[&["run", "tiny"], &["run", "other"]]);
        assert!(ended.iter().all(|ended| code(ended) == 0), "{ended:?}");
    }
    assert_equal(&project.outputs(), &expected(&config));
    project.assert_sound();
}

#[test]
fn a_held_lease_names_its_holder_and_is_free_once_that_is_killed() {
    for point in ["claim.before:1", "begin.after:1", "publish.after:2", "commit.before:1"] {
        let project = Project::new(TINY);
        (0..ROUNDS).for_each(|round| feed(&project, round));
        let mut holder = hold(&project, point);
        let ended = project.command(&["run", "--format", "json"]).output().unwrap();
        let said = document(&ended);
        let pid = format!("pid {},", holder.id());
        let error = &said["errors"][0];
        assert_eq!(error["code"], "HW5001", "{point}: {said}");
        assert!(error["notes"].to_string().contains(&pid), "{point}: {said}");
        assert_eq!((code(&ended), &said["exit_code"]), (11, &Value::from(11)), "{point}: {said}");
        kill(&mut holder);
        run_well(&project, &["run"]);
        assert_equal(&project.outputs(), &expected(TINY));
        project.assert_sound();
    }
}

#[test]
fn a_request_to_a_held_pipeline_is_left_for_its_holder_or_the_next_run() {
    let project = Project::new(TINY);
    (0..ROUNDS).for_each(|round| feed(&project, round));
    run_well(&project, &["run"]);
    project.feed("more.parquet", &[(DAY_0 + 5, "more", 1)]);
    let mut holder = hold(&project, "compute.after:1");
    let reprocess = ["reprocess", "tiny", "--from", "2026-01-01", "--to", "2026-01-02", "--yes"];
    let (code, said) = project.json(&reprocess);
    assert_eq!(code, 0, "{said}");
    assert!(said["pipelines"][0]["left"].is_string(), "{said}");
    assert_eq!(files_below(project.path("_highwater/tiny/inbox")).len(), 1);
    kill(&mut holder);
    // No file is new, but something was asked.
    run_well(&project, &["run"]);
    assert_eq!(files_below(project.path("_highwater/tiny/inbox")), [""; 0]);
    let entries = project.entries("tiny");
    let asked: Vec<_> = entries.iter().filter(|entry| entry["kind"] == "request").collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(entries.iter().any(|entry| entry["kind"] == "request_done"));
    project.assert_sound();
    let count = project.entries("tiny").len();
    run_well(&project, &["run"]);
    assert_eq!(project.entries("tiny").len(), count, "nothing is asked twice");
}

#[test]
fn what_was_left_is_shown_and_can_be_withdrawn() {
    let project = Project::new(TINY);
    (0..ROUNDS).for_each(|round| feed(&project, round));
    run_well(&project, &["run"]);
    project.feed("more.parquet", &[(DAY_0 + 5, "more", 1)]);
    let mut holder = hold(&project, "compute.after:1");
    let ids: Vec<String> = ["one", "two"]
        .map(|why| {
            let range = ["--from", "2026-01-01", "--to", "2026-01-02"];
            let args = [&["reprocess", "tiny", "--yes", "--reason", why][..], &range[..]].concat();
            project.json(&args).1["pipelines"][0]["left"].as_str().unwrap().to_owned()
        })
        .into();
    let (code, shown) = project.json(&["requests"]);
    let shown = shown["requests"].as_array().unwrap();
    let told: Vec<_> =
        shown.iter().map(|left| (&left["id"], &left["state"], &left["why"])).collect();
    let left = Value::from("left");
    let expected = [
        (&ids[0].clone().into(), &left, &"one".into()),
        (&ids[1].clone().into(), &left, &"two".into()),
    ];
    assert_eq!((code, told), (0, expected.to_vec()), "{shown:?}");
    let text = project.command(&["requests"]).output().unwrap();
    assert!(String::from_utf8(text.stdout).unwrap().contains(&ids[0]));

    let cancel = ["requests", "tiny", "--cancel", &ids[0]];
    assert_eq!(project.json(&[&cancel[..], &["--dry-run"]].concat()).0, 0);
    assert_eq!(files_below(project.path("_highwater/tiny/inbox")).len(), 2);
    let (code, withdrawn) = project.json(&cancel);
    assert_eq!((code, &withdrawn["requests"][0]["state"]), (0, &"withdrawn".into()), "{withdrawn}");
    let (code, refused) = project.json(&cancel);
    assert_eq!((code, &refused["errors"][0]["code"]), (2, &"HW0001".into()), "{refused}");
    kill(&mut holder);

    // The other one is taken in, and is a request like any other from then on.
    crate::kill::kill_at(&project, &["run"], "inbox.taken:1");
    let (_, shown) = project.json(&["requests"]);
    let shown = shown["requests"].as_array().unwrap();
    assert_eq!((shown.len(), &shown[0]["state"]), (1, &"pending".into()), "{shown:?}");
    let (code, refused) = project.json(&["requests", "tiny", "--cancel", &ids[1]]);
    let hint = format!("--cancel {}", shown[0]["id"].as_str().unwrap());
    assert_eq!(code, 2, "{refused}");
    assert!(refused["errors"][0]["hint"].as_str().unwrap().contains(&hint), "{refused}");
    run_well(&project, &["run"]);
    let requests = project.entries("tiny").into_iter().filter(|entry| entry["kind"] == "request");
    assert_eq!(requests.map(|entry| entry["why"].clone()).collect::<Vec<_>>(), ["two"]);
    project.assert_sound();
}

#[test]
fn before_the_first_run_nothing_is_left() {
    let project = Project::new(TINY);
    for verb in ["requests", "lease"] {
        let (code, shown) = project.json(&[verb]);
        assert_eq!((code, &shown["errors"]), (0, &serde_json::json!([])), "{shown}");
    }
}

#[test]
fn an_output_that_another_state_owns_is_not_touched() {
    let project = Project::new(TINY);
    (0..ROUNDS).for_each(|round| feed(&project, round));
    run_well(&project, &["run"]);
    let (outputs, files) = (project.outputs(), files_below(project.path("out")));
    let own = files_below(project.path("_highwater"));

    // The same pipeline with another state, and another pipeline with the same one.
    let elsewhere = TINY.replace("root = \".\"", "root = \".\"\nstate = \"_elsewhere\"");
    for (config, state) in [
        (&elsewhere, "_elsewhere/tiny"),
        (&TINY.replace("pipeline.tiny", "pipeline.twin"), "_highwater/twin"),
    ] {
        std::fs::write(project.path("config.toml"), config).unwrap();
        project.feed("more.parquet", &[(DAY_0 + 5, "more", 1)]);
        for _ in 0..2 {
            let (code, said) = project.json(&["run"]);
            assert_eq!((code, &said["errors"][0]["code"]), (2, &Value::from("HW5012")), "{said}");
        }
        assert_equal(&project.outputs(), &outputs);
        assert_eq!(files_below(project.path("out")), files);
        assert!(files_below(project.path(state)).iter().all(|name| !name.contains("tmp/")));
    }
    let still: Vec<_> = files_below(project.path("_highwater"));
    assert_eq!(still.into_iter().filter(|name| name.starts_with("tiny")).collect::<Vec<_>>(), own);
    std::fs::write(project.path("config.toml"), TINY).unwrap();
    run_well(&project, &["run"]);
    project.assert_sound();
}
