//! That the search finds what is wrong with a protocol that has one mistake in it, and in how many
//! steps at the earliest.

use super::explore::{Bounds, Explorer};
use super::explored::{
    BOUNDS, NO_FAULT, ONE_FILE, ONE_OBJECT, OPTIONAL_EVEN, OPTIONAL_ODD, admitted, copied,
    published,
};
use super::world::{Mutant, World};

/// One run, and one thing that goes wrong.
const LOST_ANSWER: Bounds = Bounds { runs: 1, faults: 1, ..NO_FAULT };
/// One run that may die, and whoever comes after it.
const DIES: Bounds = Bounds { runs: 1, faults: 0, ..BOUNDS };
/// A run on a machine that is copied, and one thing that goes wrong.
const COPIED: Bounds = Bounds { runs: 1, faults: 1, copies: 1, ..BOUNDS };

/// That a protocol with this mistake breaks this invariant, and does so in these steps at the
/// earliest.
#[track_caller]
fn assert_breaks(mutant: Mutant, bounds: Bounds, invariant: &str, shortest: &[&str]) {
    assert_breaks_in(published(ONE_OBJECT), Some(mutant), bounds, invariant, shortest);
}

/// The same in this world; without a mistake, if there is none.
#[track_caller]
fn assert_breaks_in(
    mut world: World,
    mutant: Option<Mutant>,
    bounds: Bounds,
    invariant: &str,
    shortest: &[&str],
) {
    world.mutant = mutant;
    let report = Explorer::new(world, bounds).explore();
    let (violation, steps) = report.violation.expect("the mistake does damage");
    assert_eq!(steps, shortest, "{violation}");
    assert!(violation.contains(invariant), "{violation}");
}

#[test]
fn a_fence_checked_before_the_versions_are_observed_is_found_in_15_steps() {
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append begin",
        "a run starts",
        "2: read",
        "3: append claim",
        "3: append begin",
        "3: read",
        "3: observe a0",
        "3: keep a0",
        "3: publish a0 over 1.5",
        "2: observe a0",
        "2: keep a0",
        "2: publish a0 over 3.3",
        "3: append commit",
    ];
    assert_breaks(Mutant::FenceBeforeObserve, NO_FAULT, "CM-2", &steps);
}

#[test]
fn a_publication_that_no_entry_announces_is_found_in_7_steps() {
    let steps = [
        "a run starts",
        "2: append claim",
        // Not written.
        "2: append begin",
        "2: observe a0",
        "2: keep a0",
        "2: read",
        "2: publish a0 over 1.5",
    ];
    assert_breaks(Mutant::NoBegin, NO_FAULT, "CM-2", &steps);
}

#[test]
fn a_publication_over_any_version_is_found_in_15_steps() {
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append begin",
        "a run starts",
        "2: observe a0",
        "2: keep a0",
        "2: read",
        "3: append claim",
        "3: append begin",
        "3: observe a0",
        "3: keep a0",
        "3: read",
        "3: publish a0 over 1.5",
        "2: publish a0 over 1.5",
        "3: append commit",
    ];
    assert_breaks(Mutant::UnconditionalPublish, NO_FAULT, "CM-2", &steps);
}

#[test]
fn an_entry_of_another_taken_for_ours_is_found_in_5_steps() {
    let steps =
        ["a run starts", "a run starts", "2: append claim", "3: append claim", "3: append begin"];
    assert_breaks(Mutant::ExistsIsOurs, NO_FAULT, "CM-1", &steps);
}

#[test]
fn our_own_entry_taken_for_that_of_another_is_found_in_8_steps() {
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append begin",
        "2: observe a0",
        "2: keep a0",
        "2: read",
        "2: publish a0 over 1.5",
        "2: append commit (After)",
    ];
    assert_breaks(Mutant::ExistsIsOthers, LOST_ANSWER, "CM-3", &steps);
}

