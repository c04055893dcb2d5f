//! What a pipeline has published is taken away, so that it can begin anew: killed or broken at any
//! point, the same command goes on, and nothing that is not its own is touched.

use std::fs;
use std::sync::Arc;

use highwater::id::PipelineName;
use highwater::store::Fault;
use serde_json::Value;

use crate::equal::assert_equal;
use crate::kill::{kill_at, run_well};
use crate::support::{DAY_0, HOUR, Outputs, Project, TINY, block_on, code, each, files_below};
use crate::vacuum::{AT_ONCE, WAYS};

/// Where retirements are killed. Eight objects and two owners are removed.
pub(crate) const POINTS: &[&str] = &[
    "claim.after:1",
    "retire.before:1",
    "retire.after:1",
    "remove.before:1",
    "remove.after:1",
    "remove.before:5",
    "remove.after:8",
    "retire.before:2",
    "retire.after:2",
    "remove.before:9",
    "remove.after:9",
    "remove.after:10",
    "release.before:1",
];

const RETIRE: [&str; 3] = ["retire", "tiny", "--yes"];

fn at(hour: i64) -> i64 {
    DAY_0 + hour * HOUR
}

/// The same pipeline with windows of two hours, elsewhere.
fn changed() -> String {
    TINY.replace("size = \"1h\"", "size = \"2h\"").replace("out/totals/", "out/sums/")
}

fn feed(project: &Project) {
    project.feed("a.parquet", &[(at(0), "a", 10), (at(1), "a", 60), (at(1) + 5, "b", 70)]);
    project.feed("b.parquet", &[(at(2), "a", 80), (at(3), "c", 90), (at(4), "c", 90)]);
}

/// Four committed windows, and a configuration with another shape.
fn outgrown() -> Project {
    let project = Project::new(TINY);
    feed(&project);
    project.run();
    fs::write(project.path("config.toml"), changed()).unwrap();
    project
}

fn expected() -> Outputs {
    let project = Project::new(&changed());
    feed(&project);
    project.run();
    project.outputs()
}

fn ok(project: &Project, args: &[&str]) -> Value {
    let (code, document) = project.json(args);
    assert_eq!(code, 0, "{document}");
    document
}

/// The command goes on where it was stopped, and the pipeline begins anew.
fn assert_begins_anew(project: &Project, expected: &Outputs) {
    let retired = ok(project, &RETIRE);
    assert_eq!(retired["done"], true);
    assert_eq!(files_below(project.path("out")), [""; 0]);
    run_well(project, &["run"]);
    assert_equal(&project.outputs(), expected);
    ok(project, &["verify"]);
}

#[test]
fn a_pipeline_with_another_shape_is_retired_and_begins_anew() {
    let project = outgrown();
    let refused = project.command(&["run"]).output().unwrap();
    assert_eq!(code(&refused), 2);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("HW5013") && said.contains("highwater retire tiny"), "{said}");
    let entries = project.entries("tiny");

    let foreseen = ok(&project, &["retire", "tiny", "--dry-run"]);
    assert_eq!((&foreseen["removed"], &foreseen["done"]), (&8.into(), &false.into()));
    assert_eq!(project.json(&["retire", "tiny"]).0, 2, "it asks first");
    assert_eq!(project.outputs().len(), 8);
    assert_eq!(project.entries("tiny").len(), entries.len(), "looking leaves no trace");

    let retired = ok(&project, &RETIRE);
    assert_eq!((&retired["removed"], &retired["done"]), (&8.into(), &true.into()));
    assert_eq!(files_below(project.path("out")), [""; 0], "no object, and no owner");
    let after = project.entries("tiny");
    assert_eq!(after[..entries.len()], entries, "the log stays");
    let kinds: Vec<_> =
        after[entries.len()..].iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["claim", "retire", "retire", "release"]);

    run_well(&project, &["run"]);
    assert_equal(&project.outputs(), &expected());
    ok(&project, &["verify"]);
    let history = ok(&project, &["history", "tiny"]);
    assert!(history["commits"].as_array().unwrap().len() >= 2, "both generations are told");
}

#[test]
fn a_retirement_that_is_killed_goes_on() {
    let expected = expected();
    let before = outgrown();
    for point in POINTS {
        let project = before.copy();
        fs::write(project.path("config.toml"), changed()).unwrap();
        kill_at(&project, &RETIRE, point);
        let log = project.entries("tiny");
        let phases: Vec<_> = log.iter().filter(|entry| entry["kind"] == "retire").collect();
        if phases.len() == 1 {
            let (code, run) = project.json(&["run"]);
            assert_eq!((code, &run["errors"][0]["code"]), (2, &"HW5014".into()), "{point}: {run}");
            let (code, found) = project.json(&["verify"]);
            let kind = &found["problems"][0]["kind"];
            assert_eq!((code, kind), (1, &"retiring".into()), "{point}: {found}");
        }
        assert_begins_anew(&project, &expected);
    }
}

