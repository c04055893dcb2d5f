//! Raw mirror to spec: what holds for the whole project. Defaults and units are decided here and in
//! the modules for pipelines, sources and outputs.

use std::ops::RangeInclusive;

use toml::Spanned;

use crate::error::Code;
use crate::spec::{EngineSpec, Location, PipelineSpec, ProjectSpec, normal};

use super::ConfigInput;
use super::chains::{self, Link};
use super::diagnose::{Read, Report, Reported};
use super::folders::Folders;
use super::mistake::Mistake;
use super::raw::{RawEngine, RawProject};
use super::value::{filled, folder, size};
use super::{later, pipeline, storage};

const MAX_OBJECT_BYTES: u64 = 1024 * 1024 * 1024;

/// What the parts of a project need to know of the whole.
#[derive(Debug)]
pub(super) struct Project<'a> {
    pub(super) input: &'a ConfigInput<'a>,
    pub(super) raw: &'a RawProject,
    pub(super) root: Location,
    pub(super) folders: Folders,
    /// Which pipeline reads from which, as far as read.
    pub(super) links: Vec<Link>,
}

/// The spec of `raw`; all that is wrong with it is reported.
pub(super) fn project(
    raw: &RawProject,
    input: &ConfigInput<'_>,
    report: &mut Report<'_>,
) -> Read<ProjectSpec> {
    let version = report.required("version", raw.version.as_ref(), &(0..0), "`version = 1`");
    later::project(raw, report);
    let name = report.read("name", raw.name.as_ref(), filled);
    let root = storage::root(raw.storage.as_ref(), input, report);
    let state = storage::state(raw.storage.as_ref(), root.as_ref().ok(), report);
    let reached = storage::storage(raw, report);
    let engine = engine(raw.engine.as_ref(), input, report);
    let lease = storage::lease(raw.lease.as_ref(), report);
    let history_keep = storage::history_keep(raw.history.as_ref(), report);

    // Where the root is unknown, the rest can still be read as if it were the file's folder.
    let assumed = root.clone().unwrap_or_else(|_| Location::Folder(normal(input.base)));
    let folders = Folders::default();
    let mut project = Project { input, raw, root: assumed, folders, links: Vec::new() };
    let pipelines = pipelines(raw, &mut project, report);
    if let Ok(state) = &state {
        project.folders.check(state, report);
    }
    version?;
    Ok(ProjectSpec {
        name: name?.unwrap_or_else(|| folder_name(input)),
        root: root?,
        state: state?.path,
        engine: engine?,
        storage: reached?,
        lease: lease?,
        history_keep: history_keep?,
        pipelines: pipelines?,
    })
}

fn folder_name(input: &ConfigInput<'_>) -> String {
    let name = input.base.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "highwater".to_owned())
}

fn engine(
    raw: Option<&RawEngine>,
    input: &ConfigInput<'_>,
    report: &mut Report<'_>,
) -> Read<EngineSpec> {
    let none = RawEngine::default();
    let raw = raw.unwrap_or(&none);
    let memory_limit = report.read("memory_limit", raw.memory_limit.as_ref(), size);
    let threads = count("threads", raw.threads.as_ref(), 0..=THREADS_MAX, report);
    let jobs = count("jobs", raw.jobs.as_ref(), 1..=THREADS_MAX, report);
    let temp = report.read("temp_directory", raw.temp_directory.as_ref(), folder);
    let max_object = report.read("max_object_bytes", raw.max_object_bytes.as_ref(), size);
    let temp_default =
        || input.variable("TMPDIR").filter(|text| !text.is_empty()).unwrap_or("/tmp");
    Ok(EngineSpec {
        memory_limit_bytes: memory_limit?,
        threads: threads?.filter(|threads| *threads > 0),
        jobs: jobs?,
        temp_directory: normal(&input.base.join(temp?.unwrap_or_else(temp_default))),
        max_object_bytes: max_object?.unwrap_or(MAX_OBJECT_BYTES),
    })
}

/// The most threads that anybody asks for, and windows computed at once: each has a thread.
const THREADS_MAX: usize = 1_024;

/// A whole number of `range`.
pub(super) fn count(
    key: &str,
    field: Option<&Spanned<u64>>,
    range: RangeInclusive<usize>,
    report: &mut Report<'_>,
) -> Read<Option<usize>> {
    let Some(value) = field else { return Ok(None) };
    match usize::try_from(*value.get_ref()) {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => {
            let (min, max) = (range.start(), range.end());
            let what = match *max {
                usize::MAX => {
                    format!("{} is less than {min}, or beyond all limits", value.get_ref())
                }
                max => format!("{} is not from {min} to {max}", value.get_ref()),
            };
            let mistake =
                Mistake::bad(what, "out of range").hint("leave it out to have its default");
            Err(report.wrong_at(format!("`{key}`"), value.span(), mistake))
        }
    }
}

/// All pipelines, each after those it reads from, otherwise in the order of the file.
fn pipelines(
    raw: &RawProject,
    project: &mut Project<'_>,
    report: &mut Report<'_>,
) -> Read<Vec<PipelineSpec>> {
    let mut named: Vec<_> = raw.pipeline.iter().flatten().collect();
    if named.is_empty() {
        return Err(report.missing("pipeline", &(0..0), "a table `[pipeline.<name>]`"));
    }
    named.sort_by_key(|(name, _)| name.span().start);
    let in_file: Vec<_> = named.iter().map(|(name, _)| name.get_ref().as_str()).collect();
    for (at, (name, _)) in named.iter().enumerate() {
        let is_twin = |earlier: &&&str| earlier.eq_ignore_ascii_case(name.get_ref());
        if let Some(twin) = in_file.iter().take(at).find(is_twin) {
            let mistake = Mistake::new(
                Code::Conflict,
                format!("it differs from `{twin}` only by case"),
                "on some disks their state would be one",
            );
            report.wrong_at("its name", name.span(), mistake);
        }
    }
    let specs: Vec<_> = named
        .into_iter()
        .map(|(name, raw)| {
            let context = format!("pipeline `{}`", name.get_ref());
            report.within(&context, |report| pipeline::pipeline(name, raw, project, report))
        })
        .collect();
    let order = chains::order(&in_file, &project.links, report);
    let mut specs: Vec<_> = specs.into_iter().map(Result::ok).collect();
    let take = |at: usize| specs.get_mut(at).and_then(Option::take).ok_or(Reported);
    order?.into_iter().map(take).collect()
}
