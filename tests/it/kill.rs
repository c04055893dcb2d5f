//! The real binary is killed, at every instant that has a name and at random ones; the next plain
//! run ends where an undisturbed one would have.

mod points;
mod random;
mod signals;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};

use highwater::log::Inbox;
use highwater::state::{Request, Verb};
use highwater::time::EventTime;
use serde_json::json;

use crate::chain;
use crate::equal::assert_equal;
use crate::rollback;
use crate::support::{DAY_0, HOUR, Outputs, Project, Row, TINY, block_on, code, each, files_below};

/// Cases that run at the same time.
const AT_ONCE: usize = 2;

/// A command that is killed, and the places where: `name:count`.
struct Scenario {
    before: fn() -> Project,
    command: &'static [&'static str],
    /// What happens to the project between the kill and the next run.
    mend: fn(&Project),
    points: &'static [&'static str],
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        before: fed,
        command: &["run"],
        mend: |_| {},
        points: &[
            "claim.before:1",
            "claim.after:1",
            "shape.before:1",
            "shape.after:1",
            "query.before:1",
            "query.after:1",
            "segment.after:1",
            "inputs.before:1",
            "inputs.after:1",
            "columns.before:1",
            "columns.after:1",
            "begin.before:1",
            "begin.after:1",
            "compute.before:1",
            "compute.after:1",
            "observe.after:1",
            "observe.after:8",
            "publish.before:1",
            "publish.after:1",
            "publish.before:4",
            "publish.after:5",
            "publish.after:8",
            "commit.before:1",
            "commit.after:1",
            "release.before:1",
            "release.after:1",
        ],
    },
    Scenario {
        before: fed_with_future,
        command: &["run"],
        mend: |_| {},
        points: &[
            "begin_aside.before:1",
            "begin_aside.after:1",
            "compute.after:1",
            "publish.before:1",
            "publish.after:1",
            "aside.before:1",
            "aside.after:1",
            "commit.after:1",
        ],
    },
    Scenario {
        before: fed_late,
        command: &["run"],
        mend: |_| {},
        points: &[
            "claim.after:1",
            "segment.after:1",
            "inputs.before:1",
            "inputs.after:1",
            "begin.after:1",
            "compute.after:1",
            "observe.after:5",
            "publish.before:1",
            "publish.after:1",
            "publish.before:5",
            "publish.after:6",
            "commit.before:1",
            "commit.after:1",
            "release.before:1",
        ],
    },
    Scenario {
        before: fed_many,
        command: &["run"],
        mend: |_| {},
        points: &[
            "begin.before:2",
            "publish.after:129",
            "commit.before:2",
            "commit.after:2",
            "checkpoint.after:1",
        ],
    },
    Scenario {
        before: asked_meanwhile,
        command: &["run"],
        mend: |_| {},
        points: &["request.before:1", "request.after:1", "inbox.taken:1", "commit.after:1"],
    },
    Scenario {
        before: damaged,
        command: &[
            "reprocess",
            "tiny",
            "--from",
            "2026-01-01T00",
            "--to",
            "2026-01-01T03",
            "--yes",
        ],
        mend: |_| {},
        points: &[
            "claim.after:1",
            "request.before:1",
            "request.after:1",
            "begin.after:1",
            "compute.after:1",
            "publish.before:2",
            "publish.after:4",
            "commit.before:1",
            "commit.after:1",
            "request_done.before:1",
            "request_done.after:1",
        ],
    },
    Scenario {
        before: fed_before_begin,
        command: &["backfill", "tiny", "--from", "2026-01-01T00", "--to", "2026-01-01T02"],
        mend: |_| {},
        points: &[
            "request.before:1",
            "request.after:1",
            "begin.after:1",
            "publish.after:3",
            "commit.before:1",
            "commit.after:1",
            "request_done.before:1",
        ],
    },
    Scenario {
        before: poisoned,
        command: &["run"],
        mend: |project| project.feed("late.parquet", &[(DAY_0 + 7, "late", 5)]),
        points: &["compute.before:1", "compute.after:1", "failed.before:1", "failed.after:1"],
    },
    Scenario {
        before: fed,
        command: &["run"],
        mend: |project| project.feed("a.parquet", &[(DAY_0 + 7, "other", 5)]),
        points: &["inputs.after:1", "begin.after:1", "publish.after:3", "commit.after:1"],
    },
    Scenario {
        before: || chain::fed(7, "reprocess"),
        command: &["run"],
        mend: |_| {},
        points: &[
            "references.before:1",
            "references.after:1",
            "watermarks.before:1",
            "watermarks.after:1",
            "inputs.after:2",
            "begin.after:2",
            "publish.after:16",
            "commit.before:2",
            "commit.after:2",
        ],
    },
    Scenario {
        before: chain_changed,
        command: &["run"],
        mend: |_| {},
        points: &["publish.after:2", "commit.before:1", "inputs.before:2", "publish.after:3"],
    },
    Scenario {
        before: fed_more,
        command: &[
            "skip",
            "tiny",
            "--from",
            "2026-01-01T04",
            "--to",
            "2026-01-01T06",
            "--reason",
            "x",
        ],
        mend: |_| {},
        points: &["skip.before:1", "skip.after:1"],
    },
    Scenario {
        before: rollback::revised,
        command: &["rollback", "tiny", "--from", "2026-01-01T00", "--to", "2026-01-01T04", "--yes"],
        mend: |_| {},
        points: &[
            "request.before:1",
            "request.after:1",
            "begin.before:1",
            "begin.after:1",
            "observe.after:2",
            "keep.before:1",
            "keep.before:3",
            "keep.after:1",
            "keep.after:4",
            "publish.before:1",
            "publish.after:1",
            "publish.after:3",
            "rollback.before:1",
            "rollback.after:1",
            "request_done.before:1",
            "request_done.after:1",
        ],
    },
    Scenario {
        before: fed_late,
        command: &["run"],
        mend: |_| {},
        points: &["keep.before:1", "keep.after:1", "keep.after:3"],
    },
    Scenario {
        before: rollback::doubtful,
        command: &["run"],
        mend: |project| {
            let rows = [(at(0) + 7, "late", 55), (at(5), "late", 60), (at(6), "z", 1)];
            project.feed("late.parquet", &rows);
        },
        points: &[
            "settle.before:1",
            "keep.before:1",
            "publish.after:1",
            "rollback.before:1",
            "rollback.after:1",
            "settle.before:2",
            "publish.after:3",
            "abort.before:1",
            "abort.after:1",
        ],
    },
];

