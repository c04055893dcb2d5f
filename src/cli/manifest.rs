//! `highwater manifest`

use super::args::ManifestArgs;
use super::output::Output;
use super::{Failed, load, of_pipeline};
use crate::id::Seq;
use crate::run::{self, Project};
use crate::view::{json, text};

pub(super) async fn manifest(
    project: &Project,
    args: &ManifestArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    let manifest = run::manifest(project, spec, args.as_of.map(Seq)).await;
    let manifest = manifest.map_err(|why| vec![of_pipeline(spec, why)])?;
    output.result(&text::manifest(&manifest), &json::manifest(&spec.name, &manifest));
    Ok(0)
}
