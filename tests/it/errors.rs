//! What bad input gets (issue item 9): each through the real binary, as text and as a document.

mod others;
mod secrets;
mod sql;

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use highwater::hash::Sha256;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::support::{DAY_0, HOUR, Project, TINY, code, document, files_below, write_rows};

/// Two hours of rows and one row of a third, so that two windows are closed.
fn fed(config: &str) -> Project {
    let project = Project::new(TINY);
    let rows = [(DAY_0, "a", 1), (DAY_0 + HOUR, "b", 60), (DAY_0 + 2 * HOUR, "c", 3)];
    project.feed("one.parquet", &rows);
    fs::write(project.path("config.toml"), config).unwrap();
    project
}

/// The same after a run that went well.
fn done() -> Project {
    let project = fed(TINY);
    let ended = project.command(&["run"]).output().unwrap();
    assert_eq!(code(&ended), 0, "{ended:?}");
    project
}

/// `TINY` with another piece of text.
fn with(old: &str, new: &str) -> String {
    assert!(TINY.contains(old), "{old}");
    TINY.replace(old, new)
}

/// What a user and a machine are told when `args` fail with `exit_code` and `name`: nothing else is
/// on stdout than one document, and no error is a panic or speaks of our insides.
#[track_caller]
fn refused(project: &Project, args: &[&str], exit_code: i32, name: &str) -> Told {
    let text = project.command(args).output().unwrap();
    let machine = project.command(args).args(["--format", "json", "-v"]).output().unwrap();
    told(&text, &machine, exit_code, name)
}

#[track_caller]
fn told(text: &Output, machine: &Output, exit_code: i32, name: &str) -> Told {
    let people = String::from_utf8(text.stderr.clone()).unwrap();
    assert_eq!((code(text), code(machine)), (exit_code, exit_code), "{people}");
    assert!(people.contains(name), "{people}");
    for inside in
        ["panicked", "backtrace", "RUST_BACKTRACE", "Error during planning", "Parquet error"]
    {
        assert!(!people.contains(inside), "{inside}: {people}");
    }
    let document = document(machine);
    let failures = document["pipelines"].as_array().into_iter().flatten();
    let failures =
        failures.flat_map(|pipeline| pipeline["failures"].as_array().into_iter().flatten());
    let errors = document["errors"].as_array().unwrap().iter().chain(failures);
    let error = errors.into_iter().find(|error| error["code"] == name).cloned();
    let error = error.unwrap_or_else(|| panic!("{name} is not in {document}"));
    assert!(!error["message"].as_str().unwrap().is_empty());
    if let Some(stated) = document.get("exit_code") {
        assert_eq!(*stated, exit_code);
    }
    let people = people + &String::from_utf8(text.stdout.clone()).unwrap();
    Told { people, error }
}

struct Told {
    people: String,
    error: Value,
}

impl Told {
    /// The message says `part`.
    #[track_caller]
    fn says(self, part: &str) -> Self {
        assert!(self.error["message"].as_str().unwrap().contains(part), "{}", self.error);
        self
    }

    /// The hint says `part`: what gets further.
    #[track_caller]
    fn helps(self, part: &str) -> Self {
        assert!(self.error["hint"].as_str().unwrap_or_default().contains(part), "{}", self.error);
        assert!(self.people.contains(part), "{}", self.people);
        self
    }

    /// A note says `part`: what now stands.
    #[track_caller]
    fn notes(self, part: &str) -> Self {
        let notes = self.error["notes"].as_array().unwrap();
        assert!(notes.iter().any(|note| note.as_str().unwrap().contains(part)), "{}", self.error);
        self
    }

    /// It points at `line` and `column` of `file`.
    #[track_caller]
    fn at(self, file: &str, line: u64, column: u64) -> Self {
        let at = &self.error["at"];
        assert_eq!((&at["line"], &at["column"]), (&line.into(), &column.into()), "{}", self.error);
        assert_eq!(at["file"], file);
        assert!(self.people.contains(&format!("{file}:{line}:{column}")), "{}", self.people);
        self
    }
}

/// Line and column of `word` in `text`, from 1.
fn place(text: &str, word: &str) -> (u64, u64) {
    let before = &text[..text.find(word).unwrap()];
    let column = before.chars().rev().take_while(|character| *character != '\n').count();
    (before.matches('\n').count() as u64 + 1, column as u64 + 1)
}

