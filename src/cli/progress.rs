//! What a run shows while it works: a bar on a terminal, plain lines elsewhere, events for
//! machines.

use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::Format;
use super::output::Output;
use crate::clock::Clock;
use crate::id::{PipelineName, RunId};
use crate::plan::Plan;
use crate::report::{Observer, RunEvent};
use crate::run::Project;
use crate::spec::PipelineSpec;
use crate::state::{FailedWindow, Reason};
use crate::time::{EventTime, ProcessingTime};
use crate::view::json::{RunDoc, SCHEMA};
use crate::view::text;

/// Windows whose lines a terminal shows above its bar; beyond that the bar alone moves.
const LINES_MAX: usize = 20;

/// Shows a run.
pub(super) struct Progress {
    output: Output,
    clock: Clock,
    run: RunId,
    bar: Mutex<Option<ProgressBar>>,
    lines: Mutex<usize>,
    /// Windows done, and all.
    windows: Mutex<(usize, usize)>,
}

/// One event of `--format jsonl`.
#[derive(Serialize)]
struct EventDoc<'a> {
    schema: u32,
    r#type: &'static str,
    ts: ProcessingTime,
    run_id: RunId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<&'a PipelineName>,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Nothing {},
    Plan {
        windows: usize,
    },
    Committed {
        window: WindowDoc,
        reason: Reason,
        rows_in: u64,
        rows_out: u64,
        rows_late: u64,
        commit: u64,
    },
    Failed {
        window: WindowDoc,
        code: &'a str,
        message: &'a str,
    },
    Finished {
        exit_code: u8,
        result: &'a RunDoc,
    },
}

#[derive(Serialize)]
struct WindowDoc {
    start: EventTime,
    end: EventTime,
}

impl Progress {
    pub(super) fn new(project: &Project, output: &Output) -> Self {
        Self {
            output: output.clone(),
            clock: project.clock,
            run: project.identity.run,
            bar: Mutex::default(),
            lines: Mutex::default(),
            windows: Mutex::default(),
        }
    }

    pub(super) fn start(&self) {
        self.event("run_started", None, What::Nothing {});
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = self.bar.lock().ok().and_then(|mut bar| bar.take()) {
            bar.finish_and_clear();
        }
    }

    /// Prints the result.
    pub(super) fn finish(&self, document: &RunDoc, people: &str) {
        if self.output.format == Format::Jsonl {
            let exit_code = document.exit_code;
            self.event("run_finished", None, What::Finished { exit_code, result: document });
        } else {
            self.output.result(people, document);
        }
    }

    fn event(&self, r#type: &'static str, pipeline: Option<&PipelineName>, what: What<'_>) {
        let (ts, run_id) = (self.clock.now(), self.run);
        self.output.event(&EventDoc { schema: SCHEMA, r#type, ts, run_id, pipeline, what });
    }

    fn planned(&self, spec: &PipelineSpec, plan: &Plan) {
        self.end();
        let windows = plan.windows.len();
        if self.output.bar && windows > 0 {
            let rows = plan.windows.iter().fold(0, |sum: u64, due| sum.saturating_add(due.rows));
            let bar = ProgressBar::new(rows);
            let style = ProgressStyle::with_template(
                "{prefix}  {bar:24}  {msg}  {human_pos}/{human_len} rows  eta {eta}",
            );
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style.progress_chars("━╸─"));
            bar.set_prefix(spec.name.to_string());
            if let Ok(mut counts) = self.windows.lock() {
                *counts = (0, windows);
            }
            bar.set_message(format!("0/{windows} windows"));
            if let Ok(mut slot) = self.bar.lock() {
                *slot = Some(bar);
            }
        }
    }

    /// One window more, with so many rows; `line` says what became of it.
    fn advance(&self, line: &str, rows: u64) {
        let slot = self.bar.lock();
        let bar = slot.as_ref().ok().and_then(|bar| bar.as_ref());
        match bar {
            Some(bar) => {
                let shown = self.lines.lock().map_or(LINES_MAX, |mut lines| {
                    *lines = lines.saturating_add(1);
                    *lines
                });
                if shown <= LINES_MAX || self.output.verbose {
                    bar.println(line);
                }
                self.move_on(bar, rows);
            }
            None => self.output.say(line),
        }
    }

    fn move_on(&self, bar: &ProgressBar, rows: u64) {
        if let Ok(mut counts) = self.windows.lock() {
            counts.0 = counts.0.saturating_add(1);
            bar.set_message(format!("{}/{} windows", counts.0, counts.1));
        }
        bar.inc(rows);
    }

    /// A line for logs, which add no time of their own.
    fn plain(&self, text: &str) -> String {
        let micros = self.clock.now().micros();
        let second =
            ProcessingTime::from_micros(micros.saturating_sub(micros.rem_euclid(1_000_000)));
        format!("{second} {text}")
    }
}

impl Observer for Progress {
    fn on(&self, event: RunEvent<'_>) {
        match event {
            RunEvent::Planned { spec, plan } => {
                let windows = plan.windows.len();
                self.event("plan", Some(&spec.name), What::Plan { windows });
                self.planned(spec, plan);
            }
            RunEvent::Committed { spec, window, seq } => {
                let rows = window.rows;
                let range = WindowDoc { start: window.start, end: window.end };
                self.event(
                    "window_committed",
                    Some(&spec.name),
                    What::Committed {
                        window: range,
                        reason: window.reason,
                        rows_in: rows.input,
                        rows_out: rows.out,
                        rows_late: rows.late,
                        commit: seq.0,
                    },
                );
                if self.output.bar {
                    self.advance(&text::committed(spec, window), rows.input);
                } else {
                    let (name, start, why) = (&spec.name, window.start, window.reason.as_str());
                    let (input, out) = (rows.input, rows.out);
                    self.output.say(&self.plain(&format!(
                        "INFO window committed pipeline={name} window={start} why={why} \
                         rows_in={input} rows_out={out} commit={seq}"
                    )));
                }
            }
            RunEvent::Failed { spec, window } => self.failed(spec, window),
            RunEvent::Finished { .. } => self.end(),
        }
    }
}

impl Progress {
    fn failed(&self, spec: &PipelineSpec, window: &FailedWindow) {
        let range = WindowDoc { start: window.start, end: window.end };
        let (code, message) = (window.code.as_str(), window.message.as_str());
        self.event(
            "window_failed",
            Some(&spec.name),
            What::Failed { window: range, code, message },
        );
        let slot = self.bar.lock();
        let bar = slot.as_ref().ok().and_then(|bar| bar.as_ref());
        match bar {
            Some(bar) => {
                bar.println(text::failed(spec, window));
                self.move_on(bar, 0);
            }
            None if self.output.bar => self.output.warn(&text::failed(spec, window)),
            None => {
                let (name, start) = (&spec.name, window.start);
                self.output.warn(&self.plain(&format!(
                    "ERROR window failed pipeline={name} window={start} code={code} \
                     message={message:?}"
                )));
            }
        }
    }
}
