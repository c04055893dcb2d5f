//! What is wrong with a single value, in words.

use std::fmt;
use std::ops::Range;

use crate::error::{Code, Error};

/// What is wrong with a value, before it is known whose value it is.
#[derive(Debug)]
pub(super) struct Mistake {
    code: Code,
    /// The sentence; it names the value, not the key.
    what: String,
    label: &'static str,
    notes: Vec<String>,
    hints: Vec<String>,
    /// The bytes of the value that are wrong; `None`: all.
    pub(super) part: Option<Range<usize>>,
}

impl Mistake {
    pub(super) fn new(code: Code, what: impl Into<String>, label: &'static str) -> Self {
        Self { code, what: what.into(), label, notes: Vec::new(), hints: Vec::new(), part: None }
    }

    pub(super) fn bad(what: impl Into<String>, label: &'static str) -> Self {
        Self::new(Code::BadValue, what, label)
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub(super) fn part(mut self, part: Range<usize>) -> Self {
        self.part = Some(part);
        self
    }

    /// The sentence about `subject`, and the few words for the place.
    pub(super) fn about(self, subject: impl fmt::Display) -> (Error, &'static str) {
        let error = Error::new(self.code, format!("{subject}: {}", self.what));
        let error = self.notes.into_iter().fold(error, Error::note);
        (self.hints.into_iter().fold(error, Error::hint), self.label)
    }
}

/// The candidate most like `word`, if it is like it at all.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// `a, b, c`, each in backticks.
pub(super) fn listed<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
