//! `${VAR}` and `${VAR:-default}` in the file's texts.
//!
//! Never touches SQL, where `$window_start` and the like are parameters, nor what came from the
//! environment: a value is substituted once.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Code;

use super::ConfigInput;
use super::diagnose::{Place, Report};
use super::mistake::Mistake;

/// Puts the environment's values into every text of `document`; an entry where that fails is
/// reported and taken out.
pub(super) fn expand(document: &mut DeTable<'_>, input: &ConfigInput<'_>, report: &mut Report<'_>) {
    expand_table(document, &(0..0), input, report);
}

fn expand_table(
    table: &mut DeTable<'_>,
    around: &Place,
    input: &ConfigInput<'_>,
    report: &mut Report<'_>,
) {
    let mut lost = Vec::new();
    for (key, value) in table.iter_mut().filter(|(key, _)| key.get_ref() != "sql") {
        if !expand_value(key.get_ref(), value, input, report) {
            lost.push(key.get_ref().to_string());
        }
    }
    for key in lost {
        table.remove(key.as_str());
        report.mend(around.clone(), key);
    }
}

/// Gives whether the value of `key` can be used.
fn expand_value(
    key: &str,
    value: &mut Spanned<DeValue<'_>>,
    input: &ConfigInput<'_>,
    report: &mut Report<'_>,
) -> bool {
    let place = value.span();
    if report.override_at(&place).is_some() {
        return true;
    }
    match value.get_mut() {
        DeValue::Table(table) => {
            expand_table(table, &place, input, report);
            true
        }
        DeValue::Array(items) => {
            // Not `all`: it would stop at the first item that fails.
            let mut is_usable = true;
            for item in items.iter_mut() {
                is_usable &= expand_value(key, item, input, report);
            }
            is_usable
        }
        DeValue::String(text) if text.contains("${") => {
            let written = Spanned::new(place, text.to_string());
            match report.check(key, &written, |text| expanded(text, input)) {
                Ok(expanded) => *text = Cow::Owned(expanded),
                Err(_) => return false,
            }
            true
        }
        _ => true,
    }
}

/// `text` with every `${…}` replaced.
fn expanded(text: &str, input: &ConfigInput<'_>) -> Result<String, Mistake> {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let start = text.len().saturating_sub(after.len()).saturating_sub("${".len());
        let Some((inside, behind)) = after.split_once('}') else {
            return Err(Mistake::bad("`${` without its `}`", "never closed")
                .part(start..text.len())
                .hint("write `${VAR}` or `${VAR:-default}`"));
        };
        whole.push_str(before);
        whole.push_str(value_of(inside, start..text.len().saturating_sub(behind.len()), input)?);
        rest = behind;
    }
    whole.push_str(rest);
    Ok(whole)
}

/// The value of the `VAR` or `VAR:-default` between the braces, which with them lie at `part`.
fn value_of<'v>(
    inside: &'v str,
    part: Range<usize>,
    input: &ConfigInput<'v>,
) -> Result<&'v str, Mistake> {
    let (name, default) =
        inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
    let first_fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first_fits || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let what = format!("`{name}` is not the name of an environment variable");
        return Err(Mistake::bad(what, "not a name")
            .part(part)
            .hint("write `${VAR}` or `${VAR:-default}`"));
    }
    match (input.variable(name), default) {
        // As in a shell: `:-` is for a variable that is unset or empty.
        (None | Some(""), Some(default)) => Ok(default),
        (Some(value), _) => Ok(value),
        (None, None) => {
            let what = format!("environment variable {name} is not set");
            Err(Mistake::new(Code::BadEnvironment, what, "not set")
                .part(part)
                .hint(format!("set {name}, or give a default: `${{{name}:-…}}`")))
        }
    }
}
