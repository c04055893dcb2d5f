//! Compares every published object with what the log says of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;

use super::project::Project;
use crate::error::Result;
use crate::id::PipelineName;
use crate::log::read_ledger;
use crate::report::{Problem, ProblemKind, Verified};
use crate::source::{SourceStore, open};
use crate::spec::PipelineSpec;
use crate::state::{CommittedOutput, State};
use crate::time::EventTime;

/// Objects looked at once.
const OBJECTS_AT_ONCE: usize = 8;

/// Reads every object of `spec` whole, and its log.
///
/// # Errors
/// If the log cannot be read or is damaged; what is wrong with objects is in the result.
pub async fn verify_pipeline(project: &Project, spec: &PipelineSpec) -> Result<Verified> {
    let log = project.log(&spec.name);
    let mut verified = Verified::default();
    let Some(state) = log.read().await? else { return Ok(verified) };
    read_ledger(log.store().as_ref(), &state).await?;
    verified.entries = state.head.seq.0.saturating_add(1);
    let store = SourceStore::new(project.outputs(&spec.name));
    let mut known = BTreeSet::new();
    let mut checks = Vec::new();
    for (start, window) in state.windows.iter() {
        verified.windows = verified.windows.saturating_add(1);
        for output in &window.committed.outputs {
            known.insert(output.path.clone());
            verified.objects = verified.objects.saturating_add(1);
            let is_in_doubt = state.in_doubt.contains_key(start);
            let window = (*start, window.committed.end);
            checks.push(check(&spec.name, &store, output.clone(), window, is_in_doubt));
        }
    }
    for (start, window) in &state.blank {
        for output in &window.outputs {
            known.insert(output.path.clone());
            verified.objects = verified.objects.saturating_add(1);
            let is_in_doubt = state.in_doubt.contains_key(start);
            let window = (*start, window.end);
            checks.push(check(&spec.name, &store, output.clone(), window, is_in_doubt));
        }
    }
    let mut results = std::pin::pin!(futures::stream::iter(checks).buffered(OBJECTS_AT_ONCE));
    while let Some(problem) = results.next().await {
        verified.problems.extend(problem?);
    }
    verified.problems.extend(unknown_objects(project, spec, &state, &known).await?);
    verified.problems.sort_by(|a, b| (a.window, a.kind, &a.path).cmp(&(b.window, b.kind, &b.path)));
    Ok(verified)
}

async fn check(
    pipeline: &PipelineName,
    store: &Arc<SourceStore>,
    output: CommittedOutput,
    window: (EventTime, EventTime),
    is_in_doubt: bool,
) -> Result<Option<Problem>> {
    let found = compare(store, &output).await?;
    Ok(found.map(|(kind, message)| {
        let kind = if is_in_doubt { ProblemKind::InDoubt } else { kind };
        let path = output.path.clone();
        Problem { pipeline: pipeline.clone(), window: Some(window), kind, path, message }
    }))
}

async fn compare(
    store: &Arc<SourceStore>,
    output: &CommittedOutput,
) -> Result<Option<(ProblemKind, String)>> {
    let Some(meta) = store.store().head(&output.path).await? else {
        return Ok(Some((ProblemKind::Missing, "it is not there".to_owned())));
    };
    if meta.size != output.bytes {
        let text = format!("it has {} bytes, the log says {}", meta.size, output.bytes);
        return Ok(Some((ProblemKind::Size, text)));
    }
    let hash = store.store().sha256(&output.path).await?;
    if hash != Some(output.sha256) {
        return Ok(Some((
            ProblemKind::Sha256,
            "its bytes are not those that were published".into(),
        )));
    }
    let rows = match open(store, &meta).await {
        Ok(file) => file.metadata.metadata().file_metadata().num_rows(),
        Err(why) => return Ok(Some((ProblemKind::Rows, why.message().to_owned()))),
    };
    if u64::try_from(rows) != Ok(output.rows) {
        let text = format!("it has {rows} rows, the log says {}", output.rows);
        return Ok(Some((ProblemKind::Rows, text)));
    }
    Ok(None)
}

/// Parquet below the outputs' roots that no commit names: readers would take it for data.
async fn unknown_objects(
    project: &Project,
    spec: &PipelineSpec,
    state: &State,
    known: &BTreeSet<String>,
) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for output in &spec.outputs {
        let root = output.path.root();
        let store = project.outputs(&spec.name);
        for meta in store.list(&format!("{root}/")).await? {
            let path = meta.key;
            if !path.ends_with(".parquet") || known.contains(&path) {
                continue;
            }
            let begun = state.in_doubt.iter().find(|(start, _)| {
                let window = spec.grid.window_at(**start);
                let own = window.and_then(|window| output.path.render(&spec.grid, window));
                own.is_some_and(|own| format!("{own}/data.parquet") == path)
            });
            let (kind, message) = match begun {
                Some(_) => (ProblemKind::InDoubt, "it was begun and not committed"),
                None => (ProblemKind::Unknown, "no commit names it"),
            };
            problems.push(Problem {
                pipeline: spec.name.clone(),
                window: begun.map(|(start, doubt)| (*start, doubt.end)),
                kind,
                path,
                message: message.to_owned(),
            });
        }
    }
    Ok(problems)
}
