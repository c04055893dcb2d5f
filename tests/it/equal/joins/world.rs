//! A project of two pipelines and their model, which are fed alike: `joined` has two sources with
//! margins, `chained` sums up what `joined` commits, with a reference table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use chrono::DateTime;
use chrono_tz::Tz;

use super::model::{DAY, Grid, Inputs, MINUTE, Pipe, Source, Version, Window};
use crate::support::{Dice, HOUR, Outputs, Project, Row, write_rows};

/// The folders of the sources of `joined`, and what their rows are called in its output.
const FOLDERS: [(&str, &str); 2] = [("a", "e"), ("b", "m")];

/// What a reference table says: the factors of the keys.
const FACTORS: [&[Row]; 3] =
    [&[(0, "a", 1), (0, "b", 1), (0, "c", 1)], &[(0, "a", 2), (0, "b", 1)], &[(0, "c", 3)]];

/// Zones, and an instant at which their clocks change: by an hour, by half of one, at midnight,
/// across it, by a whole day.
const CHANGES: [(Tz, &str); 7] = [
    (Tz::UTC, "2025-06-01T00:00:00Z"),
    (Tz::America__New_York, "2025-03-09T07:00:00Z"),
    (Tz::America__New_York, "2025-11-02T06:00:00Z"),
    (Tz::Australia__Lord_Howe, "2025-04-05T15:00:00Z"),
    (Tz::America__Sao_Paulo, "2018-11-04T03:00:00Z"),
    (Tz::America__Havana, "2025-11-02T05:00:00Z"),
    (Tz::Pacific__Apia, "2011-12-30T10:00:00Z"),
];

/// How the two pipelines are configured.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// Where events begin, and for how long they last.
    pub(super) first: i64,
    pub(super) span: i64,
    /// Minutes and zone of each pipeline's windows.
    pub(super) windows: [(i64, Tz); 2],
    /// `lookback`, `lookahead` and `watermark_delay` in minutes: of the two sources of `joined`,
    /// and of the one of `chained`.
    pub(super) reaches: [[i64; 3]; 3],
    /// Whether `on_removed = "recompute"`.
    pub(super) follows_removed: bool,
    /// The output of `joined` that `chained` reads.
    pub(super) upstream: &'static str,
    /// Whether a changed reference table is followed.
    pub(super) follows_reference: bool,
}

impl Setup {
    /// Any that is not too much work.
    pub(super) fn random(dice: &mut Dice) -> Self {
        let (zone, change) = *dice.pick(&CHANGES);
        let change = DateTime::parse_from_rfc3339(change).unwrap().timestamp_micros();
        let is_long = dice.roll(3) == 0;
        let hours = if is_long { 60 } else { 14 };
        let lengths: [&[i64]; 2] = if is_long {
            [&[120, 360, DAY], &[180, 720, DAY]]
        } else {
            [&[30, 60, 60, 120], &[60, 180, 240]]
        };
        let windows = lengths.map(|lengths| (*dice.pick(lengths), *dice.pick(&[zone, Tz::UTC])));
        let of_files: [&[i64]; 2] = [&[0, 30, 50, 60, 90, 180], &[0, 0, 25, 30, 60, 90]];
        let of_chain: [&[i64]; 2] = [&[0, 0, 60, 200, 720], &[0, 0, 60]];
        let reaches = [of_files, of_files, of_chain].map(|[lookback, lookahead]| {
            [*dice.pick(lookback), *dice.pick(lookahead), *dice.pick(&[0, 0, 30, 70])]
        });
        Self {
            first: change - hours * HOUR / 2,
            span: hours * HOUR,
            windows,
            reaches,
            follows_removed: dice.roll(4) > 0,
            upstream: *dice.pick(&["seen", "home"]),
            follows_reference: dice.roll(2) == 0,
        }
    }

