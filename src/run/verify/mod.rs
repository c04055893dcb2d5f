//! Compares the log with itself, and what is published with the log. It writes nothing, and deletes
//! nothing.
//!
//! A run may be at work meanwhile. So whatever differs is looked at once more against a log that
//! was read again, and is called damage only if the log said the same of it before and after: a
//! writer announces what it is about to replace. That also tells a bit that flipped on its way here
//! from one that flipped where it lies.

mod aside;
mod balance;
mod object;
mod recompute;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use futures::StreamExt;

use super::owner::owned;
use super::project::Project;
use crate::error::Result;
use crate::log::StateLog;
use crate::report::{Problem, ProblemKind, Verified};
use crate::source::SourceStore;
use crate::spec::PipelineSpec;
use crate::state::{State, TimeRange, WindowState};
use crate::store::{Found, Store, layout};
use crate::time::EventTime;
use object::{Difference, Objects};

/// Objects looked at once.
const OBJECTS_AT_ONCE: usize = 8;

/// With so many differences nobody looks further: bounds memory, and what a person has to read.
const DIFFERENCES_MAX: usize = 10_000;

/// The newest windows that a quick look takes in.
const QUICK_WINDOWS: usize = 100;

/// How often what differs is looked at again while the log says other things of it each time.
const ROUNDS_MAX: u32 = 3;

/// What is said of the objects of a window that is in doubt.
const IN_DOUBT: &str = "it was begun and not committed: the next `highwater run` settles it";

/// How closely to look. Each level includes those before it, but for [`Self::Quick`], which takes
/// in a few windows only, and [`Self::Balance`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Presence and size of the newest objects, and of those that something is the matter with.
    Quick,
    /// The log from its first entry, its list, its ledger.
    Log,
    /// Where every row of every input is; no outputs but for the footers of what is put aside.
    Balance,
    /// Presence and size of every object, and what lies beside them.
    Sizes,
    /// Every byte, page and row of every object.
    #[default]
    Full,
    /// Every window once more from its inputs.
    Recompute,
}

/// What to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// How closely.
    pub depth: Depth,
    /// Only windows that start in here.
    pub range: TimeRange,
}

impl Extent {
    /// All windows.
    #[must_use]
    pub fn all(depth: Depth) -> Self {
        Self { depth, range: TimeRange { start: EventTime::FIRST, end: EventTime::END } }
    }

    fn is_all(&self) -> bool {
        self.range == Self::all(self.depth).range
    }

    fn holds(&self, start: EventTime) -> bool {
        self.range.start <= start && start < self.range.end
    }
}

/// Compares what `extent` names of the pipeline.
///
/// # Errors
/// If the log or its ledger cannot be read or is damaged, if the store fails; what is wrong with
/// objects is in the result.
pub async fn verify_pipeline(
    project: &Project,
    spec: &PipelineSpec,
    extent: &Extent,
) -> Result<Verified> {
    let log = project.log(&spec.name);
    let mut verified = Verified::default();
    let read = if extent.depth == Depth::Quick { log.read().await? } else { log.replay().await? };
    let Some(state) = read else { return Ok(verified) };
    verified.entries = state.head.seq.0.saturating_add(1);
    let problem = |kind, path, message: &str| Problem {
        pipeline: spec.name.clone(),
        window: None,
        kind,
        path,
        message: message.to_owned(),
    };
    if extent.depth > Depth::Quick {
        let foreign = log.foreign(&state).await?.into_iter();
        let message = "it is no entry of the log";
        verified.problems.extend(foreign.map(|at| problem(ProblemKind::Foreign, at, message)));
        log.read_with_ledger().await?;
    }
    if let Some(retiring) = &state.retiring {
        let target = super::retire::target(&spec.name, retiring.output.as_deref());
        let message = format!("its objects are being taken away: `highwater retire {target}`");
        verified.problems.push(problem(ProblemKind::Retiring, target, &message));
        return Ok(verified);
    }
    if extent.depth == Depth::Balance {
        let found = balance::balance(project, spec, &log).await?;
        verified.balance = Some(found.sums);
        (verified.windows, verified.objects) = (found.windows, found.objects);
        verified.problems.extend(found.problems);
        verified.is_complete = found.is_complete;
    } else if extent.depth != Depth::Log {
        let mut checker = Checker { project, spec, extent, log, verified };
        checker.objects(state).await?;
        if extent.depth == Depth::Recompute {
            checker.verified.recomputed = Some(recompute::recompute(&mut checker).await?);
        }
        verified = checker.verified;
    }
    let key = |problem: &Problem| (problem.window, problem.kind, problem.path.clone());
    verified.problems.sort_by_key(key);
    Ok(verified)
}

