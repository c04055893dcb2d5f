//! `highwater history`

use super::args::HistoryArgs;
use super::output::Output;
use super::{Failed, load};
use crate::run::Project;
use crate::state::{Body, Commit, Entry};
use crate::view::json::{self, CommitDoc, HistoryDoc, SCHEMA};
use crate::view::text::{self, HistoryLine};

pub(super) async fn history(
    project: &Project,
    args: &HistoryArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    let mut commits: Vec<(Entry, Commit)> = Vec::new();
    let log = project.log(&spec.name);
    let read = log.for_each(|entry, _| {
        if let Body::Commit(commit) = entry.body.clone() {
            commits.push((entry, commit));
        }
        Ok(())
    });
    read.await.map_err(|why| vec![why])?;
    commits.reverse();
    commits.truncate(args.limit);
    let line = |(entry, commit): &(Entry, Commit)| CommitDoc {
        seq: entry.n,
        at: entry.ts,
        run_id: entry.run,
        windows: commit.windows.iter().map(json::committed).collect(),
        failed: commit.failed.clone(),
    };
    let document = HistoryDoc {
        schema: SCHEMA,
        pipeline: spec.name.clone(),
        commits: commits.iter().map(line).collect(),
        errors: Vec::new(),
    };
    let lines: Vec<HistoryLine<'_>> = commits
        .iter()
        .map(|(entry, commit)| HistoryLine {
            seq: entry.n.0,
            at: entry.ts,
            windows: &commit.windows,
            failed: commit.failed.len(),
        })
        .collect();
    output.result(&text::history(spec, &lines, output.verbose), &document);
    Ok(0)
}
