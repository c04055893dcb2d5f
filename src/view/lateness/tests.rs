//! Lateness of stories, against what admission itself would have left out and against counting.

#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

use proptest::prelude::*;

use super::*;
use crate::plan::tests::story::{Story, record};
use crate::state::tests::log::{hour, hour_of};
use crate::time::ProcessingTime;
use crate::view::text;

const HOUR: i64 = 3_600_000_000;

fn watermarks(story: &Story) -> AdmissionWatermarks {
    let mut watermarks = AdmissionWatermarks::default();
    story.log.entries.iter().for_each(|entry| watermarks.take(entry));
    watermarks
}

fn of(story: &Story) -> SourceLateness {
    let view = lateness(&story.spec, &story.ledger, &watermarks(story));
    assert_eq!(view.sources.len(), 1);
    view.sources[0].clone()
}

fn hours(count: i64) -> Span {
    Span::from_micros(count * HOUR).unwrap()
}

#[test]
fn nothing_is_late_before_the_first_watermark() {
    let source = of(&Story::tell("file a 8 9 10\nfile b 3x7"));
    assert_eq!((source.files, source.rows, source.late), (2, 10, Missed::default()));
    assert_eq!((source.longest.is_some(), source.overdue), (true, None));
    let source = of(&Story::new());
    assert_eq!((source.files, source.rows, source.longest), (0, 0, None));
    assert_eq!(source.quantile(0.5), None);
}

#[test]
fn late_rows_are_those_of_windows_that_were_committed() {
    let source = of(&Story::tell("file a 8 20\nrun\nfile b 8x2 19x3 20 21\nrun\nfile c 8 18"));
    assert_eq!(source.late, Missed { rows: 7, windows: 3 });
    // The watermark stood at 20 for `b` and at 21 for `c`; the window of hour 8 ended at 9.
    assert_eq!(source.overdue, Some(hours(12)));
    let missed = |seconds: i64| {
        let step = source.allowed.iter().find(|step| step.allowed.seconds() == seconds).unwrap();
        (step.missed.rows, step.missed.windows)
    };
    assert_eq!((missed(0), missed(3_600), missed(6 * 3_600)), ((7, 3), (4, 2), (3, 1)));
    assert_eq!(missed(86_400), (0, 0));
    let lookback: Vec<_> =
        source.lookback.iter().map(|step| (step.windows, step.missed.rows)).collect();
    assert_eq!(lookback, [(1, 4), (3, 3), (7, 3), (24, 0), (168, 0)]);
}

#[test]
fn a_version_that_is_settled_is_judged_by_when_it_came() {
    let mut story = Story::tell("file a 8 9");
    let mut settled = record("a", &[(8, 1), (9, 1)]);
    settled.settles = true;
    story.run();
    story.files(vec![settled]);
    assert_eq!(of(&story).late, Missed::default());
}

#[test]
fn the_configured_lateness_is_marked_and_what_it_left_out_counts() {
    let mut story = Story::tell("lateness 2\nfile a 8 20\nrun\nfile b 8x2 19x3");
    let configured = |story: &Story| -> Vec<AllowedLateness> {
        of(story).allowed.into_iter().filter(|step| step.is_configured).collect()
    };
    assert_eq!(of(&story).rows, 7);
    let missed = Missed { rows: 2, windows: 1 };
    let expected = AllowedLateness { allowed: hours(2), is_configured: true, missed };
    assert_eq!(configured(&story), [expected]);
    assert_eq!(of(&story).allowed.len(), 9);
    story.spec.sources[0].allowed_lateness = Some(hours(1));
    assert_eq!((configured(&story).len(), of(&story).allowed.len()), (1, 8));
}

#[test]
fn the_longest_delay_is_exact_and_no_quantile_exceeds_it() {
    let mut story = Story::new();
    let mut file = record("a", &[(8, 1), (10, 1)]);
    file.arrived_at = ProcessingTime::from_micros(hour(20).micros());
    for (at, rows) in [(8, 1), (10, 1)] {
        file.delays.add(file.arrived_at.delay_after(hour(at)) - HOUR / 2, rows);
    }
    story.files(vec![file]);
    let source = of(&story);
    assert_eq!(source.longest, Some(Span::from_micros(HOUR * 23 / 2).unwrap()));
    assert!(source.quantile(0.99) <= source.longest && source.quantile(0.5) < source.longest);
    let told =
        text::lateness(&story.spec, &LatenessView { sources: vec![source], skipped: Vec::new() });
    assert!(told.contains("allowed_lateness = \"0s\" would have missed nothing so far"), "{told}");
    assert!(told.contains("≤ 16h"), "{told}");
    assert!(told.lines().all(|line| line.chars().count() <= 100 && line.trim_end() == line));
}

