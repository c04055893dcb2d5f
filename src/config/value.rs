//! Single values as people write them: lengths of time, sizes, zones, names.

use std::time::Duration;

use bytesize::ByteSize;
use chrono::Weekday;
use chrono_tz::{TZ_VARIANTS, Tz};

use crate::error::Code;
use crate::spec::Location;
use crate::time::Span;

use super::mistake::{Mistake, listed, nearest};

/// Units that have no fixed length. humantime reads them all the same, `1M` as 30.44 days.
const CALENDAR_UNITS: [&str; 9] = ["M", "month", "months", "mo", "y", "yr", "yrs", "year", "years"];

/// A length of time: `15m`, `2h`, `1d`.
pub(super) fn length(text: &str) -> Result<Span, Mistake> {
    let hint = "write a whole number and a unit, for example `15m`, `2h` or `1d`";
    let mut words = text.split(|c: char| !c.is_alphabetic());
    if let Some(unit) = words.find(|word| CALENDAR_UNITS.contains(word)) {
        let what = format!("`{text}` has no fixed length: `{unit}` is a unit of the calendar");
        return Err(Mistake::bad(what, "not a fixed length of time")
            .hint(hint)
            .hint("`m` is a minute; a month may be 28 to 31 days"));
    }
    humantime::parse_duration(text).ok().and_then(span_of).ok_or_else(|| {
        let what = format!("`{text}` is not a length of time");
        Mistake::bad(what, "not a length of time").hint(hint)
    })
}

/// `None` where it is too long, or no whole number of microseconds: nothing is cut off unsaid.
fn span_of(length: Duration) -> Option<Span> {
    let is_whole = length.subsec_nanos().is_multiple_of(1_000);
    let micros = i64::try_from(length.as_micros()).ok().filter(|_| is_whole);
    micros.and_then(Span::from_micros)
}

/// A number of bytes, more than none: `512MiB`, `4GiB`.
pub(super) fn size(text: &str) -> Result<u64, Mistake> {
    match text.parse::<ByteSize>() {
        Ok(ByteSize(bytes)) if bytes > 0 => Ok(bytes),
        _ => Err(Mistake::bad(format!("`{text}` is not a size"), "not a size in bytes")
            .hint("write a number and a unit, for example `512MiB` or `4GiB`")),
    }
}

/// A time zone of the IANA database.
pub(super) fn zone(text: &str) -> Result<Tz, Mistake> {
    text.parse().map_err(|_| {
        let mistake = Mistake::bad(format!("`{text}` is not a time zone"), "unknown time zone");
        let similar = if text.contains('/') {
            nearest(text, TZ_VARIANTS.iter().map(|zone| zone.name()))
        } else {
            // Whoever leaves the region out means the city.
            zone_of_city(text)
        };
        match similar {
            Some(name) => mistake.hint(format!("did you mean `{name}`?")),
            None => mistake.hint("use a name of the IANA database, for example `Europe/Berlin`"),
        }
    })
}

fn zone_of_city(text: &str) -> Option<&'static str> {
    let city = |zone: &'static Tz| zone.name().rsplit('/').next().unwrap_or_default();
    let similar = nearest(text, TZ_VARIANTS.iter().map(city))?;
    TZ_VARIANTS.iter().find(|zone| city(zone) == similar).map(|zone| zone.name())
}

/// A day of the week by its English name.
pub(super) fn weekday(text: &str) -> Result<Weekday, Mistake> {
    text.parse().map_err(|_| {
        Mistake::bad(format!("`{text}` is not a day of the week"), "not a day of the week")
            .hint("write `monday` to `sunday`")
    })
}

/// One of a few words.
pub(super) fn choice<'c>(text: &str, words: &[&'c str]) -> Result<&'c str, Mistake> {
    words.iter().find(|word| **word == text).copied().ok_or_else(|| {
        let mistake =
            Mistake::bad(format!("`{text}` is none of its values"), "not a value of this key")
                .note(format!("values: {}", listed(words.iter().copied())));
        match nearest(text, words.iter().copied()) {
            Some(similar) => mistake.hint(format!("did you mean `{similar}`?")),
            None => mistake,
        }
    })
}

/// A name that SQL takes without quotes.
fn sql_name(text: &str) -> Result<String, Mistake> {
    let first_fits = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if first_fits && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(text.to_owned());
    }
    Err(Mistake::bad(format!("`{text}` is not a name in SQL"), "not a name in SQL")
        .hint("use letters, digits and `_`, and begin with a letter or `_`"))
}

/// The name of a table in SQL that is none of `taken`, which are tables of the same pipeline.
pub(super) fn table_name(text: &str, taken: &[&str]) -> Result<String, Mistake> {
    if taken.iter().any(|earlier| earlier.eq_ignore_ascii_case(text)) {
        let what = format!("`{text}` is already the name of a source, a reference or a step");
        return Err(Mistake::new(Code::Conflict, what, "used before")
            .hint("give each source, reference and step a name of its own; case does not count"));
    }
    sql_name(text)
}

/// A text that says something.
pub(super) fn filled(text: &str) -> Result<String, Mistake> {
    if text.trim().is_empty() {
        return Err(Mistake::bad("it is empty", "must not be empty"));
    }
    Ok(text.to_owned())
}

/// A folder on this machine.
pub(super) fn folder(text: &str) -> Result<&str, Mistake> {
    if text.contains("://") {
        let what = format!("`{}` is not a folder", without_secrets(text));
        return Err(Mistake::bad(what, "must be a local folder").hint("write a path, not a URL"));
    }
    filled(text).map(|_| text)
}

/// What `text` names, seen from `root`: a folder of this machine, or a prefix of an object store.
pub(super) fn place(root: &Location, text: &str) -> Result<Location, Mistake> {
    filled(text)?;
    root.join(text).map_err(|why| {
        Mistake::bad(format!("`{}`: {why}", without_secrets(text)), "not a place for data")
            .hint("write a folder, or a URL: `s3://bucket/prefix`, `gs://…`, `az://container/…`")
            .hint("credentials are read from the environment: AWS_*, GOOGLE_*, AZURE_*")
    })
}

/// `url` without a user, a query and a signature.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{rest}")
}

/// A pattern for file names.
pub(super) fn pattern(text: &str) -> Result<glob::Pattern, Mistake> {
    let unusable = |why: &str| {
        Mistake::bad(format!("`{text}` is not a pattern: {why}"), "not a pattern for files")
            .hint("`*` is any part of a name, `**` any folders: `**/*.parquet`")
    };
    if text.is_empty() || text.starts_with('/') {
        return Err(unusable("it is matched below the source's folder"));
    }
    glob::Pattern::new(text).map_err(|error| unusable(error.msg))
}
