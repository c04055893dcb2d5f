//! Timelines: what happened to a pipeline, and what is due then.

#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod margins;
mod properties;
mod rollback;
mod rowless;
mod segments;
pub(crate) mod story;

use story::{Story, record, render, timeline};

use super::*;
use crate::error::Code;
use crate::state::Request;
use crate::state::tests::log::{hour, hour_of};
use crate::time::Span;

#[test]
fn nothing_is_due_without_an_event() {
    assert_eq!(timeline(""), "");
    assert_eq!(timeline("begin 5"), "");
    assert_eq!(timeline("file a"), "");
}

#[test]
fn a_window_closes_when_its_end_is_reached() {
    let mut story = Story::tell("file a 8");
    let promise = |story: &mut Story, micros: i64| {
        let at = EventTime::from_micros(hour(9).micros() + micros);
        story.log.state.last_event_at.insert("t".to_owned(), at);
        closed_until(&story.spec, &story.log.state)
    };
    assert_eq!(promise(&mut story, -1), Some(hour(8)));
    assert_eq!(promise(&mut story, 0), Some(hour(9)));

    story.spec.sources[0].watermark_delay = Span::from_micros(1).unwrap();
    assert_eq!(promise(&mut story, 0), Some(hour(8)));
    assert_eq!(promise(&mut story, 1), Some(hour(9)));
}

#[test]
fn closed_windows_are_new_and_the_others_are_open() {
    assert_eq!(
        timeline("file a 8 9x3 10"),
        "compute 8 new, rows 1\ncompute 9 new, rows 3\nempty FIRST..8\nopen 10\n"
    );
    assert_eq!(
        timeline("delay 1\nfile a 8 9x3 10"),
        "compute 8 new, rows 1\nempty FIRST..8\nopen 9\nopen 10\n"
    );
    assert_eq!(timeline("delay 2\nfile a 8 9x3 10"), "open 8\nopen 9\nopen 10\n");
}

#[test]
fn the_slowest_source_holds_the_others() {
    assert_eq!(timeline("sources t s\nfile t/a 8 9 10 11"), "");
    assert_eq!(
        timeline("sources t s\nfile t/a 8 9 10 11\nfile s/a 7 9"),
        "compute 7 new, rows 1\ncompute 8 new, rows 1\n\
         empty FIRST..7\nopen 9\nopen 10\nopen 11\n"
    );
}

#[test]
fn what_is_committed_is_not_due() {
    assert_eq!(timeline("file a 8 9 10\nrun"), "open 10\n");
    assert_eq!(timeline("file a 8 9 10\nrun\nfile b 10 11"), "compute 10 new, rows 2\nopen 11\n");
}

#[test]
fn a_gap_of_ten_years_is_one_stretch() {
    let text = "file a 8\nfile b 87608";
    assert_eq!(
        timeline(text),
        "compute 8 new, rows 1\nempty FIRST..8\nempty 9..87608\nopen 87608\n"
    );
    let story = Story::tell(&format!("{text}\nrun"));
    assert_eq!(story.log.state.watermark, Some(hour(87_608)));
    assert_eq!(story.log.state.empty.ranges().count(), 2);
}

#[test]
fn the_first_run_commits_all_time_before_the_first_window_as_empty() {
    let story = Story::tell("file a 8 9\nrun");
    assert_eq!(story.log.state.watermark, Some(hour(9)));
    assert!(story.log.state.empty.covers(EventTime::FIRST, hour(8)));
    assert_eq!(
        timeline("file a 8 9\nrun\nfile b 3"),
        "compute 3 late_data, rows 1, late 1 of 1\nopen 9\n"
    );
}

#[test]
fn nothing_is_committed_before_the_first_window_closes() {
    assert_eq!(timeline("file a 8"), "open 8\n");
}

#[test]
fn a_begin_leaves_out_what_is_before_it() {
    assert_eq!(
        timeline("begin 8\nfile a 3 5 9 11"),
        "compute 9 new, rows 1\nempty 8..9\nempty 10..11\nopen 11\n"
    );
    assert_eq!(timeline("begin 8\nfile a 3 5 9 11\nrun\nfile b 4"), "open 11\n");
}

