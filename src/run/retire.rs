//! Takes away what a pipeline, or one of its outputs, has published: announced in the log, then
//! done, then said to be done (RT-1).
//!
//! Only objects that the log names are removed, and each only as long as it is what the log says or
//! an attempt that a `begin` announced. Whatever else is there stays and is named, and as long as
//! it does the retirement is not done. Killed at any point, the same command goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;

use super::keeper::{Keeper, no_state, remove};
use super::owner::owned;
use super::project::Project;
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use crate::id::{AttemptId, PipelineName};
use crate::ledger::FileId;
use crate::log::StateLog;
use crate::report::{Retired, Standing};
use crate::source::{SourceStore, open};
use crate::state::{AsideFile, BatchOutput, Body, Retire, RetirePhase, State};
use crate::store::ObjectMeta;
use crate::window::PathTemplate;

/// Objects removed at once.
const OBJECTS_AT_ONCE: usize = 8;

/// Objects that stay and are named.
const STANDING_MAX: usize = 100;

/// What is retired, as it is typed: `orders`, `orders.hourly`.
pub(super) fn target(pipeline: &PipelineName, output: Option<&str>) -> String {
    output.map_or_else(|| pipeline.to_string(), |output| format!("{pipeline}.{output}"))
}

impl Project {
    /// What retiring `pipeline`, or its output `output`, would remove. Writes nothing.
    ///
    /// # Errors
    /// If there is no such state or output; if the log is damaged; if the store fails.
    pub async fn foresee_retirement(
        &self,
        pipeline: &PipelineName,
        output: Option<&str>,
    ) -> Result<Retired> {
        let log = self.log(pipeline);
        let state = log.read().await?.ok_or_else(|| no_state(pipeline))?;
        check(&state, output)?;
        let mut retired = self.retired(pipeline, output, true);
        self.take_away(&log, &state, &mut retired).await?;
        Ok(retired)
    }

    /// Retires `pipeline`, or its output `output`.
    ///
    /// # Errors
    /// As [`Self::foresee_retirement`]; if another process holds the lease.
    pub async fn retire(
        &self,
        pipeline: &PipelineName,
        output: Option<&str>,
        why: Option<String>,
    ) -> Result<Retired> {
        let state = self.log(pipeline).read().await?.ok_or_else(|| no_state(pipeline))?;
        check(&state, output)?;
        let mut retired = self.retired(pipeline, output, false);
        if !is_due(&state, output) && self.disowned(&state).await?.is_empty() {
            retired.is_done = true;
            return Ok(retired);
        }
        let mut keeper = Keeper::take(self, pipeline).await?;
        match self.carry_out_retirement(&mut keeper, &mut retired, why).await {
            Ok(()) => keeper.release().await?,
            Err(error) => {
                keeper.give_up().await;
                return Err(match error.code() {
                    Code::Bug => error,
                    _ => error.hint("run the same command again: it goes on where it stopped"),
                });
            }
        };
        Ok(retired)
    }

    fn retired(&self, pipeline: &PipelineName, output: Option<&str>, is_dry: bool) -> Retired {
        let reads = |spec: &&crate::spec::PipelineSpec| {
            spec.sources.iter().filter_map(|source| source.upstream()).any(|from| {
                from.pipeline == *pipeline && output.is_none_or(|output| from.output == output)
            })
        };
        let readers = self.spec.pipelines.iter().filter(reads);
        let spec = self.spec.pipelines.iter().find(|spec| spec.name == *pipeline);
        let mut outputs = spec.into_iter().flat_map(|spec| &spec.outputs);
        let is_configured = outputs.any(|other| output.is_none_or(|output| other.name == output));
        Retired {
            pipeline: pipeline.clone(),
            output: output.map(str::to_owned),
            is_dry,
            is_configured,
            is_done: false,
            objects: 0,
            removed: 0,
            bytes: 0,
            gone: 0,
            standing: Vec::new(),
            readers: readers.map(|spec| spec.name.clone()).collect(),
        }
    }

    async fn carry_out_retirement(
        &self,
        keeper: &mut Keeper,
        retired: &mut Retired,
        why: Option<String>,
    ) -> Result<()> {
        check(keeper.state(), retired.output.as_deref())?;
        let objects = named(keeper.state(), retired.output.as_deref()).count();
        let step = |phase, why| {
            let (output, objects) = (retired.output.clone(), number(objects));
            Body::Retire(Retire { phase, output, objects, why })
        };
        let (announced, done) = (step(RetirePhase::Announced, why), step(RetirePhase::Done, None));
        // What has nothing published has nothing to announce: only owners may be left.
        if is_due(keeper.state(), retired.output.as_deref()) {
            if keeper.state().retiring.is_none() {
                keeper.append(announced).await?;
            }
            self.take_away(&keeper.log, keeper.state(), retired).await?;
            if !retired.standing.is_empty() {
                return Ok(());
            }
            keeper.append(done).await?;
        }
        self.disown(keeper.state()).await?;
        retired.is_done = true;
        Ok(())
    }