    fn config(&self) -> String {
        let [joined, chained] = self.windows.map(|(minutes, zone)| {
            let size = if minutes == DAY { "1d".to_owned() } else { format!("{minutes}m") };
            format!("size = \"{size}\"\ntimezone = \"{zone}\"")
        });
        let [events, marks, upstream] = self.reaches.map(|[lookback, lookahead, delay]| {
            format!(
                "lookback = \"{lookback}m\"\nlookahead = \"{lookahead}m\"\n\
                 watermark_delay = \"{delay}m\""
            )
        });
        let on_removed = if self.follows_removed { "recompute" } else { "keep" };
        let on_change = if self.follows_reference { "reprocess" } else { "report" };
        let output = self.upstream;
        format!(
            r#"
version = 1
name = "joins"

[storage]
root = "."

[engine]
jobs = 2
threads = 2

[pipeline.joined.window]
{joined}

[pipeline.joined.source.events]
path = "in/a"
event_time = "event_time"
on_removed = "{on_removed}"
{events}

[pipeline.joined.source.marks]
path = "in/b"
event_time = "event_time"
on_removed = "{on_removed}"
{marks}

[[pipeline.joined.step]]
name = "seen"
sql = """
SELECT 'e' AS tag, CAST(event_time AS BIGINT) AS at, key, value FROM events
UNION ALL SELECT 'm', CAST(event_time AS BIGINT), key, value FROM marks
"""

[[pipeline.joined.step]]
name = "home"
sql = """
SELECT s.tag, s.key, count(*) AS n, sum(s.value) AS value, coalesce(max(m.n), 0) AS marks
FROM seen s LEFT JOIN (SELECT key, count(*) AS n FROM marks GROUP BY key) m ON s.key = m.key
WHERE s.at >= CAST($window_start AS BIGINT) AND s.at < CAST($window_end AS BIGINT)
GROUP BY s.tag, s.key
"""

[pipeline.joined.output.seen]
path = "out/seen/at={{start_utc:%Y%m%dT%H%M}}"
sort_by = ["tag", "at", "key", "value"]

[pipeline.joined.output.home]
path = "out/home/at={{start_utc:%Y%m%dT%H%M}}"
sort_by = ["tag", "key"]

[pipeline.chained.window]
{chained}

[pipeline.chained.source.upstream]
pipeline = "joined"
output = "{output}"
{upstream}

[pipeline.chained.reference.factors]
path = "ref/factors.parquet"
on_change = "{on_change}"

[[pipeline.chained.step]]
name = "totals"
sql = """
SELECT CAST(u._window_start AS BIGINT) AS at, u.key, count(*) AS n,
       sum(u.value * f.value) AS total
FROM upstream u JOIN factors f ON u.key = f.key
GROUP BY 1, 2
"""

[pipeline.chained.output.totals]
path = "out/totals/at={{start_utc:%Y%m%dT%H%M}}"
sort_by = ["at", "key"]
"#
        )
    }
}

/// The project and its model.
#[derive(Debug)]
pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) project: Project,
    /// What is in the folders.
    pub(super) folders: [Inputs; 2],
    pub(super) pipes: [Pipe; 2],
    /// Which [`FACTORS`] there are now.
    factors: usize,
    /// Which were there when a window of `chained` was computed.
    computed_with: BTreeMap<i64, usize>,
    /// How many files were written.
    written: u64,
}

impl World {
    pub(super) fn new(setup: Setup) -> Self {
        let project = Project::new(&setup.config());
        for folder in ["in/a", "in/b", "ref"] {
            fs::create_dir(project.path(folder)).unwrap();
        }
        let [joined, chained] =
            setup.windows.map(|(minutes, zone)| Grid::new(minutes, zone, setup.first));
        let [events, marks, upstream] = setup.reaches.map(|reach| {
            let [lookback, lookahead, delay] = reach.map(|minutes| minutes * MINUTE);
            Source { lookback, lookahead, delay, ..Source::default() }
        });
        let pipes = [Pipe::new(joined, vec![events, marks]), Pipe::new(chained, vec![upstream])];
        let mut world = Self {
            setup,
            project,
            folders: [Inputs::new(), Inputs::new()],
            pipes,
            factors: 0,
            computed_with: BTreeMap::new(),
            written: 0,
        };
        world.refer(0);
        world
    }

    /// Writes `rows` as a file of a source, in place of what it held.
    pub(super) fn feed(&mut self, folder: usize, name: &str, rows: Vec<Row>) {
        let relative = format!("{}/{name}", FOLDERS[folder].0);
        let path = self.project.path("in").join(&relative);
        let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        let before = modified(&path);
        // The clock of the file system may be slow to tick.
        while modified(&path) == before {
            self.project.feed(&relative, &rows);
        }
        self.written += 1;
        let version = Version { mark: self.written.to_string(), rows };
        self.folders[folder].insert(name.to_owned(), version);
    }

    /// Removes a file of a source.
    pub(super) fn remove(&mut self, folder: usize, name: &str) {
        let path = format!("in/{}/{name}", FOLDERS[folder].0);
        fs::remove_file(self.project.path(&path)).unwrap();
        self.folders[folder].remove(name);
    }

    /// Makes the reference table one of [`FACTORS`].
    pub(super) fn refer(&mut self, factors: u64) {
        self.factors = usize::try_from(factors).unwrap();
        write_rows(&self.project.path("ref/factors.parquet"), FACTORS[self.factors]);
    }

