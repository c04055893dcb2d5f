//! A project in a folder of its own: fed, run and read by tests.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use highwater::clock::Clock;
use highwater::config::{ConfigInput, load};
use highwater::log::Pace;
use highwater::report::{NoObserver, PipelineReport, Problem};
use highwater::run::{Asked, Depth, Extent, Stop, run_pipeline, verify_pipeline};
use highwater::spec::{Location, ProjectSpec, SourceOrigin};
use highwater::time::Span;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tempfile::TempDir;

/// Event time in microseconds, key, value: a row of the tiny feeds.
pub(crate) type Row = (i64, &'static str, i64);

/// The rows of every object, by its key: `out/totals/dt=…/data.parquet` -> `["key=a n=1", …]`.
pub(crate) type Outputs = BTreeMap<String, Vec<String>>;

/// An hour in microseconds.
pub(crate) const HOUR: i64 = 3_600_000_000;

/// 2026-01-01T00:00:00Z in microseconds: where the tiny feeds begin.
pub(crate) const DAY_0: i64 = 1_767_225_600_000_000;

/// One pipeline over [`Row`]s, hourly, with two outputs.
pub(crate) const TINY: &str = r#"
version = 1
name = "tiny"

[storage]
root = "."

[engine]
jobs = 2
threads = 2

[pipeline.tiny.window]
size = "1h"

[pipeline.tiny.source.events]
path = "in"
event_time = "event_time"

[[pipeline.tiny.step]]
name = "totals"
sql = "SELECT key, count(*) AS n, sum(value) AS total FROM events GROUP BY key"

[[pipeline.tiny.step]]
name = "large"
sql = "SELECT event_time, key, value FROM events WHERE value >= 50"

[pipeline.tiny.output.totals]
path = "out/totals/dt={start:%Y-%m-%d}/hour={start:%H}"
sort_by = ["key"]

[pipeline.tiny.output.large]
path = "out/large/dt={start:%Y-%m-%d}/hour={start:%H}"
sort_by = ["event_time", "key"]
"#;

/// A folder with a `config.toml` and the input folder `in`; it is gone once this is dropped.
#[derive(Debug)]
pub(crate) struct Project {
    folder: TempDir,
    /// What `config.toml` says: to prove it right takes longer than a tiny run.
    spec: ProjectSpec,
    pace: Pace,
}

/// So that every test of more than a few windows is one of checkpoints too.
const PACE: Pace = Pace { entries: 5, windows: 3 };

impl Project {
    /// A project that nothing was fed to yet.
    pub(crate) fn new(config: &str) -> Self {
        let folder = new_folder();
        fs::create_dir(folder.path().join("in")).unwrap();
        let spec = configured(folder.path(), config);
        Self { folder, spec, pace: PACE }
    }

    /// Puts another configuration in place of its own.
    pub(crate) fn configure(&mut self, config: &str) {
        self.spec = configured(self.folder.path(), config);
    }

    /// The same project as it works without a checkpoint.
    pub(crate) fn without_checkpoints(self) -> Self {
        Self { pace: Pace::default(), ..self }
    }

    /// The same project in another folder: its files have the same times.
    pub(crate) fn copy(&self) -> Self {
        let folder = new_folder();
        for name in files_below(self.path("")) {
            let (from, to) = (self.path(&name), folder.path().join(&name));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&from, &to).unwrap();
            set_modified(&to, &from);
        }
        fs::create_dir_all(folder.path().join("in")).unwrap();
        let moved = |from: &Location| {
            let from = from.as_folder().unwrap();
            Location::Folder(folder.path().join(from.strip_prefix(self.folder.path()).unwrap()))
        };
        let mut spec = self.spec.clone();
        (spec.root, spec.state) = (moved(&spec.root), moved(&spec.state));
        for source in spec.pipelines.iter_mut().flat_map(|pipeline| &mut pipeline.sources) {
            if let SourceOrigin::Folder(of) = &mut source.origin {
                of.path = moved(&of.path);
            }
        }
        for reference in spec.pipelines.iter_mut().flat_map(|pipeline| &mut pipeline.references) {
            reference.folder = moved(&reference.folder);
        }
        Self { folder, spec, pace: self.pace }
    }

    /// What its configuration says.
    pub(crate) fn spec(&self) -> &ProjectSpec {
        &self.spec
    }

    /// A file or folder of the project.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Copies the files of the days from `first` to `last` of `fixtures/flights`, both inclusive.
    pub(crate) fn feed_flights(&self, first: &str, last: &str) {
        for day in flight_days(first, last) {
            let file = format!("reported={day}/part-0000.parquet");
            let to = self.path("in").join(&file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(flights().join(&file), to).unwrap();
        }
    }

    /// Writes `rows` as the input file `name`, in place of what it held.
    pub(crate) fn feed(&self, name: &str, rows: &[Row]) {
        let path = self.path("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Seen whole or not at all, as a feed should be.
        let staged = path.with_extension("part");
        write_rows(&staged, rows);
        fs::rename(staged, path).unwrap();
    }

    /// The project as the library opens it.
    pub(crate) fn open(&self) -> highwater::run::Project {
        let mut spec = self.spec.clone();
        // Between fork and exec, a child of another test holds every lock of this process.
        spec.lease.wait_for = Span::from_seconds(10);
        let project = highwater::run::Project::new(spec, Clock::system()).unwrap();
        project.with_pace(self.pace)
    }

    /// Runs every pipeline in this process, whatever becomes of it.
    pub(crate) fn try_run(&self, asked: &Asked) -> Vec<PipelineReport> {
        block_on(run_all(&self.open(), asked))
    }

    /// Runs every pipeline in this process; all must go well.
    pub(crate) fn run(&self) -> Vec<PipelineReport> {
        let reports = self.try_run(&Asked::Run);
        reports.iter().for_each(assert_good);
        reports
    }

    /// What `verify` finds wrong.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.problems_at(Depth::Full)
    }

    /// What `verify` finds wrong when it looks so closely.
    pub(crate) fn problems_at(&self, depth: Depth) -> Vec<Problem> {
        let project = self.open();
        block_on(async {
            let mut problems = Vec::new();
            for spec in &project.spec.pipelines {
                let verified = verify_pipeline(&project, spec, &Extent::all(depth)).await;
                problems.extend(verified.unwrap().problems);
            }
            problems
        })
    }

    /// The real binary, to be run in the project's folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HIGHWATER") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.folder.path()).args(args).env("NO_COLOR", "1");
        let Pace { entries, windows } = self.pace;
        command.env("HIGHWATER_PACE", format!("{entries}:{windows}"));
        command
    }

    /// Runs the real binary with `--format json`: its exit code and its document.
    pub(crate) fn json(&self, args: &[&str]) -> (i32, Value) {
        let ended = self.command(args).args(["--format", "json"]).output().unwrap();
        (code(&ended), document(&ended))
    }

    /// Every object below `out`, by a plain glob, read whole.
    pub(crate) fn outputs(&self) -> Outputs {
        let folder = self.folder.path().display();
        let globs = ["out", "quarantine_time"].map(|root| format!("{folder}/{root}/**/*.parquet"));
        let paths = globs.iter().flat_map(|glob| glob::glob(glob).unwrap().map(Result::unwrap));
        let relative = |path: &Path| path.strip_prefix(self.folder.path()).unwrap().to_owned();
        paths.map(|path| (relative(&path).display().to_string(), rows_of(&path))).collect()
    }

    /// Files below `out` that are neither objects nor owners.
    pub(crate) fn strays(&self) -> Vec<String> {
        let known =
            |name: &String| name.ends_with("/data.parquet") || name.ends_with("/_OWNER.json");
        files_below(self.path("out")).into_iter().filter(|name| !known(name)).collect()
    }

    /// The entries of a pipeline's log in order, without their trailers.
    pub(crate) fn entries(&self, pipeline: &str) -> Vec<Value> {
        let folder = self.path(&format!("_highwater/{pipeline}/log"));
        let read = |name: String| {
            let text = fs::read_to_string(folder.join(name)).unwrap();
            serde_json::from_str(text.lines().next().unwrap()).unwrap()
        };
        files_below(&folder).into_iter().map(read).collect()
    }

    /// Everything that readers and operators rely on after a run: the log folds, every object is
    /// what the log says, and nothing else lies among them.
    pub(crate) fn assert_sound(&self) {
        assert_eq!(self.problems(), []);
        assert_eq!(self.strays(), [""; 0]);
    }
}

