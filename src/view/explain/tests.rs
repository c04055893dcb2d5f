//! Explanations of stories: what happened to a pipeline, and what one of its windows says of it.

use super::*;
use crate::error::Code;
use crate::ledger::InputVersion;
use crate::plan::tests::story::{Story, record};
use crate::state::tests::log::{Log, commit, hour};
use crate::state::{Body, Column, Columns, ColumnsFile};
use crate::view::text;

/// The explanation of the window at hour `n`.
#[track_caller]
fn explained(story: &Story, n: i64) -> ExplainView {
    let window = story.spec.grid.window_at(hour(n)).unwrap();
    let mut log = WindowStory::of(window);
    story.log.entries.iter().for_each(|entry| log.take(entry));
    explain(&Explained {
        facts: &story.facts(),
        plan: &story.plan(),
        story: &log,
        logged: Some(story.log.state.generation),
        unreadable: &[],
        left_out: &[],
    })
}

/// State and reason of the window at hour `n` of the story told by `text`.
#[track_caller]
fn stands(text: &str, n: i64) -> String {
    let view = explained(&Story::tell(text), n);
    // A window is either taken up, or there is a sentence that says why not.
    let is_taken = view.due.is_some() && view.why_not.is_none() && view.error.is_none();
    assert!(is_taken || view.why_not.is_some() || view.error.is_some(), "{view:?}");
    let reason = view.due.map(|due| format!(" {}", due.reason.as_str()));
    format!("{}{}", view.state.as_str(), reason.unwrap_or_default())
}

#[test]
fn every_state_is_told_with_its_reason() {
    for (text, n, expected) in [
        ("", 8, "open"),
        ("file a 8 9", 9, "open"),
        ("file a 8 9", 12, "open"),
        ("file a 8 9", 8, "pending new"),
        ("file a 8 10", 9, "pending new"),
        ("file a 8 9\nrun", 8, "committed"),
        ("file a 8 10\nrun", 9, "empty"),
        ("file a 8 10\nrun", -1000, "empty"),
        ("file a 8 10\nrun\nfile b 9", 9, "stale late_data"),
        ("file a 8 9\nrun\nfile b 8", 8, "stale late_data"),
        ("file a 8 9\nrun\nfile a 8x2 9", 8, "stale input_changed"),
        ("file a 8 9\nrun\nremoved a", 8, "stale input_removed"),
        ("file a 8 9 10\nskip 8 9\nrun", 8, "skipped"),
        ("file a 8 9 10\nskip 8 9\nrun\nreprocess 8 9", 8, "stale requested"),
        ("file a 8 9\nrun\nreprocess 8 9", 8, "stale requested"),
        ("file a 8 9\nrun\nquery", 8, "committed"),
        ("file a 8 9\nrun\nquery\nfollow", 8, "stale query_changed"),
        ("file a 8 9\nfail 8", 8, "failed failed_before"),
        ("file a 8 9\ncrash 8", 8, "in_doubt in_doubt"),
        ("file a 8 9\nwait a", 8, "held new"),
        ("file a 8 9\nheld", 8, "held new"),
        ("file a 8 9\nheld", 9, "open"),
        ("file a 8 9\nrun\nfile b 8\ngone a", 8, "failed late_data"),
        ("begin 8\nfile a 3 9", 3, "before_begin"),
        ("begin 8\nfile a 3 9\nrun", 3, "before_begin"),
        ("begin 8\nfile a 3 9\nbackfill 2 5", 3, "pending requested"),
        ("begin 8\nfile a 3 9\nbackfill 2 5", 4, "pending requested"),
        ("begin 8\nfile a 3 9\nrun\nbackfill 2 5\nrun", 3, "committed"),
    ] {
        assert_eq!(stands(text, n), expected, "window {n} of\n{text}");
    }
}

#[test]
fn an_open_window_names_the_source_that_is_furthest_behind() {
    let why = |text: &str, n: i64| explained(&Story::tell(text), n).why_not.unwrap();
    assert_eq!(
        why("sources t s\nfile t/a 8 11\nfile s/a 9", 9),
        "not closed: source `s` has come to 2026-01-01 09:30 +00:00 (its watermark), the window \
         needs 2026-01-01 10:00 +00:00"
    );
    let two = why("sources t s\nmargins t 0 5\nfile t/a 8 11\nfile s/a 9", 9);
    assert!(two.contains("`t`") && two.contains("15:00 +00:00, 5h of lookahead included"), "{two}");
    let none = why("sources t s\nfile t/a 8 11", 9);
    assert_eq!(none, "not closed: source `s` has brought no event yet");
    let view = explained(&Story::tell("sources t s\nfile t/a 8 11\nfile s/a 9"), 9);
    let come: Vec<_> =
        view.sources.iter().map(|one| (one.table.as_str(), one.has_come())).collect();
    assert_eq!(come, [("t", true), ("s", false)]);
}

