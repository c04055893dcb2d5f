//! What a rollback goes back to: a function of the state alone.
//!
//! A window that is what it is asked to be stays as it is, and so does one without an earlier
//! revision where none is named. What cannot be met is refused as a whole: half of a range that
//! went back is nobody's wish.

use crate::error::{Code, Error};
use crate::id::{Revision, Seq};
use crate::spec::PipelineSpec;
use crate::state::{Earlier, Request, RollbackTo, State, WindowState};
use crate::time::EventTime;
use crate::window::Window;

/// Windows that are named one by one in a refusal.
const NAMED_MAX: usize = 3;

/// What a rollback would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// The windows that go back, ascending.
    pub windows: Vec<Restore>,
    /// How many windows of the range are what they are to be.
    pub stay: u64,
}

/// A window that goes back to an earlier revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Its start.
    pub start: EventTime,
    /// Its end.
    pub end: EventTime,
    /// The revision that stands.
    pub rev: Revision,
    /// The revision it goes back to.
    pub to: PastRevision,
}

/// An earlier revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastRevision {
    /// Which.
    pub rev: Revision,
    /// The entry that published it.
    pub seq: Seq,
}

/// Why a window cannot go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    InDoubt,
    NeverHad,
    TooNew,
    Lost,
    Forgotten,
}

/// What `request`, made or to be made at entry `asked_at`, has left to do.
///
/// # Errors
/// If a window of it cannot go back, or if there is none.
pub fn rollback(
    spec: &PipelineSpec,
    state: &State,
    asked_at: Seq,
    request: &Request,
) -> Result<Rollback, Error> {
    let mut owed = Rollback { windows: Vec::new(), stay: 0 };
    let mut refused = Vec::new();
    let range = request.start..request.end.max(request.start);
    for (start, window) in state.windows.range(range) {
        let is_begun = state.in_doubt.contains_key(start);
        let result = match target(window, asked_at, request.to) {
            // What this request began is finished by it; what else is in doubt is not known yet.
            Ok(Some(_)) if is_begun && !state.requests.contains_key(&id(asked_at)) => {
                Err(Obstacle::InDoubt)
            }
            other => other,
        };
        match result {
            Ok(Some(to)) => {
                let (end, rev) = (window.committed.end, window.committed.rev);
                owed.windows.push(Restore { start: *start, end, rev, to });
            }
            Ok(None) => owed.stay = owed.stay.saturating_add(1),
            Err(why) => refused.push((why, Window::new(*start, window.committed.end))),
        }
    }
    if !refused.is_empty() {
        return Err(refusal(spec, refused));
    }
    let is_new = !state.requests.contains_key(&id(asked_at));
    if is_new && owed.windows.is_empty() {
        return Err(nothing(spec, owed.stay));
    }
    Ok(owed)
}

fn id(asked_at: Seq) -> crate::id::RequestId {
    crate::id::RequestId(asked_at)
}

/// What `window` goes back to; `None` if it stays as it is, or went back already.
fn target(
    window: &WindowState,
    asked_at: Seq,
    to: Option<RollbackTo>,
) -> Result<Option<PastRevision>, Obstacle> {
    if window.begun > asked_at && window.committed.restores.is_some() {
        return Ok(None);
    }
    let now = Earlier { rev: window.committed.rev, seq: window.published, is_lost: false };
    // What was published since it was asked for is not what was spoken of.
    let revisions: Vec<Earlier> = window.earlier.iter().copied().chain([now]).collect();
    let known = revisions.iter().take_while(|revision| revision.seq < asked_at).count();
    let known = revisions.get(..known).unwrap_or_default();
    let found = match to {
        None => match known.split_last() {
            Some((_, before)) => before.last(),
            None => None,
        },
        Some(RollbackTo::Revision(rev)) => {
            let found = known.iter().find(|revision| revision.rev == rev);
            Some(found.ok_or_else(|| absent(rev, &revisions))?)
        }
        Some(RollbackTo::Seq(seq)) => {
            let found = known.iter().rev().find(|revision| revision.seq <= seq);
            let is_forgotten = known.first().is_some_and(|first| first.rev > Revision(1));
            let why = if is_forgotten { Obstacle::Forgotten } else { Obstacle::TooNew };
            Some(found.ok_or(why)?)
        }
    };
    match found {
        None => Ok(None),
        Some(found) if found.rev == now.rev => Ok(None),
        Some(found) if found.is_lost => Err(Obstacle::Lost),
        Some(found) => Ok(Some(PastRevision { rev: found.rev, seq: found.seq })),
    }
}

/// Why a window has no revision `rev`.
fn absent(rev: Revision, revisions: &[Earlier]) -> Obstacle {
    let first = revisions.first().map_or(Revision(1), |first| first.rev);
    if Revision(0) < rev && rev < first { Obstacle::Forgotten } else { Obstacle::NeverHad }
}

fn nothing(spec: &PipelineSpec, stay: u64) -> Error {
    let text = if stay > 0 {
        format!("no window of the range in {} has to go back", spec.name)
    } else {
        format!("no window of the range in {} was ever published", spec.name)
    };
    Error::new(Code::Usage, text)
        .note("a window goes back to a revision it had; its first one has none before it")
        .hint("`highwater history` shows what was published, and when")
}

fn refusal(spec: &PipelineSpec, mut refused: Vec<(Obstacle, Option<Window>)>) -> Error {
    refused.sort_by_key(|(why, window)| (*why, *window));
    let label = |(_, window): &(Obstacle, Option<Window>)| {
        window.map_or_else(String::new, |window| spec.grid.label(window))
    };
    let named: Vec<String> = refused.iter().take(NAMED_MAX).map(label).collect();
    let more = refused.len().saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let windows = format!("{}{more}", named.join(", "));
    let why = refused.first().map_or(Obstacle::NeverHad, |(why, _)| *why);
    let (code, text) = match why {
        Obstacle::InDoubt => (Code::RevisionGone, "it is in doubt: it was begun and not committed"),
        Obstacle::NeverHad => (Code::Usage, "it never had that revision"),
        Obstacle::TooNew => (Code::Usage, "it was first published later"),
        Obstacle::Lost => {
            (Code::RevisionGone, "that revision was lost: its object had been changed by hand")
        }
        Obstacle::Forgotten => (Code::RevisionGone, "that revision is too long ago"),
    };
    let error = Error::new(code, format!("window {windows} cannot go back: {text}"))
        .note("nothing was changed: a rollback is done as a whole or not at all");
    match why {
        Obstacle::InDoubt => error.hint("`highwater run` settles it; then ask again"),
        Obstacle::TooNew => error.hint("name a later entry, or a smaller range"),
        _ => error.hint("`highwater history` shows which revisions can be restored"),
    }
}