#[test]
fn a_backfill_computes_what_is_before_the_begin_and_leaves_the_watermark() {
    let text = "begin 8\nfile a 3 5 9 11\nrun\nbackfill 2 7";
    assert_eq!(
        timeline(text),
        "compute 3 requested, rows 1\ncompute 5 requested, rows 1\n\
         empty 2..3\nempty 4..5\nempty 6..7\nopen 11\n"
    );
    let story = Story::tell(&format!("{text}\nrun"));
    assert_eq!(story.log.state.watermark, Some(hour(11)));
    assert!(story.log.state.requests.is_empty(), "it is met");
    assert_eq!(
        timeline(&format!("{text}\nrun\nfile b 2 5 7")),
        "\
        compute 2 late_data, rows 1, late 1 of 1\n\
        compute 5 late_data, rows 2, late 1 of 1\nopen 11\n"
    );
}

#[test]
fn a_backfill_leaves_committed_and_open_windows_alone() {
    assert_eq!(timeline("file a 8 9 10\nrun\nbackfill 5 20"), "open 10\nmet\n");
    assert_eq!(
        timeline("file a 8 9 10\nbackfill 9 20"),
        "compute 8 new, rows 1\ncompute 9 new, rows 1\nempty FIRST..8\nopen 10\n"
    );
}

#[test]
fn a_backfill_fills_the_gaps_between_what_is_committed() {
    let around = |middle: &str| timeline(&format!("begin 8\nfile a 3 9\n{middle}\nbackfill 1 6"));
    let gaps = "empty 1..3\nempty 4..6\nopen 9\n";
    assert_eq!(around("skip 3 4\nfile a 9\nrun"), gaps);
    assert_eq!(around("run\nfile a 9\nbackfill 3 4\nrun"), gaps, "3 is committed as empty");
    assert_eq!(around("run\nbackfill 3 4\nrun\nfile a 9\nrun"), gaps, "3 has an object");
}

#[test]
fn a_backfill_from_within_a_window_starts_with_the_next_one() {
    let mut story = Story::tell("begin 8\nfile a 3 4 9");
    let (start, end) = (EventTime::from_micros(hour(3).micros() + 1), hour(5));
    let (verb, only_outdated, why) = (Verb::Backfill, false, None);
    let ask = Request { only_outdated, why, ..Request::new(verb, start, end) };
    story.log.add(crate::state::Body::Request(ask));
    let plan = story.plan();
    assert_eq!(render(&plan), "compute 4 requested, rows 1\nempty 8..9\nopen 9\n",);
}

#[test]
fn a_backfill_is_not_met_while_nothing_may_close() {
    let text = "begin 8\nfile a 3 9\nrun\nbackfill 2 5";
    assert_eq!(timeline(&format!("{text}\nheld")), "open 9\n");
    assert_eq!(timeline("begin 8\nbackfill 2 5"), "");
}

#[test]
fn a_late_file_reopens_only_the_windows_it_touches() {
    assert_eq!(
        timeline("file a 8 9 10 11 14\nrun\nfile b 9x4 12"),
        "compute 9 late_data, rows 5, late 4 of 1\n\
         compute 12 late_data, rows 1, late 1 of 1\nopen 14\n"
    );
    assert_eq!(
        timeline("file a 8 9 10\nrun\nfile b 8\nfile c 8x2\nrun\nfile d 9"),
        "compute 9 late_data, rows 2, late 1 of 1\nopen 10\n"
    );
}

#[test]
fn late_files_of_one_window_add_up() {
    assert_eq!(
        timeline("file a 8 9\nrun\nfile b 8\nfile c 8x2"),
        "compute 8 late_data, rows 4, late 3 of 2\nopen 9\n"
    );
}

#[test]
fn a_file_with_closed_and_open_windows_is_lost_to_neither() {
    let text = "file a 8 9 10\nrun\nfile b 9 10x4 11";
    assert_eq!(
        timeline(text),
        "compute 10 new, rows 5\ncompute 9 late_data, rows 2, late 1 of 1\nopen 11\n"
    );
    assert_eq!(timeline(&format!("{text}\nrun\nfile c 12")), "compute 11 new, rows 1\nopen 12\n");
}

