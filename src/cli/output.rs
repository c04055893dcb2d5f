//! Where text goes. The only file that writes to stdout or stderr.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use super::args::{Color, Format, Global};
use super::diagnostic;
use crate::error::{Code, Error, ErrorKind};
use crate::view::json::{self, RefusalDoc, SCHEMA};

/// Errors with one code that are shown in full.
const ALIKE_MAX: usize = 3;

/// How long the last words of a process that ends at once may take: whoever reads them may not.
const LAST_WORDS_FOR: Duration = Duration::from_millis(200);

/// Prints what clap has to say in place of a command, and says the exit code.
pub(super) fn explain(why: &clap::Error) -> u8 {
    // Help goes to stdout and mistakes to stderr; clap knows which is which.
    let printed = why.print();
    if why.use_stderr() {
        misused(why);
    }
    match printed {
        Err(broken) if broken.kind() != io::ErrorKind::BrokenPipe => {
            let error = unwritten(&broken);
            let _ = writeln!(AutoStream::auto(io::stderr()), "{}\n", diagnostic::render(&error));
            error.kind().exit_code()
        }
        _ => u8::try_from(why.exit_code()).unwrap_or(2),
    }
}

/// The error for a result that could not be written, where somebody reads it.
fn unwritten(why: &io::Error) -> Error {
    Error::new(Code::StoreFailed, format!("the result cannot be written: {why}"))
        .note("what the command did is done and in the log; only what it says is cut short")
        .hint("make room where stdout goes, or let it go elsewhere")
}

/// Writes the document for a command line that cannot be read, if a document was asked for.
fn misused(why: &clap::Error) {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let wanted = |format: &str| {
        let pair = args.windows(2).any(|pair| pair[0] == "--format" && pair[1] == format);
        pair || args.iter().any(|arg| *arg == *format!("--format={format}"))
    };
    if !wanted("json") && !wanted("jsonl") {
        return;
    }
    let error = Error::new(Code::Usage, sentence(&why.to_string())).hint("see --help");
    let (exit_code, errors) = (error.kind().exit_code(), vec![json::error(&error)]);
    if let Ok(line) = serde_json::to_string(&RefusalDoc { schema: SCHEMA, exit_code, errors }) {
        let _ = writeln!(io::stdout(), "{line}");
    }
}

/// The sentence of what clap says: its first line, and where that ends in a colon, what it lists.
fn sentence(text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ");
    if !first.ends_with(':') {
        return first.to_owned();
    }
    let listed: Vec<&str> = lines.map(str::trim).take_while(|line| !line.is_empty()).collect();
    format!("{first} {}", listed.join(", "))
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
    /// Why not all of the result could be written, where somebody reads it.
    broken: Arc<OnceLock<io::Error>>,
    /// Set once the result is about to be written: no other may be then.
    begun: Arc<OnceLock<()>>,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        let color = match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let is_terminal = io::stderr().is_terminal();
        Self {
            format: global.format,
            verbose: global.verbose > 0,
            bar: is_terminal && !global.no_progress && !global.quiet,
            may_ask: io::stdin().is_terminal() && is_terminal && !global.no_input,
            quiet: global.quiet,
            color,
            broken: Arc::default(),
            begun: Arc::default(),
        }
    }

    /// Prints a result: `text` for people, or the document. What cannot be written is told by
    /// [`Self::end`].
    pub(super) fn result(&self, text: &str, document: &impl Serialize) {
        let _ = self.begun.set(());
        let mut out = AutoStream::new(io::stdout(), self.color);
        let written = match self.format {
            Format::Text => out.write_all(text.as_bytes()),
            Format::Json | Format::Jsonl => serde_json::to_string(document)
                .map_err(io::Error::from)
                .and_then(|line| writeln!(out, "{line}")),
        };
        self.note(written.and_then(|()| out.flush()));
    }

    /// Prints an event of `--format jsonl`.
    pub(super) fn event(&self, event: &impl Serialize) {
        if self.format == Format::Jsonl {
            let line = serde_json::to_string(event).map_err(io::Error::from);
            self.note(line.and_then(|line| writeln!(io::stdout(), "{line}")));
        }
    }

    /// Remembers the first failure to write a result. A reader that went away is none.
    fn note(&self, written: io::Result<()>) {
        if let Err(why) = written
            && why.kind() != io::ErrorKind::BrokenPipe
        {
            let _ = self.broken.set(why);
        }
    }

    /// The exit code of a command that ends with `code`: another one if its result did not get out.
    pub(super) fn end(&self, code: u8) -> u8 {
        let Some(why) = self.broken.get() else { return code };
        let error = unwritten(why);
        self.warn(&format!("{}\n", diagnostic::render(&error)));
        let worse = [ErrorKind::Corrupt, ErrorKind::Fenced, ErrorKind::OutcomeUnknown];
        if worse.iter().any(|kind| kind.exit_code() == code) {
            code
        } else {
            error.kind().exit_code()
        }
    }

    /// The last words of a process that a signal ends at once: the document, if one was asked for
    /// and none is being written. It waits for nobody.
    pub(super) fn interrupted(&self, exit_code: u8) {
        if self.format != Format::Json || self.begun.set(()).is_err() {
            return;
        }
        let error = Error::new(Code::Interrupted, "a second signal ended the run at once")
            .note("nothing half-written is visible: what was in hand is computed again")
            .hint("run `highwater run` again: it goes on where it stopped");
        let errors = vec![json::error(&error)];
        let Ok(line) = serde_json::to_string(&RefusalDoc { schema: SCHEMA, exit_code, errors })
        else {
            return;
        };
        let (done, is_done) = sync_channel(1);
        std::thread::spawn(move || {
            let _ = writeln!(io::stdout(), "{line}");
            let _ = done.send(());
        });
        let _ = is_done.recv_timeout(LAST_WORDS_FOR);
    }

    /// Says something beside the result.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(AutoStream::new(io::stderr(), self.color), "{text}");
        }
    }

    /// Says something that must be heard although quiet was asked for.
    pub(super) fn warn(&self, text: &str) {
        let _ = writeln!(AutoStream::new(io::stderr(), self.color), "{text}");
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
        let mut err = AutoStream::new(io::stderr(), self.color);
        let _ = write!(err, "{question} [y/N] ");
        let _ = err.flush();
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }
}