#[test]
fn a_newer_claim_taken_for_a_mere_conflict_is_found_in_10_steps() {
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append begin",
        "a run starts",
        "2: observe a0",
        "2: keep a0",
        "2: read",
        "2: publish a0 over 1.5",
        "3: append claim",
        "2: append commit",
    ];
    assert_breaks(Mutant::ExistsIsOthers, NO_FAULT, "CM-4", &steps);
}

#[test]
fn a_committed_optional_object_that_is_not_announced_is_found_in_8_steps() {
    // It had rows, and has none now: it would hold those of a revision that is gone.
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append begin",
        "2: observe a0",
        "2: keep a0",
        "2: read",
        "2: publish a0 over 1.5",
        "2: append commit",
    ];
    let world = published(OPTIONAL_ODD);
    assert_breaks_in(world, Some(Mutant::CommittedOmitted), NO_FAULT, "CM-2", &steps);
}

#[test]
fn an_optional_object_in_doubt_that_is_not_announced_is_found_in_7_steps() {
    // It is published late, whatever the next run does.
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append begin",
        "2: observe a0",
        "2: observe q0",
        "2: read",
        "2 dies",
    ];
    let world = admitted(OPTIONAL_EVEN);
    assert_breaks_in(world, Some(Mutant::DoubtedOmitted), DIES, "CM-2", &steps);
}

#[test]
fn rows_kept_aside_without_a_look_at_the_fence_are_found_in_13_steps() {
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append inputs",
        "2: append begin_aside",
        "a run starts",
        "3: append claim",
        "3: append inputs",
        "3: append begin_aside",
        "3: observe f",
        "3: publish f over 1.5",
        "2: observe f",
        "2: publish f over 3.5",
        "3: append aside",
    ];
    let world = published(ONE_FILE);
    assert_breaks_in(world, Some(Mutant::AsideWithoutFence), NO_FAULT, "CM-2", &steps);
}

#[test]
fn a_lost_answer_taken_for_a_refusal_is_found_in_8_steps() {
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append inputs",
        "2: append begin_aside",
        "2: observe f",
        "2: read",
        "2: publish f over 1.5 (After)",
        "2: append aside",
    ];
    let world = published(ONE_FILE);
    assert_breaks_in(world, Some(Mutant::LostIsRefused), LOST_ANSWER, "CM-2", &steps);
}

#[test]
fn a_doubt_about_rows_of_which_there_are_none_that_is_forgotten_is_found_in_4_steps() {
    // Its `begin_aside` lands late.
    let steps = ["a run starts", "2: append claim", "2: append inputs", "2 dies"];
    let world = admitted(ONE_FILE);
    assert_breaks_in(world, Some(Mutant::AsideDoubtForgotten), DIES, "not kept aside", &steps);
}

/// No mistake, but the limit of what is promised: a copy of a machine may publish what the other
/// says it did not touch, and no later run has a reason to look there.
#[test]
fn a_copied_machine_may_leave_an_optional_object_behind() {
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append begin",
        "2: observe a0",
        "2 is copied",
        "2: observe q0",
        "2: read",
        "2: publish a0",
        "2: publish q0",
        "2': observe q0 (Before)",
        "2': read",
        "2': append commit",
        "2: append commit",
        "2: read",
        "2' dies",
    ];
    let world = copied(admitted(OPTIONAL_EVEN));
    assert_breaks_in(world, None, COPIED, "CM-2", &steps);
}

/// The same of rows kept aside.
#[test]
fn a_copied_machine_may_leave_rows_aside_behind() {
    let steps = [
        "a run starts",
        "2: append claim",
        "2: append inputs",
        "2: append begin_aside",
        "2: observe f",
        "2: read",
        "2 is copied",
        "2: publish f",
        "2': publish f (Refused)",
        "2': append aside",
    ];
    let world = copied(admitted(ONE_FILE));
    assert_breaks_in(world, None, COPIED, "CM-2", &steps);
}
