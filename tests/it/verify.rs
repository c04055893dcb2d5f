//! What `verify` finds at which level, what it does not mistake for damage, and that
//! `reprocess --damaged` mends what it finds.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use highwater::report::{Problem, ProblemKind};
use highwater::run::{Depth, Extent, verify_pipeline};
use highwater::store::Fault;
use serde_json::{Value, json};

use crate::kill::{hold, kill, run_well};
use crate::support::{
    DAY_0, HOUR, Project, TINY, block_on, code, files_below, set_modified, touch, write_rows,
};

const DEPTHS: [Depth; 5] = [Depth::Quick, Depth::Log, Depth::Sizes, Depth::Full, Depth::Recompute];

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

/// The same after a run.
fn done() -> Project {
    let project = fed();
    project.run();
    project
}

fn object(project: &Project, hour: u8) -> PathBuf {
    project.path(&format!("out/totals/dt=2026-01-01/hour={hour:02}/data.parquet"))
}

fn kinds(problems: &[Problem]) -> Vec<ProblemKind> {
    problems.iter().map(|problem| problem.kind).collect()
}

/// Changes a byte in the middle of the file.
fn flip(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn nothing_is_found_wrong_with_a_sound_project() {
    let project = done();
    for depth in DEPTHS {
        assert_eq!(project.problems_at(depth), [], "{depth:?}");
    }
    let (code, found) = project.json(&["verify", "--recompute"]);
    let equal = json!({"equal": 4, "wrong": 0, "changed": 0, "outdated": 0, "unknown": 0});
    assert_eq!((code, &found["recomputed"]), (0, &equal), "{found}");
    assert_eq!((&found["complete"], &found["ok"]), (&true.into(), &true.into()));
}

#[test]
fn each_kind_of_damage_is_found_from_its_level_on() {
    type Deed = fn(&Project);
    let deeds: [(ProblemKind, &[Depth], Deed); 6] = [
        (ProblemKind::Missing, &[Depth::Quick, Depth::Sizes], |project| {
            fs::remove_file(object(project, 0)).unwrap();
        }),
        (ProblemKind::Size, &[Depth::Quick, Depth::Sizes], |project| {
            fs::write(object(project, 1), "no Parquet").unwrap();
        }),
        (ProblemKind::Sha256, &[Depth::Full], |project| flip(&object(project, 2))),
        (ProblemKind::Unknown, &[Depth::Sizes], |project| {
            let stray = object(project, 2).with_file_name("part-0.parquet");
            fs::copy(object(project, 2), stray).unwrap();
        }),
        (ProblemKind::Leftover, &[Depth::Sizes], |project| {
            let leftover = object(project, 2).with_file_name("data.parquet#1");
            fs::copy(object(project, 2), leftover).unwrap();
        }),
        (ProblemKind::Foreign, &[Depth::Log], |project| {
            let log = project.path("_highwater/tiny/log");
            fs::copy(log.join(format!("{:020}.json", 3)), log.join("3.json.bak")).unwrap();
        }),
    ];
    for (kind, from, deed) in deeds {
        let project = done();
        let before = files_below(project.path(""));
        deed(&project);
        for depth in DEPTHS {
            let first = from.last().unwrap();
            let is_found = from.contains(&depth) || (depth > *first && depth != Depth::Quick);
            let expected = if is_found { vec![kind] } else { Vec::new() };
            assert_eq!(kinds(&project.problems_at(depth)), expected, "{kind:?} at {depth:?}");
        }
        if kind != ProblemKind::Missing {
            let kept = files_below(project.path("")).len();
            assert!(kept >= before.len(), "{kind:?}: verify deleted something");
        }
    }
}

#[test]
fn only_the_range_is_looked_at() {
    let project = done();
    flip(&object(&project, 2));
    fs::write(object(&project, 1).with_file_name("x.tmp"), "x").unwrap();
    let found = |from: &str, to: &str| {
        let (_, found) = project.json(&["verify", "--from", from, "--to", to]);
        let problems = found["problems"].as_array().unwrap();
        problems.iter().map(|found| found["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("2026-01-01T00", "2026-01-01T01"), [""; 0]);
    assert_eq!(found("2026-01-01T01", "2026-01-01T02"), ["leftover"]);
    assert_eq!(found("2026-01-01T02", "2026-01-01T03"), ["sha256"]);
    let (code, found) = project.json(&["verify", "--from", "2026-01-02", "--to", "2026-01-03"]);
    assert_eq!((code, &found["checked"]["windows"]), (0, &0.into()));
}

#[test]
fn a_log_with_a_hole_says_what_makes_holes() {
    for back in [1, 4] {
        let project = done();
        let entries = project.entries("tiny").len();
        let hole = format!("_highwater/tiny/log/{:020}.json", entries - 1 - back);
        fs::remove_file(project.path(&hole)).unwrap();
        for level in ["--log", "--full", "--recompute"] {
            let (code, found) = project.json(&["verify", level]);
            assert_eq!((code, &found["errors"][0]["code"]), (6, &"HW5010".into()), "{found}");
            assert!(found["errors"][0]["message"].as_str().unwrap().contains(&hole), "{found}");
        }
        let said = project.command(&["verify"]).output().unwrap();
        assert!(String::from_utf8(said.stderr).unwrap().contains("lifecycle rule"));
    }
}

#[test]
fn a_hole_too_wide_to_read_across_shows_in_the_list() {
    let project = fed();
    for hour in 5..12 {
        project.feed("more.parquet", &[(at(hour), "k", 60)]);
        project.run();
    }
    let last = project.entries("tiny").len() - 1;
    let entry = |n: usize| project.path(&format!("_highwater/tiny/log/{n:020}.json"));
    assert!(last > 25, "{last}");
    let first = last - 20;
    (first..last).for_each(|n| fs::remove_file(entry(n)).unwrap());
    fs::remove_dir_all(project.path("_highwater/tiny/ckpt")).unwrap();
    assert_eq!(project.json(&["verify", "--quick"]).0, 0);
    let (code, found) = project.json(&["verify", "--log"]);
    assert_eq!((code, &found["errors"][0]["code"]), (6, &"HW5010".into()), "{found}");
    let message = found["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains(&format!("{first:020}.json: it is missing")), "{message}");
}

#[test]
fn a_file_beyond_the_end_of_the_log_that_is_no_entry_is_foreign() {
    let project = done();
    let last = project.entries("tiny").len() - 1;
    let entry = |n: usize| project.path(&format!("_highwater/tiny/log/{n:020}.json"));
    fs::write(entry(9999), "{}").unwrap();
    fs::copy(entry(last), entry(last + 40)).unwrap();
    let problems = project.problems_at(Depth::Log);
    assert_eq!(kinds(&problems), [ProblemKind::Foreign; 2], "{problems:?}");
    assert!(problems[1].path.ends_with("9999.json"), "{problems:?}");
}

#[test]
fn a_ledger_that_is_damaged_is_found_by_the_log_level_and_mended_by_nobody() {
    let project = done();
    let folder = project.path("_highwater/tiny/seg");
    flip(&folder.join(&files_below(&folder)[0]));
    assert_eq!(project.json(&["verify", "--quick"]).0, 0);
    for args in [&["verify", "--log"][..], &["reprocess", "tiny", "--damaged", "--yes"]] {
        let (code, found) = project.json(args);
        assert_eq!((code, &found["errors"][0]["code"]), (6, &"HW5010".into()), "{found}");
    }
    let entries = project.entries("tiny");
    assert!(entries.iter().all(|entry| entry["kind"] != "request"));
}

#[test]
fn an_object_that_is_newer_than_its_log_is_named_as_such() {
    let project = done();
    let older = project.copy();
    project.feed("late.parquet", &[(at(1), "late", 99)]);
    project.run();
    // The state is restored from last week, the outputs are not.
    fs::remove_dir_all(project.path("_highwater")).unwrap();
    for name in files_below(older.path("_highwater")) {
        let to = project.path("_highwater").join(&name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(older.path("_highwater").join(&name), to).unwrap();
    }
    assert_eq!(kinds(&project.problems()), [ProblemKind::Newer; 2]);
    // It is no damage: nobody replaces it by mistake.
    let (code, run) = project.json(&["reprocess", "tiny", "--damaged", "--yes"]);
    assert_eq!((code, &run["pipelines"]), (0, &json!([])));
    assert_eq!(kinds(&project.problems()), [ProblemKind::Newer; 2]);
}

#[test]
fn the_oracle_tells_wrong_rows_from_other_inputs_and_other_queries() {
    let project = fed();
    let input = project.path("in/a.parquet");
    // So old that nobody looks at its bytes.
    touch(&input, at(10));
    project.run();
    // Other rows in a file that looks the same: no run will ever notice.
    let like = project.path("like");
    fs::copy(&input, &like).unwrap();
    set_modified(&like, &input);
    write_rows(&input, &[(at(0), "a", 11), (at(1), "a", 60), (at(1) + 5, "b", 70)]);
    assert_eq!(fs::metadata(&input).unwrap().len(), fs::metadata(&like).unwrap().len());
    set_modified(&input, &like);
    assert_eq!(project.problems(), []);
    let problems = project.problems_at(Depth::Recompute);
    assert_eq!(kinds(&problems), [ProblemKind::Recompute]);
    assert!(problems[0].path.starts_with("out/totals/dt=2026-01-01/hour=00/"), "{problems:?}");

    // What is due anyway is not wrong.
    project.feed("late.parquet", &[(at(0) + 9, "late", 1)]);
    let recomputed = |args: &[&str]| project.json(args).1["recomputed"].clone();
    let args = ["verify", "--recompute"];
    let changed = json!({"equal": 3, "wrong": 0, "changed": 1, "outdated": 0, "unknown": 0});
    assert_eq!(recomputed(&args), changed);
    fs::write(project.path("config.toml"), TINY.replace("count(*) AS n", "count(*) AS m")).unwrap();
    let outdated = json!({"equal": 0, "wrong": 0, "changed": 0, "outdated": 4, "unknown": 0});
    assert_eq!(recomputed(&args), outdated);
    let entries = project.entries("tiny").len();
    assert_eq!(project.json(&["verify"]).1["checked"]["entries"], entries, "nothing is written");
}

#[test]
fn a_bit_that_flips_on_its_way_is_no_damage() {
    let project = done();
    let opened = project.open();
    let counted = Fault::flipping(u64::MAX);
    let verify = |fault: std::sync::Arc<Fault>| {
        let opened = project.open().with_fault(fault);
        let spec = &opened.spec.pipelines[0];
        block_on(verify_pipeline(&opened, spec, &Extent::all(Depth::Full))).unwrap().problems
    };
    assert_eq!(verify(counted.clone()), []);
    let calls = counted.calls();
    assert!(calls > 50, "{calls}");
    for call in 1..=calls {
        assert_eq!(verify(Fault::flipping(call)), [], "call {call}");
    }
    drop(opened);
}

#[test]
fn what_a_run_is_at_work_on_is_in_doubt_and_not_damaged() {
    let project = done();
    project.feed("late.parquet", &[(at(0), "late", 55), (at(1), "late", 55), (at(5), "c", 1)]);
    for point in ["begin.after:1", "publish.after:1", "publish.after:3", "commit.before:1"] {
        let mut run = hold(&project, point);
        for depth in [Depth::Quick, Depth::Sizes, Depth::Full] {
            let problems = project.problems_at(depth);
            let is_doubt = |found: &Problem| found.kind == ProblemKind::InDoubt;
            assert!(problems.iter().all(is_doubt), "{point}, {depth:?}: {problems:?}");
        }
        kill(&mut run);
    }
    run_well(&project, &["run"]);
    project.assert_sound();
}

#[test]
fn runs_that_come_and_go_are_never_mistaken_for_damage() {
    let project = done();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..25 {
                let late = [(at(round % 4), "late", 50 + round), (at(5 + round), "c", 60)];
                project.feed(&format!("late-{round}.parquet"), &late);
                project.run();
            }
            is_over.store(true, Ordering::SeqCst);
        });
        let mut looks = 0;
        while !is_over.load(Ordering::SeqCst) {
            for depth in [Depth::Sizes, Depth::Full] {
                let problems = project.problems_at(depth);
                let is_doubt = |found: &Problem| found.kind == ProblemKind::InDoubt;
                assert!(problems.iter().all(is_doubt), "{problems:?}");
            }
            looks += 1;
        }
        assert!(looks > 1, "nothing was looked at meanwhile");
    });
    project.assert_sound();
}

#[test]
fn what_is_damaged_is_requested_window_by_window_and_mended() {
    let project = done();
    let expected = project.outputs();
    flip(&object(&project, 0));
    fs::remove_file(object(&project, 2)).unwrap();
    let stray = object(&project, 1).with_file_name("stray.parquet");
    fs::copy(object(&project, 1), &stray).unwrap();
    let args = ["reprocess", "tiny", "--damaged"];

    let due = |found: &Value| -> Vec<String> {
        let windows = found["pipelines"][0]["windows"].as_array().unwrap().iter();
        windows.map(|due| due["start"].as_str().unwrap()[11..13].to_owned()).collect()
    };
    let (code, plan) = project.json(&[&args[..], &["--dry-run"]].concat());
    assert_eq!((code, due(&plan)), (0, vec!["00".to_owned(), "02".to_owned()]), "{plan}");
    assert_eq!(project.json(&args).0, 2, "it does not replace anything unasked");
    let (code, run) = project.json(&[&args[..], &["--yes"]].concat());
    assert_eq!((code, &run["pipelines"][0]["windows_done"]), (0, &2.into()), "{run}");

    let entries = project.entries("tiny");
    let requests = entries.iter().filter(|entry| entry["kind"] == "request");
    let within: Vec<_> = requests.map(|entry| entry["within"].as_array().unwrap().len()).collect();
    assert_eq!(within, [2], "one durable request for both");
    assert_eq!(project.json(&["requests"]).1["requests"], json!([]));
    assert!(stray.exists(), "what the log does not know is left alone");
    fs::remove_file(stray).unwrap();
    assert_eq!(project.outputs(), expected);
    project.assert_sound();

    let (code, run) = project.json(&[&args[..], &["--yes"]].concat());
    assert_eq!((code, &run["pipelines"]), (0, &json!([])));
    assert!(run["run_id"].is_string());
    let (code, plan) = project.json(&[&args[..], &["--dry-run"]].concat());
    assert_eq!((code, &plan["pipelines"], &plan["project"]), (0, &json!([]), &"tiny".into()));
    assert_eq!(project.entries("tiny").len(), entries.len(), "it leaves no trace");
}

#[test]
fn a_repair_that_is_killed_is_finished_by_a_plain_run() {
    let project = done();
    let expected = project.outputs();
    flip(&object(&project, 0));
    fs::remove_file(object(&project, 3)).unwrap();
    let args = ["reprocess", "tiny", "--damaged", "--yes"];
    crate::kill::kill_at(&project, &args, "request.after:1");
    run_well(&project, &["run"]);
    assert_eq!(project.outputs(), expected);
    project.assert_sound();
}

#[test]
fn levels_are_told_apart_on_the_command_line() {
    let project = done();
    flip(&object(&project, 0));
    for (level, expected) in
        [("--quick", 0), ("--log", 0), ("--sizes", 0), ("--full", 1), ("--recompute", 1)]
    {
        assert_eq!(project.json(&["verify", level]).0, expected, "{level}");
    }
    let said = project.command(&["verify"]).output().unwrap();
    assert_eq!(code(&said), 1);
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("reprocess PIPELINE --damaged"), "{text}");
    assert_eq!(
        project.command(&["verify", "--log", "--full"]).output().unwrap().status.code(),
        Some(2)
    );
}

/// Puts a link to `target`, which is moved there from `path`, in place of `path`.
fn link(path: &std::path::Path, target: &std::path::Path) {
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::rename(path, target).unwrap();
    std::os::unix::fs::symlink(target, path).unwrap();
}

#[test]
fn what_is_no_file_is_one_problem_among_others_and_the_rest_is_mended() {
    let project = done();
    let expected = project.outputs();
    let large = |hour: u8| project.path(&format!("out/large/dt=2026-01-01/hour={hour:02}"));
    // A folder, a link to a file, a folder behind a link; beside each of two of them, damage.
    fs::remove_file(object(&project, 0)).unwrap();
    fs::create_dir(object(&project, 0)).unwrap();
    link(&object(&project, 1), &project.path("elsewhere/data.parquet"));
    link(&large(1), &project.path("elsewhere/hour=01"));
    fs::remove_file(large(0).join("data.parquet")).unwrap();
    flip(&object(&project, 2));
    flip(&object(&project, 3));

    let odd = ProblemKind::Obstacle;
    for (depth, damage) in
        [(Depth::Quick, None), (Depth::Sizes, None), (Depth::Full, Some(ProblemKind::Sha256))]
    {
        let found = project.problems_at(depth);
        let expected: Vec<ProblemKind> =
            [ProblemKind::Missing, odd, odd, odd].into_iter().chain(damage).chain(damage).collect();
        assert_eq!(kinds(&found), expected, "{depth:?}: {found:?}");
        let said: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
        assert_eq!(said[1], "it is a folder");
        assert!(
            said[2].starts_with("it lies behind out/large/dt=2026-01-01/hour=01, a link to"),
            "{said:?}"
        );
        assert!(said[3].starts_with("it is a link to"), "{said:?}");
    }

    let repair = ["reprocess", "tiny", "--damaged", "--yes"];
    let (code, run) = project.json(&repair);
    assert_eq!((code, &run["exit_code"]), (5, &5.into()), "{run}");
    assert_eq!(run["pipelines"][0]["windows_done"], 2, "{run}");
    assert_eq!(run["errors"].as_array().unwrap().len(), 3, "{run}");
    let entries = project.entries("tiny").len();
    let (code, refused) = project.json(&repair);
    assert_eq!((code, refused["errors"].as_array().unwrap().len()), (5, 3), "{refused}");
    assert!(refused["errors"][0]["hint"].as_str().unwrap().contains("take that away"), "{refused}");
    assert_eq!(project.entries("tiny").len(), entries);

    fs::remove_dir(object(&project, 0)).unwrap();
    fs::remove_file(object(&project, 1)).unwrap();
    fs::remove_file(large(1)).unwrap();
    run_well(&project, &repair);
    assert_eq!(project.outputs(), expected);
    project.assert_sound();
}

#[test]
fn a_link_that_belongs_to_no_window_is_a_stray() {
    let project = done();
    let stray = project.path("out/totals/dt=2026-01-01/stray.parquet");
    std::os::unix::fs::symlink("nowhere", &stray).unwrap();
    std::os::unix::fs::symlink("/", project.path("out/totals/root")).unwrap();
    let found = project.problems();
    assert_eq!(kinds(&found), [ProblemKind::Unknown, ProblemKind::Leftover], "{found:?}");
}

#[test]
fn windows_whose_inputs_cannot_be_read_are_not_wrong() {
    let project = done();
    let input = project.path("in/b.parquet");
    // The same size and time, so that no run takes it for another version: its bytes are lost.
    let like = project.path("like");
    fs::copy(&input, &like).unwrap();
    set_modified(&like, &input);
    fs::write(&input, vec![0; fs::metadata(&input).unwrap().len().try_into().unwrap()]).unwrap();
    set_modified(&input, &like);
    let (code, found) = project.json(&["verify", "--recompute"]);
    let unknown = json!({"equal": 2, "wrong": 0, "changed": 0, "outdated": 0, "unknown": 2});
    assert_eq!((code, &found["recomputed"]), (0, &unknown), "{found}");

    // Cut short it is another version, which nobody can take in.
    let cut = fs::OpenOptions::new().write(true).open(&input).unwrap();
    cut.set_len(100).unwrap();
    let (code, found) = project.json(&["verify", "--recompute"]);
    assert_eq!((code, &found["recomputed"]["wrong"]), (0, &0.into()), "{found}");
}

#[test]
fn what_is_in_doubt_is_said_to_be_settled_by_the_next_run() {
    let project = done();
    project.feed("late.parquet", &[(at(0), "late", 55), (at(1), "late", 55), (at(5), "c", 1)]);
    crate::kill::kill_at(&project, &["run"], "commit.before:1");
    for level in ["--quick", "--sizes", "--full"] {
        let (code, found) = project.json(&["verify", level]);
        let problems = found["problems"].as_array().unwrap();
        assert!(code == 1 && problems.len() >= 4, "{found}");
        for problem in problems {
            assert_eq!(problem["kind"], "in_doubt", "{found}");
            let message = problem["message"].as_str().unwrap();
            assert!(message.contains("the next `highwater run` settles it"), "{message}");
        }
    }
    run_well(&project, &["run"]);
    project.assert_sound();
}

#[test]
fn an_owner_that_is_gone_or_says_something_else_is_found() {
    for (text, word) in
        [(None, "it is not there"), (Some("{}"), "does not say"), (Some("x"), "does not say")]
    {
        let project = done();
        let owner = project.path("out/large/_OWNER.json");
        match text {
            Some(text) => fs::write(&owner, text).unwrap(),
            None => fs::remove_file(&owner).unwrap(),
        }
        assert_eq!(project.problems_at(Depth::Quick), []);
        for depth in [Depth::Sizes, Depth::Full] {
            let found = project.problems_at(depth);
            assert_eq!(kinds(&found), [ProblemKind::Owner], "{found:?}");
            assert_eq!(found[0].path, "out/large/_OWNER.json");
            assert!(found[0].message.contains(word), "{found:?}");
        }
    }
}
