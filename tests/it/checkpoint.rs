//! Checkpoints: a long log is opened in a few requests, and nothing depends on them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use highwater::clock::Clock;
use highwater::error::{Code, Error};
use highwater::log::{Pace, StateLog};
use highwater::report::PipelineReport;
use highwater::run::Asked;
use highwater::state::{Request, STRETCH_WINDOWS, State, Verb, WindowState};
use highwater::time::EventTime;

use crate::scale::Counting;
use crate::support::{DAY_0, HOUR, Project, TINY, assert_good, block_on, files_below};

const FOLDER: &str = "_highwater/tiny/ckpt";

/// The most requests that opening a state may take, however many windows it has.
const REQUESTS_MAX: u64 = 20;

/// Two days of hours, one file and one run each.
fn worked() -> Project {
    let project = Project::new(TINY);
    for hour in 0..48 {
        feed(&project, hour);
        project.run();
    }
    project
}

fn feed(project: &Project, hour: i64) {
    project.feed(&format!("{hour:02}.parquet"), &[(DAY_0 + hour * HOUR, "a", hour)]);
}

fn log(project: &Project) -> StateLog {
    project.open().log(&project.spec().pipelines[0].name)
}

/// That what a checkpoint and the entries after it say is what the whole log says.
fn assert_same(project: &Project) {
    let log = log(project);
    let [read, replayed] = block_on(async { [log.read().await, log.replay().await] });
    let (read, replayed) = (read.unwrap().unwrap(), replayed.unwrap().unwrap());
    assert!(read.windows.iter().eq(replayed.windows.iter()));
    assert_eq!(read.windows.totals(), replayed.windows.totals());
    assert_eq!((read.head, read.watermark), (replayed.head, replayed.watermark));
}

fn newest(project: &Project) -> PathBuf {
    let names = files_below(project.path(FOLDER));
    let newest = names.iter().rfind(|name| name.contains(".ckpt")).unwrap();
    project.path(FOLDER).join(newest)
}

#[test]
fn it_says_what_the_log_says_and_windows_come_back_when_they_are_needed() {
    let project = worked();
    let opened = block_on(log(&project).open()).unwrap().unwrap();
    assert!(opened.checkpoint.is_some());
    let stretches = opened.state.windows.stretches().count();
    let loaded = opened.state.windows.iter().count();
    assert!(stretches >= 10 && loaded < 10, "{stretches} stretches, {loaded} windows");
    assert_same(&project);

    // A late row for a window whose facts lie in a segment, and a request for a stretch of them.
    project.feed("late.parquet", &[(DAY_0 + 2 * HOUR + 1, "b", 60)]);
    project.run().iter().for_each(assert_good);
    assert_same(&project);
    let request = Request {
        verb: Verb::Reprocess,
        start: EventTime::from_micros(DAY_0 + 5 * HOUR),
        end: EventTime::from_micros(DAY_0 + 25 * HOUR),
        only_outdated: false,
        to: None,
        within: Vec::new(),
        why: None,
        inbox: None,
    };
    let reports = project.try_run(&Asked::Request(request));
    reports.iter().for_each(assert_good);
    assert_eq!(reports[0].windows_done, 20);
    for hour in 48..60 {
        feed(&project, hour);
        project.run();
        assert_same(&project);
    }
    project.assert_sound();
    let count = project.entries("tiny").len();
    project.run();
    assert_eq!(project.entries("tiny").len(), count, "nothing is due any more");
}

