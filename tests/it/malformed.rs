//! Input files that are damaged, lie, or are something else. Each is refused by its name or read
//! as a plain reader reads it; the process lives, within bounded memory; what was committed stands;
//! and once whole files are in their place, everything is complete.

mod damage;
mod forge;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{DAY_0, HOUR, Outputs, Project, Row, code, write_rows};
use damage::File;
use highwater::run::Asked;

/// The address space of a run, in KiB: a tenth of what the files claim to need.
const ADDRESSES_KIB: u32 = 4_000_000;

/// Runs until everything is whole: the first finds what cannot be opened, the second what cannot be
/// read, the third has nothing left to find.
const RUNS_MAX: usize = 3;

const CONFIG: &str = r#"
version = 1
name = "hostile"

[storage]
root = "."

[engine]
jobs = 2
threads = 2
memory_limit = "256MiB"

[pipeline.p.window]
size = "1h"

[pipeline.p.source.events]
path = "in"
event_time = "event_time"
on_null_time = "fail"
max_windows_per_file = 1000

[[pipeline.p.step]]
name = "o"
sql = "SELECT key, count(*) AS n, max(value) AS top FROM events GROUP BY key"

[pipeline.p.output.o]
path = "out/o/{start:%Y-%m-%d}/{start:%H}"
sort_by = ["key"]
"#;

/// The rows of the file for hour `hour`.
fn rows(hour: usize) -> Vec<Row> {
    let start = DAY_0 + HOUR * i64::try_from(hour).unwrap();
    let keys = ["a", "b", "", "a long key that is the same in many rows"];
    let keys = keys.into_iter().cycle();
    (0..40).zip(keys).map(|(n, key)| (start + n * 1_000_000, key, n * n)).collect()
}

/// A run of the binary, which dies if it asks for more than it may.
fn run(project: &Project) -> Output {
    let plain = project.command(&["run", "--verbose"]);
    let mut bounded = Command::new("/bin/sh");
    let script = format!("ulimit -v {ADDRESSES_KIB} && exec \"$0\" \"$@\"");
    bounded.args(["-c", script.as_str()]).arg(plain.get_program()).args(plain.get_args());
    bounded.current_dir(project.path("")).env("NO_COLOR", "1").env("HIGHWATER_PACE", "5:3");
    bounded.output().unwrap()
}

/// What a run said, having checked that it ended as a run ends.
fn said(ended: &Output) -> String {
    let text = [&ended.stdout, &ended.stderr].map(|text| String::from_utf8_lossy(text)).concat();
    assert!(ended.status.code().is_some(), "it was killed: {text}");
    assert!([0, 1, 2, 3, 4].contains(&code(ended)), "it ended with {}: {text}", code(ended));
    for word in ["panicked", "RUST_BACKTRACE", "HW9"] {
        assert!(!text.contains(word), "it says `{word}`: {text}");
    }
    text
}

/// The outputs that the files in `in` amount to, read by the Parquet library alone.
fn expected(project: &Project) -> Outputs {
    let mut windows: BTreeMap<i64, BTreeMap<String, (u64, i64)>> = BTreeMap::new();
    for entry in fs::read_dir(project.path("in")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "parquet") {
            for batch in read(&path) {
                add(&mut windows, &batch);
            }
        }
    }
    let last = windows.pop_last().expect("the newest window is open").0;
    let hours = (DAY_0..last).step_by(usize::try_from(HOUR).unwrap());
    let texts = |start: i64| {
        let keys = windows.get(&start).into_iter().flatten();
        keys.map(|(key, (n, top))| format!("key={key} n={n} top={top}")).collect::<Vec<_>>()
    };
    let filled = hours.filter(|start| windows.contains_key(start));
    filled.map(|start| (object(start), texts(start))).collect()
}

/// The columns that the query needs, and no others.
fn read(path: &Path) -> Vec<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap());
    let builder = builder.unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let names = ["event_time", "key", "value"];
    let mask = ProjectionMask::columns(builder.parquet_schema(), names);
    let batches = builder.with_projection(mask).build().unwrap();
    batches.map(|batch| batch.unwrap_or_else(|why| panic!("{}: {why}", path.display()))).collect()
}

fn add(windows: &mut BTreeMap<i64, BTreeMap<String, (u64, i64)>>, batch: &RecordBatch) {
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let times = column("event_time").as_primitive::<TimestampMicrosecondType>();
    let values = column("value").as_primitive::<Int64Type>();
    let keys = column("key").as_string::<i32>();
    for row in 0..batch.num_rows() {
        let start = times.value(row).div_euclid(HOUR) * HOUR;
        let found = windows.entry(start).or_default().entry(keys.value(row).to_owned());
        let (n, top) = found.or_insert((0, i64::MIN));
        *n += 1;
        *top = values.value(row).max(*top);
    }
}