fn at(hour: i64) -> i64 {
    DAY_0 + hour * HOUR
}

/// Four windows that close, one that does not.
fn fed() -> Project {
    let project = Project::new(TINY);
    project.feed("a.parquet", &[(at(0), "a", 10), (at(1), "a", 60), (at(1) + 5, "b", 70)]);
    project.feed("b.parquet", &[(at(2), "a", 80), (at(3), "c", 90), (at(4), "c", 90)]);
    project
}

/// The same, and rows that lie in a future that nobody can know.
fn fed_with_future() -> Project {
    let project = fed();
    project.feed("c.parquet", &[(at(1), "a", 10), (FUTURE, "late", 60), (FUTURE + 1, "b", 7)]);
    project
}

/// Further ahead of any file than is allowed.
pub(crate) const FUTURE: i64 = 7_258_118_400_000_000;

/// A late file, a replaced one, and a new window.
fn fed_late() -> Project {
    let project = fed();
    project.run();
    project.feed("late.parquet", &[(at(0) + 7, "late", 55), (at(5), "c", 1)]);
    project.feed("b.parquet", &[(at(1), "moved", 80), (at(4), "c", 90)]);
    project
}

/// Two hours that are done, and a request that was left while another process held the lease.
fn asked_meanwhile() -> Project {
    let project = fed();
    project.run();
    let opened = project.open();
    let log = opened.log(&project.spec().pipelines[0].name);
    let request = Request {
        verb: Verb::Reprocess,
        start: EventTime::from_micros(DAY_0),
        end: EventTime::from_micros(DAY_0 + HOUR),
        only_outdated: false,
        to: None,
        within: Vec::new(),
        why: None,
        inbox: None,
    };
    let inbox = Inbox::new(log.store().as_ref());
    block_on(inbox.leave(&request, &opened.clock)).unwrap();
    project
}

