//! `quarantine`: counted from the log, shown from committed objects alone, computed again.

use std::fs;

use serde_json::{Value, json};

use crate::judged::{ROWS, at};
use crate::kill::{hold, kill, run_well};
use crate::support::{Project, block_on, code};

/// `ROWS` with one more rule that puts rows aside, in a zone whose days are not those of UTC.
fn config() -> String {
    let rule = "[[pipeline.tiny.source.events.rule]]\nname = \"known\"\nexpect = \"key <> 'x'\"\n";
    let steps = "[[pipeline.tiny.step]]";
    ROWS.replace(steps, &format!("{rule}reason = \"nobody knows x\"\n\n{steps}"))
        .replace("size = \"1h\"", "size = \"1h\"\ntimezone = \"Europe/Berlin\"")
        .replace("{start:", "{start_utc:")
}

/// Six windows of one run each, so that the older ones have collapsed; five rows are aside.
fn done() -> Project {
    let project = Project::new(&config());
    let (a, b) = ([(at(0, 1), "a", 5), (at(0, 2), "x", 50)], [(at(0, 3), "x", 3)]);
    project.feed("a.parquet", &a);
    project.feed("b.parquet", &[&b[..], &[(at(0, 4), "c", 50), (at(0, 5), "a", 50)]].concat());
    project.run();
    for hour in [1, 3, 20, 23, 24] {
        let value = if hour >= 23 { 1 } else { 50 };
        let rows = [(at(hour, 0), "a", 50), (at(hour, 1), "a", value)];
        project.feed(&format!("{hour}.parquet"), &rows);
        project.run();
    }
    project.feed("end.parquet", &[(at(30, 0), "a", 1)]);
    project.run();
    project
}

#[track_caller]
fn ok(project: &Project, args: &[&str]) -> Value {
    let (code, told) = project.json(args);
    assert_eq!(code, 0, "{told}");
    told
}

/// Each group by the value of `name`, with its rows and windows.
fn groups(told: &Value, name: &str) -> Vec<(String, u64, u64)> {
    let groups = told["pipelines"][0]["groups"].as_array().unwrap().iter();
    let number = |group: &Value, name: &str| group[name].as_u64().unwrap();
    groups
        .map(|group| {
            let key = group[name].as_str().unwrap().to_owned();
            (key, number(group, "rows"), number(group, "windows"))
        })
        .collect()
}

fn told(key: &str, rows: u64, windows: u64) -> (String, u64, u64) {
    (key.to_owned(), rows, windows)
}

