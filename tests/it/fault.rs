//! Every call to a store of a whole run is broken once, in each way; the next run mends everything.
//! And inputs that change under a run.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use highwater::report::{Observer, PipelineReport, RunEvent};
use highwater::run::{Asked, Stop, run_pipeline};
use highwater::store::Fault;
use highwater::time::EventTime;

use crate::chain;
use crate::equal::assert_equal;
use crate::support::{
    DAY_0, HOUR, Outputs, Project, TINY, assert_good, block_on, files_below, run_all,
};

/// Runs that are broken at the same time: those that try again and again do nothing but wait.
const AT_ONCE: usize = 32;

/// How a call is broken: after its effect or before, and whether all later calls are too.
#[derive(Clone, Copy, Debug)]
struct Way {
    after_effect: bool,
    for_ever: bool,
}

const WAYS: [Way; 4] = [
    Way { after_effect: false, for_ever: false },
    Way { after_effect: true, for_ever: false },
    Way { after_effect: false, for_ever: true },
    Way { after_effect: true, for_ever: true },
];

/// Two files, three windows that close, one that does not.
fn fed() -> Project {
    let project = Project::new(TINY);
    let at = |hour: i64| DAY_0 + hour * HOUR;
    project.feed("a.parquet", &[(at(0), "a", 10), (at(1), "a", 60), (at(1) + 5, "b", 70)]);
    project.feed("b.parquet", &[(at(2), "a", 80), (at(3), "c", 90)]);
    project
}

/// The same after a run, with a late file and a replaced one.
fn fed_late() -> Project {
    let project = fed();
    project.run();
    project.feed("late.parquet", &[(DAY_0 + 7, "late", 55)]);
    project.feed("b.parquet", &[(DAY_0 + HOUR, "moved", 80), (DAY_0 + 3 * HOUR, "c", 90)]);
    project
}

/// Breaks call number `at` of a run, then runs undisturbed. Whether the run got there.
fn survives(project: &Project, expected: &Outputs, at: u64, way: Way) -> bool {
    let project = project.copy();
    let fault = Fault::new(at, way.after_effect, way.for_ever);
    let broken = project.open().with_fault(fault.clone());
    let reports = block_on(run_all(&broken, &Asked::Run));
    drop(broken);
    let is_good = |report: &PipelineReport| report.kind().is_none();
    if reports.iter().all(is_good) {
        // Whoever says that all is well has done it all.
        assert_equal(&project.outputs(), expected);
    }

    project.run();
    assert_equal(&project.outputs(), expected);
    project.assert_sound();

    let staged = || files_below(project.path("_highwater/tiny/tmp"));
    if !staged().is_empty() {
        // The next run that writes sweeps it.
        project.feed("more.parquet", &[(DAY_0 + 9, "more", 1)]);
        project.run();
    }
    assert_eq!(staged(), [""; 0]);
    fault.calls() >= at
}