#[test]
fn a_retirement_broken_at_any_call_goes_on() {
    let before = outgrown();
    let retire = |project: &Project, fault: &Arc<Fault>| {
        let opened = project.open().with_fault(fault.clone());
        block_on(opened.retire(&PipelineName::new("tiny").unwrap(), None, None))
    };
    let never = || Fault::new(u64::MAX, false, false);
    let counted = never();
    assert!(retire(&before.copy(), &counted).unwrap().is_done);
    let jobs: Vec<_> = (1..=counted.calls()).flat_map(|call| WAYS.map(|way| (call, way))).collect();
    assert!(jobs.len() > 200, "{}", jobs.len());
    let work = |(call, (after_effect, for_ever)): &(u64, (bool, bool))| {
        let project = before.copy();
        let broken = retire(&project, &Fault::new(*call, *after_effect, *for_ever));
        if broken.is_ok_and(|retired| retired.is_done) {
            // Whoever says that it is done has done it.
            assert_eq!(project.outputs().len(), 0);
        }
        assert!(retire(&project, &never()).unwrap().is_done);
        assert_eq!(files_below(project.path("out")), [""; 0]);
    };
    each(AT_ONCE, &jobs, |job| format!("the retirement broken at {job:?}"), work);
}

#[test]
fn what_is_not_as_the_log_says_stays_and_holds_it_up() {
    let project = outgrown();
    let object = |hour: &str| format!("out/totals/dt=2026-01-01/hour={hour}/data.parquet");
    fs::write(project.path(&object("01")), "mine").unwrap();
    fs::copy(project.path(&object("00")), project.path(&object("02"))).unwrap();
    fs::remove_file(project.path(&object("03"))).unwrap();
    let stray = project.path("out/totals/stray.parquet");
    fs::copy(project.path(&object("00")), &stray).unwrap();

    let (code, retired) = project.json(&RETIRE);
    assert_eq!((code, &retired["done"]), (1, &false.into()), "{retired}");
    assert_eq!((&retired["removed"], &retired["gone"]), (&5.into(), &1.into()));
    let standing: Vec<_> = retired["standing"].as_array().unwrap().iter().collect();
    let paths: Vec<_> = standing.iter().map(|found| found["path"].as_str().unwrap()).collect();
    assert_eq!(paths, [object("01"), object("02")]);
    assert_eq!(fs::read_to_string(project.path(&object("01"))).unwrap(), "mine");
    assert_eq!(project.json(&["run"]).0, 2);

    fs::remove_file(project.path(&object("01"))).unwrap();
    fs::remove_file(project.path(&object("02"))).unwrap();
    assert_eq!(ok(&project, &RETIRE)["done"], true);
    assert!(stray.exists(), "what the log never named is nobody's to remove");
}

#[test]
fn attempts_that_were_announced_go_too() {
    let project = Project::new(TINY);
    feed(&project);
    project.run();
    project.feed("late.parquet", &[(at(1), "late", 99), (at(5), "c", 77)]);
    kill_at(&project, &["run"], "publish.after:3");
    assert_eq!(project.json(&["verify"]).0, 1, "something is in doubt");
    assert_eq!(ok(&project, &RETIRE)["done"], true);
    assert_eq!(files_below(project.path("out")), [""; 0]);
    let whole = Project::new(TINY);
    feed(&whole);
    whole.feed("late.parquet", &[(at(1), "late", 99), (at(5), "c", 77)]);
    whole.run();
    run_well(&project, &["run"]);
    assert_equal(&project.outputs(), &whole.outputs());
    project.assert_sound();
}

#[test]
fn an_output_that_is_gone_from_the_configuration_is_retired_alone() {
    let project = Project::new(TINY);
    feed(&project);
    project.run();
    let (config, _) = TINY.split_once("[pipeline.tiny.output.large]").unwrap();
    fs::write(project.path("config.toml"), config).unwrap();
    let refused = project.command(&["run"]).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("`highwater retire tiny.large`"), "{said}");
    assert_eq!(project.json(&["retire", "tiny.other", "--yes"]).0, 2);

    let retired = ok(&project, &["retire", "tiny.large", "--yes"]);
    assert_eq!((&retired["removed"], &retired["output"]), (&4.into(), &"large".into()));
    assert_eq!(files_below(project.path("out/large")), [""; 0]);
    assert_eq!(project.outputs().len(), 4);
    project.feed("late.parquet", &[(at(1), "late", 99)]);
    run_well(&project, &["run"]);
    ok(&project, &["verify"]);
    let whole = Project::new(config);
    feed(&whole);
    whole.feed("late.parquet", &[(at(1), "late", 99)]);
    whole.run();
    assert_equal(&project.outputs(), &whole.outputs());
    assert_eq!(project.json(&["retire", "tiny.totals", "--yes"]).0, 2, "the last one is all of it");
}