/// Writes a configuration into `folder`. What it says.
fn configured(folder: &Path, config: &str) -> ProjectSpec {
    fs::write(folder.join("config.toml"), config).unwrap();
    let spec = load(&ConfigInput {
        text: config,
        origin: "config.toml",
        base: folder,
        environment: &[],
        read_sql: &|path| fs::read_to_string(path),
    });
    spec.unwrap()
}

/// An empty folder, in memory where that is to be had: to sync a disk takes longer than a tiny run.
pub(crate) fn new_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let is_free = memory.is_dir() && std::env::var_os("TMPDIR").is_none();
    let parent = if is_free { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("highwater-it-").tempdir_in(parent).unwrap()
}

/// Runs every pipeline of `project` as `run` does.
pub(crate) async fn run_all(
    project: &highwater::run::Project,
    asked: &Asked,
) -> Vec<PipelineReport> {
    let mut reports = Vec::new();
    for spec in &project.spec.pipelines {
        let stop = Stop::default();
        reports.push(run_pipeline(project, spec, asked, &stop, &NoObserver).await);
    }
    reports
}

/// Fails the test unless all went well.
pub(crate) fn assert_good(report: &PipelineReport) {
    let PipelineReport { errors, failures, .. } = report;
    assert!(errors.is_empty() && failures.is_empty(), "{errors:?} {failures:?}");
}