#[test]
fn inputs_say_what_came_after_the_commit() {
    let told = |view: &ExplainView| -> Vec<(String, u64, u64, bool)> {
        let input =
            |input: &InputView| (input.file.key.clone(), input.rows, input.margin, input.is_new);
        view.inputs.iter().map(input).collect()
    };
    let mut story = Story::tell("margins t 1 0\nfile a 7x3 8 9\nfile z 20\nrun\nfile b 7x2 8x4");
    let view = explained(&story, 8);
    let inputs = [("a".to_owned(), 1, 3, false), ("b".to_owned(), 4, 2, true)];
    assert_eq!(told(&view), inputs);
    assert_eq!((view.rows, view.margin, view.ruled_out), (5, 5, 1));
    assert_eq!(view.inputs[1].name, "in/b");

    // What only settles a version does not make it new.
    story.run();
    let mut settled = record("a", &[(7, 3), (8, 1), (9, 1)]);
    settled.settles = true;
    story.files(vec![settled]);
    assert!(explained(&story, 8).inputs.iter().all(|input| !input.is_new));

    // Of an empty window every input is new.
    let story = Story::tell("file a 8 10\nrun\nfile b 9");
    assert_eq!(told(&explained(&story, 9)), [("b".to_owned(), 1, 0, true)]);
    // What was not admitted yet is told apart.
    let window = story.spec.grid.window_at(hour(9)).unwrap();
    let (facts, plan, log) = (story.facts(), story.plan(), WindowStory::of(window));
    let unreadable = [Error::new(Code::CorruptInput, "in/c is cut short")];
    let logged = Some(Generation(1));
    let asked = Explained {
        facts: &facts,
        plan: &plan,
        story: &log,
        logged,
        unreadable: &unreadable,
        left_out: &[],
    };
    let view = explain(&asked);
    assert!(!view.inputs[0].is_admitted);
    assert_eq!(view.notes, ["no new window closes: HW3001 in/c is cut short"]);
    let view = explain(&Explained { logged: None, unreadable: &[], ..asked });
    assert!(view.notes[0].starts_with("the pipeline never ran"), "{:?}", view.notes);
}

#[test]
fn what_a_window_does_not_get_is_told_with_why() {
    let told = |text: &str| -> Vec<(String, u64, &str)> {
        let left_out = explained(&Story::tell(text), 8).left_out;
        left_out.into_iter().map(|left| (left.name, left.rows, left.why.as_str())).collect()
    };
    assert_eq!(told("file a 8 9 20\nrun"), []);
    assert_eq!(
        told("lateness 2\nfile a 8 9 20\nrun\nfile b 7 8x5 20"),
        [("in/b".to_owned(), 5, "expired")]
    );
    assert_eq!(told("file a 8x2 9 20\nrun\ngone a"), [("in/a".to_owned(), 2, "gone")]);
    assert_eq!(told("file a 8x2 9 20\nwait a"), [("in/a".to_owned(), 2, "held")]);
    let why = |text: &str| explained(&Story::tell(text), 8).why_not.unwrap();
    assert!(why("file a 8 9\nrun\ngone a").contains("on_removed"));
    assert!(why("lateness 2\nfile a 8 9 20\nrun\nfile b 8").contains("allowed_lateness"));
    assert_eq!(why("file a 8 9\nwait a"), "it waits for in/a, which is on its way");
}

#[test]
fn what_is_out_of_force_is_told() {
    let view = explained(&Story::tell("file a 8 9\nrun\nquery"), 8);
    assert!(view.outdated_query && !view.outdated_references);
    let why = view.why_not.unwrap();
    assert!(why.contains("on_query_change") && why.contains("highwater reprocess orders"), "{why}");
    assert!(!explained(&Story::tell("file a 8 9\nrun"), 8).outdated_query);
}

