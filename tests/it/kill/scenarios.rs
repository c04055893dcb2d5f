//! What is killed: commands on projects that something happened to.

use std::fs;

use highwater::log::Inbox;
use highwater::state::{Request, Verb};
use highwater::time::EventTime;

use super::Scenario;
use crate::chain;
use crate::rollback;
use crate::support::{DAY_0, HOUR, Project, Row, TINY, block_on};

pub(super) const SCENARIOS: &[Scenario] = &[
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

pub(super) fn at(hour: i64) -> i64 {
    DAY_0 + hour * HOUR
}

/// Four windows that close, one that does not.
pub(super) fn fed() -> Project {
    let project = Project::new(TINY);
    project.feed("a.parquet", &[(at(0), "a", 10), (at(1), "a", 60), (at(1) + 5, "b", 70)]);
    project.feed("b.parquet", &[(at(2), "a", 80), (at(3), "c", 90), (at(4), "c", 90)]);
    project
}

/// The same, and rows that lie in a future that nobody can know.
pub(super) fn fed_with_future() -> Project {
    let project = fed();
    project.feed("c.parquet", &[(at(1), "a", 10), (FUTURE, "late", 60), (FUTURE + 1, "b", 7)]);
    project
}

/// Further ahead of any file than is allowed.
pub(crate) const FUTURE: i64 = 7_258_118_400_000_000;

/// A late file, a replaced one, and a new window.
pub(super) fn fed_late() -> Project {
    let project = fed();
    project.run();
    project.feed("late.parquet", &[(at(0) + 7, "late", 55), (at(5), "c", 1)]);
    project.feed("b.parquet", &[(at(1), "moved", 80), (at(4), "c", 90)]);
    project
}

/// Two hours that are done, and a request that was left while another process held the lease.
pub(super) fn asked_meanwhile() -> Project {
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
pub(super) fn fed_many() -> Project {
    let project = Project::new(TINY);
    let rows: Vec<Row> = (0..67).map(|hour| (at(hour), "m", hour)).collect();
    project.feed("a.parquet", &rows);
    project
}

/// A chain whose first pipeline has a late row to take in, and a table that changed.
pub(super) fn chain_changed() -> Project {
    let project = chain::fed(7, "reprocess");
    project.run();
    project.feed("late.parquet", &[(at(2), "b", 1)]);
    chain::weigh(&project, 30, 100);
    project
}

pub(super) fn damaged() -> Project {
    let project = fed();
    project.run();
    let object = |name: &str| project.path(&format!("out/{name}/data.parquet"));
    fs::write(object("totals/dt=2026-01-01/hour=00"), "no Parquet").unwrap();
    fs::write(object("large/dt=2026-01-01/hour=01"), "").unwrap();
    fs::remove_file(object("totals/dt=2026-01-01/hour=02")).unwrap();
    assert_eq!(project.problems().len(), 3);
    project
}

pub(super) fn fed_before_begin() -> Project {
    let config = TINY.replace("size = \"1h\"", "size = \"1h\"\nbegin = \"2026-01-01T02:00:00Z\"");
    let project = Project::new(&config);
    let rows: Vec<Row> = (0..5).map(|hour| (at(hour), "b", hour)).collect();
    project.feed("a.parquet", &rows);
    project.run();
    assert_eq!(project.outputs().len(), 4);
    project
}

/// A late row that no query survives.
pub(super) fn poisoned() -> Project {
    let project = Project::new(&TINY.replace("sum(value)", "sum(100 / (value + 1))"));
    project.feed("a.parquet", &[(at(0), "a", 10), (at(1), "a", 10)]);
    project.run();
    project.feed("late.parquet", &[(at(0) + 7, "late", -1)]);
    project
}

pub(super) fn fed_more() -> Project {
    let project = fed();
    project.run();
    project.feed("c.parquet", &[(at(5), "c", 90), (at(6), "d", 90), (at(7), "d", 90)]);
    project
}
