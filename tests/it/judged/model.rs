//! What becomes of rows, by a direct reading of the design: no code of the program is used.

use std::collections::BTreeMap;
use std::path::Path;

use highwater::time::EventTime;
use serde_json::Value;

use super::{MINUTE, at};
use crate::support::{DAY_0, Dice, HOUR, Project, Row, rows_of};

/// Hours in which events lie.
const HOURS: u64 = 7;

/// How rows are judged and shown.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    /// Whether duplicates are told: the first or the last is kept, ordered by value or not.
    dedup: Option<(bool, bool)>,
    /// How long after another row a row may be its duplicate.
    across: i64,
    lookback: i64,
    lookahead: i64,
}

impl Variant {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let dedup = (dice.roll(4) > 0).then(|| (dice.roll(2) == 0, dice.roll(2) == 0));
        let is_first = dedup.is_some_and(|(first, _)| first);
        let across = *dice.pick(&[0, 30 * MINUTE, 2 * HOUR, 26 * HOUR]);
        let (lookback, lookahead) =
            *dice.pick(&[(0, 0), (0, 0), (90 * MINUTE, 0), (0, 30 * MINUTE), (HOUR, HOUR)]);
        Self { dedup, across: if is_first { across } else { 0 }, lookback, lookahead }
    }

    pub(crate) fn configure(&self, config: &str) -> String {
        let minutes = |micros: i64| micros / MINUTE;
        let mut keys = format!(
            "event_time = \"event_time\"\nlookback = \"{}m\"\nlookahead = \"{}m\"\n",
            minutes(self.lookback),
            minutes(self.lookahead)
        );
        if let Some((is_first, by_value)) = self.dedup {
            let keep = if is_first { "first" } else { "last" };
            let order = if by_value { ", order_by = [\"value\"]" } else { "" };
            let across = match self.across {
                0 => "window".to_owned(),
                across => format!("{}m", minutes(across)),
            };
            keys = format!(
                "{keys}dedup = {{ keys = [\"key\"], keep = \"{keep}\", \
                 across = \"{across}\"{order} }}\n"
            );
        }
        config.replace("event_time = \"event_time\"\n", &keys)
    }
}

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Used,
    Quarantined,
    Dropped,
    Duplicate,
}

/// A row and where it stands.
#[derive(Clone, Debug)]
struct Placed {
    file: String,
    row: usize,
    at: i64,
    key: &'static str,
    value: i64,
    fate: Fate,
}

/// The input folder.
#[derive(Debug)]
pub(crate) struct Model {
    variant: Variant,
    pub(crate) fed: BTreeMap<String, Vec<Row>>,
}

fn hour_of(at: i64) -> i64 {
    at - at.rem_euclid(HOUR)
}

impl Model {
    pub(crate) fn new(variant: Variant) -> Self {
        Self { variant, fed: BTreeMap::new() }
    }

    /// All rows, judged.
    fn judged(&self) -> Vec<Placed> {
        let mut rows: Vec<Placed> = Vec::new();
        for (file, fed) in &self.fed {
            for (row, (at, key, value)) in fed.iter().enumerate() {
                let fate = match (value, key) {
                    (..10, _) => Fate::Quarantined,
                    (_, &"c") => Fate::Dropped,
                    _ => Fate::Used,
                };
                rows.push(Placed { file: file.clone(), row, at: *at, key, value: *value, fate });
            }
        }
        let Some((is_first, by_value)) = self.variant.dedup else { return rows };
        let passing: Vec<Placed> =
            rows.iter().filter(|row| row.fate == Fate::Used).cloned().collect();
        for row in rows.iter_mut().filter(|row| row.fate == Fate::Used) {
            let rank =
                |row: &Placed| (if by_value { row.value } else { 0 }, row.file.clone(), row.row);
            let mut alike = passing.iter().filter(|other| other.key == row.key);
            let is_beaten = alike.clone().any(|other| {
                let comes = rank(other).cmp(&rank(row));
                hour_of(other.at) == hour_of(row.at)
                    && (if is_first { comes.is_lt() } else { comes.is_gt() })
            });
            let is_near = alike.any(|other| {
                hour_of(other.at) < hour_of(row.at) && row.at - other.at < self.variant.across
            });
            if is_beaten || is_near {
                row.fate = Fate::Duplicate;
            }
        }
        rows
    }

    /// File, row, event time and fate in a word of each row.
    pub(crate) fn fates(&self) -> Vec<(String, usize, i64, &'static str)> {
        let word = |fate| match fate {
            Fate::Used => "used",
            Fate::Quarantined => "quarantined",
            Fate::Dropped => "dropped",
            Fate::Duplicate => "duplicate",
        };
        let rows = self.judged().into_iter();
        rows.map(|row| (row.file, row.row, row.at, word(row.fate))).collect()
    }

