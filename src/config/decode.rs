//! The parsed document to its raw mirror.
//!
//! serde stops at the first mistake. So each entry it stumbles over is reported, taken out, and the
//! rest read again, until nothing is wrong any more: all mistakes are found, and the fields of the
//! mirror stay the only list of keys there is.

use std::borrow::Cow;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use crate::error::{Code, Error};

use super::diagnose::{Place, Read, Report, Reported};
use super::mistake::nearest;
use super::raw::RawProject;

/// The version of the format that is read here.
const VERSION: &str = "1";

/// Refuses a file of another format before its keys are looked at: they would all seem misspelt.
pub(super) fn version(document: &DeTable<'_>, report: &mut Report<'_>) {
    let Some(value) = document.get("version") else { return };
    let written = match value.get_ref() {
        DeValue::Integer(number) => number.to_string(),
        other => other.type_str().to_owned(),
    };
    if written != VERSION {
        let message = format!("`version` is {written}, this program reads version {VERSION}");
        let error = Error::new(Code::BadValue, message)
            .hint("write `version = 1`, or install the highwater this file was written for");
        report.add(value.span(), "not a version this program reads", error);
    }
}

/// The mirror of all that could be read; the rest is reported.
pub(super) fn decode(
    mut document: Spanned<DeTable<'_>>,
    report: &mut Report<'_>,
) -> Read<RawProject> {
    loop {
        let error = match RawProject::deserialize(Deserializer::from(document.clone())) {
            Ok(raw) => return Ok(raw),
            Err(error) => error,
        };
        let place = error.span().unwrap_or(0..0);
        if report.override_at(&place).is_some() && retype(document.get_mut(), &place) {
            continue;
        }
        let Some(removed) = take_out(document.get_mut(), &(0..0), &place) else {
            return Err(report.add(place, "here", Error::new(Code::BadValue, error.message())));
        };
        removed.report(error.message(), place, report);
        if report.is_full() {
            return Err(Reported);
        }
    }
}

/// An entry that could not be read, and where it stood.
struct Removed {
    /// Names of the tables around it, outermost first.
    path: Vec<String>,
    /// The place of the table it was in.
    table: Place,
    key: String,
}

impl Removed {
    fn report(self, message: &str, place: Place, report: &mut Report<'_>) {
        let table = match self.path.as_slice() {
            [] => "at the top level".to_owned(),
            path => format!("in [{}]", path.join(".")),
        };
        let key = self.key;
        if !message.starts_with("unknown field ") {
            let (found, expected) = in_words(message);
            let message = format!("`{key}` {table} must be {expected}, found {found}");
            let error = Error::new(Code::BadValue, message);
            report.add(place, format!("must be {expected}"), error);
            return report.mend(self.table, key);
        }
        let keys = expected_keys(message);
        let similar = nearest(&key, keys.iter().copied());
        let error = Error::new(Code::UnknownKey, format!("unknown key `{key}` {table}"))
            .note(format!("keys here: {}", keys.join(", ")));
        let error = similar.iter().fold(error, |error, similar| {
            error.hint(format!("a key with a similar name exists: `{similar}`"))
        });
        report.add(place, "not a key of this table", error);
        report.mend(self.table, similar.unwrap_or(&key));
    }
}

/// Takes the entry at `place` out of `table`, which itself lies at `around`.
fn take_out(table: &mut DeTable<'_>, around: &Place, place: &Place) -> Option<Removed> {
    let hit = table.iter().find(|(key, value)| key.span() == *place || lies_at(value, place));
    if let Some(key) = hit.map(|(key, _)| key.get_ref().clone()) {
        table.remove(key.as_ref());
        return Some(Removed { path: Vec::new(), table: around.clone(), key: key.into_owned() });
    }
    table.iter_mut().find_map(|(key, value)| {
        let mut removed = take_out_below(value, place)?;
        removed.path.insert(0, key.get_ref().to_string());
        Some(removed)
    })
}

fn take_out_below(value: &mut Spanned<DeValue<'_>>, place: &Place) -> Option<Removed> {
    let around = value.span();
    match value.get_mut() {
        DeValue::Table(table) => take_out(table, &around, place),
        DeValue::Array(array) => array.iter_mut().find_map(|item| take_out_below(item, place)),
        _ => None,
    }
}

/// Whether `value`, or an item of it that is no table, lies at `place`.
fn lies_at(value: &Spanned<DeValue<'_>>, place: &Place) -> bool {
    let items = value.get_ref().as_array().map(|array| array.iter()).into_iter().flatten();
    value.span() == *place || items.into_iter().any(|item| item.span() == *place)
}

/// Environment variables carry no type. Each is a text until the mirror asks for something else:
/// then it is read as TOML. Gives whether that changed anything.
fn retype(table: &mut DeTable<'_>, place: &Place) -> bool {
    table.iter_mut().any(|(_, value)| {
        let is_here = value.span() == *place;
        match value.get_mut() {
            DeValue::Table(table) => retype(table, place),
            DeValue::String(Cow::Borrowed(text)) if is_here => {
                let typed = typed(text, place);
                let is_typed = typed.is_some();
                *value.get_mut() = typed.unwrap_or(DeValue::String(Cow::Borrowed(text)));
                is_typed
            }
            _ => false,
        }
    })
}

/// A number, a truth value or a list of texts; `None` if `text` is none of them.
fn typed<'t>(text: &'t str, place: &Place) -> Option<DeValue<'t>> {
    match DeValue::parse(text).ok()?.into_inner() {
        value @ (DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => Some(value),
        DeValue::Array(items) => {
            let texts = items.into_iter().map(|item| match item.into_inner() {
                text @ DeValue::String(_) => Some(Spanned::new(place.clone(), text)),
                _ => None,
            });
            texts.collect::<Option<_>>().map(DeValue::Array)
        }
        _ => None,
    }
}

/// The keys that serde names in "unknown field `x`, expected one of `a`, `b`".
fn expected_keys(message: &str) -> Vec<&str> {
    let (_, list) = message.rsplit_once(", expected ").unwrap_or_default();
    list.split('`').skip(1).step_by(2).collect()
}

/// What serde found and what it wanted, in the words of this program.
fn in_words(message: &str) -> (&str, &str) {
    let (found, expected) = message.rsplit_once(", expected ").unwrap_or((message, "usable"));
    let found = found.split_once(": ").map_or(found, |(_, found)| found);
    let expected = match expected {
        "u64" => "a whole number",
        "f64" => "a number",
        "a string" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        other => other,
    };
    (found, expected)
}