/// Runs `work` to its end on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// The exit code of a process that was not killed.
pub(crate) fn code(ended: &Output) -> i32 {
    ended.status.code().expect("it was killed")
}

/// What a process wrote to stdout: exactly one JSON document.
pub(crate) fn document(ended: &Output) -> Value {
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|why| panic!("{why}: {ended:?}"))
}

/// The folder of the real feed.
pub(crate) fn flights() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/flights")
}

/// The days of the real feed from `first` to `last`, both inclusive.
pub(crate) fn flight_days(first: &str, last: &str) -> Vec<String> {
    let days = fs::read_dir(flights()).unwrap().map(|day| day.unwrap().file_name());
    let days = days.filter_map(|day| Some(day.to_str()?.strip_prefix("reported=")?.to_owned()));
    let mut days: Vec<_> =
        days.filter(|day| first <= day.as_str() && day.as_str() <= last).collect();
    days.sort();
    assert!(!days.is_empty(), "there are no flights from {first} to {last}");
    days
}

/// Writes `rows` as a Parquet file.
pub(crate) fn write_rows(path: &Path, rows: &[Row]) {
    fs::write(path, parquet_of(rows)).unwrap();
}

/// `rows` as a Parquet file.
pub(crate) fn parquet_of(rows: &[Row]) -> Bytes {
    let at = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0));
    let keys = rows.iter().map(|row| Some(row.1)).collect::<StringArray>();
    let values = rows.iter().map(|row| row.2).collect::<Int64Array>();
    let columns: [(&str, ArrayRef); 3] =
        [("event_time", Arc::new(at)), ("key", Arc::new(keys)), ("value", Arc::new(values))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    Bytes::from(writer.into_inner().unwrap())
}

/// The rows of a Parquet file as text, in their order: `key=a n=1 total=5`.
pub(crate) fn rows_of(path: &Path) -> Vec<String> {
    let batches = batches_of(path);
    batches.iter().flat_map(texts).collect()
}

/// The rows of a Parquet file.
pub(crate) fn batches_of(path: &Path) -> Vec<RecordBatch> {
    let file = File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file);
    let reader = reader.unwrap_or_else(|why| panic!("{}: {why}", path.display())).build().unwrap();
    reader.collect::<Result<_, _>>().unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The rows of a batch as text.
pub(crate) fn texts(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema();
    let text = |row: usize| {
        let columns = schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| {
            format!("{}={}", field.name(), array_value_to_string(column, row).unwrap())
        });
        columns.collect::<Vec<_>>().join(" ")
    };
    (0..batch.num_rows()).map(text).collect()
}

/// Every file below `folder`, deep, relative to it and sorted; none if there is no such folder.
pub(crate) fn files_below(folder: impl AsRef<Path>) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.as_ref().to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(next) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder.as_ref()).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Makes the file at `path` look as if it was written at `micros`.
pub(crate) fn touch(path: &Path, micros: i64) {
    let at = UNIX_EPOCH + Duration::from_micros(micros.unsigned_abs());
    File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}

/// Gives `path` the modification time of `like`.
pub(crate) fn set_modified(path: &Path, like: &Path) {
    let modified = fs::metadata(like).unwrap().modified().unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(modified)).unwrap();
}

/// Does `work` for each of `jobs`, `at_once` at a time; says which one failed.
pub(crate) fn each<J: Sync>(
    at_once: usize,
    jobs: &[J],
    name: impl Fn(&J) -> String + Sync,
    work: impl Fn(&J) + Sync,
) {
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::SeqCst)) {
            let work = AssertUnwindSafe(|| work(job));
            assert!(catch_unwind(work).is_ok(), "{} failed as said above", name(job));
        }
    };
    std::thread::scope(|scope| (0..at_once).for_each(|_| _ = scope.spawn(worker)));
}

/// A small random source: the same seed gives the same numbers everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % sides
    }

    /// One of `choices`.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let sides = u64::try_from(choices.len()).unwrap();
        &choices[usize::try_from(self.roll(sides)).unwrap()]
    }
}