#[test]
fn rows_are_counted_by_rule_file_and_local_day_from_the_log_alone() {
    let project = done();
    let opened = project.open();
    let state = block_on(opened.log(&opened.spec.pipelines[0].name).open()).unwrap().unwrap().state;
    assert!(state.windows.stretches().count() > 0, "nothing has collapsed");
    // Nothing but the log is asked.
    for folder in ["in", "out", "quarantine"] {
        fs::rename(project.path(folder), project.path(&format!("{folder}-away"))).unwrap();
    }
    let list = |more: &[&str]| ok(&project, &[&["quarantine", "list"], more].concat());
    let by_rule = list(&[]);
    assert_eq!(groups(&by_rule, "rule"), [told("small", 4, 3), told("known", 1, 1)]);
    let pipeline = &by_rule["pipelines"][0];
    assert_eq!(pipeline["rows"], json!({"in": 15, "quarantined": 5}));
    assert_eq!(
        (&pipeline["windows"], &pipeline["groups"][0]["table"]),
        (&json!(3), &json!("events"))
    );
    assert_eq!(pipeline["groups"][0]["last"], "2026-01-02T00:00:00Z");
    let by_file = groups(&list(&["tiny", "--by", "file"]), "key");
    let mut files = [("a", 2), ("b", 1), ("23", 1), ("24", 1)]
        .map(|(name, rows)| told(&format!("{name}.parquet"), rows, 1));
    let mut by_file_sorted = by_file.clone();
    by_file_sorted.sort();
    files.sort();
    assert_eq!(by_file_sorted, files);
    assert_eq!(by_file[0].0, "a.parquet", "most first");
    // 23:00 UTC is the next day in Berlin.
    let by_day = groups(&list(&["--by", "day"]), "day");
    assert_eq!(by_day, [told("2026-01-01", 3, 1), told("2026-01-02", 2, 2)]);
    let range = ["--from", "2026-01-01T23:00:00Z", "--to", "2026-01-02T00:00:00Z"];
    assert_eq!(groups(&list(&range), "rule"), [told("small", 1, 1)]);
    assert_eq!(list(&range)["pipelines"][0]["rows"], json!({"in": 2, "quarantined": 1}));
    let text = project.command(&["quarantine", "list"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("tiny    5 of 15 rows quarantined, in 3 windows\nRULE"), "{text}");
}

#[test]
fn rows_are_shown_with_reason_origin_and_values() {
    let project = done();
    let show = |more: &[&str]| ok(&project, &[&["quarantine", "show", "tiny"], more].concat());
    let places = |told: &Value| -> Vec<(String, u64)> {
        let rows = told["rows"].as_array().unwrap().iter();
        let place = |row: &Value| (row["file"].as_str().unwrap().to_owned(), row["row"].as_u64());
        rows.map(place).map(|(file, row)| (file, row.unwrap())).collect()
    };
    let all = show(&[]);
    let place = |file: &str, row: u64| (format!("in/{file}.parquet"), row);
    let expected = [place("a", 0), place("a", 1), place("b", 0), place("23", 1), place("24", 1)];
    assert_eq!(places(&all), expected);
    assert_eq!((&all["more"], &all["in_doubt"]), (&json!(false), &json!([])));
    let expected = json!({
        "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z", "table": "events",
        "rule": "small", "rules": ["small", "known"], "reason": "the value is too small",
        "file": "in/b.parquet", "row": 0,
        "values": {"event_time": "2026-01-01T00:03:00", "key": "x", "value": 3},
    });
    assert_eq!(all["rows"][2], expected);
    assert_eq!(places(&show(&["--rule", "known"])), [place("a", 1)]);
    for name in ["b.parquet", "in/b.parquet"] {
        assert_eq!(places(&show(&["--file", name])), [place("b", 0)]);
    }
    assert_eq!(places(&show(&["--from", "2026-01-02T01"])), [place("24", 1)]);
    let cut = show(&["--limit", "2"]);
    assert_eq!((places(&cut).len(), &cut["more"]), (2, &json!(true)));
    assert_eq!(show(&["--limit", "5"])["more"], false);
    assert_eq!(show(&["--rule", "none"])["rows"], json!([]));
    let text = project.command(&["quarantine", "show", "tiny"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("key=x value=3") && text.contains("known: nobody knows x"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert_eq!(project.json(&["quarantine", "show", "tiny", "--limit", "0"]).0, 2);
}

#[test]
fn an_attempt_in_doubt_is_never_shown_as_committed() {
    let project = done();
    let show = || ok(&project, &["quarantine", "show", "tiny", "--to", "2026-01-01T02"]);
    let before = show();
    // A row more, and one that is mended.
    project.feed("a.parquet", &[(at(0, 1), "a", 55), (at(0, 2), "x", 50), (at(0, 6), "a", 7)]);
    let window = json!({"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z"});
    let in_doubt = |shown: bool| {
        let mut window = window.clone();
        window["shown"] = json!(shown);
        json!([window])
    };
    let mut run = hold(&project, "begin.after:1");
    let told = show();
    assert_eq!((&told["rows"], &told["in_doubt"]), (&before["rows"], &in_doubt(true)));
    kill(&mut run);
    // Both its objects are replaced; the commit never comes.
    let mut run = hold(&project, "commit.before:1");
    let told = show();
    assert_eq!((&told["rows"], &told["in_doubt"]), (&json!([]), &in_doubt(false)));
    let text = project.command(&["quarantine", "show", "tiny"]).output().unwrap();
    assert!(String::from_utf8(text.stdout).unwrap().contains("was begun and not committed"));
    let list = ok(&project, &["quarantine", "list"]);
    assert_eq!(list["pipelines"][0]["in_doubt"], json!([window]));
    kill(&mut run);
    run_well(&project, &["run"]);
    let told = show();
    assert_eq!((told["rows"].as_array().unwrap().len(), &told["in_doubt"]), (3, &json!([])));
    assert_eq!(told["rows"][1]["row"], 2);

    // What nobody announced is damage, and is not shown either.
    let path = project.path("quarantine/tiny/dt=2026-01-01/hr=00/events.parquet");
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (code, told) = project.json(&["quarantine", "show", "tiny"]);
    assert_eq!((code, &told["errors"][0]["code"]), (1, &json!("HW3001")), "{told}");
}

#[test]
fn windows_with_quarantined_rows_are_computed_again_and_no_other() {
    let mut project = done();
    let due = |told: &Value| -> Vec<String> {
        let windows = told["pipelines"][0]["windows"].as_array().unwrap().iter();
        windows.map(|due| due["start"].as_str().unwrap()[8..13].to_owned()).collect()
    };
    let retry = |more: &[&'static str]| [&["quarantine", "retry", "tiny"], more].concat();
    let dry = |more: &[&'static str]| due(&ok(&project, &[&retry(more)[..], &["-n"]].concat()));
    assert_eq!(dry(&[]), ["01T00", "01T23", "02T00"]);
    assert_eq!(dry(&["--rule", "known"]), ["01T00"]);
    assert_eq!(dry(&["--from", "2026-01-01T12"]), ["01T23", "02T00"]);
    let hour = ["--from", "2026-01-01T23:00:00Z", "--to", "2026-01-02T00:00:00Z"];
    assert_eq!(dry(&hour), ["01T23"]);
    assert_eq!(project.json(&retry(&[])).0, 2, "it does not replace anything unasked");
    let before = project.entries("tiny").len();
    let nothing = ok(&project, &retry(&["--rule", "none", "--yes"]));
    assert_eq!(nothing["pipelines"], json!([]));
    let said = project.command(&retry(&["--to", "2025-01-01", "--yes"])).output().unwrap();
    assert_eq!(code(&said), 0);
    assert!(String::from_utf8(said.stderr).unwrap().contains("nothing to retry"));
    assert_eq!(project.entries("tiny").len(), before, "it leaves no trace");

    // With a rule that lets them pass, the rows come back.
    project.configure(&config().replace("value >= 10", "value >= 2"));
    let done = ok(&project, &retry(&["--yes", "--reason", "was too strict"]));
    assert_eq!(done["pipelines"][0]["windows_done"], 3, "{done}");
    let requests = project.entries("tiny").into_iter().filter(|entry| entry["kind"] == "request");
    let requests: Vec<Value> = requests.collect();
    assert_eq!((requests.len(), &requests[0]["why"]), (1, &json!("was too strict")));
    let within = &requests[0]["within"];
    assert_eq!(within[0], json!({"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z"}));
    let list = ok(&project, &["quarantine", "list"]);
    assert_eq!(groups(&list, "rule"), [told("known", 2, 1), told("small", 2, 2)]);
    project.assert_sound();
}