/// Something that is not as it should be, as far as one look can tell.
enum Suspect {
    /// An object of a window.
    Object { start: EventTime, output: String, found: Difference },
    /// An object that no commit names.
    Stray { path: String },
}

struct Checker<'a> {
    project: &'a Project,
    spec: &'a PipelineSpec,
    extent: &'a Extent,
    log: StateLog,
    verified: Verified,
}

impl Checker<'_> {
    /// Looks at all objects, then again at those that differ, until the log says twice the same of
    /// each.
    async fn objects(&mut self, mut state: State) -> Result<()> {
        let objects = Objects::new(
            SourceStore::new(self.project.outputs(&self.spec.name)),
            self.spec,
            self.extent.depth,
        );
        let mut suspects = self.first_look(&objects, &state).await?;
        if self.extent.is_all() && self.extent.depth > Depth::Quick {
            aside::asides(&self.log, &objects, &state, &mut self.verified).await?;
        }
        suspects.extend(self.strays(&state).await?);
        self.owners(&state).await?;
        for _ in 0..ROUNDS_MAX {
            if suspects.is_empty() {
                return Ok(());
            }
            state = self.read(state).await?;
            suspects = self.look_again(&objects, &state, suspects).await?;
            let after = self.read(state.clone()).await?;
            let known = known(&after, &suspects);
            let (settled, moving): (Vec<_>, Vec<_>) =
                suspects.into_iter().partition(|suspect| match suspect {
                    Suspect::Object { start, .. } => is_said_alike(&state, &after, *start),
                    Suspect::Stray { path } => {
                        !known.contains(path)
                            && self.begun(&state, path) == self.begun(&after, path)
                    }
                });
            for suspect in settled {
                let problem = self.problem(&after, &suspect);
                self.note(problem);
            }
            suspects = moving;
            state = after;
        }
        for suspect in &suspects {
            let message = "the pipeline is at work on it all the time".to_owned();
            let kind = ProblemKind::InDoubt;
            self.note(Problem { kind, message, ..self.problem(&state, suspect) });
        }
        Ok(())
    }

    fn note(&mut self, problem: Problem) {
        if let Some((start, end)) = problem.window.filter(|_| problem.kind.is_damage()) {
            self.verified.damaged.insert(start, end);
        }
        self.verified.problems.push(problem);
    }

    async fn read(&self, known: State) -> Result<State> {
        Ok(self.log.read().await?.unwrap_or(known))
    }

    async fn first_look(&mut self, objects: &Arc<Objects>, state: &State) -> Result<Vec<Suspect>> {
        let mut wanted: Box<dyn Iterator<Item = (&EventTime, &WindowState)> + Send> =
            Box::new(state.windows.range(self.extent.range.start..self.extent.range.end));
        if self.extent.depth == Depth::Quick {
            let starts = quick(state, self.extent);
            wanted = Box::new(wanted.filter(move |(start, _)| starts.contains(start)));
        }
        let (mut windows, mut looked_at) = (0_u64, 0_u64);
        let all = wanted.flat_map(|(start, window)| {
            windows = windows.saturating_add(1);
            let objects = window.committed.outputs.iter();
            objects.map(|output| (*start, output.clone())).collect::<Vec<_>>()
        });
        let looks = all.map(|(start, output)| {
            let (objects, name) = (objects.clone(), output.name.clone());
            async move {
                let found = objects.look(&output).await?;
                Ok(found.map(|found| Suspect::Object { start, output: name, found }))
            }
        });
        let mut looks = futures::stream::iter(looks).buffer_unordered(OBJECTS_AT_ONCE);
        let mut suspects = Vec::new();
        while let Some(found) = looks.next().await {
            looked_at = looked_at.saturating_add(1);
            suspects.extend(found?);
            if suspects.len() >= DIFFERENCES_MAX {
                self.verified.is_complete = false;
                break;
            }
        }
        drop(looks);
        self.verified.windows = windows;
        self.verified.objects = looked_at;
        Ok(suspects)
    }

    /// Looks whether each root with an object of ours says whose it is.
    async fn owners(&mut self, state: &State) -> Result<()> {
        if self.extent.depth < Depth::Sizes {
            return Ok(());
        }
        let store = self.project.outputs(&self.spec.name);
        for object in self.spec.objects().filter(|object| object.is_wanted) {
            let root = object.path.root();
            let mut outputs = state.windows.values().flat_map(|window| &window.committed.outputs);
            let is_used = outputs.any(|output| output.name == object.name);
            if !is_used {
                continue;
            }
            let path = format!("{root}/{}", layout::OWNER);
            let message = match store.find(&path).await? {
                Found::Nothing => "it is not there: the next run that has work writes it anew",
                Found::Object(_) if is_owned(root, state, store.as_ref()).await? => continue,
                _ => "it does not say that this pipeline may write here: runs are refused",
            };
            let (pipeline, message) = (self.spec.name.clone(), message.to_owned());
            let kind = ProblemKind::Owner;
            self.note(Problem { pipeline, window: None, kind, path, message });
        }
        Ok(())
    }

    /// What lies among the objects and is none that `state` knows. With a range: among those of its
    /// committed windows.
    async fn strays(&self, state: &State) -> Result<Vec<Suspect>> {
        if self.extent.depth < Depth::Sizes {
            return Ok(Vec::new());
        }
        let (mut listed, mut links) = (BTreeSet::new(), BTreeSet::new());
        let store = self.project.outputs(&self.spec.name);
        for object in self.spec.objects().filter(|object| object.is_wanted) {
            let folder = format!("{}/", object.path.root());
            let (objects, found) = store.survey(&folder).await?;
            listed.extend(objects.into_iter().map(|meta| meta.key));
            links.extend(found);
        }
        let folder_of = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let mut folders = BTreeSet::new();
        for (start, window) in &state.windows {
            for output in &window.committed.outputs {
                listed.remove(&output.path);
                // Whatever is reached through a link is told object by object.
                links.retain(|link| !std::path::Path::new(&output.path).starts_with(link));
                if self.extent.holds(*start) && !self.extent.is_all() {
                    folders.extend(folder_of(&output.path));
                }
            }
        }
        listed.extend(links);
        listed.retain(|path| {
            self.extent.is_all() || folder_of(path).is_some_and(|folder| folders.contains(&folder))
        });
        let strays = listed.into_iter().take(DIFFERENCES_MAX);
        Ok(strays.map(|path| Suspect::Stray { path }).collect())
    }

    /// The suspects that still are some, now that the log says `state`.
    async fn look_again(
        &self,
        objects: &Arc<Objects>,
        state: &State,
        suspects: Vec<Suspect>,
    ) -> Result<Vec<Suspect>> {
        let known = known(state, &suspects);
        let mut still = Vec::new();
        for suspect in suspects {
            match suspect {
                // A list may name what is gone.
                Suspect::Stray { path } => {
                    if !known.contains(&path) && objects.is_there(&path).await? {
                        still.push(Suspect::Stray { path });
                    }
                }
                Suspect::Object { start, output: name, .. } => {
                    let window = state.windows.get(&start);
                    let outputs = window.map(|window| window.committed.outputs.as_slice());
                    let mut outputs = outputs.unwrap_or_default().iter();
                    let Some(output) = outputs.find(|output| output.name == name) else { continue };
                    let output = output.clone();
                    if let Some(found) = objects.look(&output).await? {
                        still.push(Suspect::Object { start, output: name, found });
                    }
                }
            }
        }
        Ok(still)
    }

    fn problem(&self, state: &State, suspect: &Suspect) -> Problem {
        let pipeline = self.spec.name.clone();
        match suspect {
            Suspect::Object { start, output, found } => {
                let window = state.windows.get(start).map(|window| &window.committed);
                let named = |window: &&crate::state::CommittedWindow| {
                    let mut outputs = window.outputs.iter();
                    outputs.find(|other| other.name == *output).map(|output| output.path.clone())
                };
                let path = window.as_ref().and_then(named).unwrap_or_default();
                let window = window.map(|window| (*start, window.end));
                let is_in_doubt = state.in_doubt.contains_key(start);
                let (kind, message) = match found.kind {
                    ProblemKind::Obstacle => (found.kind, found.message.clone()),
                    _ if is_in_doubt => (ProblemKind::InDoubt, IN_DOUBT.to_owned()),
                    kind => (kind, found.message.clone()),
                };
                Problem { pipeline, window, kind, path, message }
            }
            Suspect::Stray { path } => {
                let begun = self.begun(state, path);
                let is_data = std::path::Path::new(path)
                    .extension()
                    .is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
                let (kind, message) = match begun {
                    Some(_) => (ProblemKind::InDoubt, IN_DOUBT),
                    None if is_data => (ProblemKind::Unknown, "no commit names it"),
                    None => (ProblemKind::Leftover, "it is no object of this pipeline"),
                };
                let (path, message) = (path.clone(), message.to_owned());
                Problem { pipeline, window: begun, kind, path, message }
            }
        }
    }

    /// The window in doubt whose object would be at `path`.
    fn begun(&self, state: &State, path: &str) -> Option<(EventTime, EventTime)> {
        let (start, doubt) = state.in_doubt.iter().find(|(start, _)| {
            let window = self.spec.grid.window_at(**start);
            let mut objects = self.spec.objects();
            objects.any(|object| {
                let own = window.and_then(|window| object.key(&self.spec.grid, window));
                own.as_deref() == Some(path)
            })
        })?;
        Some((*start, doubt.end))
    }
}

