//! Streams that cannot be written, odd things in the way, and commands that have nothing to do.

use super::*;

#[test]
fn stdout_that_nobody_reads() {
    let project = fed(TINY);
    let mut command = project.command(&["plan", "--format", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(code(&ended), 0);
    assert!(ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn stdout_that_cannot_be_written() {
    let project = done();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    for args in [
        &["manifest", "tiny"][..],
        &["status"],
        &["verify"],
        &["plan"],
        &["run"],
        &["run", "--format", "json"],
        &["run", "--format", "jsonl"],
        &["--help"],
    ] {
        let ended = project.command(args).stdout(full()).output().unwrap();
        let said = String::from_utf8(ended.stderr.clone()).unwrap();
        assert_eq!(code(&ended), 5, "{args:?}: {said}");
        assert!(said.contains("HW6010") && said.contains("No space left"), "{args:?}: {said}");
    }
    // What is worse stays so.
    let name = "_highwater/tiny/log/00000000000000000001.json";
    fs::write(project.path(name), "not an entry").unwrap();
    fs::remove_dir_all(project.path("_highwater/tiny/ckpt")).ok();
    let args = ["verify", "--format", "json"];
    assert_eq!(code(&project.command(&args).stdout(full()).output().unwrap()), 6);
}

#[test]
fn links_that_lead_nowhere_and_folders_in_place_of_files() {
    let project = fed(TINY);
    let link = project.path("in/gone.parquet");
    std::os::unix::fs::symlink("nowhere.parquet", &link).unwrap();
    refused(&project, &["run"], 5, "HW6010")
        .says("in/gone.parquet is a link to nowhere.parquet, which is not there")
        .helps("remove the link");
    fs::remove_file(link).unwrap();
    fs::create_dir_all(project.path("out/totals/dt=2026-01-01/hour=00/data.parquet")).unwrap();
    refused(&project, &["run"], 5, "HW6010")
        .says("is not a file")
        .helps("mend what the message names");
}

#[test]
fn a_rollback_of_no_windows() {
    let project = done();
    let ended = project.command(&["rollback", "tiny"]).output().unwrap();
    let said = String::from_utf8(ended.stderr.clone()).unwrap();
    assert_eq!(code(&ended), 2, "{said}");
    assert!(said.contains("--from <TIME>") && said.contains("--window <TIME>"), "{said}");
    for args in [
        &["--to", "2026-01-02"][..],
        &["--from", "2026-01-01"],
        &["--window", "2026-01-01", "--from", "2026-01-01", "--to", "2026-01-02"],
    ] {
        assert_eq!(project.json(&[&["rollback", "tiny"], args].concat()).0, 2, "{args:?}");
    }
}

#[test]
fn a_lease_that_cannot_be_taken_away() {
    let project = done();
    project.feed("two.parquet", &[(DAY_0 + 5 * HOUR, "z", 1)]);
    let mut holder = crate::kill::hold(&project, "begin.after:1");
    refused(&project, &["lease", "tiny", "--release", "--yes"], 11, "HW5001")
        .notes("on local disk")
        .helps("wait for it");
    crate::kill::kill(&mut holder);
}

#[test]
fn an_input_that_never_could_be_read_and_is_gone() {
    let project = fed(TINY);
    project.feed("two.parquet", &[(DAY_0 + 2 * HOUR, "b", 60), (DAY_0 + 4 * HOUR, "b", 61)]);
    let two = project.path("in/two.parquet");
    // Nobody needs `value` to admit the file.
    let read = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&two).unwrap()).unwrap();
    let (start, len) = read.metadata().row_group(0).column(2).byte_range();
    let mut bytes = fs::read(&two).unwrap();
    let start = usize::try_from(start).unwrap();
    bytes[start..start + usize::try_from(len).unwrap()].fill(0xff);
    fs::write(&two, bytes).unwrap();
    let (_, run) = project.json(&["run"]);
    assert_eq!(run["pipelines"][0]["failures"][0]["code"], "HW3001", "{run}");

    fs::remove_file(&two).unwrap();
    refused(&project, &["run"], 4, "HW3006")
        .says("in/two.parquet is gone")
        .helps("if it is gone for good, set `on_removed = \"recompute\"`");
    let recompute = "event_time = \"event_time\"\non_removed = \"recompute\"";
    fs::write(project.path("config.toml"), with("event_time = \"event_time\"", recompute)).unwrap();
    assert_eq!(project.json(&["run"]).0, 0);
    project.assert_sound();
}