#[test]
fn the_log_is_told_oldest_first() {
    let text = "file a 8 9 10\nfail 8\nrun\nfile b 8\nrun\nfile c 12\nrun\nskip 20 30";
    let story = Story::tell(text);
    let told = |n: i64| -> Vec<&str> {
        explained(&story, n).events.iter().map(|event| event.what.as_str()).collect()
    };
    assert_eq!(told(8), ["failed", "committed", "committed"]);
    assert_eq!(told(9), ["committed"]);
    assert_eq!(told(11), ["empty"]);
    assert_eq!(told(25), ["skipped"]);
    assert_eq!(told(30), [""; 0]);
    let view = explained(&story, 8);
    let seqs: Vec<_> = view.events.iter().map(|event| event.seq).collect();
    assert!(seqs.is_sorted());
    let EventKind::Committed(last) = &view.events[2].what else { panic!("{view:?}") };
    assert_eq!((last.rev.0, &last.outputs), (2, &view.outputs));
    assert!(explained(&story, 25).why_not.unwrap().contains("the sensor was off"));
}

#[test]
fn the_fold_and_the_story_agree_on_what_a_window_was_computed_from() {
    let story = Story::tell("file a 8 9 10\nfile b 8\ncrash 8\nrun\nfile c 8\nrun\nfile d 9");
    for (start, known) in &story.log.state.windows {
        let mut log = WindowStory::of(story.spec.grid.window_at(*start).unwrap());
        story.log.entries.iter().for_each(|entry| log.take(entry));
        assert_eq!(log.committed_from(), Some(known.generation));
    }
}

/// Columns of a table, all of one file.
fn columns(file: &str, columns: &[(&str, &str)]) -> Body {
    let version = InputVersion { size: 1, mark: "1".to_owned(), sha256: None };
    let files = vec![ColumnsFile { key: file.to_owned(), version }];
    let column = |(name, kind): &(&str, &str)| Column {
        name: (*name).to_owned(),
        kind: (*kind).to_owned(),
        file: 0,
    };
    let columns = columns.iter().map(column).collect();
    Body::Columns(Columns { table: "orders".to_owned(), files, columns })
}

#[test]
fn a_window_tells_which_columns_were_others_when_it_was_committed() {
    let mut log = Log::claimed();
    log.add(columns("a", &[("x", "int32"), ("y", "utf8")]));
    let begin = log.begin(1, &[8]);
    log.add(Body::Commit(commit(&begin)));
    log.add(columns("b", &[("x", "int64"), ("z", "bool")]));
    for (batch, hour) in [(2, 9), (3, 10)] {
        let begin = log.begin(batch, &[hour]);
        log.add(Body::Commit(commit(&begin)));
    }
    let grid = Story::tell("file a 8").spec.grid;
    let changes = |n: i64| -> Vec<String> {
        let mut story = WindowStory::of(grid.window_at(hour(n)).unwrap());
        log.entries.iter().for_each(|entry| story.take(entry));
        let changes = story.events()[0].columns.iter();
        let told = changes.map(|ColumnChange { table, column, kind, was, file }| {
            format!("{table}.{column}: {was:?} to {kind:?}, {file}")
        });
        told.collect()
    };
    let expected = [
        "orders.x: Some(\"int32\") to Some(\"int64\"), b",
        "orders.z: None to Some(\"bool\"), b",
        "orders.y: Some(\"utf8\") to None, b",
    ];
    assert_eq!(changes(9), expected);
    assert_eq!((changes(8), changes(10)), (vec![], vec![]));
}

#[test]
fn as_text_lines_are_short_and_many_inputs_are_folded() {
    let late: Vec<_> = (0..30).map(|n| format!("file late-{n} 8x2")).collect();
    let story = Story::tell(&format!("file a 8 9 10\nrun\n{}", late.join("\n")));
    let view = explained(&story, 8);
    let told = text::explain(&story.spec, &view, false);
    assert!(told.starts_with("orders    2026-01-01 08:00 – 09:00    2026-01-01T08:00:00Z to"));
    assert!(told.contains("stale: it is committed, and due again"), "{told}");
    assert!(told.contains("late_data: 60 late rows, 30 new files"), "{told}");
    assert!(told.contains("… and 11 more; -v shows all\n"), "{told}");
    assert!(!text::explain(&story.spec, &view, true).contains("more; -v"));
    for text in ["", "begin 8\nfile a 3 9", "file a 8 9\nrun\nquery", "file a 8 9\nrun\ngone a"] {
        let story = Story::tell(text);
        for n in [3, 8] {
            let told = text::explain(&story.spec, &explained(&story, n), false);
            for line in told.lines() {
                assert!(line.chars().count() <= 100 && line.trim_end() == line, "{told}");
            }
        }
    }
}
