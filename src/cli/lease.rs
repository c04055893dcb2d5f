//! `highwater lease`

use super::args::LeaseArgs;
use super::output::Output;
use super::{Failed, load, of_pipeline};
use crate::error::{Code, Error, ErrorKind};
use crate::run::{Project, lease_of, release_lease};
use crate::view::{json, text};

pub(super) async fn lease(
    project: &Project,
    args: &LeaseArgs,
    output: &Output,
) -> Result<u8, Failed> {
    if args.release {
        return release(project, args, output).await;
    }
    let (mut leases, mut errors) = (Vec::new(), Vec::new());
    for spec in load::pick(project, &args.which)? {
        match lease_of(project, &spec.name).await {
            Ok(lease) => leases.push(lease),
            Err(why) => errors.push(of_pipeline(spec, why)),
        }
    }
    output.show(&errors);
    output.result(&text::lease(&leases, project.clock.now()), &json::lease(&leases, &errors));
    Ok(ErrorKind::worst(errors.iter().map(Error::kind)).map_or(0, ErrorKind::exit_code))
}

async fn release(project: &Project, args: &LeaseArgs, output: &Output) -> Result<u8, Failed> {
    let pipelines = load::pick(project, &args.which)?;
    let [spec] = pipelines.as_slice() else {
        let text = "name the one pipeline whose lease is to be released";
        return Err(vec![Error::new(Code::Usage, text).hint("highwater lease PIPELINE --release")]);
    };
    let failed = |why| vec![of_pipeline(spec, why)];
    let before = lease_of(project, &spec.name).await.map_err(failed)?;
    let shown = [before];
    if args.writing.dry_run || shown.iter().all(|lease| lease.held.is_none()) {
        output.result(&text::lease(&shown, project.clock.now()), &json::lease(&shown, &[]));
        return Ok(0);
    }
    if !args.writing.yes {
        confirm(&text::lease(&shown, project.clock.now()), output)?;
    }
    release_lease(project, spec).await.map_err(failed)?;
    let after = [lease_of(project, &spec.name).await.map_err(failed)?];
    output.result(&text::lease(&after, project.clock.now()), &json::lease(&after, &[]));
    Ok(0)
}

fn confirm(shown: &str, output: &Output) -> Result<(), Failed> {
    if !output.may_ask {
        let text = "`lease --release` stops another run, and there is no terminal to ask on";
        return Err(vec![
            Error::new(Code::NotConfirmed, text).hint("look first without --release, then --yes"),
        ]);
    }
    output.say(shown.trim_end());
    if output.ask("Take the lease away? The run that holds it stops at its next write.") {
        return Ok(());
    }
    Err(vec![Error::new(Code::NotConfirmed, "nothing was done")])
}
