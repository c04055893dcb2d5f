//! Mistakes on their way to the user: each gets the place it was made at, and none stops the search
//! for the next.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use crate::error::{Code, Error, Excerpt};

use super::mask::masked;
use super::mistake::Mistake;

/// A byte range of the configuration's text; behind its end, the number of an [`Override`].
pub(super) type Place = Range<usize>;

/// Says that a value is unusable and that the [`Report`] already knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported;

/// What a step of reading gives: the value, or nothing because the mistake is reported.
pub(super) type Read<T> = Result<T, Reported>;

/// A value that an environment variable put over the file's.
#[derive(Debug)]
pub(super) struct Override {
    variable: String,
    /// The key and the place of what it replaced, if the file had it.
    replaced: Option<(String, Place)>,
}

/// The text, and all mistakes found in it so far.
#[derive(Debug)]
pub(super) struct Report<'a> {
    origin: &'a str,
    text: Arc<str>,
    /// The same text as it may be shown.
    shown: Arc<str>,
    overrides: Vec<Override>,
    /// Tables, each with a key it lost to a mistake: that it is missing now is not a second one.
    mended: Vec<(Place, String)>,
    errors: Vec<(Place, Error)>,
}

impl<'a> Report<'a> {
    /// More mistakes than this are not looked for.
    pub(super) const ERRORS_MAX: usize = 100;

    pub(super) fn new(origin: &'a str, text: Arc<str>) -> Self {
        let shown = Arc::from(masked(&text));
        let (overrides, mended, errors) = (Vec::new(), Vec::new(), Vec::new());
        Self { origin, text, shown, overrides, mended, errors }
    }

