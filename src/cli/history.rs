//! `highwater history`

use super::args::HistoryArgs;
use super::output::Output;
use super::{Failed, load};
use crate::run::Project;
use crate::state::{Body, Commit, CommittedWindow, Entry, FailedWindow, State};
use crate::view::json::{self, CommitDoc, HistoryDoc, SCHEMA, SkipDoc};
use crate::view::text::{self, HistoryEvent, HistoryLine, Standing};

pub(super) async fn history(
    project: &Project,
    args: &HistoryArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    let mut entries: Vec<Entry> = Vec::new();
    let log = project.log(&spec.name);
    let read = log.for_each(|entry, _| {
        if matches!(entry.body, Body::Commit(_) | Body::Rollback(_) | Body::Skip(_)) {
            entries.push(entry);
        }
        Ok(())
    });
    read.await.map_err(|why| vec![why])?;
    let state = log.read().await.map_err(|why| vec![why])?;
    let keep = project.spec.history_keep;
    let standing = |window: &CommittedWindow| standing(state.as_ref(), window, keep);
    entries.reverse();
    entries.truncate(args.limit);
    let document = HistoryDoc {
        schema: SCHEMA,
        pipeline: spec.name.clone(),
        commits: entries.iter().filter_map(|entry| commit(entry, &standing)).collect(),
        skips: entries.iter().filter_map(skip).collect(),
        errors: Vec::new(),
    };
    let lines: Vec<HistoryLine<'_>> = entries.iter().filter_map(line).collect();
    output.result(&text::history(spec, &lines, &standing, output.verbose), &document);
    Ok(0)
}

/// What became of a revision of a window.
fn standing(state: Option<&State>, committed: &CommittedWindow, keep: usize) -> Standing {
    let Some(window) = state.and_then(|state| state.windows.get(&committed.start)) else {
        return Standing::Gone;
    };
    let is_it = |rev| rev == committed.rev;
    if is_it(window.committed.rev) {
        Standing::Now
    } else if window.restorable(keep).any(|earlier| is_it(earlier.rev)) {
        Standing::Kept
    } else if window.earlier.iter().any(|earlier| is_it(earlier.rev) && earlier.is_lost) {
        Standing::Lost
    } else {
        Standing::Gone
    }
}

fn commit(entry: &Entry, standing: &dyn Fn(&CommittedWindow) -> Standing) -> Option<CommitDoc> {
    let commit = entry.body.published()?;
    let window =
        |window: &CommittedWindow| json::committed(window, standing(window) == Standing::Kept);
    Some(CommitDoc {
        seq: entry.n,
        at: entry.ts,
        run_id: entry.run,
        kind: entry.body.kind(),
        windows: commit.windows.iter().map(window).collect(),
        failed: failed(commit).cloned().collect(),
        lost: commit.lost.iter().map(json::lost).collect(),
    })
}

/// The windows of a commit that failed. That others were stopped is no part of their history.
fn failed(commit: &Commit) -> impl Iterator<Item = &FailedWindow> {
    commit.failed.iter().filter(|failed| !failed.is_stopped())
}

fn skip(entry: &Entry) -> Option<SkipDoc> {
    let Body::Skip(skip) = &entry.body else { return None };
    let (start, end) = (skip.range.start, skip.range.end);
    let why = skip.why.clone();
    Some(SkipDoc { seq: entry.n, at: entry.ts, run_id: entry.run, start, end, why })
}

fn line(entry: &Entry) -> Option<HistoryLine<'_>> {
    let what = match &entry.body {
        Body::Commit(commit) | Body::Rollback(commit) => {
            HistoryEvent::Commit(&commit.windows, failed(commit).count())
        }
        Body::Skip(skip) => HistoryEvent::Skip(skip.range, &skip.why),
        _ => return None,
    };
    Some(HistoryLine { seq: entry.n.0, at: entry.ts, what })
}