/// More windows than one batch takes.
fn fed_many() -> Project {
    let project = Project::new(TINY);
    let rows: Vec<Row> = (0..67).map(|hour| (at(hour), "m", hour)).collect();
    project.feed("a.parquet", &rows);
    project
}

/// A chain whose first pipeline has a late row to take in, and a table that changed.
fn chain_changed() -> Project {
    let project = chain::fed(7, "reprocess");
    project.run();
    project.feed("late.parquet", &[(at(2), "b", 1)]);
    chain::weigh(&project, 30, 100);
    project
}

fn damaged() -> Project {
    let project = fed();
    project.run();
    let object = |name: &str| project.path(&format!("out/{name}/data.parquet"));
    fs::write(object("totals/dt=2026-01-01/hour=00"), "no Parquet").unwrap();
    fs::write(object("large/dt=2026-01-01/hour=01"), "").unwrap();
    fs::remove_file(object("totals/dt=2026-01-01/hour=02")).unwrap();
    assert_eq!(project.problems().len(), 3);
    project
}

fn fed_before_begin() -> Project {
    let config = TINY.replace("size = \"1h\"", "size = \"1h\"\nbegin = \"2026-01-01T02:00:00Z\"");
    let project = Project::new(&config);
    let rows: Vec<Row> = (0..5).map(|hour| (at(hour), "b", hour)).collect();
    project.feed("a.parquet", &rows);
    project.run();
    assert_eq!(project.outputs().len(), 4);
    project
}

/// A late row that no query survives.
fn poisoned() -> Project {
    let project = Project::new(&TINY.replace("sum(value)", "sum(100 / (value + 1))"));
    project.feed("a.parquet", &[(at(0), "a", 10), (at(1), "a", 10)]);
    project.run();
    project.feed("late.parquet", &[(at(0) + 7, "late", -1)]);
    project
}

fn fed_more() -> Project {
    let project = fed();
    project.run();
    project.feed("c.parquet", &[(at(5), "c", 90), (at(6), "d", 90), (at(7), "d", 90)]);
    project
}

/// Starts the binary and waits until it stands still at `point`. Also what it says from then on.
fn start_and_stop_at(
    project: &Project,
    args: &[&str],
    point: &str,
) -> (Child, BufReader<ChildStderr>) {
    let mut command = project.command(args);
    command.env("HIGHWATER_STOP_AT", point).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let said = format!("stopped at {}", point.split(':').next().unwrap());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut before = String::new();
    while stderr.read_line(&mut before).unwrap() > 0 {
        if before.lines().last() == Some(&said) {
            return (child, stderr);
        }
    }
    let ended = child.wait().unwrap();
    panic!("{args:?} never came to {point}, {ended}: {before}");
}

/// Starts the binary and kills it at `point`.
pub(crate) fn kill_at(project: &Project, args: &[&str], point: &str) {
    kill(&mut start_and_stop_at(project, args, point).0);
}

/// `kill -9`.
pub(crate) fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The holder of a lease who does not let go of it.
pub(crate) fn hold(project: &Project, point: &str) -> Child {
    start_and_stop_at(project, &["run"], point).0
}

