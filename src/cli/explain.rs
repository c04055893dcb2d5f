//! `highwater explain`

use super::args::ExplainArgs;
use super::output::Output;
use super::{Failed, load, of_pipeline};
use crate::error::{Code, Error};
use crate::run::{Project, Session};
use crate::spec::PipelineSpec;
use crate::view::{ExplainView, Explained, WindowStory, json, text};
use crate::window::Window;

pub(super) async fn explain(
    project: &Project,
    args: &ExplainArgs,
    output: &Output,
) -> Result<u8, Failed> {
    let spec = load::one(project, &args.pipeline)?;
    let at = load::instant(spec, "WINDOW", &args.window)?;
    let window = spec.grid.window_at(at).ok_or_else(|| {
        let text = format!("no window holds {at}");
        vec![Error::new(Code::Usage, text).hint("name a time between the years 1 and 9999")]
    })?;
    let view = look(project, spec, window).await.map_err(|why| vec![of_pipeline(spec, why)])?;
    output.result(&text::explain(spec, &view, output.verbose), &json::explain(spec, &view));
    Ok(0)
}

async fn look(
    project: &Project,
    spec: &PipelineSpec,
    window: Window,
) -> Result<ExplainView, Error> {
    let session = Session::new(project, spec);
    let mut opened = project.open_for(&session).await?;
    if let Some(state) = &mut opened.state {
        let wanted = state.wanted([window.start()]);
        opened.log.recall(state, wanted).await?;
    }
    let foreseen = project.foresee(&session, &opened, None).await?;
    let look = &foreseen.look;
    let mut story = WindowStory::of(window);
    let read = opened.log.for_each(|entry, _| {
        story.take(&entry);
        Ok(())
    });
    read.await?;
    Ok(crate::view::explain(&Explained {
        facts: &look.facts(spec, &foreseen.state, &foreseen.ledger, &foreseen.outdated),
        plan: &foreseen.plan,
        story: &story,
        logged: opened.state.as_ref().map(|state| state.generation),
        unreadable: &look.discovery.unreadable,
        left_out: &look.discovery.left_out,
    }))
}