#[test]
fn what_is_wrong_with_one_costs_time_and_nothing_else() {
    let project = worked();
    let outputs = project.outputs();
    let hint = project.path(FOLDER).join("LATEST");
    let segments = || {
        let names = files_below(project.path("_highwater/tiny/seg"));
        names.into_iter().filter(|name| name.starts_with("windows-"))
    };
    let damages: [(&str, &dyn Fn()); 6] = [
        ("no hint", &|| fs::remove_file(&hint).unwrap()),
        ("a torn hint", &|| fs::write(&hint, "{\"key\": \"ckpt/0000").unwrap()),
        ("a hint to nowhere", &|| fs::write(&hint, "{\"key\": \"ckpt/x.ckpt\"}").unwrap()),
        ("a checkpoint that was cut", &|| {
            let bytes = fs::read(newest(&project)).unwrap();
            fs::write(newest(&project), &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("segments that are gone", &|| {
            let folder = project.path("_highwater/tiny/seg");
            segments().step_by(2).for_each(|name| fs::remove_file(folder.join(name)).unwrap());
        }),
        ("no checkpoint at all", &|| fs::remove_dir_all(project.path(FOLDER)).unwrap()),
    ];
    for (hour, (what, damage)) in (48..).zip(damages) {
        damage();
        assert_same(&project);
        project.feed(&format!("late-{hour}.parquet"), &[(DAY_0 + 4 * HOUR + hour, "b", 1)]);
        feed(&project, hour);
        project.run().iter().for_each(assert_good);
        assert_same(&project);
        assert!(project.outputs().len() > outputs.len(), "{what}");
    }
    project.assert_sound();
}

fn refused(project: &Project) -> Error {
    let PipelineReport { errors, .. } = project.try_run(&Asked::Run).remove(0);
    errors.into_iter().next().expect("a damaged log is refused")
}

#[test]
fn one_of_another_history_than_the_log_is_damage() {
    let project = worked();
    // The log of last week beside the checkpoints of today.
    let known = block_on(log(&project).open()).unwrap().unwrap().checkpoint.unwrap();
    let entry = |seq: u64| project.path(&format!("_highwater/tiny/log/{seq:020}.json"));
    let kept = fs::read(entry(known.0)).unwrap();
    fs::remove_file(entry(known.0)).unwrap();
    let error = refused(&project);
    assert_eq!(error.code(), Code::StateCorrupt);
    assert!(error.message().contains("it is missing"), "{error:?}");

    // Another entry in its place.
    fs::copy(entry(known.0 - 1), entry(known.0)).unwrap();
    let error = refused(&project);
    assert_eq!(error.code(), Code::StateCorrupt);
    assert!(error.message().contains("a checkpoint was made of"), "{error:?}");
    fs::write(entry(known.0), kept).unwrap();
    project.run().iter().for_each(assert_good);
}

/// The facts of the window `place` windows after `first`.
fn moved(first: &WindowState, place: usize) -> WindowState {
    let by = i64::try_from(place).unwrap() * HOUR;
    let mut window = first.clone();
    let later = |at: EventTime| EventTime::from_micros(at.micros() + by);
    window.committed.start = later(window.committed.start);
    window.committed.end = later(window.committed.end);
    window
}

/// A state with `windows` committed windows in stretches.
fn grown(state: &State, windows: usize) -> State {
    let mut state = state.clone();
    let (_, first) = state.windows.iter().next().expect("a window to copy");
    let first = first.clone();
    for stretch in 0..windows / STRETCH_WINDOWS {
        let places = stretch * STRETCH_WINDOWS..(stretch + 1) * STRETCH_WINDOWS;
        let windows: Vec<_> = places.map(|place| moved(&first, place)).collect();
        let mut stored = state.segments[0].stored.clone();
        stored.key = format!("seg/windows-{stretch:020}.seg");
        state.collapse(&windows, stored);
    }
    state.watermark = state.windows.stretches().map(|(_, stretch)| stretch.end).max();
    state
}

#[test]
fn five_million_windows_are_opened_in_20_requests() {
    let project = Project::new(TINY);
    feed(&project, 0);
    feed(&project, 1);
    project.run();
    let name = project.spec().pipelines[0].name.clone();
    let store = Arc::new(Counting::default());
    for entry in files_below(project.path("_highwater/tiny/log")) {
        let bytes = fs::read(project.path("_highwater/tiny/log").join(&entry)).unwrap();
        store.hold(format!("log/{entry}"), bytes);
    }
    let log = StateLog::new(store.clone(), name);
    let state = block_on(log.read()).unwrap().unwrap();
    let large = grown(&state, 5_000_000);
    let (windows, _) = large.windows.totals();
    assert!(windows > 4_990_000, "{windows}");
    block_on(log.save(large.clone(), Pace::default(), &Clock::system())).unwrap();
    let size: u64 = store.sizes("ckpt/");
    assert!(size < 1 << 20, "the checkpoint has {size} bytes");

    store.asked();
    let opened = block_on(log.open()).unwrap().unwrap();
    let requests: u64 = store.asked().values().sum();
    assert!(requests <= REQUESTS_MAX, "{requests} requests");
    assert_eq!(opened.state, large);
}
