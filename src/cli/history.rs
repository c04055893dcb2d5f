//! `highwater history`

use super::args::HistoryArgs;
use super::output::Output;
use super::{Failed, load};
use crate::run::Project;
use crate::state::{Body, Entry};
use crate::view::json::{self, CommitDoc, HistoryDoc, SCHEMA, SkipDoc};
use crate::view::text::{self, HistoryEvent, HistoryLine};

pub(super) async fn history(
    project: &Project,
    args: &HistoryArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    let mut entries: Vec<Entry> = Vec::new();
    let log = project.log(&spec.name);
    let read = log.for_each(|entry, _| {
        if matches!(entry.body, Body::Commit(_) | Body::Skip(_)) {
            entries.push(entry);
        }
        Ok(())
    });
    read.await.map_err(|why| vec![why])?;
    entries.reverse();
    entries.truncate(args.limit);
    let document = HistoryDoc {
        schema: SCHEMA,
        pipeline: spec.name.clone(),
        commits: entries.iter().filter_map(commit).collect(),
        skips: entries.iter().filter_map(skip).collect(),
        errors: Vec::new(),
    };
    let lines: Vec<HistoryLine<'_>> = entries.iter().filter_map(line).collect();
    output.result(&text::history(spec, &lines, output.verbose), &document);
    Ok(0)
}

fn commit(entry: &Entry) -> Option<CommitDoc> {
    let Body::Commit(commit) = &entry.body else { return None };
    Some(CommitDoc {
        seq: entry.n,
        at: entry.ts,
        run_id: entry.run,
        windows: commit.windows.iter().map(json::committed).collect(),
        failed: commit.failed.clone(),
    })
}

fn skip(entry: &Entry) -> Option<SkipDoc> {
    let Body::Skip(skip) = &entry.body else { return None };
    let (start, end) = (skip.range.start, skip.range.end);
    let why = skip.why.clone();
    Some(SkipDoc { seq: entry.n, at: entry.ts, run_id: entry.run, start, end, why })
}

fn line(entry: &Entry) -> Option<HistoryLine<'_>> {
    let what = match &entry.body {
        Body::Commit(commit) => HistoryEvent::Commit(&commit.windows, commit.failed.len()),
        Body::Skip(skip) => HistoryEvent::Skip(skip.range, &skip.why),
        _ => return None,
    };
    Some(HistoryLine { seq: entry.n.0, at: entry.ts, what })
}
