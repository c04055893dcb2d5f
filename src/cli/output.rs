//! Where text goes. The only file that writes to stdout or stderr.

use std::io::{IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use super::args::{Color, Format, Global};
use super::diagnostic;
use crate::error::{Code, Error, ErrorKind};
use crate::view::json::{self, RefusalDoc, SCHEMA};

/// Errors with one code that are shown in full.
const ALIKE_MAX: usize = 3;

/// Writes the document for a command line that cannot be read, if a document was asked for.
pub(super) fn misused(why: &clap::Error) {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let wanted = |format: &str| {
        let pair = args.windows(2).any(|pair| pair[0] == "--format" && pair[1] == format);
        pair || args.iter().any(|arg| *arg == *format!("--format={format}"))
    };
    if !wanted("json") && !wanted("jsonl") {
        return;
    }
    let text = why.to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let error = Error::new(Code::Usage, message).hint("see --help");
    let (exit_code, errors) = (error.kind().exit_code(), vec![json::error(&error)]);
    if let Ok(line) = serde_json::to_string(&RefusalDoc { schema: SCHEMA, exit_code, errors }) {
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

/// What the user wants to see, and where.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
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
        if self.format == Format::Jsonl
            && let Ok(line) = serde_json::to_string(event)
        {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }

    /// Says something beside the result.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(AutoStream::new(std::io::stderr(), self.color), "{text}");
        }
    }

    /// Says something that must be heard although quiet was asked for.
    pub(super) fn warn(&self, text: &str) {
        let _ = writeln!(AutoStream::new(std::io::stderr(), self.color), "{text}");
    }

    /// Shows errors to people: of many with one code, which are many files with one mistake, a few.
    pub(super) fn show(&self, errors: &[Error]) {
        let mut shown: Vec<Code> = Vec::new();
        for error in errors {
            let code = error.code();
            let before = shown.iter().filter(|known| **known == code).count();
            shown.push(code);
            if before < ALIKE_MAX || self.verbose {
                self.warn(&format!("{}\n", diagnostic::render(error)));
            }
        }
        let is_alike = |a: &Code, b: &Code| a == b;
        shown.sort_by_key(Code::to_string);
        for alike in shown.chunk_by(is_alike) {
            let more = alike.len().saturating_sub(ALIKE_MAX);
            if let (1.., Some(code), false) = (more, alike.first(), self.verbose) {
                self.warn(&format!("{more} more errors {code}; -v shows all\n"));
            }
        }
    }

    /// Ends a command that could not begin.
    pub(super) fn fail(&self, errors: &[Error]) -> u8 {
        let kind = ErrorKind::worst(errors.iter().map(Error::kind));
        let exit_code = kind.map_or(1, ErrorKind::exit_code);
        self.show(errors);
        if self.format != Format::Text {
            let errors = errors.iter().map(json::error).collect();
            self.result("", &RefusalDoc { schema: SCHEMA, exit_code, errors });
        }
        exit_code
    }

    /// Asks a yes-or-no question on the terminal; no is the default.
    pub(super) fn ask(&self, question: &str) -> bool {
        let mut err = AutoStream::new(std::io::stderr(), self.color);
        let _ = write!(err, "{question} [y/N] ");
        let _ = err.flush();
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }
}