/// Runs the binary; it must end well.
pub(crate) fn run_well(project: &Project, args: &[&str]) {
    let ended = project.command(args).output().unwrap();
    assert_eq!(code(&ended), 0, "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// Whether what the command asks for is in the log, so that nobody needs to ask again.
fn is_asked(project: &Project, command: &[&str]) -> bool {
    let asks = |entry: &serde_json::Value| entry["kind"] == "request" || entry["kind"] == "skip";
    command[0] == "run" || project.entries("tiny").iter().any(asks)
}

/// What readers get to see. Whether a window without a row has an object depends on whether it ever
/// had a row when a run looked at it.
fn with_rows(mut outputs: Outputs) -> Outputs {
    outputs.retain(|_, rows| !rows.is_empty());
    outputs
}

impl Scenario {
    /// What an undisturbed command and run give.
    fn expected(&self, before: &Project) -> Outputs {
        let project = before.copy();
        // It may fail: what makes it fail is mended afterwards.
        project.command(self.command).output().unwrap();
        (self.mend)(&project);
        run_well(&project, &["run"]);
        project.assert_sound();
        with_rows(project.outputs())
    }

    fn check(&self, before: &Project, expected: &Outputs, point: &str) {
        let project = before.copy();
        kill_at(&project, self.command, point);
        (self.mend)(&project);
        if !is_asked(&project, self.command) {
            run_well(&project, self.command);
        }
        run_well(&project, &["run"]);
        assert_equal(&with_rows(project.outputs()), expected);
        project.assert_sound();
        let (_, requests) = project.json(&["requests"]);
        assert_eq!(requests["requests"], json!([]), "{requests}");
        assert_eq!(files_below(project.path("_highwater/tiny/tmp")), [""; 0]);
    }
}

#[test]
fn a_plain_run_finishes_whatever_was_killed_at_a_named_point() {
    let ready: Vec<_> = SCENARIOS
        .iter()
        .map(|scenario| {
            let before = (scenario.before)();
            let expected = scenario.expected(&before);
            (scenario, before, expected)
        })
        .collect();
    let cases = ready.iter().flat_map(|case| case.0.points.iter().map(move |point| (case, *point)));
    let cases: Vec<_> = cases.collect();
    each(
        AT_ONCE,
        &cases,
        |((scenario, ..), point)| format!("{:?} killed at {point}", scenario.command),
        |((scenario, before, expected), point)| scenario.check(before, expected, point),
    );
}

#[test]
fn a_recovery_that_is_killed_again_and_again_gets_there() {
    for scenario in &SCENARIOS[..2] {
        let before = (scenario.before)();
        let expected = scenario.expected(&before);
        let points = [
            "publish.after:1",
            "begin.after:1",
            "publish.before:3",
            "claim.after:1",
            "commit.before:1",
        ];
        for point in points {
            kill_at(&before, &["run"], point);
        }
        run_well(&before, &["run"]);
        assert_equal(&with_rows(before.outputs()), &expected);
        before.assert_sound();
    }
}

#[test]
fn what_was_begun_is_finished_even_if_nobody_asks_for_it_any_more() {
    let project = damaged();
    let reprocess = SCENARIOS.iter().find(|scenario| scenario.command[0] == "reprocess").unwrap();
    kill_at(&project, reprocess.command, "publish.after:3");
    let (_, requests) = project.json(&["requests"]);
    let id = requests["requests"][0]["id"].as_str().unwrap();
    run_well(&project, &["requests", "tiny", "--cancel", id, "--yes"]);
    run_well(&project, &["run"]);
    let whole = fed();
    whole.run();
    assert_equal(&project.outputs(), &whole.outputs());
    project.assert_sound();
}

#[test]
fn what_a_killed_process_staged_is_swept_by_the_next_that_writes() {
    let project = fed();
    kill_at(&project, &["run"], "compute.after:1");
    let staging = project.path("_highwater/tiny/tmp");
    let creating = "create-01a1f814-e0fc-70df-b23c-bd853d54dc04";
    fs::write(staging.join(creating), "half of an ent").unwrap();
    assert_eq!(files_below(&staging).len(), 9);
    run_well(&project, &["run"]);
    assert_eq!(files_below(staging), [""; 0]);
}