    /// What the model says of a run of one pipeline: the windows that are due.
    pub(super) fn due(&mut self, pipeline: usize, range: Option<Window>) -> BTreeSet<i64> {
        let asked = |start: i64| range.is_some_and(|(from, to)| (from..to).contains(&start));
        if pipeline == 0 {
            let pipe = &mut self.pipes[0];
            let mut touched = pipe.admit(0, self.folders[0].clone());
            touched.extend(pipe.admit(1, self.folders[1].clone()));
            return pipe.run(&touched, asked);
        }
        let objects = self.upstream();
        let touched = self.pipes[1].admit(0, objects);
        self.pipes[1].sources[0].newest = self.pipes[0].watermark;
        let Self { setup, computed_with, factors, .. } = self;
        let is_outdated = |start: i64| setup.follows_reference && computed_with[&start] != *factors;
        let due = self.pipes[1].run(&touched, |start| asked(start) || is_outdated(start));
        self.computed_with.extend(due.iter().map(|start| (*start, self.factors)));
        due
    }

    /// What `chained` reads: equal rows are the same version.
    fn upstream(&self) -> Inputs {
        let output = self.setup.upstream;
        let object = |start: &i64| {
            let [seen, home] = self.joined(*start);
            let lines = if output == "seen" { seen } else { home };
            let rows = lines.iter().map(|line| (*start, line.key, line.value)).collect();
            (path_of(output, *start), Version { mark: texts(&lines).join("\n"), rows })
        };
        self.pipes[0].computed.iter().map(object).collect()
    }

    /// What a window of `joined` has in `seen`, and in `home`.
    fn joined(&self, start: i64) -> [Vec<Line>; 2] {
        let pipe = &self.pipes[0];
        let window = pipe.grid.window_at(start);
        let mut seen = Vec::new();
        for (source, (_, tag)) in FOLDERS.into_iter().enumerate() {
            let rows = pipe.seen(source, window);
            seen.extend(rows.into_iter().map(|(at, key, value)| (tag, at, key, value)));
        }
        seen.sort_unstable();
        let mut home = BTreeMap::<_, (u64, i64)>::new();
        for (tag, at, key, value) in &seen {
            if (window.0..window.1).contains(at) {
                let (n, sum) = home.entry((*tag, *key)).or_default();
                (*n, *sum) = (*n + 1, *sum + value);
            }
        }
        let marks = |key: &str| seen.iter().filter(|row| (row.0, row.2) == ("m", key)).count();
        let home = home.into_iter().map(|((tag, key), (n, value))| Line {
            key,
            value,
            text: format!("tag={tag} key={key} n={n} value={value} marks={}", marks(key)),
        });
        let all = seen.iter().map(|(tag, at, key, value)| Line {
            key,
            value: *value,
            text: format!("tag={tag} at={at} key={key} value={value}"),
        });
        [all.collect(), home.collect()]
    }

    /// What a window of `chained` has.
    fn totals(&self, start: i64) -> Vec<String> {
        let pipe = &self.pipes[1];
        let mut totals = BTreeMap::<_, (u64, i64)>::new();
        for (at, key, value) in pipe.seen(0, pipe.grid.window_at(start)) {
            let factors = FACTORS[self.computed_with[&start]];
            if let Some((_, _, factor)) = factors.iter().find(|row| row.1 == key) {
                let (n, total) = totals.entry((at, key)).or_default();
                (*n, *total) = (*n + 1, *total + value * factor);
            }
        }
        let text = |((at, key), (n, total))| format!("at={at} key={key} n={n} total={total}");
        totals.into_iter().map(text).collect()
    }

    /// All outputs, by the model.
    pub(super) fn outputs(&self) -> Outputs {
        let mut outputs = Outputs::new();
        for start in &self.pipes[0].computed {
            let lines = self.joined(*start);
            for (output, lines) in ["seen", "home"].into_iter().zip(&lines) {
                outputs.insert(path_of(output, *start), texts(lines));
            }
        }
        for start in &self.pipes[1].computed {
            outputs.insert(path_of("totals", *start), self.totals(*start));
        }
        outputs
    }
}

/// A row of `joined`, as `chained` sees it and as text.
#[derive(Debug)]
struct Line {
    key: &'static str,
    value: i64,
    text: String,
}

fn texts(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| line.text.clone()).collect()
}

/// Where the object of a window lies.
pub(super) fn path_of(output: &str, start: i64) -> String {
    let start = DateTime::from_timestamp_micros(start).unwrap();
    format!("out/{output}/at={}/data.parquet", start.format("%Y%m%dT%H%M"))
}
