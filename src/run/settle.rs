//! Windows in doubt that cannot be computed: what they had is restored.
//!
//! A window is in doubt when a run died between its `begin` and its `commit`: its object may be an
//! attempt that nobody vouches for. It is computed again; where that fails, it would stay so for
//! ever, and hold whatever reads it. So its last revision is published again, or an object without
//! a row where it never had one. The window has failed then, as it would have without the kill.
//!
//! The revision is published again even if the object is still what the log says. A writer that
//! stalled may have a publication under way that replaces exactly this version of the object; a new
//! version ends it (see `execute::stage_again`).

use std::collections::BTreeMap;

use super::stop::Stop;
use super::worker::Worker;
use crate::commit::Aim;
use crate::error::{Code, Error, ErrorKind, Result};
use crate::execute::Executor;
use crate::plan::DueWindow;
use crate::report::PipelineReport;
use crate::state::{FailedWindow, Reason};
use crate::time::EventTime;
use crate::window::Window;

impl Worker<'_> {
    /// Restores the windows that failed in this run and are in doubt.
    pub(super) async fn settle(&mut self, stop: &Stop, report: &mut PipelineReport) -> Result<()> {
        let in_doubt = &self.state().in_doubt;
        let failures = report.failures.iter().filter(|failed| is_final(failed));
        let hopeless = failures.filter(|failed| in_doubt.contains_key(&failed.start));
        let hopeless: Vec<FailedWindow> = hopeless.cloned().collect();
        for failed in hopeless {
            if stop.is_asked() {
                break;
            }
            let last = self.state().windows.get(&failed.start);
            let last = last.map(|window| window.committed.clone());
            crate::crashpoint::pass("settle.before");
            let settled = match last {
                Some(last) => self.restore(&[last], Reason::InDoubt).await.map(|_| ()),
                None => self.blank(&failed).await,
            };
            match settled {
                Err(why) if why.code() != Code::RevisionGone => return Err(why),
                Err(why) => report.errors.push(self.still_in_doubt(&failed, Some(&why))),
                Ok(()) if self.state().in_doubt.contains_key(&failed.start) => {
                    report.errors.push(self.still_in_doubt(&failed, None));
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Publishes an object without a row for each output of a window that was never committed.
    async fn blank(&mut self, failed: &FailedWindow) -> Result<()> {
        let bug = || Error::new(Code::Bug, format!("no window begins at {}", failed.start));
        let window = Window::new(failed.start, failed.end).ok_or_else(bug)?;
        if self.planned.is_none() {
            // Nobody knows the columns of its outputs.
            return Ok(());
        }
        let due = DueWindow::empty(window, Reason::InDoubt);
        let aim = Aim::Blank(format!("{} {}", failed.code, failed.message));
        let batch = self.batch(vec![self.begun(&due)?], Vec::new(), EventTime::FIRST, aim);
        let spec = self.session.spec;
        let executor = Executor {
            spec,
            engine: &self.project.engine,
            prepared: self.prepared(),
            sources: &self.session.sources,
            listed: &self.look.discovery.listed,
            references: &self.look.references,
            ledger: &self.ledger,
            due: BTreeMap::from([(failed.start, due)]),
            staging: self.project.staging(&spec.name),
            epoch: self.publisher.state().epoch,
            is_gated: false,
        };
        let ended = self.publisher.batch(batch, &executor).await;
        self.sweep_staged();
        ended.map(|_| ())
    }

    fn still_in_doubt(&self, failed: &FailedWindow, why: Option<&Error>) -> Error {
        let spec = self.session.spec;
        let window = Window::new(failed.start, failed.end);
        let label = window.map_or_else(String::new, |window| spec.grid.label(window));
        let because = why.map_or_else(
            || "it was never committed, and the columns of its outputs are not known".to_owned(),
            |why| why.message().to_owned(),
        );
        let text = format!("window {label} stays in doubt: {because}");
        Error::new(Code::RevisionGone, text)
            .note("its object may be an attempt that was never committed")
            .note(format!("it cannot be computed: {} {}", failed.code, failed.message))
            .hint("mend what makes it fail and run `highwater run`")
    }
}

/// Whether to try again would give the same. A store that fails, or an input that changes, is
/// another one the next time.
fn is_final(failed: &FailedWindow) -> bool {
    let code = Code::parse(&failed.code);
    code.is_some_and(|code| code.kind() != ErrorKind::Storage && code != Code::InputChanged)
}