/// The object of the window that starts at `start`.
fn object(start: i64) -> String {
    let hours = (start - DAY_0) / HOUR;
    let (days, hour) = (hours / 24, hours % 24);
    let date = chrono::NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    let date = date.checked_add_days(chrono::Days::new(u64::try_from(days).unwrap())).unwrap();
    format!("out/o/{date}/{hour:02}/data.parquet")
}

/// Good windows first, then every one of `files` among them, then whole ones in the place of those
/// that are refused.
fn survive(files: &[File]) {
    let project = Project::new(CONFIG);
    for hour in 0..3 {
        write_rows(&project.path(&format!("in/good-{hour}.parquet")), &rows(hour));
    }
    let ended = run(&project);
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    let committed = project.outputs();
    assert_eq!(committed, expected(&project));
    for name in ["_SUCCESS", "in.parquet.crc", ".DS_Store", "notes.csv"] {
        fs::write(project.path("in").join(name), "not for us").unwrap();
    }
    for File { name, bytes, .. } in files {
        fs::write(project.path("in").join(name), bytes).unwrap();
    }
    write_rows(&project.path("in/newest.parquet"), &rows(files.len() + 4));
    let mut refused = BTreeSet::new();
    for _ in 0..RUNS_MAX {
        let ended = run(&project);
        let text = said(&ended);
        let named = files.iter().filter(|file| text.contains(&file.name));
        let named: Vec<&File> = named.filter(|file| !refused.contains(&file.name)).collect();
        assert_eq!(named.is_empty(), code(&ended) == 0, "{text}");
        for (key, rows) in &committed {
            assert_eq!(project.outputs().get(key), Some(rows), "{key} did not stand");
        }
        if named.is_empty() {
            break;
        }
        for file in named {
            fs::write(project.path("in").join(&file.name), &file.whole).unwrap();
            refused.insert(file.name.clone());
        }
    }
    for file in files {
        let is_refused = refused.contains(&file.name);
        assert!(is_refused || !file.must_be_refused, "{} was believed", file.name);
    }
    assert_eq!(project.outputs(), expected(&project));
    project.assert_sound();
}

#[test]
fn damaged_files_are_refused_by_name_or_read_as_they_are() {
    let files = damage::files(3, rows);
    assert!(files.len() >= 200, "{} files", files.len());
    survive(&files);
}

#[test]
fn files_that_lie_are_refused_by_name() {
    let files = forge::files(3, rows);
    assert!(files.len() >= 40, "{} files", files.len());
    survive(&files);
}

#[test]
fn a_reference_table_that_lies_is_refused_by_name() {
    let reference = "[pipeline.p.reference.weights]\npath = \"weights.parquet\"\n";
    let project = Project::new(&format!("{CONFIG}\n{reference}"));
    for hour in 0..3 {
        write_rows(&project.path(&format!("in/good-{hour}.parquet")), &rows(hour));
    }
    let whole = damage::written(damage::Style::Plain, &rows(0));
    let weights = project.path("weights.parquet");
    fs::write(&weights, forge::forge_keys_snappy(&whole, 1 << 33)).unwrap();
    let ended = run(&project);
    let text = said(&ended);
    let why = "weights.parquet: a page of 40 values says to have 8589934592 lengths";
    assert!(code(&ended) != 0 && text.contains(why), "{text}");
    fs::write(&weights, &whole).unwrap();
    let ended = run(&project);
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    assert_eq!(project.outputs(), expected(&project));
}

#[test]
fn a_decoder_that_panics_fails_the_windows_of_its_file_and_no_others() {
    let project = Project::new(CONFIG);
    for hour in [0, 2, 3] {
        write_rows(&project.path(&format!("in/good-{hour}.parquet")), &rows(hour));
    }
    let whole = damage::written(damage::Style::Plain, &rows(1));
    fs::write(project.path("in/bad.parquet"), forge::panicking(&whole)).unwrap();
    let reports = project.try_run(&Asked::Run);
    let failures = &reports[0].failures;
    let said = "in/bad.parquet: its decoder panicked";
    assert!(failures.len() == 1 && failures[0].message.contains(said), "{failures:?}");
    assert_eq!(project.outputs().len(), 2);
    let ended = run(&project);
    let text = [ended.stdout, ended.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(text.contains("its decoder panicked") && !text.contains("panicked at"), "{text}");
    fs::write(project.path("in/bad.parquet"), &whole).unwrap();
    project.run();
    assert_eq!(project.outputs(), expected(&project));
    project.assert_sound();
}
