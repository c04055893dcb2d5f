//! Random histories of tiny feeds against a model of a few lines: outputs are right, and exactly
//! the windows are computed that the model calls due, no more and no fewer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use highwater::run::{Asked, Session};
use highwater::state::{Request, Verb};
use highwater::time::EventTime;

use super::{assert_equal, recomputed};
use crate::support::{
    DAY_0, Dice, HOUR, Outputs, Project, Row, TINY, assert_good, block_on, each, run_all,
};

/// How many histories are tried.
const HISTORIES: u64 = 120;

/// Hours in which events lie.
const HOURS: u64 = 8;

/// What the project must be like, by a direct reading of the design.
#[derive(Debug, Default)]
struct Model {
    delay: i64,
    /// What is in the input folder.
    fed: BTreeMap<String, Vec<Row>>,
    /// What a run has seen of it.
    admitted: BTreeMap<String, Vec<Row>>,
    last_event: Option<i64>,
    watermark: Option<i64>,
    /// Windows that were computed.
    computed: BTreeSet<i64>,
}

fn hour_of(at: i64) -> i64 {
    at - at.rem_euclid(HOUR)
}

impl Model {
    /// A run: the windows it must compute.
    fn run(&mut self, requested: Option<(i64, i64)>) -> BTreeSet<i64> {
        let mut touched = BTreeSet::new();
        for (name, rows) in &self.fed {
            let before = self.admitted.get(name);
            if before != Some(rows) {
                let both = rows.iter().chain(before.into_iter().flatten());
                touched.extend(both.map(|row| hour_of(row.0)));
                self.last_event = rows.iter().map(|row| row.0).max().max(self.last_event);
            }
        }
        self.admitted = self.fed.clone();
        let rows = self.admitted.values().flatten();
        let with_rows: BTreeSet<i64> = rows.map(|row| hour_of(row.0)).collect();
        let mut due: BTreeSet<i64> =
            touched.into_iter().filter(|start| Some(*start) < self.watermark).collect();
        if let Some((from, to)) = requested {
            due.extend(self.computed.range(from..to));
        }
        let from = self.watermark.or(with_rows.first().copied());
        let until = self.last_event.map(|last| hour_of(last - self.delay));
        if let (Some(from), Some(until)) = (from, until)
            && from < until
        {
            due.extend(with_rows.range(from..until));
            self.watermark = Some(until);
        }
        self.computed.extend(&due);
        due
    }

    fn outputs(&self) -> Outputs {
        let mut outputs = Outputs::new();
        for start in &self.computed {
            let rows = self.admitted.values().flatten().filter(|row| hour_of(row.0) == *start);
            let mut totals = BTreeMap::<&str, (u64, i64)>::new();
            let mut large = Vec::new();
            for (at, key, value) in rows {
                let total = totals.entry(key).or_default();
                *total = (total.0 + 1, total.1 + value);
                large.extend((*value >= 50).then_some((at, key, value)));
            }
            large.sort();
            let total =
                |(key, (n, total)): (&str, (u64, i64))| format!("key={key} n={n} total={total}");
            let one = |(at, key, value)| format!("at={at} key={key} value={value}");
            let hour = (start - DAY_0) / HOUR;
            let folder = |output| format!("out/{output}/dt=2026-01-01/hour={hour:02}/data.parquet");
            outputs.insert(folder("totals"), totals.into_iter().map(total).collect());
            outputs.insert(folder("large"), large.into_iter().map(one).collect());
        }
        outputs
    }
}

/// A file of a few rows; event times like to lie at the edges of hours.
fn random_rows(dice: &mut Dice) -> Vec<Row> {
    let mut row = || {
        let hour = DAY_0 + i64::try_from(dice.roll(HOURS)).unwrap() * HOUR;
        let inside = [0, 1, HOUR / 2, HOUR - 1];
        let at = hour + dice.pick(&inside);
        (at, *dice.pick(&["a", "b", "c"]), i64::try_from(dice.roll(100)).unwrap())
    };
    let rows = [row(), row(), row(), row(), row()];
    let len = usize::try_from(dice.roll(6)).unwrap();
    rows[..len].to_vec()
}

/// Something happens to the input folder.
fn change(dice: &mut Dice, project: &Project, model: &mut Model) {
    let name = format!("{}.parquet", dice.pick(&["a", "b", "c", "x/d", "x/e"]));
    let rows = random_rows(dice);
    project.feed(&name, &rows);
    model.fed.insert(name, rows);
}

/// The windows that a run would compute, by the plan.
fn planned(project: &Project, request: Option<Request>) -> BTreeSet<i64> {
    let project = project.open();
    let spec = &project.spec.pipelines[0];
    let session = Session::new(&project, spec);
    let foreseen = block_on(async {
        let opened = project.open(spec).await.unwrap();
        project.foresee(&session, &opened, request).await.unwrap()
    });
    assert!(foreseen.plan.refused.is_empty());
    foreseen.plan.windows.iter().map(|due| due.window.start().micros()).collect()
}

fn check(seed: u64) {
    let mut dice = Dice(seed);
    let delay = dice.pick(&[0, HOUR / 2, 2 * HOUR]);
    let config = TINY
        .replace(
            "event_time = ",
            &format!("watermark_delay = \"{}m\"\nevent_time = ", delay / 60_000_000),
        )
        .replace("SELECT event_time,", "SELECT CAST(event_time AS BIGINT) AS at,")
        .replace("\"event_time\", \"key\"", "\"at\", \"key\"");
    let project = Project::new(&config);
    let mut model = Model { delay: *delay, ..Model::default() };
    for run in 0..4 {
        for _ in 0..dice.roll(4) {
            change(&mut dice, &project, &mut model);
        }
        let range = (dice.roll(4) == 0 && !model.fed.is_empty()).then(|| {
            let from = DAY_0 + i64::try_from(dice.roll(HOURS)).unwrap() * HOUR;
            (from, from + 3 * HOUR)
        });
        let request = range.map(|(from, to)| Request {
            verb: Verb::Reprocess,
            start: EventTime::from_micros(from),
            end: EventTime::from_micros(to),
            only_outdated: false,
            to: None,
            within: Vec::new(),
            why: None,
            inbox: None,
        });
        let plan = planned(&project, request.clone());
        let first = fs::read_dir(project.path("_highwater/tiny/log")).map_or(0, Iterator::count);
        let asked = request.map_or(Asked::Run, Asked::Request);
        let reports = block_on(run_all(&project.open(), &asked));
        reports.iter().for_each(assert_good);
        let due = model.run(range);
        assert_eq!(plan, due, "plan of run {run}: {model:?}");
        let text = |at: &i64| EventTime::from_micros(*at).to_string();
        let due: BTreeSet<String> = due.iter().map(text).collect();
        assert_eq!(recomputed(&project, first), due, "log of run {run}: {model:?}");
        let watermark = model.watermark.map(EventTime::from_micros);
        assert_eq!(reports[0].watermark, watermark, "run {run}: {model:?}");
        assert_equal(&project.outputs(), &model.outputs());
    }
    project.assert_sound();
}

#[test]
fn every_history_ends_as_its_model_says() {
    let seeds: Vec<u64> = (0..HISTORIES).collect();
    each(2, &seeds, |seed| format!("the history of seed {seed}"), |seed| check(*seed));
}
