//! `verify --balance`: every row is in one place, and books that were cooked are found.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use highwater::hash::Sha256;
use highwater::ledger::{self, FileRecord};
use highwater::report::{Problem, ProblemKind};
use highwater::run::{Depth, Extent, verify_pipeline};
use highwater::state::{Body, CommittedWindow, Entry, codec};
use highwater::time::EventTime;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::judged::model::{Model, Variant, random_rows};
use crate::judged::{ROWS, at};
use crate::kill::{FUTURE, kill_at, run_well};
use crate::support::{DAY_0, Dice, HOUR, Project, assert_good, block_on, each, files_below};

/// How many histories are tried.
const HISTORIES: u64 = 60;

/// The places of rows, and how many are there.
type Sums = Vec<(&'static str, u64)>;

/// What is wrong with the books, and where the rows are: files, rows, and each place with any.
fn balance(project: &Project) -> (Vec<Problem>, Sums) {
    balance_of(project, 0)
}

/// The same of the pipeline at `place`.
fn balance_of(project: &Project, place: usize) -> (Vec<Problem>, Sums) {
    let opened = project.open();
    let spec = &opened.spec.pipelines[place];
    let found = block_on(verify_pipeline(&opened, spec, &Extent::all(Depth::Balance))).unwrap();
    assert!(found.is_complete);
    let sums = found.balance.unwrap();
    let places = sums.parts().into_iter().filter(|(_, rows)| *rows > 0);
    let sums = [("files", sums.files), ("rows", sums.rows)].into_iter().chain(places).collect();
    (found.problems, sums)
}

/// `ROWS` where windows and rows can be in every place there is.
pub(crate) fn everywhere() -> String {
    let time = "event_time = \"event_time\"\n";
    let more = "on_null_time = \"drop\"\nallowed_lateness = \"2h\"\non_expired = \"drop\"\n";
    let rule = "[[pipeline.tiny.source.events.rule]]\nname = \"no f\"\nexpect = \"key <> 'f'\"\n";
    let steps = "[[pipeline.tiny.step]]";
    ROWS.replace(time, &format!("{time}{more}dedup = {{ keys = [\"key\", \"value\"] }}\n"))
        .replace(steps, &format!("{rule}on_violation = \"fail\"\n\n{steps}"))
        .replace("size = \"1h\"", "size = \"1h\"\nbegin = \"2026-01-01T01:00:00Z\"")
}

/// A file with a row without a time, one in the year 2100, and one of hour 1.
pub(crate) fn write_odd_times(project: &Project, name: &str) {
    let times = [None, Some(DAY_0 + 74 * 366 * 24 * HOUR), Some(at(1, 30))];
    let columns: [(&str, ArrayRef); 3] = [
        ("event_time", Arc::new(TimestampMicrosecondArray::from(times.to_vec()))),
        ("key", Arc::new(StringArray::from(vec!["o"; 3]))),
        ("value", Arc::new(Int64Array::from(vec![11, 12, 13]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(project.path("in").join(name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A project whose rows are in every place but for those that rows leave again.
pub(crate) fn scattered() -> Project {
    let project = Project::new(&everywhere());
    write_odd_times(&project, "odd.parquet");
    let first = [(at(0, 1), "a", 20), (at(1, 1), "a", 21), (at(2, 1), "a", 5), (at(3, 1), "c", 22)];
    let then = [(at(4, 1), "a", 23), (at(4, 2), "a", 23), (at(6, 1), "a", 24)];
    project.feed("a.parquet", &[&first[..], &then].concat());
    project.run();
    // By now hour 1 is too long ago, and hour 4 is not.
    project.feed("late.parquet", &[(at(1, 2), "l", 30), (at(4, 3), "l", 31)]);
    project.run();
    project
}

#[test]
fn every_place_is_counted_and_they_add_up() {
    let project = scattered();
    let committed = [("used", 4), ("quarantined", 1), ("dropped", 1), ("duplicate", 1)];
    let outside = [("before_begin", 1), ("expired", 1), ("null_time", 1), ("future", 1)];
    let with = |rows: u64, committed: &[(&'static str, u64)], more: &[(&'static str, u64)]| {
        [&[("files", 3), ("rows", rows)], committed, more, &outside].concat()
    };
    assert_eq!(balance(&project), (vec![], with(12, &committed, &[("open", 1)])));

    // Admitted, and a window begun: it waits for the next run.
    project.feed("late.parquet", &[(at(1, 2), "l", 30), (at(4, 3), "l", 31), (at(4, 4), "m", 32)]);
    kill_at(&project, &["run"], "begin.after:1");
    let fewer = [("used", 2), ("quarantined", 1), ("dropped", 1)];
    let waits = [("open", 1), ("pending", 4)];
    assert_eq!(balance(&project), (vec![], with(13, &fewer, &waits)));
    project.run();
    let all = [("used", 5), ("quarantined", 1), ("dropped", 1), ("duplicate", 1)];
    assert_eq!(balance(&project), (vec![], with(13, &all, &[("open", 1)])));

    // The revision before knew one row less.
    run_well(&project, &["rollback", "tiny", "--window", "2026-01-01T04", "--yes"]);
    let back = [("open", 1), ("restored", 4)];
    assert_eq!(balance(&project), (vec![], with(13, &fewer, &back)));
    let args = ["reprocess", "tiny", "--from", "2026-01-01T04", "--to", "2026-01-01T05", "--yes"];
    run_well(&project, &args);

    // A window that fails, and is skipped.
    project.feed("fails.parquet", &[(at(6, 2), "f", 40), (at(7, 0), "a", 41)]);
    assert_eq!(project.json(&["run"]).0, 4);
    let sums = balance(&project);
    assert!(sums.0.is_empty() && sums.1.contains(&("pending", 2)), "{sums:?}");
    let args =
        ["skip", "tiny", "--from", "2026-01-01T06", "--to", "2026-01-01T07", "--reason", "f"];
    run_well(&project, &args);
    let sums = balance(&project);
    assert!(sums.0.is_empty() && sums.1.contains(&("skipped", 2)), "{sums:?}");

    // A backfill takes in what lies before begin; a file that is gone stays counted.
    let args = ["backfill", "tiny", "--from", "2026-01-01", "--to", "2026-01-01T01"];
    run_well(&project, &args);
    fs::remove_file(project.path("in/late.parquet")).unwrap();
    let (problems, sums) = balance(&project);
    assert_eq!(problems, []);
    let expected = [
        ("files", 4),
        ("rows", 15),
        ("used", 6),
        ("quarantined", 1),
        ("dropped", 1),
        ("duplicate", 1),
        ("open", 1),
        ("skipped", 2),
        ("expired", 1),
        ("null_time", 1),
        ("future", 1),
    ];
    assert_eq!(sums, expected);
}

#[test]
fn the_command_tells_the_sums() {
    let project = scattered();
    let (code, told) = project.json(&["verify", "--balance"]);
    assert_eq!((code, &told["ok"]), (0, &json!(true)), "{told}");
    let expected = json!({
        "files": 3, "rows": 12, "used": 4, "quarantined": 1, "dropped": 1, "duplicate": 1,
        "open": 1, "pending": 0, "skipped": 0, "restored": 0, "before_begin": 1, "expired": 1,
        "null_time": 1, "future": 1,
    });
    assert_eq!(told["balance"], expected);
    let text = project.command(&["verify", "--balance"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("Checked 4 windows, 1 object and"), "{text}");
    assert!(text.contains("12 rows in 3 files; each is in one place:\n  used"), "{text}");
    assert!(text.contains("  before begin  1\n"), "{text}");
    assert_eq!(project.json(&["verify"]).1["balance"], Value::Null);
    for wrong in [["--full", ""], ["--from", "2026-01-01"]] {
        let args =
            ["verify", "--balance"].into_iter().chain(wrong.into_iter().filter(|s| !s.is_empty()));
        assert_eq!(project.json(&args.collect::<Vec<_>>()).0, 2, "{wrong:?}");
    }
}

/// Writes the log anew, as `cook` changes it: every hash is right, and no checkpoint is left.
pub(crate) fn cook(project: &Project, pipeline: &str, mut cook: impl FnMut(&mut Entry)) {
    let _ = fs::remove_dir_all(project.path(&format!("_highwater/{pipeline}/ckpt")));
    let folder = project.path(&format!("_highwater/{pipeline}/log"));
    let mut prev = Sha256::ZERO;
    for name in files_below(&folder) {
        let (mut entry, _) = codec::decode(&fs::read(folder.join(&name)).unwrap()).unwrap();
        cook(&mut entry);
        entry.prev = prev;
        let encoded = codec::encode(&entry).unwrap();
        prev = encoded.hash;
        fs::write(folder.join(&name), encoded.bytes).unwrap();
    }
}

/// Changes every commit of the window at `hour`.
fn cook_window(project: &Project, hour: i64, change: impl FnMut(&mut CommittedWindow)) {
    cook_window_of(project, "tiny", hour, change);
}

fn cook_window_of(
    project: &Project,
    pipeline: &str,
    hour: i64,
    mut change: impl FnMut(&mut CommittedWindow),
) {
    cook(project, pipeline, |entry| {
        let Body::Commit(commit) = &mut entry.body else { return };
        let windows = commit.windows.iter_mut();
        windows.filter(|window| window.start.micros() == at(hour, 0)).for_each(&mut change);
    });
}

/// Changes the records of the file `key`.
fn cook_ledger(project: &Project, key: &str, change: impl Fn(&mut FileRecord)) {
    cook_ledger_of(project, "tiny", key, change);
}

fn cook_ledger_of(project: &Project, pipeline: &str, key: &str, change: impl Fn(&mut FileRecord)) {
    let state = project.path("_highwater").join(pipeline);
    cook(project, pipeline, |entry| {
        let Body::Inputs(inputs) = &mut entry.body else { return };
        let path: PathBuf = state.join(&inputs.segment.key);
        let mut records = ledger::decode(&fs::read(&path).unwrap()).unwrap();
        let of_key = records.iter_mut().map(|known| &mut known.record);
        of_key.filter(|record| record.id.key == key).for_each(&change);
        let stored: Vec<_> =
            records.iter().map(|known| (known.generation, &known.record)).collect();
        let bytes = ledger::encode(&stored).unwrap();
        inputs.segment.len = bytes.len() as u64;
        inputs.segment.sha256 = Sha256::of(&bytes);
        fs::write(path, bytes).unwrap();
    });
}

/// One more row in the cell of `hour`.
fn one_more(record: &mut FileRecord, hour: i64) {
    let cell = record.cells.iter_mut().find(|(start, _)| start.micros() == at(hour, 0));
    cell.unwrap().1 += 1;
    record.rows += 1;
}

#[test]
fn cooked_books_are_found() {
    type Deed = fn(&Project);
    let deeds: [(&str, &str, Deed); 7] = [
        ("its rows", "the ledger has 2 rows of it, its commit 3", |project| {
            cook_window(project, 1, |window| {
                window.rows.input += 1;
                window.rows.used += 1;
            });
        }),
        ("in/b.parquet", "the ledger has 0 rows of it in the window, its commit 1", |project| {
            cook_window(project, 2, |window| window.balance.files[0].key = "b.parquet".into());
        }),
        ("quarantine/", "it has 1 quarantined rows, the balance says 0", |project| {
            cook_window(project, 2, |window| window.balance.rules[0].table = "other".into());
        }),
        ("quarantine/", "it has 1 rows, the log says 2", |project| {
            cook_window(project, 2, |window| {
                let aside = |name: &str| name.starts_with("quarantine.");
                window
                    .outputs
                    .iter_mut()
                    .filter(|one| aside(&one.name))
                    .for_each(|one| one.rows += 1);
            });
        }),
        ("in/a.parquet", "its footer has 8 rows, and its windows 7", |project| {
            cook_ledger(project, "a.parquet", |record| record.rows += 1);
        }),
        ("in/a.parquet", "its footer has 7 rows, the ledger has 8", |project| {
            // Ledger and log agree, and the file knows better.
            cook_ledger(project, "a.parquet", |record| one_more(record, 1));
            cook_window(project, 1, |window| {
                window.rows.input += 1;
                window.rows.used += 1;
            });
        }),
        ("in/a.parquet", "it has 1 rows in a window that is committed as empty", |project| {
            cook_ledger(project, "a.parquet", |record| {
                let start = "2026-01-01T05:00:00Z".parse().unwrap();
                let place = record.cells.partition_point(|(at, _)| *at < start);
                record.cells.insert(place, (start, 1));
                record.rows += 1;
            });
        }),
    ];
    for (path, message, deed) in deeds {
        let project = scattered();
        deed(&project);
        let (problems, _) = balance(&project);
        let is_it = |found: &&Problem| found.path.starts_with(path) && found.message == message;
        assert!(problems.iter().any(|found| is_it(&found)), "{path}: {message}: {problems:#?}");
        assert!(problems.iter().all(|found| found.kind == ProblemKind::Balance));
        let (code, told) = project.json(&["verify", "--balance"]);
        assert_eq!((code, &told["problems"][0]["kind"]), (1, &json!("balance")));
    }
}

/// A pipeline that reads the rows of `tiny`.
pub(crate) const CHAINED: &str = r#"
[pipeline.counts.window]
size = "1h"

[pipeline.counts.source.rows]
pipeline = "tiny"

[[pipeline.counts.step]]
name = "counts"
sql = "SELECT count(*) AS n FROM rows"

[pipeline.counts.output.counts]
path = "out/counts/dt={start:%Y-%m-%d}/hour={start:%H}"
"#;

#[test]
fn a_chain_is_held_against_what_was_committed_upstream() {
    let project = Project::new(&format!("{ROWS}{CHAINED}"));
    project.feed("a.parquet", &[(at(0, 1), "a", 20), (at(0, 2), "b", 20), (at(1, 1), "a", 5)]);
    project.feed("b.parquet", &[(at(2, 1), "c", 20), (at(3, 1), "b", 20)]);
    project.run();
    let sums = vec![("files", 3), ("rows", 2), ("used", 2)];
    assert_eq!(balance_of(&project, 1), (vec![], sums));
    let key = "out/rows/dt=2026-01-01/hour=00/data.parquet";
    cook_ledger_of(&project, "counts", key, |record| one_more(record, 0));
    cook_window_of(&project, "counts", 0, |window| {
        window.rows.input += 1;
        window.rows.used += 1;
    });
    let (problems, _) = balance_of(&project, 1);
    let told: Vec<_> = problems.iter().map(|found| (&*found.path, &*found.message)).collect();
    assert_eq!(told, [(key, "its pipeline committed 2 rows, the ledger has 3")]);
}

#[test]
fn what_a_run_is_at_work_on_is_no_fault() {
    let project = scattered();
    project.feed("more.parquet", &[(at(4, 5), "n", 1), (at(5, 5), "n", 50)]);
    // A window that has a quarantine object gets another.
    let first = [(at(0, 1), "a", 20), (at(1, 1), "a", 21), (at(2, 1), "a", 5), (at(2, 2), "a", 6)];
    project.feed("a.parquet", &[&first[..], &[(at(3, 1), "c", 22), (at(6, 1), "a", 24)]].concat());
    for point in ["segment.after:1", "begin.after:1", "publish.after:1", "commit.before:1"] {
        kill_at(&project, &["run"], point);
        assert_eq!(balance(&project).0, [], "{point}");
    }
    project.run();
    assert_eq!(balance(&project).0, []);
}

/// That the sums are those of the model.
fn check(seed: u64) {
    let mut dice = Dice(seed);
    let variant = Variant::random(&mut dice);
    let project = Project::new(&variant.configure(ROWS));
    let mut model = Model::new(variant);
    for run in 0..4 {
        for _ in 0..dice.roll(4) {
            let name = format!("{}.parquet", dice.pick(&["a", "b", "c", "x/d"]));
            let rows = random_rows(&mut dice);
            project.feed(&name, &rows);
            model.fed.insert(name, rows);
        }
        let reports = project.run();
        reports.iter().for_each(assert_good);
        if model.fed.is_empty() {
            continue;
        }
        let until = reports[0].watermark.map_or(i64::MIN, EventTime::micros);
        let mut expected: Sums = Vec::new();
        let fates = model.fates();
        let place = |row: &(String, usize, i64, &'static str)| {
            let end = row.2 - row.2.rem_euclid(HOUR) + HOUR;
            if end <= until { row.3 } else { "open" }
        };
        for name in ["used", "quarantined", "dropped", "duplicate", "open"] {
            let rows = fates.iter().filter(|row| place(row) == name).count() as u64;
            expected.extend((rows > 0).then_some((name, rows)));
        }
        let all = [("files", model.fed.len() as u64), ("rows", fates.len() as u64)];
        let expected = [&all[..], &expected].concat();
        assert_eq!(balance(&project), (vec![], expected), "seed {seed}, run {run}: {model:?}");
    }
}

#[test]
fn the_sums_are_those_of_the_model() {
    let seeds: Vec<u64> = (0..HISTORIES).collect();
    each(2, &seeds, |seed| format!("the feed of seed {seed}"), |seed| check(*seed));
}

/// What an operator may do; some of it finds nothing to do.
const DEEDS: &[&[&str]] = &[
    &["run"],
    &["reprocess", "tiny", "--from", "2026-01-01", "--to", "2026-01-02", "--yes"],
    &["quarantine", "retry", "tiny", "--yes"],
    &["rollback", "tiny", "--window", "2026-01-01T01", "--yes"],
    &["rollback", "tiny", "--from", "2026-01-01", "--to", "2026-01-01T04", "--yes"],
    &["backfill", "tiny", "--from", "2026-01-01", "--to", "2026-01-01T03"],
    &["skip", "tiny", "--from", "2026-01-01", "--to", "2026-01-01T03", "--reason", "lost"],
    &["vacuum", "--yes"],
];

/// That every row of the input is in exactly one place after each of some deeds.
fn check_deeds(seed: u64) {
    let mut dice = Dice(seed);
    let variant = Variant::random(&mut dice);
    let config = variant.configure(ROWS);
    let begin = "size = \"1h\"\nbegin = \"2026-01-01T02:00:00Z\"";
    let config = if dice.roll(3) == 0 { config.replace("size = \"1h\"", begin) } else { config };
    let mut project = Project::new(&config);
    let mut fed = BTreeMap::new();
    for step in 0..10 {
        let name = format!("{}.parquet", dice.pick(&["a", "b", "c"]));
        match dice.roll(4) {
            0 | 1 => {
                let mut rows = random_rows(&mut dice);
                rows.extend((dice.roll(3) == 0).then_some((FUTURE, "future", 50)));
                project.feed(&name, &rows);
                fed.insert(name, rows.len() as u64);
            }
            2 => {
                let limit = dice.roll(40);
                project.configure(&config.replace("value >= 10", &format!("value >= {limit}")));
            }
            _ => {}
        }
        let deed = dice.pick(DEEDS);
        for args in [deed, &["run"][..]] {
            let ended = project.command(args).output().unwrap();
            let told = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(ended.status.code().is_some_and(|code| code < 75), "{args:?}: {told}");
        }
        if fed.is_empty() {
            continue;
        }
        let (problems, sums) = balance(&project);
        let of = format!("seed {seed}, step {step}, {deed:?}: {sums:?}");
        assert_eq!(problems, [], "{of}");
        let count = |wanted: &str| {
            sums.iter().find(|(name, _)| *name == wanted).map_or(0, |(_, rows)| *rows)
        };
        let parts: u64 = sums.iter().skip(2).map(|(_, rows)| rows).sum();
        let rows: u64 = fed.values().sum();
        assert_eq!((count("rows"), parts), (rows, rows), "{of}");
    }
}

#[test]
fn no_row_is_lost_whatever_is_done() {
    let seeds: Vec<u64> = (0..HISTORIES / 2).collect();
    each(2, &seeds, |seed| format!("the deeds of seed {seed}"), |seed| check_deeds(*seed));
}
