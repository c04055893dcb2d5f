//! What windows see beyond their own rows makes them due, keeps them open, and is counted apart.

use super::story::{Story, timeline};
use crate::plan::{Outside, closed_until, promises};
use crate::spec::{Closes, SourceOrigin, UpstreamSpec};
use crate::state::tests::log::hour;
use crate::state::{Body, PromisedBy};
use crate::time::{ProcessingTime, Span};

#[test]
fn margins_are_inputs_and_are_not_the_windows_own_rows() {
    // 7 sees nothing; 8 its own row; 9 sees 8 and itself; 10 only 9; 11 is after what it could see.
    assert_eq!(
        timeline("margins t 1 0\nfile a 8x3 9x2 12"),
        "compute 8 new, rows 3\ncompute 9 new, rows 2+3\ncompute 10 new, rows 0+2\n\
         empty FIRST..8\nempty 11..12\nopen 12\nopen 13\n"
    );
}

#[test]
fn what_is_seen_ahead_must_have_come_before_a_window_closes() {
    assert_eq!(
        timeline("margins t 0 2\nfile a 8 9 12"),
        "compute 6 new, rows 0+1\ncompute 7 new, rows 0+2\ncompute 8 new, rows 1+1\n\
         compute 9 new, rows 1\nempty FIRST..6\nopen 10\nopen 11\nopen 12\n"
    );
}

#[test]
fn a_late_row_makes_every_window_due_that_sees_it() {
    let committed = "margins t 2 0\nfile a 8 9 10 11 12 13\nrun\n";
    assert_eq!(
        timeline(&format!("{committed}file late 9x5")),
        "compute 9 late_data, rows 6+1, late 5 of 1\ncompute 10 late_data, rows 1+7, late 0 of 1\n\
         compute 11 late_data, rows 1+7, late 0 of 1\nopen 13\nopen 14\nopen 15\n"
    );
    assert_eq!(
        timeline(&format!("{committed}file late 6")),
        "compute 6 late_data, rows 1, late 1 of 1\ncompute 7 late_data, rows 0+1, late 0 of 1\n\
         compute 8 late_data, rows 1+1, late 0 of 1\nopen 13\nopen 14\nopen 15\n"
    );
}

#[test]
fn each_source_of_a_join_has_margins_of_its_own() {
    let joined = "sources t s\nmargins s 1 0\nfile t/a 8 9 10 11\nfile s/a 8x4 11\n";
    assert_eq!(
        timeline(joined),
        "compute 8 new, rows 5\ncompute 9 new, rows 1+4\ncompute 10 new, rows 1\n\
         empty FIRST..8\nopen 11\nopen 12\n"
    );
    // A late row of `t` touches its own window only, one of `s` the next one too.
    let late = |file: &str| timeline(&format!("{joined}run\nfile {file}"));
    assert_eq!(late("t/late 8"), "compute 8 late_data, rows 6, late 1 of 1\nopen 11\nopen 12\n");
    assert_eq!(
        late("s/late 8"),
        "compute 8 late_data, rows 6, late 1 of 1\n\
         compute 9 late_data, rows 1+5, late 0 of 1\nopen 11\nopen 12\n"
    );
}

#[test]
fn a_window_waits_for_an_input_that_is_on_its_way() {
    let waiting = "file a 8 9 10\nfile b 9\nwait b";
    assert_eq!(timeline(waiting), "compute 8 new, rows 1\nempty FIRST..8\nhold 9\nopen 10\n");
    assert_eq!(timeline(&format!("{waiting}\nrun\narrived")), "compute 9 new, rows 2\nopen 10\n");
}

#[test]
fn rows_that_came_too_late_are_seen_by_no_margin_either() {
    let story =
        Story::tell("margins t 1 0\nfile a 8 9 10 11 12\nrun\nlateness 1\nfile late 8x5 11");
    assert_eq!(
        super::story::render(&story.plan()),
        "compute 11 late_data, rows 2+1, late 1 of 1\nopen 12\nopen 13\n"
    );
}

/// What is logged of sources that do not promise by their events, and how far windows close then.
fn promised(story: &Story, outside: &Outside) -> Option<(PromisedBy, String)> {
    let state = &story.log.state;
    let logged = promises(&story.spec, state, &story.ledger, outside)?;
    let by = logged.sources[0].by;
    let after = state.clone().foresee_watermarks(&logged);
    Some((by, closed_until(&story.spec, &after)?.to_string()))
}

fn outside(micros: i64) -> Outside {
    Outside { now: ProcessingTime::from_micros(micros), upstream: [].into() }
}

#[test]
fn a_source_that_closes_by_the_clock_promises_what_it_shows_less_the_delay() {
    let mut story = Story::tell("delay 1");
    story.spec.sources[0].closes = Closes::Clock;
    let at = |n: i64| outside(hour(n).micros());
    let until = |n: i64| Some((PromisedBy::Clock, hour(n).to_string()));
    assert_eq!(promised(&story, &at(10)), until(9));
    // Logged once: as long as no further window closes, there is nothing to say.
    let logged = promises(&story.spec, &story.log.state, &story.ledger, &at(10)).unwrap();
    story.log.add(Body::Watermarks(logged));
    let half = Span::from_seconds(1_800).micros();
    assert_eq!(promised(&story, &outside(hour(10).micros() + half)), None);
    assert_eq!(promised(&story, &at(11)), until(10));
    // A clock that is set back takes nothing back.
    assert_eq!(promised(&story, &at(5)), None);
}

#[test]
fn an_idle_source_follows_the_clock_at_the_distance_of_its_patience() {
    // The files of stories arrive at the instant 0, long before their events.
    let mut story = Story::tell("file a 8");
    story.spec.sources[0].idle_timeout = Some(Span::from_seconds(3 * 3_600));
    let at = |n: i64| outside(hour(n).micros());
    assert_eq!(promised(&story, &at(11)), None);
    assert_eq!(promised(&story, &at(12)), Some((PromisedBy::Idle, hour(9).to_string())));
    let never = Story::tell("");
    assert_eq!(promised(&never, &at(12)), None);
}

#[test]
fn a_chained_source_promises_what_its_pipeline_does() {
    let mut story = Story::tell("file a 8 9");
    let pipeline = story.spec.name.clone();
    story.spec.sources[0].origin =
        SourceOrigin::Pipeline(UpstreamSpec { pipeline, output: "hourly".to_owned() });
    assert_eq!(closed_until(&story.spec, &story.log.state), None);
    let upstream = |n: i64| Outside { upstream: [("t".to_owned(), hour(n))].into(), ..outside(0) };
    assert_eq!(promised(&story, &upstream(10)), Some((PromisedBy::Upstream, hour(10).to_string())));
    assert_eq!(promised(&story, &outside(0)), None);
}