/// Whether `root` is said to be owned by the log of `state`. It looks twice: a bit may have flipped
/// on its way here.
async fn is_owned(root: &str, state: &State, outputs: &dyn Store) -> Result<bool> {
    let is_owned = owned(root, state, outputs).await?.is_some();
    Ok(is_owned || owned(root, state, outputs).await?.is_some())
}

/// The paths of `suspects` that no commit named, and that one of `state` names.
fn known(state: &State, suspects: &[Suspect]) -> BTreeSet<String> {
    let strays = suspects.iter().filter_map(|suspect| match suspect {
        Suspect::Stray { path } => Some(path.as_str()),
        Suspect::Object { .. } => None,
    });
    let strays: BTreeSet<&str> = strays.collect();
    if strays.is_empty() {
        return BTreeSet::new();
    }
    let outputs = state.windows.values().flat_map(|window| &window.committed.outputs);
    // What was begun and given up has an object without a row.
    let outputs = outputs.chain(state.blank.values().flat_map(|window| &window.outputs));
    let known = outputs.map(|output| &output.path).filter(|path| strays.contains(path.as_str()));
    known.cloned().collect()
}

/// Whether both say the same of the window at `start`.
fn is_said_alike(one: &State, other: &State, start: EventTime) -> bool {
    let said = |state: &State| {
        let window = state.windows.get(&start);
        let outputs = window.map(|window| window.committed.outputs.clone());
        (outputs, state.in_doubt.get(&start).map(|doubt| doubt.batch))
    };
    said(one) == said(other)
}

/// The newest windows of `extent`, and those that something is the matter with.
fn quick(state: &State, extent: &Extent) -> BTreeSet<EventTime> {
    let range = (Bound::Included(extent.range.start), Bound::Excluded(extent.range.end));
    let newest = state.windows.range(range).rev().take(QUICK_WINDOWS).map(|(start, _)| *start);
    let mut starts: BTreeSet<EventTime> = newest.collect();
    starts.extend(state.in_doubt.keys());
    starts.extend(state.failed.keys());
    starts.extend(state.stale.keys());
    starts
}

/// What windows that are due have as reasons, by start.
type Due = BTreeMap<EventTime, crate::state::Reason>;