    pub(super) fn origin(&self) -> &'a str {
        self.origin
    }

    /// The text as it may be shown: without secrets, each place where it was.
    pub(super) fn shown(&self) -> &Arc<str> {
        &self.shown
    }

    pub(super) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= Self::ERRORS_MAX
    }

    /// Every mistake, in the order of the file; those of the environment last.
    pub(super) fn into_errors(mut self) -> Vec<Error> {
        self.errors.sort_by_key(|(place, _)| place.start);
        self.errors.into_iter().map(|(_, error)| error).collect()
    }

    /// Reports `error` at `place`.
    pub(super) fn add(&mut self, place: Place, label: impl Into<String>, error: Error) -> Reported {
        let error = match self.override_at(&place) {
            Some(from) => self.blame(from, &error),
            None => error.at(self.excerpt(place.clone(), label.into())),
        };
        self.errors.push((place, error));
        Reported
    }

    /// Reports a mistake of the TOML itself.
    pub(super) fn syntax(&mut self, mistake: &toml::de::Error) {
        let place = mistake.span().unwrap_or(0..0);
        let (what, expected) = mistake
            .message()
            .split_once(", expected ")
            .map_or((mistake.message(), None), |(what, expected)| (what, Some(expected)));
        let label = expected.map_or_else(|| what.to_owned(), |words| format!("expected {words}"));
        let error = Error::new(Code::ConfigSyntax, format!("{} is not TOML: {what}", self.origin));
        self.add(place, label, error);
    }

    /// Reports that `subject` is wrong, at the wrong part of `value`.
    pub(super) fn wrong(
        &mut self,
        subject: impl fmt::Display,
        value: &Spanned<String>,
        mistake: Mistake,
    ) -> Reported {
        let part = mistake.part.clone().and_then(|part| {
            let start = self.verbatim_at(value)?;
            Some(start.checked_add(part.start)?..start.checked_add(part.end)?)
        });
        let (error, label) = mistake.about(subject);
        self.add(part.unwrap_or(value.span()), label, error)
    }

    /// Reports a mistake at a place that is no text value.
    pub(super) fn wrong_at(
        &mut self,
        subject: impl fmt::Display,
        place: Place,
        mistake: Mistake,
    ) -> Reported {
        let (error, label) = mistake.about(subject);
        self.add(place, label, error)
    }

    /// The text of `key` as `read` understands it; `None` if the key is not there.
    pub(super) fn read<'v, T>(
        &mut self,
        key: &str,
        field: Option<&'v Spanned<String>>,
        read: impl FnOnce(&'v str) -> Result<T, Mistake>,
    ) -> Read<Option<T>> {
        field.map(|value| self.check(key, value, read)).transpose()
    }

    /// The text `value` of `key` as `read` understands it.
    pub(super) fn check<'v, T>(
        &mut self,
        key: &str,
        value: &'v Spanned<String>,
        read: impl FnOnce(&'v str) -> Result<T, Mistake>,
    ) -> Read<T> {
        read(value.get_ref()).map_err(|mistake| self.wrong(format!("`{key}`"), value, mistake))
    }

    /// The value of a key that must be there; `example` shows how it is written.
    pub(super) fn required<'r, T>(
        &mut self,
        key: &str,
        field: Option<&'r Spanned<T>>,
        table: &Place,
        example: &str,
    ) -> Read<&'r Spanned<T>> {
        field.ok_or_else(|| self.missing(key, table, example))
    }

    /// Reports that `key` is missing from the table at `table`, unless it was there but unusable.
    pub(super) fn missing(&mut self, key: &str, table: &Place, example: &str) -> Reported {
        if self.is_lost(key, table) {
            return Reported;
        }
        let error = Error::new(Code::MissingKey, format!("`{key}` is missing"));
        self.add(
            table.clone(),
            format!("`{key}` must be set"),
            error.hint(format!("add {example}")),
        )
    }

    /// Remembers that the table at `table` lost `key`, or what was meant to be it, to a mistake.
    pub(super) fn mend(&mut self, table: Place, key: impl Into<String>) {
        self.mended.push((table, key.into()));
    }

    /// Whether the table at `table` lost `key` to a mistake.
    pub(super) fn is_lost(&self, key: &str, table: &Place) -> bool {
        self.mended.iter().any(|(at, lost)| at == table && lost == key)
    }

    /// Whether any table lost `name` to a mistake. For tables that another one names: this one may
    /// have been there, so that it is unknown now is not a second mistake.
    pub(super) fn is_lost_anywhere(&self, name: &str) -> bool {
        self.mended.iter().any(|(_, lost)| lost == name)
    }

    /// Puts `context` in front of all that `body` reports.
    pub(super) fn within<T>(&mut self, context: &str, body: impl FnOnce(&mut Self) -> T) -> T {
        let earlier = self.errors.split_off(0);
        let value = body(self);
        let found = std::mem::replace(&mut self.errors, earlier);
        self.errors.extend(found.into_iter().map(|(place, error)| (place, error.within(context))));
        value
    }

    /// Where the characters of `value` begin in the text; `None` if they do not stand there as they
    /// are: escaped, substituted, or from the environment.
    pub(super) fn verbatim_at(&self, value: &Spanned<String>) -> Option<usize> {
        let place = value.span();
        let written = self.text.get(place.clone())?;
        ["\"\"\"", "'''", "\"", "'"].into_iter().find_map(|quote| {
            let inner = written.strip_prefix(quote)?.strip_suffix(quote)?;
            // TOML drops a line break right after the opening quotes of a multi-line string.
            let trimmed = inner.strip_prefix("\r\n").or(inner.strip_prefix('\n')).unwrap_or(inner);
            let cut = inner.len().checked_sub(trimmed.len())?;
            let at = place.start.checked_add(quote.len())?;
            if inner == value.get_ref() {
                Some(at)
            } else if trimmed == value.get_ref() {
                at.checked_add(cut)
            } else {
                None
            }
        })
    }

    /// Makes a place for the value of environment variable `variable`.
    pub(super) fn add_override(&mut self, variable: &str) -> Place {
        self.overrides.push(Override { variable: variable.to_owned(), replaced: None });
        let at = self.text.len().saturating_add(self.overrides.len());
        at..at
    }

    /// Remembers what the newest override stands in for.
    pub(super) fn replaced(&mut self, key: String, place: Place) {
        if let Some(newest) = self.overrides.last_mut() {
            newest.replaced = Some((key, place));
        }
    }

    /// The environment variable whose value has this place.
    pub(super) fn override_at(&self, place: &Place) -> Option<&Override> {
        let index = place.start.checked_sub(self.text.len())?.checked_sub(1)?;
        self.overrides.get(index)
    }

    /// The same error, about an environment variable.
    fn blame(&self, from: &Override, error: &Error) -> Error {
        let message = format!("environment variable {}: {error}", from.variable);
        let mut blamed = Error::new(Code::BadEnvironment, message);
        if let Some((key, place)) = &from.replaced {
            let written = self.shown.get(place.clone()).unwrap_or_default();
            let at = self.line_and_column(place.start);
            blamed =
                blamed.note(format!("it overrides `{key} = {written}` at {}:{at}", self.origin));
        }
        let blamed = error.notes().iter().cloned().fold(blamed, Error::note);
        error.hints().iter().cloned().fold(blamed, Error::hint)
    }

    /// `line:column` of a byte, both from 1, columns in characters.
    fn line_and_column(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.split('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        format!("{line}:{}", column.saturating_add(1))
    }

    /// The place `span`, as it may be shown.
    pub(super) fn excerpt(&self, span: Place, label: String) -> Excerpt {
        Excerpt { origin: self.origin.to_owned(), text: Arc::clone(&self.shown), span, label }
    }
}