#[test]
fn removed_files_and_other_tables_do_not_count() {
    let story = Story::tell("sources t s\nfile t/a 8 9\nfile s/a 8x5 9\nrun\nremoved t/a");
    let view = lateness(&story.spec, &story.ledger, &watermarks(&story));
    let told: Vec<_> = view.sources.iter().map(|one| (&*one.table, one.files, one.rows)).collect();
    assert_eq!(told, [("t", 0, 0), ("s", 1, 6)]);
}

#[test]
fn lookbacks_fit_the_windows() {
    let of = |text: &str| lookbacks(WindowSize::parse(text).unwrap());
    assert_eq!(of("1h"), [1, 3, 7, 24, 168]);
    assert_eq!(of("6h"), [1, 3, 4, 7, 28]);
    assert_eq!(of("1m"), [1, 3, 7, 1_440]);
    assert_eq!(of("1d"), [1, 3, 7, 30]);
    assert_eq!(of("1mo"), [1, 2, 3, 12]);
}

/// Files and runs in any order: hours and rows of each file, and whether a run follows.
type Feed = Vec<(Vec<(i64, u64)>, bool)>;

fn feeds() -> impl Strategy<Value = Feed> {
    let rows = prop::collection::btree_map(0_i64..60, 1_u64..5, 1..5);
    let file = rows.prop_map(|rows| rows.into_iter().collect::<Vec<_>>());
    prop::collection::vec((file, any::<bool>()), 1..12)
}

/// The story of a feed, and per file the watermark that it was judged against.
fn tell(feed: &Feed, allowed: Option<Span>) -> (Story, Vec<Option<EventTime>>) {
    let mut story = Story::new();
    story.spec.sources[0].allowed_lateness = allowed;
    let mut judged = Vec::new();
    for (place, (rows, is_run)) in feed.iter().enumerate() {
        judged.push(story.log.state.watermark);
        story.files(vec![record(&format!("{place}"), rows)]);
        if *is_run {
            story.run();
        }
    }
    (story, judged)
}

/// Rows of the feed that are missed, one by one.
fn count(
    feed: &Feed,
    judged: &[Option<EventTime>],
    is_missed: impl Fn(i64, i64) -> bool,
) -> Missed {
    let mut windows = BTreeSet::new();
    let mut rows = 0;
    for ((file, _), watermark) in feed.iter().zip(judged) {
        let Some(watermark) = watermark else { continue };
        for (at, count) in file.iter().filter(|(at, _)| is_missed(*at, hour_of(*watermark))) {
            windows.insert(*at);
            rows += count;
        }
    }
    Missed { rows, windows: windows.len().try_into().unwrap() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_number_is_what_counting_gives(feed in feeds()) {
        let (story, judged) = tell(&feed, None);
        let source = of(&story);
        prop_assert_eq!(source.late, count(&feed, &judged, |at, watermark| at < watermark));
        for AllowedLateness { allowed, missed, .. } in &source.allowed {
            // An allowed lateness of a quarter of an hour and of none are one on whole hours.
            let hours = (allowed.seconds() + 3_599) / 3_600;
            let expected = count(&feed, &judged, |at, watermark| at + 1 + hours <= watermark);
            prop_assert_eq!(*missed, expected, "{}", allowed);
        }
        for Lookback { windows, missed } in &source.lookback {
            let windows = i64::from(*windows);
            let expected = count(&feed, &judged, |at, watermark| at < watermark - windows);
            prop_assert_eq!(*missed, expected, "{} windows", windows);
        }
    }

    #[test]
    fn what_is_foretold_is_what_admission_leaves_out(feed in feeds()) {
        let source = of(&tell(&feed, None).0);
        for AllowedLateness { allowed, missed, .. } in source.allowed {
            let (story, _) = tell(&feed, Some(allowed));
            let expired: u64 =
                story.ledger.files().map(|(_, known)| known.record.expired_rows()).sum();
            prop_assert_eq!(missed.rows, expired, "{}", allowed);
            prop_assert_eq!(of(&story).late, source.late);
        }
    }
}