#[test]
fn a_missing_source_folder() {
    let project = done();
    let before = project.outputs();
    fs::rename(project.path("in"), project.path("elsewhere")).unwrap();
    refused(&project, &["run"], 5, "HW6002")
        .says("source events: folder in does not exist")
        .notes("outputs stand")
        .helps("correct `path`");
    assert_eq!(project.outputs(), before);
}

#[test]
fn a_source_that_had_files_and_has_none() {
    let project = done();
    fs::remove_file(project.path("in/one.parquet")).unwrap();
    refused(&project, &["run"], 5, "HW6002").says("lists none now").helps("mounted");
    project.assert_sound();
}

#[test]
fn no_event_time_column() {
    let project = fed(&with(r#"event_time = "event_time""#, r#"event_time = "event_tim""#));
    refused(&project, &["run"], 2, "HW3002")
        .says("in/one.parquet has no event-time column `event_tim`")
        .notes("event_time, key, value")
        .helps("`event_time`");
    assert!(project.outputs().is_empty());
}

#[test]
fn an_event_time_that_is_no_time() {
    let project = fed(&with(r#"event_time = "event_time""#, r#"event_time = "value""#));
    refused(&project, &["run"], 2, "HW3003")
        .says("event-time column `value` of in/one.parquet has type Int64")
        .helps("`event_time_unit`");
    let key = "event_time = \"key\"\non_null_time = \"fail\"";
    let project = fed(&with(r#"event_time = "event_time""#, key));
    refused(&project, &["run"], 4, "HW4003")
        .says("3 rows of in/one.parquet have no usable event time")
        .notes("3 have none")
        .helps("on_null_time");
}

#[test]
fn many_files_with_one_mistake_are_not_told_one_by_one() {
    let project = fed(&with(r#"event_time = "event_time""#, r#"event_time = "nope""#));
    for number in 0..9 {
        let more = project.path(&format!("in/more-{number}.parquet"));
        write_rows(&more, &[(DAY_0, "a", 1)]);
    }
    let ended = project.command(&["run"]).output().unwrap();
    let people = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(people.matches("error[HW3002]").count(), 3, "{people}");
    assert!(people.contains("7 more errors HW3002; -v shows all"), "{people}");
    let (_, document) = project.json(&["run"]);
    assert_eq!(document["errors"].as_array().unwrap().len(), 10);
}

#[test]
fn a_file_that_is_cut_short_empty_or_something_else() {
    let whole = {
        let project = fed(TINY);
        fs::read(project.path("in/one.parquet")).unwrap()
    };
    let cut = &whole[..whole.len() - 20];
    for (bytes, what) in [
        (cut, "cut short"),
        (&[], "it is empty"),
        (&b"a,b\n1,2\n, and so on\n"[..], "something else"),
    ] {
        let project = done();
        let before = project.outputs();
        fs::write(project.path("in/two.parquet"), bytes).unwrap();
        refused(&project, &["run"], 1, "HW3001")
            .says("cannot read in/two.parquet")
            .says(what)
            .notes("committed windows stand")
            .helps("run `highwater run`");
        let (_, status) = project.json(&["status"]);
        assert_eq!(status["pipelines"][0]["state"], "held");
        assert_eq!(project.outputs(), before);

        project.feed("two.parquet", &[(DAY_0 + 5 * HOUR, "z", 1)]);
        assert_eq!(project.json(&["run"]).0, 0);
        project.assert_sound();
    }
}

#[test]
fn a_file_with_damaged_pages() {
    let project = done();
    let before = project.outputs();
    let path = project.path("in/one.parquet");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4..200].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    refused(&project, &["run"], 1, "HW3001").says("cannot read in/one.parquet");
    assert_eq!(project.outputs(), before);
}

#[test]
fn storage_that_may_not_be_written() {
    // The tests may be root, whom no permission stops: so as somebody who is not.
    let project = done();
    let before = project.outputs();
    project.feed("two.parquet", &[(DAY_0 + 5 * HOUR, "z", 1)]);
    for name in files_below(project.path("")) {
        fs::set_permissions(project.path(&name), Permissions::from_mode(0o644)).unwrap();
        // State is for its owner only: here anybody may look.
        let folder = project.path(&name).parent().unwrap().to_owned();
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(project.path("_highwater/tiny"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(project.path(""), Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |format: &str| {
        let binary = project.path("highwater");
        if !binary.exists() {
            fs::copy(env!("CARGO_BIN_EXE_highwater"), &binary).unwrap();
            fs::set_permissions(&binary, Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
        command.args(["run", "--format", format]).current_dir(project.path(""));
        command.output()
    };
    let Ok(text) = as_nobody("text") else { return };
    if text.stderr.starts_with(b"setpriv") {
        // Not root: nobody else can be asked to try.
        return;
    }
    told(&text, &as_nobody("json").unwrap(), 5, "HW6003").says("Permission denied").says("lock");
    assert_eq!(project.outputs(), before);
}

#[test]
fn a_full_disk() {
    let project = done();
    let before = project.outputs();
    project.feed("two.parquet", &[(DAY_0 + 5 * HOUR, "z", 1)]);
    // No file may grow beyond a kilobyte: less than an object, more than most entries of the log.
    let limited = |format: &str| {
        let script = "ulimit -f 2; trap '' XFSZ; exec \"$0\" run --format \"$1\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_highwater"), format]);
        command.current_dir(project.path("")).output().unwrap()
    };
    let told = told(&limited("text"), &limited("json"), 5, "HW6004");
    told.says("cannot stage out/").helps("make room and run `highwater run` again");
    assert_eq!(project.outputs(), before);

    assert_eq!(project.json(&["run"]).0, 0);
    project.assert_sound();
    assert!(project.outputs().len() > before.len());
}

#[test]
fn an_unknown_pipeline() {
    let project = fed(TINY);
    for args in [
        &["run", "tiney"][..],
        &["plan", "tiney"],
        &["status", "tiney"],
        &["verify", "tiney"],
        &["history", "tiney"],
        &["requests", "tiney"],
        &["backfill", "tiney", "--from", "2026-01-01", "--to", "2026-01-02"],
    ] {
        refused(&project, args, 2, "HW0004").says("`tiney`").notes("tiny").helps("`tiny`?");
    }
}

#[test]
fn times_that_are_no_times() {
    let project = fed(TINY);
    for verb in ["backfill", "reprocess", "skip"] {
        let reason = ["--reason", "x"];
        let args = [verb, "tiny", "--from", "yesterday", "--to", "2026-01-02"];
        refused(&project, &[&args[..], &reason].concat(), 2, "HW0001")
            .says("--from is not a time: `yesterday`")
            .helps("RFC 3339");
        let args = [verb, "tiny", "--from", "2026-01-02", "--to", "2026-01-02"];
        refused(&project, &[&args[..], &reason].concat(), 2, "HW0001")
            .says("is not before --to")
            .helps("--to exclusive");
    }
}

#[test]
fn a_command_line_that_cannot_be_read() {
    let project = fed(TINY);
    for args in [&["runn"][..], &["run", "--now"], &["history"], &[][..]] {
        let ended = project.command(args).args(["--format=json"]).output().unwrap();
        assert_eq!(code(&ended), 2);
        assert_eq!(document(&ended)["errors"][0]["code"], "HW0001");
    }
    let ended = project.command(&["runn"]).output().unwrap();
    assert!(ended.stdout.is_empty());
    assert!(
        String::from_utf8(ended.stderr).unwrap().contains("a similar subcommand exists: 'run'")
    );
}

#[test]
fn a_damaged_log() {
    // No checkpoint is due yet: commands read the log from its beginning.
    let project = fed(TINY);
    assert!(project.command(&["run"]).env_remove("HIGHWATER_PACE").status().unwrap().success());
    let before = project.outputs();
    let name = "_highwater/tiny/log/00000000000000000003.json";
    let mut file = OpenOptions::new().append(true).open(project.path(name)).unwrap();
    file.write_all(b" ").unwrap();
    for args in [&["run"][..], &["plan"], &["status"], &["verify"], &["history", "tiny"]] {
        refused(&project, args, 6, "HW5010")
            .says(name)
            .notes("outputs stand")
            .helps("restore this file from a backup");
    }
    assert_eq!(project.outputs(), before);
}

#[test]
fn a_log_of_a_newer_version() {
    let project = done();
    let last = project.entries("tiny").len() - 1;
    let name = format!("_highwater/tiny/log/{last:020}.json");
    // As a newer version would write it: with a sound trailer.
    let text = fs::read_to_string(project.path(&name)).unwrap();
    let body = text.lines().next().unwrap().replacen("\"v\":1", "\"v\":2", 1);
    let hash = Sha256::of(body.as_bytes()).to_string();
    let trailer = text.lines().nth(1).unwrap();
    let mut trailer: Value = serde_json::from_str(trailer).unwrap();
    trailer["sha256"] = hash.into();
    trailer["len"] = body.len().into();
    fs::write(project.path(&name), format!("{body}\n{trailer}\n")).unwrap();
    refused(&project, &["run"], 6, "HW5011").says(&name).says("newer version").helps("newer one");
}

#[test]
fn a_lease_that_somebody_holds() {
    let project = done();
    let before = project.outputs();
    project.feed("two.parquet", &[(DAY_0 + 5 * HOUR, "z", 1)]);
    let lock = OpenOptions::new().write(true).open(project.path("_highwater/tiny/lock")).unwrap();
    lock.lock().unwrap();
    refused(&project, &["run"], 11, "HW5001")
        .says("is being written by another run")
        .notes("pid")
        .helps("wait for it");
    assert_eq!(project.outputs(), before);
    // Whoever only looks needs no lease.
    assert_eq!(project.json(&["plan"]).0, 0);
    drop(lock);
    assert_eq!(project.json(&["run"]).0, 0);
}

#[test]
fn no_configuration() {
    let project = fed(TINY);
    fs::remove_file(project.path("config.toml")).unwrap();
    refused(&project, &["run"], 2, "HW1000").says("no config.toml").helps("--config");
    refused(&project, &["run", "-c", "other.toml"], 2, "HW1000").says("other.toml");
}

#[test]
fn a_wrong_configuration() {
    let config = with("[pipeline.tiny.window]", "[pipeline.tiny.windw]");
    let (line, column) = place(&config, "windw");
    refused(&fed(&config), &["status"], 2, "HW1002")
        .says("unknown key `windw`")
        .at("config.toml", line, column)
        .helps("`window`");
    let config = with(r#"size = "1h""#, r#"size = "7h""#);
    refused(&fed(&config), &["run"], 2, "HW1010").says("7h");
    let ended = fed(TINY).command(&["run"]).env("HIGHWATER__ENGINE__THREADS", "many").output();
    assert!(
        String::from_utf8(ended.unwrap().stderr).unwrap().contains("HIGHWATER__ENGINE__THREADS")
    );
}

#[test]
fn another_shape_than_before() {
    let project = done();
    fs::write(project.path("config.toml"), with(r#"size = "1h""#, r#"size = "30m""#)).unwrap();
    // The templates name no minutes: caught before anything is read.
    refused(&project, &["run"], 2, "HW1012");
    let zone = with(r#"size = "1h""#, "size = \"1h\"\ntimezone = \"Etc/GMT-9\"");
    fs::write(project.path("config.toml"), zone).unwrap();
    refused(&project, &["run"], 2, "HW5013").says("another shape").helps("highwater retire tiny");
    // Rows were counted by the event time: read otherwise, they lie in other windows.
    let event_time = r#"event_time = "event_time""#;
    let event_zone = format!("{event_time}\nevent_timezone = \"Asia/Tokyo\"");
    fs::write(project.path("config.toml"), with(event_time, &event_zone)).unwrap();
    refused(&project, &["run"], 2, "HW5013");
    let (_, status) = project.json(&["status"]);
    assert_eq!(status["errors"][0]["code"], "HW5013");
}

#[test]
fn an_input_that_is_gone() {
    let project = done();
    project.feed("two.parquet", &[(DAY_0 + 3 * HOUR, "z", 1)]);
    assert_eq!(project.json(&["run"]).0, 0);
    let before = project.outputs();
    fs::remove_file(project.path("in/one.parquet")).unwrap();
    assert_eq!(project.json(&["run"]).0, 0, "what vanished makes nothing due");
    let args = ["reprocess", "tiny", "--from", "2026-01-01", "--to", "2026-01-02", "--yes"];
    refused(&project, &args, 4, "HW3006")
        .says("in/one.parquet is gone")
        .helps("on_removed = \"recompute\"");
    assert_eq!(project.outputs(), before);
}

#[test]
fn reprocess_without_a_terminal_and_without_yes() {
    let project = done();
    let (entries, before) = (project.entries("tiny").len(), project.outputs());
    let args = ["reprocess", "tiny", "--from", "2026-01-01", "--to", "2026-01-02"];
    refused(&project, &args, 2, "HW0003").says("no terminal to ask on").helps("--yes");
    assert_eq!((project.entries("tiny").len(), project.outputs()), (entries, before));
}