    /// Removes the objects, or, if it is dry, finds out which could be.
    async fn take_away(&self, log: &StateLog, state: &State, retired: &mut Retired) -> Result<()> {
        let (output, is_dry) = (retired.output.clone(), retired.is_dry);
        let attempts = attempts(log, state, output.as_deref()).await?;
        let store = SourceStore::new(self.outputs(&retired.pipeline));
        let mut only_begun = attempts.clone();
        if !only_begun.is_empty() {
            named(state, output.as_deref()).for_each(|(path, _)| _ = only_begun.remove(path));
        }
        let begun = only_begun.keys().map(|path| (path.as_str(), None));
        let all = named(state, output.as_deref()).map(|(path, hash)| (path, Some(hash)));
        let looks = all.chain(begun).map(|(path, committed)| {
            let attempts = attempts.get(path).cloned().unwrap_or_default();
            let object = Object { path: path.to_owned(), committed, attempts };
            dispose(store.clone(), object, is_dry)
        });
        let mut looks = futures::stream::iter(looks).buffer_unordered(OBJECTS_AT_ONCE);
        while let Some(disposal) = looks.next().await {
            retired.objects = retired.objects.saturating_add(1);
            match disposal? {
                Disposal::Gone => retired.gone = retired.gone.saturating_add(1),
                Disposal::Removed(bytes) => {
                    retired.removed = retired.removed.saturating_add(1);
                    retired.bytes = retired.bytes.saturating_add(bytes);
                }
                Disposal::Stands(standing) if retired.standing.len() < STANDING_MAX => {
                    retired.standing.push(standing);
                }
                Disposal::Stands(_) => {}
            }
        }
        drop(looks);
        retired.standing.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(())
    }

    /// Gives up the roots of outputs that are retired.
    async fn disown(&self, state: &State) -> Result<()> {
        let outputs = self.outputs(&state.pipeline);
        for owner in self.disowned(state).await? {
            remove(outputs.as_ref(), &owner).await?;
        }
        Ok(())
    }

    /// What says that this pipeline owns the roots of outputs that are retired, unless an output
    /// lies there still.
    async fn disowned(&self, state: &State) -> Result<Vec<ObjectMeta>> {
        let root = |path: &str| PathTemplate::parse(path).ok().map(|path| path.root().to_owned());
        let in_use = state.shape.iter();
        let in_use = in_use.flat_map(|shape| shape.outputs.iter().chain(&shape.quarantines));
        let in_use: BTreeSet<String> = in_use.filter_map(|output| root(&output.path)).collect();
        let roots = state.retired.iter().filter_map(|output| root(&output.path));
        let roots: BTreeSet<String> = roots.filter(|root| !in_use.contains(root)).collect();
        let outputs = self.outputs(&state.pipeline);
        let mut owners = Vec::new();
        for root in roots {
            owners.extend(owned(&root, state, outputs.as_ref()).await?);
        }
        Ok(owners)
    }
}

/// Whether `output` of the pipeline can be retired now.
fn check(state: &State, output: Option<&str>) -> Result<()> {
    let name = &state.pipeline;
    if let Some(retiring) = &state.retiring {
        if retiring.output.as_deref() == output {
            return Ok(());
        }
        return Err(not_done(state));
    }
    let Some(output) = output else { return Ok(()) };
    let outputs = state.shape.iter().flat_map(|shape| &shape.outputs);
    let names: Vec<&str> = outputs.map(|output| output.name.as_str()).collect();
    if names == [output] {
        let text = format!("{output} is the only output of pipeline {name}");
        return Err(Error::new(Code::Usage, text).hint(format!("highwater retire {name}")));
    }
    // Its objects are gone, and only its owner may be left.
    let is_retired = state.retired.iter().any(|other| other.name == output);
    if names.contains(&output) || is_retired {
        return Ok(());
    }
    Err(Error::new(Code::Usage, format!("pipeline {name} has published no output `{output}`"))
        .note(format!("what it has published: {}", names.join(", "))))
}

