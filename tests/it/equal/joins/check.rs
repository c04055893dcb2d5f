//! Runs a pipeline of the project and its model, and compares what both did.

use std::collections::BTreeSet;
use std::fs;

use highwater::report::{NoObserver, PipelineReport};
use highwater::run::{Asked, Session, Stop, run_pipeline};
use highwater::state::{Request, Verb};
use highwater::time::EventTime;

use super::model::Window;
use super::world::World;
use crate::equal::assert_equal;
use crate::support::{assert_good, block_on};

/// The pipelines, in the order of their runs.
pub(super) const PIPELINES: [&str; 2] = ["joined", "chained"];

impl World {
    /// Runs a pipeline, which may be asked to compute a range again: it must plan and compute what
    /// the model calls due, each window once.
    pub(super) fn run(&mut self, pipeline: usize, range: Option<Window>) {
        let request = range.map(reprocess);
        let (name, setup) = (PIPELINES[pipeline], self.setup.clone());
        let planned = self.planned(pipeline, request.clone());
        let first = self.entries()[pipeline];
        let report = self.carry_out(pipeline, &request.map_or(Asked::Run, Asked::Request));
        let due = self.due(pipeline, range);
        assert_eq!(planned, texts(&due), "plan of {name}: {setup:?}");
        let computed = self.assert_computed(pipeline, first, &due);
        assert_eq!(computed, due.len(), "{name} computed a window twice: {setup:?}");
        self.assert_watermark(pipeline, &report);
    }

    /// Runs a pipeline as it is, whatever the model says; it must end well.
    pub(super) fn carry_out(&self, pipeline: usize, asked: &Asked) -> PipelineReport {
        let (project, stop) = (self.project.open(), Stop::default());
        let spec = &project.spec.pipelines[pipeline];
        assert_eq!(spec.name.as_str(), PIPELINES[pipeline]);
        let report = block_on(run_pipeline(&project, spec, asked, &stop, &NoObserver));
        assert_good(&report);
        report
    }

    /// The windows that a run would compute, by the plan.
    fn planned(&self, pipeline: usize, request: Option<Request>) -> BTreeSet<String> {
        let project = self.project.open();
        let spec = &project.spec.pipelines[pipeline];
        let session = Session::new(&project, spec);
        let foreseen = block_on(async {
            let opened = project.open(spec).await.unwrap();
            project.foresee(&session, &opened, request).await.unwrap()
        });
        let plan = foreseen.plan;
        assert!(plan.refused.is_empty() && plan.held.is_empty(), "{plan:?}");
        plan.windows.iter().map(|due| due.window.start().to_string()).collect()
    }

    /// How many entries the log of each pipeline has.
    pub(super) fn entries(&self) -> [usize; 2] {
        let log = |pipeline| self.project.path(&format!("_highwater/{pipeline}/log"));
        PIPELINES.map(|pipeline| fs::read_dir(log(pipeline)).map_or(0, Iterator::count))
    }

    /// Exactly the windows `due` were begun and committed since entry `first`, and last with the
    /// rows that they see now. How many commits of windows there were.
    pub(super) fn assert_computed(
        &self,
        pipeline: usize,
        first: usize,
        due: &BTreeSet<i64>,
    ) -> usize {
        let name = PIPELINES[pipeline];
        let (mut begun, mut committed) = (BTreeSet::new(), Vec::new());
        for entry in self.project.entries(name).into_iter().skip(first) {
            let windows = entry["windows"].as_array().cloned().unwrap_or_default();
            let start = |window: &serde_json::Value| window["start"].as_str().unwrap().to_owned();
            match entry["kind"].as_str().unwrap() {
                "begin" => begun.extend(windows.iter().map(start)),
                "commit" => committed.extend(windows),
                _ => {}
            }
        }
        let due_texts = texts(due);
        let starts = committed.iter().map(|window| window["start"].as_str().unwrap().to_owned());
        assert_eq!(begun, due_texts, "begun by {name}: {:?}", self.setup);
        assert_eq!(starts.collect::<BTreeSet<_>>(), due_texts, "{name}: {:?}", self.setup);
        for start in due {
            let is_it = |window: &&serde_json::Value| window["start"] == text(*start);
            let rows = &committed.iter().rfind(is_it).unwrap()["rows"];
            let counts = self.pipes[pipeline].counts(*start);
            assert_eq!((&rows["in"], &rows["margin"]), (&counts.0.into(), &counts.1.into()));
        }
        committed.len()
    }

    pub(super) fn assert_watermark(&self, pipeline: usize, report: &PipelineReport) {
        let expected = self.pipes[pipeline].watermark.map(EventTime::from_micros);
        assert_eq!(report.watermark, expected, "{}: {:?}", PIPELINES[pipeline], self.setup);
    }

    pub(super) fn assert_outputs(&self) {
        assert_equal(&self.project.outputs(), &self.outputs());
    }

    /// What holds at the end of every history: all is sound, and another run does nothing.
    pub(super) fn assert_done(&mut self) {
        self.assert_outputs();
        self.project.assert_sound();
        for pipeline in [0, 1] {
            self.run(pipeline, None);
        }
        let before = self.entries();
        let reports = self.project.run();
        assert!(reports.iter().all(PipelineReport::is_idle), "{reports:?}");
        assert_eq!(self.entries(), before);
        self.assert_outputs();
    }
}

/// Asks to compute windows again.
pub(super) fn reprocess((from, to): Window) -> Request {
    Request {
        verb: Verb::Reprocess,
        start: EventTime::from_micros(from),
        end: EventTime::from_micros(to),
        only_outdated: false,
        to: None,
        within: Vec::new(),
        why: None,
        inbox: None,
    }
}

/// An instant as the log has it.
pub(super) fn text(at: i64) -> String {
    EventTime::from_micros(at).to_string()
}

fn texts(starts: &BTreeSet<i64>) -> BTreeSet<String> {
    starts.iter().map(|start| text(*start)).collect()
}
