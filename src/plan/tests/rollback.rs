//! What a rollback goes back to, and what it refuses.

use super::Story;
use crate::error::{Code, Error};
use crate::id::{RequestId, Revision, Seq};
use crate::plan::{Restore, rollback};
use crate::state::tests::log::{Log, claim, commit, hour};
use crate::state::{Body, Commit, LostOutput, Reason, Request, RollbackTo, Verb};

/// Windows at 1 and 2 with three revisions, at 3 with one; none at 4. The log has the entry 4 after
/// the first of them, 6 after the second, 8 after the third.
fn revised() -> Log {
    let mut log = Log::claimed();
    log.compute(1, &[1, 2, 3]);
    log.compute(2, &[1, 2]);
    log.compute(3, &[1, 2]);
    log
}

fn ask(from: i64, until: i64, to: impl Into<Option<RollbackTo>>) -> Request {
    let (start, end) = (hour(from), hour(until));
    let verb = Verb::Rollback;
    Request { to: to.into(), ..Request::new(verb, start, end) }
}

/// What a request made now would do: each window with the revision it goes back to, and how many
/// stay.
fn would(log: &Log, request: &Request) -> Result<(Vec<(i64, u32)>, u64), Error> {
    let asked_at = log.state.next_seq().unwrap();
    let owed = rollback(&Story::new().spec, &log.state, asked_at, request)?;
    let window =
        |restore: &Restore| (crate::state::tests::log::hour_of(restore.start), restore.to.rev.0);
    Ok((owed.windows.iter().map(window).collect(), owed.stay))
}

fn refused(log: &Log, request: &Request) -> Code {
    would(log, request).unwrap_err().code()
}

fn to_revision(rev: u32) -> RollbackTo {
    RollbackTo::Revision(Revision(rev))
}

fn to_seq(seq: u64) -> RollbackTo {
    RollbackTo::Seq(Seq(seq))
}

#[test]
fn each_window_goes_back_by_one_and_the_first_revision_stays() {
    let log = revised();
    assert_eq!(would(&log, &ask(0, 9, None)), Ok((vec![(1, 2), (2, 2)], 1)));
    assert_eq!(would(&log, &ask(2, 3, None)), Ok((vec![(2, 2)], 0)));
    assert_eq!(refused(&log, &ask(3, 4, None)), Code::Usage, "it has no revision before");
    assert_eq!(refused(&log, &ask(4, 9, None)), Code::Usage, "nothing was published there");
}

#[test]
fn a_revision_that_is_named_must_have_been() {
    let log = revised();
    assert_eq!(would(&log, &ask(1, 3, to_revision(1))), Ok((vec![(1, 1), (2, 1)], 0)));
    assert_eq!(would(&log, &ask(1, 4, to_revision(1))), Ok((vec![(1, 1), (2, 1)], 1)));
    for rev in [0, 4] {
        assert_eq!(refused(&log, &ask(1, 3, to_revision(rev))), Code::Usage, "{rev}");
    }
    assert_eq!(refused(&log, &ask(1, 4, to_revision(2))), Code::Usage, "3 never had it");
}

#[test]
fn an_entry_names_what_stood_then() {
    let log = revised();
    let seqs: Vec<u64> = log.state.windows[&hour(1)].earlier.iter().map(|it| it.seq.0).collect();
    let [first, second] = seqs[..] else { panic!("{seqs:?}") };
    for (seq, rev) in [(first, 1), (first + 1, 1), (second, 2), (second + 1, 2)] {
        assert_eq!(would(&log, &ask(1, 2, to_seq(seq))), Ok((vec![(1, rev)], 0)), "{seq}");
    }
    assert_eq!(refused(&log, &ask(1, 2, to_seq(first - 1))), Code::Usage, "not published yet");
    assert_eq!(refused(&log, &ask(1, 2, to_seq(99))), Code::Usage, "it is what it was");
}

#[test]
fn what_was_lost_is_refused_and_with_it_the_whole() {
    let mut log = revised();
    let begin = log.begin(4, &[1]);
    let lost = LostOutput { start: hour(1), rev: Revision(3), output: "hourly".to_owned() };
    log.add(Body::Commit(Commit { lost: vec![lost], ..commit(&begin) }));
    assert_eq!(refused(&log, &ask(1, 2, None)), Code::RevisionGone);
    assert_eq!(refused(&log, &ask(1, 3, None)), Code::RevisionGone);
    assert_eq!(would(&log, &ask(1, 2, to_revision(2))), Ok((vec![(1, 2)], 0)));
}

#[test]
fn what_is_in_doubt_is_settled_first() {
    let mut log = revised();
    log.begin(4, &[1]);
    log.add(claim());
    assert_eq!(refused(&log, &ask(1, 3, None)), Code::RevisionGone);
    assert_eq!(would(&log, &ask(2, 3, None)), Ok((vec![(2, 2)], 0)));
}

#[test]
fn a_request_means_what_stood_when_it_was_made_until_it_is_done() {
    let mut log = revised();
    let request = ask(1, 3, None);
    let id = log.add(Body::Request(request.clone()));
    let owed = |log: &Log| {
        let owed = rollback(&Story::new().spec, &log.state, id, &request).unwrap();
        owed.windows.iter().map(|restore| restore.to.rev.0).collect::<Vec<_>>()
    };
    assert_eq!(owed(&log), [2, 2]);
    log.compute(4, &[1]);
    assert_eq!(owed(&log), [2, 2], "not the one before the newest");
    // What it began and did not commit is in doubt, and is still its own to finish.
    let begin = log.begin(5, &[1]);
    log.add(claim());
    assert_eq!(owed(&log), [2, 2]);
    drop(begin);

    let begin = log.begin(6, &[1, 2]);
    let mut end = commit(&begin);
    for window in &mut end.windows {
        (window.restores, window.reason) = (Some(Revision(2)), Reason::Requested);
    }
    log.add(Body::Rollback(end));
    assert_eq!(owed(&log), [0_u32; 0]);
    log.add(Body::RequestDone { id: RequestId(id), cancelled: false });
    assert_eq!(would(&log, &ask(1, 2, None)), Ok((vec![(1, 4)], 0)), "to undo it is to ask again");
}