    /// Compares outputs, quarantine and books of all windows that end by `watermark`.
    pub(crate) fn compare(&self, project: &Project, watermark: Option<EventTime>, of: &str) {
        let Some(watermark) = watermark.map(EventTime::micros) else { return };
        let rows = self.judged();
        let books = books(project);
        for hour in -2..24 {
            let start = at(hour, 0);
            if start + HOUR > watermark {
                continue;
            }
            let (from, to) = (start - self.variant.lookback, start + HOUR + self.variant.lookahead);
            let shown =
                rows.iter().filter(|row| row.fate == Fate::Used && from <= row.at && row.at < to);
            let mut shown: Vec<_> = shown.map(|row| (row.at, row.key, row.value)).collect();
            shown.sort_unstable();
            let shown: Vec<String> = shown
                .into_iter()
                .map(|(at, key, value)| format!("at={at} key={key} value={value}"))
                .collect();
            let (dt, hr) = folder(hour);
            let path = project.path(&format!("out/rows/dt={dt}/hour={hr:02}/data.parquet"));
            assert_eq!(rows_at(&path), shown, "{of}: rows of hour {hour}: {self:?}");
            let own: Vec<&Placed> = rows.iter().filter(|row| hour_of(row.at) == start).collect();
            let path = project.path(&format!("quarantine/tiny/dt={dt}/hr={hr:02}/events.parquet"));
            let aside: Vec<(String, String)> = rows_at(&path)
                .iter()
                .map(|row| (of_row(row, "_source_file"), of_row(row, "_source_row")))
                .collect();
            let expected = own.iter().filter(|row| row.fate == Fate::Quarantined);
            let expected: Vec<(String, String)> =
                expected.map(|row| (format!("in/{}", row.file), row.row.to_string())).collect();
            assert_eq!(aside, expected, "{of}: quarantine of hour {hour}: {self:?}");
            compare_books(
                &own,
                books.get(&start),
                &format!("{of}: books of hour {hour}: {self:?}"),
            );
        }
    }
}

fn folder(hour: i64) -> (&'static str, i64) {
    if hour < 0 { ("2025-12-31", hour + 24) } else { ("2026-01-01", hour) }
}

fn rows_at(path: &Path) -> Vec<String> {
    if path.exists() { rows_of(path) } else { Vec::new() }
}

/// The value that follows `name=` in a row's text.
fn of_row(row: &str, name: &str) -> String {
    let (_, rest) = row.split_once(&format!("{name}=")).unwrap();
    rest.split(' ').next().unwrap().to_owned()
}

/// The last commit of each window, by start.
fn books(project: &Project) -> BTreeMap<i64, Value> {
    let mut books = BTreeMap::new();
    for entry in project.entries("tiny").iter().filter(|entry| entry["kind"] == "commit") {
        for window in entry["windows"].as_array().unwrap() {
            let start: EventTime = serde_json::from_value(window["start"].clone()).unwrap();
            books.insert(start.micros(), window.clone());
        }
    }
    books
}

/// Whether the books say of a window's `own` rows what became of them, file by file.
fn compare_books(own: &[&Placed], window: Option<&Value>, of: &str) {
    let Some(window) = window else {
        assert!(own.is_empty(), "{of}: no books");
        return;
    };
    let count = |file: Option<&str>, fate: Option<Fate>| {
        let rows = own.iter().filter(|row| file.is_none_or(|file| row.file == file));
        rows.filter(|row| fate.is_none_or(|fate| row.fate == fate)).count()
    };
    let parts = [
        ("in", None),
        ("used", Some(Fate::Used)),
        ("quarantined", Some(Fate::Quarantined)),
        ("dropped", Some(Fate::Dropped)),
        ("duplicate", Some(Fate::Duplicate)),
    ];
    for (name, fate) in parts {
        assert_eq!(window["rows"][name], count(None, fate), "{of}: {name}");
    }
    let none = Vec::new();
    let named = window["balance"]["files"].as_array().unwrap_or(&none);
    for file in named {
        let key = file["key"].as_str().unwrap();
        for (name, fate) in parts {
            let told = file.get(name).and_then(Value::as_u64).unwrap_or_default();
            assert_eq!(told, count(Some(key), fate) as u64, "{of}: {name} of {key}");
        }
    }
    let mut files: Vec<&str> =
        own.iter().filter(|row| row.fate != Fate::Used).map(|row| row.file.as_str()).collect();
    files.dedup();
    let named: Vec<&str> = named.iter().map(|file| file["key"].as_str().unwrap()).collect();
    assert_eq!(named, files, "{of}");
}

/// A file of a few rows; event times like to lie at the edges of hours.
pub(crate) fn random_rows(dice: &mut Dice) -> Vec<Row> {
    let mut row = || {
        let hour = DAY_0 + i64::try_from(dice.roll(HOURS)).unwrap() * HOUR;
        let inside = [0, 1, HOUR / 2, HOUR - 1];
        let at = hour + dice.pick(&inside);
        (at, *dice.pick(&["a", "b", "c"]), i64::try_from(dice.roll(100)).unwrap())
    };
    let rows = [row(), row(), row(), row(), row(), row(), row(), row()];
    let len = usize::try_from(dice.roll(9)).unwrap();
    rows[..len].to_vec()
}
