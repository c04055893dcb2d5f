//! Finds and reads the configuration, and picks pipelines by name.

use std::path::{Path, PathBuf};

use super::args::Pipelines;
use crate::config::{ConfigInput, load as load_text};
use crate::error::{Code, Error};
use crate::run::Project;
use crate::spec::{PipelineSpec, ProjectSpec};
use crate::time::EventTime;

/// The name of the configuration where none is given.
const CONFIG: &str = "config.toml";

/// Reads the configuration at `given`, or the nearest one from here upwards.
pub(super) fn load(given: Option<&Path>) -> Result<ProjectSpec, Vec<Error>> {
    let path = find(given).map_err(|why| vec![why])?;
    let unreadable = |why: &dyn std::fmt::Display| {
        vec![
            Error::new(Code::ConfigMissing, format!("cannot read {}: {why}", path.display()))
                .hint("name another file with `--config`, or leave it out to use config.toml"),
        ]
    };
    let bytes = std::fs::read(&path).map_err(|why| unreadable(&why))?;
    let text = String::from_utf8(bytes).map_err(|why| unreadable(&why))?;
    let absolute = std::path::absolute(&path).map_err(|why| unreadable(&why))?;
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    load_text(&ConfigInput {
        text: &text,
        origin: &path.display().to_string(),
        base: absolute.parent().unwrap_or(Path::new("/")),
        environment: &environment,
        read_sql: &|path| std::fs::read_to_string(path),
    })
}

fn find(given: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let here = std::env::current_dir().map_err(|why| {
        Error::new(Code::ConfigMissing, format!("the current folder cannot be read: {why}"))
    })?;
    for folder in here.ancestors() {
        let candidate = folder.join(CONFIG);
        if candidate.is_file() {
            // As the user sees it: relative where it is right here.
            return Ok(if folder == here { PathBuf::from(CONFIG) } else { candidate });
        }
    }
    Err(Error::new(
        Code::ConfigMissing,
        format!("there is no {CONFIG} in {} or above it", here.display()),
    )
    .hint("go to the project's folder, or name the file with `--config`"))
}

/// The pipelines that a run takes: those that are named, else all that are enabled.
pub(super) fn pick_enabled<'a>(
    project: &'a Project,
    which: &Pipelines,
) -> Result<Vec<&'a PipelineSpec>, Vec<Error>> {
    let is_named = !which.pipelines.is_empty();
    let picked = pick(project, which)?.into_iter();
    Ok(picked.filter(|spec| spec.enabled || is_named).collect())
}

/// The pipelines that the arguments name, in the order of the configuration; all if none is named.
pub(super) fn pick<'a>(
    project: &'a Project,
    which: &Pipelines,
) -> Result<Vec<&'a PipelineSpec>, Vec<Error>> {
    let all = &project.spec.pipelines;
    if which.pipelines.is_empty() {
        return Ok(all.iter().collect());
    }
    let mut picked = vec![false; all.len()];
    let mut errors = Vec::new();
    for wanted in &which.pipelines {
        let pattern = glob::Pattern::new(wanted);
        let matches = |name: &str| {
            name == wanted || pattern.as_ref().is_ok_and(|pattern| pattern.matches(name))
        };
        let mut found = false;
        for (place, spec) in all.iter().enumerate() {
            if matches(spec.name.as_str()) {
                picked[place] = true;
                found = true;
            }
        }
        if !found {
            errors.push(unknown(project, wanted));
        }
    }
    if errors.is_empty() {
        let chosen = all.iter().zip(picked).filter(|(_, picked)| *picked);
        Ok(chosen.map(|(spec, _)| spec).collect())
    } else {
        Err(errors)
    }
}

/// The one pipeline named `name`.
pub(super) fn one<'a>(project: &'a Project, name: &str) -> Result<&'a PipelineSpec, Vec<Error>> {
    let found = project.spec.pipelines.iter().find(|spec| spec.name.as_str() == name);
    found.ok_or_else(|| vec![unknown(project, name)])
}

fn unknown(project: &Project, wanted: &str) -> Error {
    let names: Vec<&str> = project.spec.pipelines.iter().map(|spec| spec.name.as_str()).collect();
    let error = Error::new(Code::UnknownPipeline, format!("there is no pipeline `{wanted}`"))
        .note(format!("pipelines here: {}", names.join(", ")));
    let nearest = names
        .iter()
        .map(|name| (strsim::jaro_winkler(name, wanted), name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, name)) if likeness > 0.8 => error.hint(format!("did you mean `{name}`?")),
        _ => error,
    }
}

/// An instant of the command line, read in the pipeline's zone.
pub(super) fn instant(
    spec: &PipelineSpec,
    option: &str,
    text: &str,
) -> Result<EventTime, Vec<Error>> {
    let usable = EventTime::parse(text, spec.grid.zone()).filter(|at| at.is_usable());
    usable.ok_or_else(|| {
        vec![
            Error::new(Code::Usage, format!("{option} is not a time: `{text}`")).hint(
                "write 2026-10, 2026-10-31, 2026-10-31T05, or RFC 3339: 2026-10-31T05:00:00Z",
            ),
        ]
    })
}
