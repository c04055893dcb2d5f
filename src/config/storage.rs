//! Where a project keeps its data and its state, how object stores are reached, who may write.

use std::collections::BTreeMap;

use toml::Spanned;

use crate::error::{Code, Error, Excerpt};
use crate::spec::{HISTORY_KEEP_MAX, LeaseSpec, Location, StorageSpec};
use crate::time::Span;

use super::ConfigInput;
use super::diagnose::{Read, Report, Reported};
use super::folders::Folder;
use super::mistake::Mistake;
use super::raw::{RawHistory, RawLease, RawProject, RawStorage};
use super::resolve::count;
use super::value::{length, place};

const STATE: &str = "_highwater";
const MAX_RETRIES: usize = 10;
const RETRY_SECONDS: u32 = 180;
const PATIENCE_SECONDS: u32 = 30;
const HEARTBEAT_SECONDS: u32 = 5;
const HISTORY_KEEP: usize = 2;

/// Words in the names of options that hold a secret.
const SECRETS: [&str; 8] =
    ["secret", "password", "token", "sas", "access_key", "account_key", "credential", "api_key"];

/// What holds the data.
pub(super) fn root(
    raw: Option<&RawStorage>,
    input: &ConfigInput<'_>,
    report: &mut Report<'_>,
) -> Read<Location> {
    let here = Location::Folder(crate::spec::normal(input.base));
    let root = raw.and_then(|raw| raw.root.as_ref());
    let root = report.read("root", root, |text| place(&here, text))?;
    Ok(root.unwrap_or(here))
}

/// What holds the state; reported as unusable if there is no `root` for it to lie in.
pub(super) fn state(
    raw: Option<&RawStorage>,
    root: Option<&Location>,
    report: &mut Report<'_>,
) -> Read<Folder> {
    let field = raw.and_then(|raw| raw.state.as_ref());
    let root = root.ok_or(Reported);
    let state = report.read("state", field, |text| match root {
        Ok(root) => place(root, text).and_then(|state| beside(root, state)).map(Some),
        Err(Reported) => Ok(None),
    })?;
    let root = root?;
    Ok(Folder {
        path: state.flatten().unwrap_or_else(|| root.below(STATE)),
        owner: "the state".to_owned(),
        place: field.map_or(0..0, Spanned::span),
    })
}

/// A log on a local disk cannot fence writers of an object store, nor the other way round.
fn beside(root: &Location, state: Location) -> Result<Location, Mistake> {
    if root.as_folder().is_some() == state.as_folder().is_some() {
        return Ok(state);
    }
    let what = format!("the state would lie at {state}, and the data at {root}");
    Err(Mistake::new(Code::Conflict, what, "not the same kind of storage")
        .hint("keep both on local disk, or both on an object store"))
}

/// How object stores are reached.
pub(super) fn storage(raw: &RawProject, report: &mut Report<'_>) -> Read<StorageSpec> {
    let options = raw.storage.as_ref().and_then(|raw| raw.options.as_ref());
    let places = options.map(|options| places(options.get_ref(), report)).unwrap_or_default();
    let options = options.map(|options| self::options(options.get_ref(), report)).transpose();
    let retry = raw.retry.as_ref();
    let times = retry.and_then(|retry| retry.max_retries.as_ref());
    let max_retries = count("max_retries", times, 0..=usize::MAX, report);
    let lasts = retry.and_then(|retry| retry.retry_timeout.as_ref());
    let retry_for = report.read("retry_timeout", lasts, length);
    Ok(StorageSpec {
        options: options?.unwrap_or_default(),
        places,
        max_retries: max_retries?.unwrap_or(MAX_RETRIES),
        retry_for: retry_for?.unwrap_or(Span::from_seconds(RETRY_SECONDS)),
    })
}

/// Where each option is set that the file sets.
fn places(
    raw: &BTreeMap<Spanned<String>, Spanned<String>>,
    report: &Report<'_>,
) -> BTreeMap<String, Excerpt> {
    let places = raw.iter().filter_map(|(key, value)| {
        let is_written = report.override_at(&value.span()).is_none();
        let place = report.excerpt(key.span(), "this option".to_owned());
        is_written.then(|| (key.get_ref().to_ascii_lowercase(), place))
    });
    places.collect()
}

fn options(
    raw: &BTreeMap<Spanned<String>, Spanned<String>>,
    report: &mut Report<'_>,
) -> Read<BTreeMap<String, String>> {
    let read = raw.iter().map(|(key, value)| {
        let name = key.get_ref().to_ascii_lowercase();
        if !SECRETS.iter().any(|secret| name.contains(secret)) {
            return Ok((name, value.get_ref().clone()));
        }
        let message = format!("`{name}` is a credential, and this file is no place for one");
        let error = Error::new(Code::Conflict, message)
            .hint("leave it out, and set it in the environment: AWS_*, GOOGLE_*, AZURE_*");
        report.add(key.span(), "a credential", error);
        Err(Reported)
    });
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

/// Who may write, and who waits for whom.
pub(super) fn lease(raw: Option<&RawLease>, report: &mut Report<'_>) -> Read<LeaseSpec> {
    let none = RawLease::default();
    let raw = raw.unwrap_or(&none);
    let patience = report.read("patience", raw.patience.as_ref(), length);
    let heartbeat = report.read("heartbeat", raw.heartbeat.as_ref(), length);
    let wait_for = report.read("wait", raw.wait.as_ref(), length);
    let lease = LeaseSpec {
        patience: patience?.unwrap_or(Span::from_seconds(PATIENCE_SECONDS)),
        heartbeat: heartbeat?.unwrap_or(Span::from_seconds(HEARTBEAT_SECONDS)),
        wait_for: wait_for?.unwrap_or(Span::ZERO),
    };
    let beats_twice = lease.heartbeat.micros().saturating_mul(2) < lease.patience.micros();
    if lease.heartbeat > Span::ZERO && beats_twice {
        return Ok(lease);
    }
    let (key, field) = match (&raw.heartbeat, &raw.patience) {
        (Some(field), _) => ("`heartbeat`", field),
        (None, Some(field)) => ("`patience`", field),
        (None, None) => return Ok(lease),
    };
    let what = "a heart that beats less than twice within `patience` looks dead";
    let mistake = Mistake::bad(what, "does not fit the other")
        .note(format!("heartbeat {}, patience {}", lease.heartbeat, lease.patience))
        .hint("make `patience` several times `heartbeat`, for example 30s and 5s");
    Err(report.wrong_at(key, field.span(), mistake))
}

/// How many earlier revisions of a window stay restorable.
pub(super) fn history_keep(raw: Option<&RawHistory>, report: &mut Report<'_>) -> Read<usize> {
    let Some(value) = raw.and_then(|history| history.keep.as_ref()) else {
        return Ok(HISTORY_KEEP);
    };
    match usize::try_from(*value.get_ref()) {
        Ok(keep) if keep <= HISTORY_KEEP_MAX => Ok(keep),
        _ => {
            let what = format!("{} is more than {HISTORY_KEEP_MAX}", value.get_ref());
            let hint = format!("0 to {HISTORY_KEEP_MAX}; leave it out to keep {HISTORY_KEEP}");
            let mistake = Mistake::bad(what, "too many").hint(hint);
            Err(report.wrong_at("`keep`".to_owned(), value.span(), mistake))
        }
    }
}
