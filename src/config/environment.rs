//! `HIGHWATER__SECTION__KEY=value` put over the file's values, before they are read.
//!
//! Only names of existing tables are known here; whether a key exists is left to the raw mirror,
//! which refuses an unknown one like any other.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Code, Error};

use super::diagnose::{Place, Report};
use super::mistake::listed;

/// Two underscores: `HIGHWATER_CONFIG` and its like are not overrides.
const PREFIX: &str = "HIGHWATER__";

/// Tables whose entries the user names: a variable may change such an entry, never make one.
const NAMED: [&str; 6] = ["pipeline", "source", "output", "reference", "load", "alert"];

/// Puts every override of `environment` into `document`.
pub(super) fn apply<'d>(
    document: &mut DeTable<'d>,
    environment: &'d [(String, String)],
    report: &mut Report<'_>,
) {
    for (variable, value) in environment {
        let Some(path) = variable.strip_prefix(PREFIX) else { continue };
        let place = report.add_override(variable);
        let path: Vec<&str> = path.split("__").collect();
        let value = Spanned::new(place.clone(), DeValue::String(Cow::Borrowed(value)));
        let put = if path.contains(&"") {
            Err("names no key".to_owned())
        } else {
            put(document, None, &path, value)
        };
        match put {
            Ok(Some((key, place))) => report.replaced(key, place),
            Ok(None) => {}
            Err(why) => {
                let hint = "write HIGHWATER__PIPELINE__ORDERS__WINDOW__SIZE for `size` in \
                            [pipeline.orders.window]";
                report.add(place, "", Error::new(Code::BadEnvironment, why).hint(hint));
            }
        }
    }
}

/// Puts `value` at `path` below `table`, which is the value of key `parent`. Gives key and place of
/// what it replaced.
fn put<'d>(
    table: &mut DeTable<'d>,
    parent: Option<&str>,
    path: &[&str],
    value: Spanned<DeValue<'d>>,
) -> Result<Option<(String, Place)>, String> {
    let Some((word, deeper)) = path.split_first() else { return Ok(None) };
    let key = existing(table, parent, word)?.unwrap_or_else(|| word.to_ascii_lowercase());
    let collection = parent.filter(|parent| NAMED.contains(parent));
    if let (Some(collection), None) = (collection, table.get(key.as_str())) {
        let names = listed(table.keys().map(|key| key.get_ref().as_ref()));
        return Err(format!("there is no {collection} `{key}`, only {names}"));
    }
    let place = value.span();
    if deeper.is_empty() {
        let Some(old) = table.get_mut(key.as_str()) else {
            table.insert(Spanned::new(place, Cow::Owned(key)), value);
            return Ok(None);
        };
        let replaced = (key, old.span());
        *old = value;
        return Ok(Some(replaced));
    }
    let child = table
        .entry(Spanned::new(place.clone(), Cow::Owned(key.clone())))
        .or_insert_with(|| Spanned::new(place, DeValue::Table(DeTable::new())));
    match child.get_mut() {
        DeValue::Table(child) => put(child, Some(&key), deeper, value),
        other => Err(format!("`{key}` is no table but a {}", other.type_str())),
    }
}

/// The key of `table` that `word` stands for: `ORDERS_EU` is `orders_eu` or `Orders-EU`.
fn existing(
    table: &DeTable<'_>,
    parent: Option<&str>,
    word: &str,
) -> Result<Option<String>, String> {
    let is_meant = |key: &&str| key.replace('-', "_").eq_ignore_ascii_case(word);
    let found: Vec<&str> =
        table.keys().map(|key| key.get_ref().as_ref()).filter(is_meant).collect();
    match found.as_slice() {
        [] => Ok(None),
        [key] => Ok(Some((*key).to_owned())),
        several => {
            let parent = parent.unwrap_or("key");
            Err(format!(
                "`{word}` names more than one {parent}: {}",
                listed(several.iter().copied())
            ))
        }
    }
}
