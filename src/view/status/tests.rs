//! Gaps: what holds the watermark while later windows are committed.

use super::*;
use crate::plan::tests::story::Story;
use crate::state::tests::log::hours;
use crate::view::text;

fn told(text: &str) -> StatusView {
    let story = Story::tell(text);
    let now = ProcessingTime::from_micros(0);
    status(&story.spec, &story.log.state, &story.plan(), true, &[], &[], now)
}

#[test]
fn a_gap_lies_between_the_watermark_and_the_last_committed_window() {
    let gaps = |text: &str| told(text).gaps;
    assert_eq!(gaps("file a 8 9 10 11"), []);
    assert_eq!(gaps("file a 8 9 10 11\nrun"), []);
    let text = "begin 8\nfile a 8 9 10 11 12 13 20\ncompute 8";
    assert_eq!(gaps(&format!("{text} 11")), [hours(9, 11)]);
    assert_eq!(gaps(&format!("{text} 11\ncompute 9")), [hours(10, 11)]);
    assert_eq!(gaps(&format!("{text} 10\nskip 12 13")), [hours(9, 10), hours(11, 12)]);
    assert_eq!(gaps(&format!("{text} 10\nskip 12 13\nrun")), []);
    // The first window of all may be the one that lacks.
    assert_eq!(gaps("begin 8\nfile a 8 9 10\ncompute 9"), [hours(8, 9)]);
    // What is before the watermark holds nothing.
    assert_eq!(gaps("begin 8\nfile a 3 5 9 11\nrun\nbackfill 5 6\nrun"), []);
}

#[test]
fn many_gaps_are_counted_and_the_first_ones_named() {
    let hours: Vec<String> = (0..=300).map(|n| n.to_string()).collect();
    let computed: Vec<&str> = hours.iter().skip(2).step_by(2).map(String::as_str).collect();
    let view =
        told(&format!("begin 0\nfile a {}\ncompute {}", hours.join(" "), computed.join(" ")));
    assert_eq!((view.gaps.len(), view.gaps_total), (100, 150));
    let story = Story::tell("");
    let people = text::status(&[(&story.spec, view)], false, ProcessingTime::from_micros(0));
    let expected = "orders  150 gaps before committed windows: 2026-01-01 00:00 … \
                    2026-01-01 01:00, 2026-01-01 03:00 – 04:00 and 148 more\n";
    assert!(people.ends_with(expected), "{people}");
}