/// Whether anything of what is retired is published, or announced to be taken away.
fn is_due(state: &State, output: Option<&str>) -> bool {
    let mut published = state.shape.iter().flat_map(|shape| &shape.outputs);
    let is_published = match output {
        Some(output) => published.any(|other| other.name == output),
        None => state.shape.is_some() || named(state, None).next().is_some(),
    };
    is_published || state.retiring.is_some()
}

/// The error for whatever cannot be done before the retirement is.
pub(super) fn not_done(state: &State) -> Error {
    let name = &state.pipeline;
    let output = state.retiring.as_ref().and_then(|retiring| retiring.output.as_deref());
    let target = target(name, output);
    Error::new(Code::Retiring, format!("pipeline {name} is being retired, and that is not done"))
        .note("some of its objects are gone, and none is published until it is done")
        .hint(format!("finish it: `highwater retire {target}`"))
}

/// The committed objects of `output`, or of all outputs, and the hashes of their bytes.
fn named<'a>(state: &'a State, output: Option<&'a str>) -> impl Iterator<Item = (&'a str, Sha256)> {
    let outputs = state.windows.values().flat_map(|window| &window.committed.outputs);
    let outputs = outputs.chain(state.blank.values().flat_map(|window| &window.outputs));
    let asides = state.asides.values().filter_map(|known| known.committed.as_ref());
    let outputs = outputs.chain(asides.map(|committed| &committed.object));
    let outputs = outputs.filter(move |other| output.is_none_or(|name| name == other.name));
    outputs.map(|output| (output.path.as_str(), output.sha256))
}

/// The attempts at windows in doubt that `begin` entries announced, by path.
async fn attempts(
    log: &StateLog,
    state: &State,
    output: Option<&str>,
) -> Result<BTreeMap<String, Vec<AttemptId>>> {
    let mut attempts: BTreeMap<String, Vec<AttemptId>> = BTreeMap::new();
    if state.in_doubt.is_empty() && !state.asides.values().any(|known| known.is_in_doubt) {
        return Ok(attempts);
    }
    log.for_each(|entry, _| {
        for begun in in_doubt(state, entry.body) {
            if output.is_none_or(|name| name == begun.name) {
                attempts.entry(begun.path).or_default().push(begun.att);
            }
        }
        Ok(())
    })
    .await?;
    Ok(attempts)
}

/// The objects that `body` begins and that are in doubt.
fn in_doubt(state: &State, body: Body) -> Vec<BatchOutput> {
    match body {
        Body::Begin(begin) => {
            let windows = begin.windows.into_iter();
            let in_doubt = windows.filter(|window| state.in_doubt.contains_key(&window.start));
            in_doubt.flat_map(|window| window.outputs).collect()
        }
        Body::BeginAside(begin) => {
            let is_in_doubt = |file: &AsideFile<BatchOutput>| {
                let id = FileId { table: file.table.clone(), key: file.key.clone() };
                state.asides.get(&id).is_some_and(|known| known.is_in_doubt)
            };
            let files = begin.files.into_iter().filter(is_in_doubt);
            files.map(|file| file.object).collect()
        }
        _ => Vec::new(),
    }
}

/// An object that the log names.
struct Object {
    path: String,
    committed: Option<Sha256>,
    attempts: Vec<AttemptId>,
}

enum Disposal {
    Gone,
    /// It was removed, or would be; so many bytes.
    Removed(u64),
    Stands(Standing),
}

async fn dispose(store: Arc<SourceStore>, object: Object, is_dry: bool) -> Result<Disposal> {
    let Object { path, committed, attempts } = object;
    let Some(seen) = store.store().head(&path).await? else { return Ok(Disposal::Gone) };
    let stands = |path: String, message: &str| {
        Ok(Disposal::Stands(Standing { path, message: message.to_owned() }))
    };
    let found = store.store().sha256(&path).await?;
    let mut is_ours = found.is_some() && found == committed;
    if !is_ours && !attempts.is_empty() {
        let attempt = match open(&store, &seen).await {
            Ok(file) => file.attempt(),
            Err(why) if why.code() == Code::CorruptInput => None,
            Err(why) => return Err(why),
        };
        is_ours = attempt.is_some_and(|attempt| attempts.contains(&attempt));
    }
    if !is_ours {
        return stands(path, "it is not what the log says was published there");
    }
    if is_dry || remove(store.store().as_ref(), &seen).await? {
        return Ok(Disposal::Removed(seen.size));
    }
    stands(path, "it was replaced while it was to be removed")
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