#[test]
fn a_new_version_changes_the_windows_of_the_old_one_and_its_own() {
    assert_eq!(
        timeline("file a 8 9\nfile b 10 11\nrun\nfile a 9x2 10"),
        "compute 8 input_changed, rows 0, late 0 of 1\n\
         compute 9 input_changed, rows 2, late 1 of 1\n\
         compute 10 input_changed, rows 2, late 1 of 1\nopen 11\n"
    );
}

#[test]
fn a_changed_file_prevails_over_a_late_one() {
    let changed = "compute 8 input_changed, rows 2, late 1 of 2\nopen 9\n";
    assert_eq!(timeline("file a 8 9\nrun\nfile b 8\nfile a 8 9"), changed);
    assert_eq!(timeline("file a 8 9\nrun\nfile a 8 9\nfile b 8"), changed);
    let mut together = Story::tell("file a 8 9\nrun");
    together.files(vec![record("a", &[(8, 1), (9, 1)]), record("b", &[(8, 1)])]);
    assert_eq!(render(&together.plan()), changed);
}

#[test]
fn a_window_emptied_again_before_it_was_computed_is_empty() {
    assert_eq!(timeline("file a 8 12\nrun\nfile b 10\nfile b"), "empty 10..11\nopen 12\n");
    assert_eq!(timeline("file a 8 12\nrun\nfile b 10\nfile b\nrun"), "open 12\n");
}

#[test]
fn a_version_that_only_settles_makes_nothing_due() {
    let mut story = Story::tell("file a 8 9\nrun");
    story
        .files(vec![crate::ledger::FileRecord { settles: true, ..record("a", &[(8, 1), (9, 1)]) }]);
    assert_eq!(render(&story.plan()), "open 9\n");
}

#[test]
fn rows_that_no_window_holds_are_counted_once() {
    let mut story = Story::new();
    let file = crate::ledger::FileRecord { null_time: 3, future: 2, ..record("a", &[(8, 1)]) };
    let settled = crate::ledger::FileRecord { settles: true, ..file.clone() };
    story.files(vec![file]);
    story.files(vec![settled]);
    let refused = story.log.state.refused_rows;
    assert_eq!((refused.null_time, refused.future), (3, 2));
}

#[test]
fn what_is_in_doubt_comes_first_whatever_else_it_is() {
    assert_eq!(
        timeline("file a 7 8 9 10\nrun\nfile b 7 10 11\ncrash 8"),
        "compute 8 in_doubt, rows 1\ncompute 10 new, rows 2\n\
         compute 7 late_data, rows 2, late 1 of 1\nopen 11\n"
    );
    assert_eq!(
        timeline("file a 8 9 10\ncrash 9\nbackfill 0 20"),
        "compute 9 in_doubt, rows 1\ncompute 8 new, rows 1\nempty FIRST..8\nopen 10\n"
    );
}

#[test]
fn a_window_in_doubt_is_computed_though_it_has_no_rows_left() {
    assert_eq!(
        timeline("file a 8 9 10\ncrash 8\nfile a 10 11"),
        "compute 8 in_doubt, rows 0\ncompute 10 new, rows 1\n\
         empty FIRST..8\nempty 9..10\nopen 11\n"
    );
}

#[test]
fn a_failed_window_is_tried_again_and_holds_the_watermark() {
    let story = Story::tell("file a 7 8 9 10\nfail 8");
    assert_eq!(
        render(&story.plan()),
        "compute 7 new, rows 1\ncompute 8 failed_before, rows 1\ncompute 9 new, rows 1\n\
         empty FIRST..7\nopen 10\n"
    );
    assert_eq!(
        timeline("file a 8 9 10\nrun\nfile b 8\nfail 8"),
        "compute 8 failed_before, rows 2, late 1 of 1\nopen 10\n"
    );
    assert_eq!(
        timeline("file a 8 9 10\nrefuse 8\nfile a 9 10"),
        "\
        compute 9 new, rows 1\nempty FIRST..9\nopen 10\n"
    );
}

