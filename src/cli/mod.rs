//! The command line: reads arguments, calls the library, prints views, picks the exit code.
//!
//! Results go to stdout, everything else to stderr. With `--format json` stdout is exactly one
//! document, on failure too. Nothing is decided here.

mod args;
mod check;
mod damaged;
mod diagnostic;
mod explain;
mod history;
mod lateness;
mod lease;
mod load;
mod manifest;
mod output;
mod plan;
mod progress;
mod quarantine;
mod requests;
mod retire;
mod rollback;
mod run;
mod status;
mod trace;
mod vacuum;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use args::{Cli, Command};
use output::Output;

use crate::clock::Clock;
use crate::error::{Code, Error};
use crate::spec::PipelineSpec;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    tell_no_caught_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(why) => return ExitCode::from(output::explain(&why)),
    };
    let output = Output::new(&cli.global);
    let code = match start(&cli, &output) {
        Ok(code) => code,
        Err(errors) => output.fail(&errors),
    };
    ExitCode::from(output.end(code))
}

/// What is caught is told as an error, and not twice.
fn tell_no_caught_panics() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !crate::run::is_caught() {
            tell(panic);
        }
    }));
}

/// The number of the signal of a file that has reached the limit on its size.
const SIGXFSZ: i32 = 25;

/// How long the end of a process waits for work that was given up.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

type Failed = Vec<Error>;

/// `error`, saying which pipeline it is of.
fn of_pipeline(spec: &PipelineSpec, error: Error) -> Error {
    let pipeline = format!("pipeline {}", spec.name);
    if error.message().contains(&pipeline) { error } else { error.within(pipeline) }
}

fn start(cli: &Cli, output: &Output) -> Result<u8, Failed> {
    let spec = load::load(cli.global.config.as_deref())?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = spec.engine.threads {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().build().map_err(|why| {
        vec![Error::new(Code::StoreFailed, format!("threads cannot be started: {why}"))]
    })?;
    let mut project = crate::run::Project::new(spec, Clock::system()).map_err(|why| vec![why])?;
    project.engine = project.engine.on_own_threads().map_err(|why| vec![why])?;
    let ended = runtime.block_on(async {
        // Once somebody listens, a file that may not grow is told by the write, and nothing ends.
        let _ = signal(SignalKind::from_raw(SIGXFSZ));
        match &cli.command {
            Command::Check(args) => check::check(&project, args, output).await,
            Command::Plan(args) => plan::plan(&project, args, output).await,
            Command::Run(args) => run::run(&project, args, output).await,
            Command::Backfill(args) => run::backfill(&project, args, output).await,
            Command::Reprocess(args) => run::reprocess(&project, args, output).await,
            Command::Rollback(args) => rollback::rollback(&project, args, output).await,
            Command::Status(args) => status::status(&project, args, output).await,
            Command::History(args) => history::history(&project, args, output).await,
            Command::Explain(args) => explain::explain(&project, args, output).await,
            Command::Lateness(args) => lateness::lateness(&project, args, output).await,
            Command::Lease(args) => lease::lease(&project, args, output).await,
            Command::Manifest(args) => manifest::manifest(&project, args, output).await,
            Command::Verify(args) => verify::verify(&project, args, output).await,
            Command::Quarantine(args) => quarantine::quarantine(&project, args, output).await,
            Command::Trace(args) => trace::trace(&project, args, output).await,
            Command::Skip(args) => run::skip(&project, args, output).await,
            Command::Requests(args) => requests::requests(&project, args, output).await,
            Command::Retire(args) => retire::retire(&project, args, output).await,
            Command::Vacuum(args) => vacuum::vacuum(&project, args, output).await,
        }
    });
    // Whatever still runs was given up: its process does not wait for it for long.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    ended
}
