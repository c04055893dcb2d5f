//! `config.toml` to a [`ProjectSpec`] that is known to be valid, or to every mistake in it at once.
//!
//! Never reads a file or the environment: the caller hands in both, so that the same text always
//! gives the same answer.
//!
//! ```text
//! text ─► syntax ─► overrides, ${VAR} ─► raw mirror ─► spec
//!         toml      environment          decode        resolve
//! ```

mod chains;
mod check;
mod decode;
mod diagnose;
mod environment;
mod folders;
mod later;
mod mask;
mod mistake;
mod output;
mod pipeline;
mod quality;
mod raw;
mod reference;
mod resolve;
mod source;
mod storage;
mod substitute;
#[cfg(test)]
mod tests;
mod upstream;
mod value;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use toml::de::DeTable;

use crate::error::{Code, Error};
use crate::spec::ProjectSpec;

use diagnose::Report;

/// A larger text is refused unread: no person wrote it.
const TEXT_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Everything a configuration is made from.
#[derive(Clone, Copy)]
pub struct ConfigInput<'a> {
    /// The configuration's text.
    pub text: &'a str,
    /// Its name for messages, e.g. `config.toml`.
    pub origin: &'a str,
    /// The folder it lies in, absolute: relative folders and SQL files start here.
    pub base: &'a Path,
    /// The environment.
    pub environment: &'a [(String, String)],
    /// Reads an `sql_file`, given its absolute path.
    pub read_sql: &'a dyn Fn(&Path) -> io::Result<String>,
}

impl fmt::Debug for ConfigInput<'_> {
    /// Leaves the environment out: it holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigInput")
            .field("origin", &self.origin)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl<'a> ConfigInput<'a> {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<&'a str> {
        self.environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a configuration.
///
/// # Errors
/// Every mistake in it, in the order of the file. Syntax comes first and alone: what a broken line
/// was meant to say is a guess.
pub fn load(input: &ConfigInput<'_>) -> Result<ProjectSpec, Vec<Error>> {
    if input.text.len() > TEXT_BYTES_MAX {
        let message = format!("{} is larger than 10 MiB", input.origin);
        return Err(vec![
            Error::new(Code::BadValue, message).hint("is this the file you meant? see `--config`"),
        ]);
    }
    let text: Arc<str> = Arc::from(without_bom(input.text));
    let mut report = Report::new(input.origin, Arc::clone(&text));
    let (mut document, mistakes) = DeTable::parse_recoverable(&text);
    for mistake in mistakes.iter().take(Report::ERRORS_MAX) {
        report.syntax(mistake);
    }
    if report.is_clean() {
        decode::version(document.get_ref(), &mut report);
    }
    if !report.is_clean() {
        return Err(report.into_errors());
    }
    environment::apply(document.get_mut(), input.environment, &mut report);
    substitute::expand(document.get_mut(), input, &mut report);
    let spec = decode::decode(document, &mut report)
        .and_then(|raw| resolve::project(&raw, input, &mut report));
    match spec {
        Ok(spec) if report.is_clean() => Ok(spec),
        _ => Err(report.into_errors()),
    }
}

/// Editors on Windows put a byte-order mark in front; no position may count it.
fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