#[test]
fn a_request_to_reprocess_takes_the_windows_begun_before_it() {
    let text = "file a 7 8 9 10 11\nrun\nreprocess 8 10";
    assert_eq!(
        timeline(text),
        "compute 8 requested, rows 1\ncompute 9 requested, rows 1\nopen 11\n"
    );
    assert_eq!(timeline(&format!("{text}\nrun")), "open 11\n");
    assert_eq!(
        timeline("file a 7 8 9 10 11\nreprocess 8 10\nrun\nreprocess 9 12"),
        "compute 9 requested, rows 1\ncompute 10 requested, rows 1\nopen 11\n"
    );
}

#[test]
fn a_window_that_failed_is_still_owed_to_its_request() {
    let text = "file a 8 9 10\nrun\nreprocess 8 10\nfail 8 9";
    assert_eq!(
        timeline(text),
        "compute 8 failed_before, rows 1\ncompute 9 failed_before, rows 1\nopen 10\n"
    );
}

#[test]
fn a_request_is_met_window_by_window() {
    let text = "file a 8 9 10\nrun\nreprocess 8 10\ncompute 8";
    assert_eq!(timeline(text), "compute 9 requested, rows 1\nopen 10\n");
    assert_eq!(
        timeline(&format!("{text} 9\nfile b 8")),
        "compute 8 late_data, rows 2, late 1 of 1\nopen 10\nmet\n",
        "what is due for another reason is no longer owed to it"
    );
}

#[test]
fn a_request_for_nothing_is_met() {
    for ask in ["reprocess 0 5", "reprocess 9 9", "reprocess 9 8", "backfill 9 8"] {
        assert_eq!(timeline(&format!("file a 8 9 10\nrun\n{ask}")), "open 10\nmet\n", "{ask}");
    }
}

#[test]
fn a_skipped_window_is_due_only_if_it_is_reprocessed() {
    let text = "file a 8 9 10 13\nskip 9 12\nrun";
    assert_eq!(timeline(text), "open 13\n");
    assert_eq!(Story::tell(text).log.state.watermark, Some(hour(13)));
    assert_eq!(timeline(&format!("{text}\nfile b 10")), "open 13\n", "it stays as it was left");
    assert_eq!(timeline(&format!("{text}\nbackfill 0 13")), "open 13\nmet\n");
    assert_eq!(
        timeline(&format!("{text}\nreprocess 10 12")),
        "compute 10 requested, rows 1\nempty 11..12\nopen 13\n"
    );
    assert_eq!(timeline(&format!("{text}\nreprocess 10 12\nrun")), "open 13\n");
}

#[test]
fn a_window_that_misses_an_input_is_refused() {
    let story = Story::tell("file a 8 9\nrun\nfile b 8\ngone a");
    let plan = story.plan();
    assert_eq!(render(&plan), "refuse 8 HW3006\nopen 9\n");
    let (_, error) = &plan.refused[0];
    assert_eq!(error.code(), Code::InputRemoved);
    assert!(error.message().contains("2026-01-01 08:00 – 09:00"), "{error}");
    assert!(plan.is_empty(), "a refused window is no work");
}

#[test]
fn a_vanished_input_makes_nothing_due() {
    assert_eq!(timeline("file a 8 9\nrun\ngone a"), "open 9\n");
}

#[test]
fn an_unreadable_file_keeps_windows_from_closing_and_nothing_else() {
    assert_eq!(timeline("file a 8 9 10\nheld"), "hold 8\nhold 9\nopen 10\n");
    assert_eq!(
        timeline("file a 7 8 9 10\nrun\nfile b 7 11\ncrash 8\nreprocess 9 10\nheld"),
        "compute 8 in_doubt, rows 1\ncompute 7 late_data, rows 2, late 1 of 1\n\
         compute 9 requested, rows 1\nhold 10\nopen 11\n"
    );
}

