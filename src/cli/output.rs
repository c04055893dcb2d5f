//! Where text goes. The only file that writes to stdout or stderr.

use std::io::{IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use super::args::{Color, Format, Global};
use super::diagnostic;
use crate::error::{Error, ErrorKind};
use crate::view::json::{self, FailureDoc, SCHEMA};

/// What the user wants to see, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// The form of results.
    pub(super) format: Format,
    /// Whether more detail is wanted.
    pub(super) verbose: bool,
    /// Whether a progress bar may be shown.
    pub(super) bar: bool,
    /// Whether a question may be asked.
    pub(super) may_ask: bool,
    quiet: bool,
    color: ColorChoice,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        let color = match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let is_terminal = std::io::stderr().is_terminal();
        Self {
            format: global.format,
            verbose: global.verbose > 0,
            bar: is_terminal && !global.no_progress && !global.quiet,
            may_ask: std::io::stdin().is_terminal() && is_terminal && !global.no_input,
            quiet: global.quiet,
            color,
        }
    }

    /// Prints a result: `text` for people, or the document. A reader that went away is no error.
    pub(super) fn result(&self, text: &str, document: &impl Serialize) {
        let mut out = AutoStream::new(std::io::stdout(), self.color);
        let _ = match self.format {
            Format::Text => out.write_all(text.as_bytes()),
            Format::Json | Format::Jsonl => serde_json::to_string(document)
                .map_err(std::io::Error::from)
                .and_then(|line| writeln!(out, "{line}")),
        };
        let _ = out.flush();
    }

    /// Prints an event of `--format jsonl`.
    pub(super) fn event(&self, event: &impl Serialize) {
        if self.format == Format::Jsonl {
            if let Ok(line) = serde_json::to_string(event) {
                let _ = writeln!(std::io::stdout(), "{line}");
            }
        }
    }

    /// Says something beside the result.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(AutoStream::new(std::io::stderr(), self.color), "{text}");
        }
    }

    /// Shows errors to people.
    pub(super) fn show(&self, errors: &[Error]) {
        let mut err = AutoStream::new(std::io::stderr(), self.color);
        for error in errors {
            let _ = writeln!(err, "{}\n", diagnostic::render(error));
        }
    }

    /// Ends a command that could not begin.
    pub(super) fn fail(&self, errors: &[Error]) -> u8 {
        let kind = ErrorKind::worst(errors.iter().map(Error::kind));
        let exit_code = kind.map_or(1, ErrorKind::exit_code);
        self.show(errors);
        if self.format != Format::Text {
            let errors = errors.iter().map(json::error).collect();
            self.result("", &FailureDoc { schema: SCHEMA, exit_code, errors });
        }
        exit_code
    }

    /// Asks a yes-or-no question on the terminal; no is the default.
    pub(super) fn ask(&self, question: &str) -> bool {
        let _ = write!(std::io::stderr(), "{question} [y/N] ");
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }
}