#[test]
fn a_pipeline_that_is_gone_from_the_configuration_is_named_and_can_be_retired() {
    let project = Project::new(TINY);
    feed(&project);
    project.run();
    let renamed = TINY.replace("pipeline.tiny", "pipeline.other");
    fs::write(project.path("config.toml"), &renamed).unwrap();
    let status = ok(&project, &["status"]);
    assert_eq!(status["orphans"], serde_json::json!([{"pipeline": "tiny", "windows": 4}]));
    let text = project.command(&["status"]).output().unwrap();
    assert!(String::from_utf8(text.stdout).unwrap().contains("highwater retire tiny"));
    let (code, run) = project.json(&["run"]);
    assert_eq!(
        (code, &run["errors"][0]["code"]),
        (2, &"HW5012".into()),
        "it owns the folder still"
    );

    assert_eq!(ok(&project, &RETIRE)["done"], true);
    assert_eq!(ok(&project, &["status"])["orphans"], serde_json::json!([]));
    run_well(&project, &["run"]);
    assert_eq!(project.outputs().len(), 8);
    // It is another's now.
    assert_eq!(ok(&project, &RETIRE)["done"], true);
    assert_eq!(project.outputs().len(), 8);
    assert!(project.path("out/totals/_OWNER.json").exists());
    assert_eq!(project.json(&["retire", "nobody", "--yes"]).0, 2);
}

#[test]
fn who_reads_it_is_named() {
    let project = crate::chain::fed(3, "reprocess");
    project.run();
    let names: Vec<String> =
        project.spec().pipelines.iter().map(|spec| spec.name.to_string()).collect();
    let foreseen = ok(&project, &["retire", &names[0], "--dry-run"]);
    assert_eq!(foreseen["readers"][0], names[1], "{foreseen}");
}

#[test]
fn what_is_retired_is_retired_again_without_a_trace() {
    let project = Project::new(TINY);
    feed(&project);
    project.run();
    let output = ["retire", "tiny.large", "--yes"];
    ok(&project, &output);
    let log = project.entries("tiny");
    for dry in [&["--dry-run"][..], &[]] {
        let again = ok(&project, &[&output[..], dry].concat());
        let counts = (&again["objects"], &again["removed"], &again["done"]);
        assert_eq!(counts, (&0.into(), &0.into(), &dry.is_empty().into()), "{again}");
    }
    assert_eq!(project.entries("tiny"), log, "it leaves no trace");

    // Killed before its owner was removed, it is not over.
    let project = Project::new(TINY);
    feed(&project);
    project.run();
    kill_at(&project, &output, "retire.after:2");
    assert!(project.path("out/large/_OWNER.json").exists());
    assert_eq!(ok(&project, &output)["done"], true);
    assert_eq!(files_below(project.path("out/large")), [""; 0]);
    let log = project.entries("tiny");
    assert_eq!(ok(&project, &output)["done"], true);
    assert_eq!(project.entries("tiny"), log);

    ok(&project, &RETIRE);
    let log = project.entries("tiny");
    assert_eq!(ok(&project, &RETIRE)["done"], true);
    assert_eq!(project.entries("tiny"), log);
}

#[test]
fn an_output_that_is_retired_has_to_leave_the_configuration() {
    let project = Project::new(TINY);
    feed(&project);
    project.run();
    let retired = project.command(&["retire", "tiny.large", "--yes"]).output().unwrap();
    let said = String::from_utf8(retired.stdout).unwrap();
    let table = "[pipeline.tiny.output.large]";
    assert!(said.contains(&format!("take {table} out of the configuration")), "{said}");
    for verb in ["run", "plan", "status"] {
        let (_, refused) = project.json(&[verb]);
        let error = &refused["errors"][0];
        assert_eq!(error["code"], "HW5013", "{refused}");
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.contains(&format!("take {table} out")) && hint.contains("retired"), "{hint}");
    }
    let (config, _) = TINY.split_once(table).unwrap();
    fs::write(project.path("config.toml"), config).unwrap();
    run_well(&project, &["run"]);
    ok(&project, &["verify"]);
}

#[test]
fn what_was_published_before_a_retirement_is_no_manifest_of_now() {
    for target in ["tiny", "tiny.large"] {
        let project = Project::new(TINY);
        feed(&project);
        project.run();
        let last = project.entries("tiny").len() - 1;
        let args = ["manifest", "tiny", "--as-of", &last.to_string()];
        assert_eq!(ok(&project, &args)["files"].as_array().unwrap().len(), 8);
        ok(&project, &["retire", target, "--yes"]);
        for _ in 0..2 {
            let (code, refused) = project.json(&args);
            let error = &refused["errors"][0];
            assert_eq!((code, &error["code"]), (4, &"HW4020".into()), "{target}: {refused}");
            assert!(error["message"].as_str().unwrap().contains("2026-01-01 00:00"), "{refused}");
            if target == "tiny" {
                // Other bytes at the same paths, and the same revisions.
                project.feed("a.parquet", &[(at(0), "z", 11), (at(1), "z", 61)]);
                run_well(&project, &["run"]);
            }
        }
    }
}