#[test]
fn work_goes_from_doubt_over_live_and_late_windows_to_requests() {
    assert_eq!(
        timeline("file a 4 5 6 7 8\nrun\nfile b 5 9 10\nreprocess 4 5\nfail 6\ncrash 7"),
        "compute 7 in_doubt, rows 1\ncompute 6 failed_before, rows 1\n\
         compute 8 new, rows 1\ncompute 9 new, rows 1\n\
         compute 5 late_data, rows 2, late 1 of 1\ncompute 4 requested, rows 1\nopen 10\n"
    );
}

#[test]
fn a_window_has_its_share_of_the_bytes_of_its_files() {
    let plan = Story::tell("file a 8x3 9\nfile b 8 9").plan();
    let due = &plan.windows[0];
    assert_eq!((due.rows, due.bytes, due.bytes_in_memory), (4, 400, 4000));
    let keys: Vec<_> =
        due.inputs.iter().map(|input| (input.file.key.as_str(), input.rows)).collect();
    assert_eq!(keys, [("a", 3), ("b", 1)]);
}

/// Cuts the plan of a story into batches, and says which windows each has, and how many stretches.
fn cut(story: &Story, bytes_in_memory_max: u64) -> Vec<(Vec<i64>, usize)> {
    let windows = |batch: &BatchPlan| {
        batch.windows.iter().map(|due| hour_of(due.window.start())).collect::<Vec<_>>()
    };
    let cut = batches(&story.plan(), bytes_in_memory_max);
    cut.iter().map(|batch| (windows(batch), batch.empty.len())).collect()
}

#[test]
fn a_batch_has_at_most_64_windows() {
    let mut story = Story::new();
    let rows: Vec<_> = (0..=130).map(|n| (n, 1)).collect();
    story.files(vec![record("a", &rows)]);
    let cut = cut(&story, u64::MAX);
    assert_eq!(cut.iter().map(|(windows, _)| windows.len()).collect::<Vec<_>>(), [64, 64, 2]);
    assert_eq!(cut[1].0, (64..128).collect::<Vec<_>>());
}

#[test]
fn a_batch_ends_before_its_rows_take_too_much_memory() {
    let story = Story::tell("file a 1x2 2x3 3x5 4x50 5 6x4 7");
    assert_eq!(
        cut(&story, 5000),
        [(vec![1, 2], 1), (vec![3], 0), (vec![4], 0), (vec![5, 6], 0)],
        "a window larger than the limit goes alone"
    );
    assert_eq!(cut(&story, 0).len(), 6);
}

#[test]
fn windows_ascend_within_a_batch_and_batches_follow_the_order_of_work() {
    let story = Story::tell("file a 1 2 3 4\nrun\nfile b 1 5\ncrash 3");
    assert_eq!(cut(&story, u64::MAX), [(vec![1, 3, 4], 0)]);
    assert_eq!(cut(&story, 1000), [(vec![3], 0), (vec![4], 0), (vec![1], 0)]);
}

#[test]
fn empty_stretches_ride_with_the_windows_or_alone() {
    assert_eq!(cut(&Story::tell("file a 8\nfile b 12\nrun\nfile c 20"), 0), [(vec![12], 1)]);
    let none_with_rows = Story::tell("begin 2\nfile a 8");
    assert_eq!(cut(&none_with_rows, 0), [(vec![], 1)]);
    assert_eq!(cut(&Story::new(), 0), []);

    let many = Plan {
        empty: (0..25_000).map(|n| crate::state::tests::log::hours(2 * n, 2 * n + 1)).collect(),
        ..Story::tell("file a 8 9").plan()
    };
    let sizes: Vec<_> = batches(&many, 0).iter().map(|batch| batch.empty.len()).collect();
    assert_eq!(sizes, [10_000, 10_000, 5_000]);
}

#[test]
fn another_query_makes_windows_outdated_and_nothing_due() {
    let before = "file a 8 9 10 11\nrun\nquery";
    assert_eq!(timeline(before), "open 11\n");
    assert_eq!(Story::tell(before).plan().outdated, 3);
    assert_eq!(Story::tell("file a 8 9 10 11\nquery\nrun").plan().outdated, 0);
}

