//! `highwater lateness`: from the ledger and the log alone; no input is read, or listed.

use super::args::LatenessArgs;
use super::output::Output;
use super::{Failed, load, of_pipeline};
use crate::error::Error;
use crate::run::Project;
use crate::spec::PipelineSpec;
use crate::view::{AdmissionWatermarks, LatenessView, json, text};

pub(super) async fn lateness(
    project: &Project,
    args: &LatenessArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    let view = look(project, spec).await.map_err(|why| vec![of_pipeline(spec, why)])?;
    output.result(&text::lateness(spec, &view), &json::lateness(spec, &view));
    Ok(0)
}

async fn look(project: &Project, spec: &PipelineSpec) -> Result<LatenessView, Error> {
    let opened = project.open(spec).await?;
    let mut watermarks = AdmissionWatermarks::default();
    let read = opened.log.for_each(|entry, _| {
        watermarks.take(&entry);
        Ok(())
    });
    read.await?;
    Ok(crate::view::lateness(spec, &opened.ledger, &watermarks))
}