/// Breaks every call of a run of `project` in these ways. How many runs were broken.
fn break_everywhere(project: &Project, ways: &[Way]) -> u64 {
    let whole = project.copy();
    whole.run();
    let expected = whole.outputs();
    let (broken, next, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let ends: Vec<AtomicU64> = ways.iter().map(|_| AtomicU64::new(u64::MAX)).collect();
    let work = || {
        while !failed.load(Ordering::SeqCst) {
            let ticket = next.fetch_add(1, Ordering::SeqCst);
            let ticket = usize::try_from(ticket).unwrap();
            let place = ticket % ways.len();
            let at = u64::try_from(ticket / ways.len() + 1).unwrap();
            if ends.iter().all(|end| end.load(Ordering::SeqCst) <= at) {
                return;
            }
            if ends[place].load(Ordering::SeqCst) <= at {
                continue;
            }
            let survived =
                std::panic::catch_unwind(|| survives(project, &expected, at, ways[place]));
            match survived {
                Ok(true) => _ = broken.fetch_add(1, Ordering::SeqCst),
                Ok(false) => _ = ends[place].fetch_min(at, Ordering::SeqCst),
                Err(_) => {
                    failed.store(true, Ordering::SeqCst);
                    panic!("the run whose call {at} was broken {:?} was not mended", ways[place]);
                }
            }
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| _ = scope.spawn(work)));
    broken.into_inner()
}

#[test]
fn a_first_run_broken_at_any_call_is_mended_by_the_next() {
    let broken = break_everywhere(&fed(), &WAYS);
    assert!(broken > 200, "only {broken} runs were broken");
}

#[test]
fn a_run_with_late_data_broken_at_any_call_is_mended_by_the_next() {
    let broken = break_everywhere(&fed_late(), &WAYS);
    assert!(broken > 200, "only {broken} runs were broken");
}

#[test]
fn a_chain_broken_at_any_call_is_mended_by_the_next_run() {
    let project = chain::fed(3, "reprocess");
    project.run();
    project.feed("late.parquet", &[(DAY_0 + 2 * HOUR, "late", 55)]);
    chain::weigh(&project, 30, 100);
    let broken = break_everywhere(&project, &WAYS[1..3]);
    assert!(broken > 80, "only {broken} runs were broken");
}

/// Does something to the input of a project as soon as a run has planned, once.
struct Meddler<'a> {
    project: &'a Project,
    deed: fn(&Project),
    is_done: AtomicBool,
}

impl Observer for Meddler<'_> {
    fn on(&self, event: RunEvent<'_>) {
        if matches!(event, RunEvent::Planned { .. }) && !self.is_done.swap(true, Ordering::SeqCst) {
            (self.deed)(self.project);
        }
    }
}

/// A run of `project` during which `deed` is done.
fn meddled(project: &Project, deed: fn(&Project)) -> PipelineReport {
    let meddler = Meddler { project, deed, is_done: AtomicBool::new(false) };
    let (opened, stop) = (project.open(), Stop::default());
    let run = run_pipeline(&opened, &opened.spec.pipelines[0], &Asked::Run, &stop, &meddler);
    let report = block_on(run);
    assert!(meddler.is_done.into_inner());
    report
}

#[test]
fn an_input_replaced_after_it_was_planned_is_planned_again() {
    let replace = |project: &Project| {
        project.feed("a.parquet", &[(DAY_0, "other", 99), (DAY_0 + HOUR, "other", 99)]);
    };
    let replaced = fed();
    replace(&replaced);
    replaced.run();
    let project = fed();
    assert_good(&meddled(&project, replace));
    assert_equal(&project.outputs(), &replaced.outputs());
    project.assert_sound();
}

#[test]
fn an_input_removed_after_it_was_planned_fails_its_windows_until_it_is_back() {
    let whole = fed();
    whole.run();
    let project = fed();
    let report = meddled(&project, |project| {
        fs::rename(project.path("in/a.parquet"), project.path("in/a.hidden")).unwrap();
    });
    let codes: Vec<&str> = report.failures.iter().map(|window| window.code.as_str()).collect();
    assert_eq!((codes, report.windows_done), (vec!["HW3006", "HW3006"], 1), "{report:?}");
    let start = EventTime::from_micros(DAY_0);
    assert_eq!(report.watermark, Some(start), "the first window is not committed");
    assert_eq!(project.outputs().len(), 2);
    project.assert_sound();
    fs::rename(project.path("in/a.hidden"), project.path("in/a.parquet")).unwrap();
    project.run();
    assert_equal(&project.outputs(), &whole.outputs());
}

#[test]
fn an_input_that_arrives_after_the_plan_is_late_data_of_the_next_run() {
    let whole = fed();
    whole.run();
    let project = fed();
    let feed_late = |project: &Project| project.feed("late.parquet", &[(DAY_0 + 1, "late", 99)]);
    assert_good(&meddled(&project, feed_late));
    assert_equal(&project.outputs(), &whole.outputs());
    let reports = project.run();
    assert_eq!((reports[0].windows_done, reports[0].rows.late), (1, 1));
    feed_late(&whole);
    whole.run();
    assert_equal(&project.outputs(), &whole.outputs());
}