#[test]
fn windows_follow_the_query_if_they_are_told_to() {
    let story = "follow\nfile a 8 9 10 11\nrun\nquery\ncompute 9";
    assert_eq!(
        timeline(story),
        "compute 8 query_changed, rows 1\ncompute 10 query_changed, rows 1\nopen 11\n"
    );
    assert_eq!(timeline(&format!("{story}\nrun")), "open 11\n");
    // Late data says more of why a window is due.
    assert_eq!(
        timeline(&format!("{story}\nfile b 8")),
        "compute 8 late_data, rows 2, late 1 of 1\ncompute 10 query_changed, rows 1\nopen 11\n"
    );
}

#[test]
fn a_request_for_outdated_windows_leaves_the_others() {
    let story = "file a 8 9 10 11\nrun\nquery\ncompute 9\noutdated 8 10";
    assert_eq!(timeline(story), "compute 8 requested, rows 1\nopen 11\n");
    assert_eq!(Story::tell(&format!("{story}\nrun")).plan().outdated, 1, "10 was not asked for");
    let mut story = Story::tell(story);
    story.run();
    assert!(story.log.state.requests.is_empty());
}

#[test]
fn a_file_removed_for_good_takes_its_rows_with_it() {
    let story = "file a 8 9\nfile b 9 10 11\nrun\nremoved a";
    assert_eq!(
        timeline(story),
        "compute 8 input_removed, rows 0, late 0 of 1\n\
         compute 9 input_removed, rows 1, late 0 of 1\nopen 11\n"
    );
    // The window that lost all its rows keeps an object, for it had one.
    assert_eq!(timeline(&format!("{story}\nrun")), "open 11\n");
    // A file that comes back is a new version of itself.
    assert_eq!(
        timeline(&format!("{story}\nrun\nfile a 8")),
        "compute 8 input_changed, rows 1, late 1 of 1\nopen 11\n"
    );
}

#[test]
fn rows_later_than_allowed_are_in_no_window() {
    // Published up to 12: the hours 8 and 9 closed two hours ago or earlier.
    let story = "lateness 2\nfile a 8 9 10 11 12\nrun\nfile b 8x3 9 10x2 11 12";
    assert_eq!(
        timeline(story),
        "compute 10 late_data, rows 3, late 2 of 1\n\
         compute 11 late_data, rows 2, late 1 of 1\nopen 12\n"
    );
    let story = Story::tell(story);
    let id = FileId { table: "t".to_owned(), key: "b".to_owned() };
    let record = &story.ledger.file(&id).unwrap().record;
    assert_eq!(record.expired_rows(), 4);
    assert_eq!(story.log.state.refused_rows.expired, 4);
    assert_eq!(story.ledger.rows_between("t", hour(8), hour(9)), 1);
}

#[test]
fn a_window_that_is_not_published_yet_is_never_too_late() {
    let story = "lateness 0\nfile a 8 9 10 11\nfail 8\nfile b 8 9";
    assert_eq!(Story::tell(story).log.state.refused_rows.expired, 0);
}

#[test]
fn a_new_version_may_correct_what_the_old_one_gave_however_late() {
    let story = "lateness 0\nfile a 8 9\nfile b 12\nrun\nfile a 8x2 10";
    assert_eq!(
        timeline(story),
        "compute 8 input_changed, rows 2, late 1 of 1\n\
         compute 9 input_changed, rows 0, late 0 of 1\nopen 12\n"
    );
    assert_eq!(Story::tell(story).log.state.refused_rows.expired, 1);
}

#[test]
fn a_file_with_late_rows_is_refused_if_it_is_told_to_be_and_no_other() {
    let mut story = Story::tell("lateness 0\nfile a 8 9 10\nrun");
    story.spec.sources[0].on_expired = crate::spec::OnExpired::Fail;
    let records = vec![record("b", &[(8, 3), (10, 1)]), record("c", &[(10, 1)])];
    let (judged, refused) =
        judge_lateness(&story.spec, &story.log.state, &story.ledger, records.clone());
    assert_eq!((judged.as_slice(), refused.len()), (&records[1..], 1));
    assert_eq!(refused[0].code(), Code::Expired);
    assert!(refused[0].message().starts_with("in/b has rows"), "{refused:?}");
}
