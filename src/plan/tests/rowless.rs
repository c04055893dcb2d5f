//! Windows without a row, where a pipeline has `min_rows`.

use super::story::{Story, timeline};
use crate::plan::ROWLESS_MAX;
use crate::state::tests::log::hour;

#[test]
fn a_gap_is_refused_window_by_window() {
    assert_eq!(
        timeline("min_rows 1\nfile a 5 8 9"),
        "compute 5 new, rows 1\ncompute 8 new, rows 1\nempty FIRST..5\n\
         refuse 6 HW4001\nrefuse 7 HW4001\nopen 9\n"
    );
    // It holds the watermark, and is refused again.
    let story = Story::tell("min_rows 1\nfile a 5 8 9\nrun\nrefuse 6 7");
    assert_eq!(story.log.state.watermark, Some(hour(6)));
    assert_eq!(
        timeline("min_rows 1\nfile a 5 8 9\nrun\nrefuse 6 7"),
        "refuse 6 HW4001\nrefuse 7 HW4001\nopen 9\n"
    );
}

#[test]
fn rows_that_come_or_an_operator_end_it() {
    let stuck = "min_rows 1\nfile a 5 8 9\nrun\nrefuse 6 7";
    assert_eq!(
        timeline(&format!("{stuck}\nfile b 6 7")),
        "compute 6 failed_before, rows 1\ncompute 7 failed_before, rows 1\nopen 9\n"
    );
    assert_eq!(timeline(&format!("{stuck}\nskip 6 7")), "refuse 7 HW4001\nopen 9\n");
    let done = Story::tell(&format!("{stuck}\nskip 6 8"));
    assert_eq!(done.log.state.contiguous_end(hour(5)), hour(9));
    assert_eq!(timeline(&format!("{stuck}\nskip 6 8")), "open 9\n");
    assert_eq!(timeline(&format!("{stuck}\nmin_rows 0")), "empty 6..8\nopen 9\n");
}

#[test]
fn before_the_first_row_nothing_is_missed_but_from_begin_on_it_is() {
    assert_eq!(
        timeline("min_rows 1\nfile a 8 9"),
        "compute 8 new, rows 1\nempty FIRST..8\nopen 9\n"
    );
    assert_eq!(
        timeline("min_rows 1\nbegin 6\nfile a 8 9"),
        "compute 8 new, rows 1\nrefuse 6 HW4001\nrefuse 7 HW4001\nopen 9\n"
    );
    // A backfill of more than there ever was.
    assert_eq!(
        timeline("min_rows 1\nbegin 8\nfile a 4 6 8 9\nrun\nbackfill 2 8"),
        "compute 4 requested, rows 1\ncompute 6 requested, rows 1\nempty 2..4\n\
         refuse 5 HW4001\nrefuse 7 HW4001\nopen 9\n"
    );
}

#[test]
fn a_backfill_is_owed_as_long_as_a_window_of_it_is_refused() {
    let asked = "min_rows 1\nbegin 8\nfile a 4 6 8 9\nrun\nbackfill 4 7\nrun";
    assert_eq!(timeline(asked), "refuse 5 HW4001\nopen 9\n");
    assert_eq!(timeline(&format!("{asked}\nskip 5 6")), "open 9\nmet\n");
}

#[test]
fn a_gap_of_ten_years_is_not_a_million_failures() {
    let story = Story::tell("min_rows 1\nfile a 8\nfile b 87608");
    let plan = story.plan();
    assert_eq!(plan.refused.len(), ROWLESS_MAX);
    assert_eq!(plan.refused[0].0.window.start(), hour(9));
    let withheld: Vec<_> = plan.withheld.iter().map(|range| (range.start, range.end)).collect();
    assert_eq!(withheld, [(hour(109), hour(87_608))]);
    // What failed before is among them, and does not make them more.
    let again = Story::tell("min_rows 1\nfile a 8\nfile b 87608\nrun\nrefuse 9 10 300").plan();
    assert_eq!((again.refused.len(), again.withheld.len()), (ROWLESS_MAX, 2));
    let bounds = [again.withheld[0], again.withheld[1]].map(|range| (range.start, range.end));
    assert_eq!(bounds, [(hour(108), hour(300)), (hour(301), hour(87_608))]);
    assert!(again.windows.is_empty() && again.empty.is_empty());
    let skipped = Story::tell("min_rows 1\nfile a 8\nfile b 87608\nrun\nskip 9 87608");
    assert_eq!(skipped.log.state.watermark, Some(hour(87_608)));
}

#[test]
fn what_is_committed_is_not_taken_back() {
    let skipped = "min_rows 1\nfile a 5 8 9\nrun\nskip 6 8";
    // No reprocessing gives it a row.
    assert_eq!(timeline(&format!("{skipped}\nreprocess 6 8")), "open 9\nmet\n");
    let empty = "file a 5 8 9\nrun\nmin_rows 1";
    assert_eq!(timeline(empty), "open 9\n");
    // A window with an object that lost its rows is computed, and judged by them then.
    assert_eq!(
        timeline("min_rows 1\nfile a 5 8 9\nfile b 6 7\nrun\nremoved b"),
        "compute 6 input_removed, rows 0, late 0 of 1\n\
         compute 7 input_removed, rows 0, late 0 of 1\nopen 9\n"
    );
    // One that was empty, got rows and lost them again before a run.
    assert_eq!(
        timeline("file a 5 8 9\nrun\nfile b 6\nremoved b\nmin_rows 1"),
        "empty 6..7\nopen 9\n"
    );
}
