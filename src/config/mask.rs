//! The text of a configuration as it may be shown: with stars where a secret may be.
//!
//! A file with a mistake in it is shown, and it may be of any form. So what looks like a secret is
//! one: what a key is set to that is named like a credential, all of `options`, the user and the
//! query of a URL. Every place keeps its line, column and byte offset.

use std::ops::Range;

/// Parts of names of keys that hold a secret, wherever in the name they stand.
const NAMES: [&str; 13] = [
    "secret",
    "passw",
    "passphrase",
    "token",
    "credential",
    "signature",
    "apikey",
    "accesskey",
    "access_key",
    "accountkey",
    "account_key",
    "privatekey",
    "private_key",
];

/// Words that make a name one of a secret only as a word of their own.
const WORDS: [&str; 5] = ["key", "sas", "sig", "pwd", "auth"];

/// Tables all of whose values may be secrets: a misspelt credential has no name.
const OPTIONS: &str = "options";

const QUOTES: [char; 2] = ['"', '\''];
const LONG_QUOTES: [&str; 2] = ["\"\"\"", "'''"];

/// `text` with a star for each character that may be part of a secret.
pub(super) fn masked(text: &str) -> String {
    let mut secrets = Vec::new();
    users(text, &mut secrets);
    queries(text, &mut secrets);
    values(text, &mut secrets);
    secrets.sort_by_key(|secret| secret.start);
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for Range { start, end } in secrets {
        if end <= at {
            continue;
        }
        let start = start.max(at);
        shown.push_str(text.get(at..start).unwrap_or_default());
        shown.extend(text.get(start..end).unwrap_or_default().chars().map(star));
        at = end;
    }
    shown.push_str(text.get(at..).unwrap_or_default());
    shown
}

/// What is shown in place of `character`: of as many bytes, so that no place moves.
fn star(character: char) -> char {
    match (character, character.len_utf8()) {
        ('\n' | '\r', _) => character,
        (_, 1) => '*',
        (_, 2) => '·',
        (_, 3) => '•',
        _ => '𝄽',
    }
}

/// Where the text ends that a person would take for one: at the quote that it began with, or at
/// white space.
fn end_of(text: &str, at: usize) -> usize {
    let (before, after) = text.split_at(at);
    let line = before.rsplit('\n').next().unwrap_or_default();
    let quote = line.rfind(QUOTES).and_then(|place| line[place..].chars().next());
    let ends = |c: char| c == '\n' || quote.map_or(c.is_whitespace(), |quote| c == quote);
    after.find(ends).map_or(text.len(), |len| at.saturating_add(len))
}

/// What stands before the last `@` of a URL, or of what may have been meant to be one.
fn users(text: &str, secrets: &mut Vec<Range<usize>>) {
    for (place, mark) in text.match_indices("://") {
        let start = place.saturating_add(mark.len());
        if let Some(user) = text[start..end_of(text, start)].rfind('@') {
            secrets.push(start..start.saturating_add(user));
        }
    }
    for (end, _) in text.match_indices('@') {
        let word = text[..end].rsplit(|c: char| c.is_whitespace() || QUOTES.contains(&c)).next();
        let word = word.unwrap_or_default();
        let len = word.rsplit("://").next().unwrap_or_default().len();
        if word.contains(':') {
            secrets.push(end.saturating_sub(len)..end);
        }
    }
}

/// The queries and fragments of URLs, and of what else has parameters.
fn queries(text: &str, secrets: &mut Vec<Range<usize>>) {
    for (place, mark) in text.match_indices("://") {
        let start = place.saturating_add(mark.len());
        let end = end_of(text, start);
        if let Some(query) = text[start..end].find(['?', '#']) {
            secrets.push(start.saturating_add(query).saturating_add(1)..end);
        }
    }
    for (place, mark) in text.match_indices('?') {
        let start = place.saturating_add(mark.len());
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if text[start..].trim_start_matches(is_name).starts_with('=') {
            secrets.push(start..end_of(text, start));
        }
    }
}

/// What keys are set to that are named like a credential.
fn values(text: &str, secrets: &mut Vec<Range<usize>>) {
    let (mut at, mut in_options, mut inside) = (0, false, None);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let line = rest.split_inclusive('\n').next().unwrap_or(rest);
        let next = at.saturating_add(line.len());
        let trimmed = line.trim_start_matches(['#', ' ', '\t']);
        if inside.is_none() && trimmed.starts_with('[') {
            let header = trimmed.trim_start_matches('[').split(']').next().unwrap_or_default();
            in_options = header.rsplit('.').next().is_some_and(|name| bare(name) == OPTIONS);
        }
        match secret_in(line, in_options, &mut inside) {
            Some(place) => {
                let value = value_at(text, at.saturating_add(place));
                at = value.end.max(next);
                secrets.push(value);
            }
            None => at = next,
        }
    }
}

/// Where in `line` the first value begins that is a secret. `inside` is the quote of the multi-line
/// string that the line begins, and then ends, in.
fn secret_in(line: &str, in_options: bool, inside: &mut Option<&'static str>) -> Option<usize> {
    let was_inside = inside.is_some();
    let (mut at, mut key) = (0, 0);
    let mut quote: Option<char> = None;
    while let Some(c) = line.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &line[at..];
        let long = LONG_QUOTES.into_iter().find(|long| rest.starts_with(long));
        let mut len = c.len_utf8();
        match (*inside, quote) {
            (Some(end), _) if long == Some(end) => (*inside, len) = (None, end.len()),
            (None, Some('"')) if c == '\\' => {
                len = len.saturating_add(rest[len..].chars().next().map_or(0, char::len_utf8));
            }
            (None, Some(open)) if c == open => quote = None,
            (None, None) => match (long, c) {
                (Some(long), _) => (*inside, len) = (Some(long), long.len()),
                (None, '"' | '\'') => quote = Some(c),
                (None, '{' | ',') => key = at.saturating_add(len),
                (None, '=') if in_options || is_secret(&line[key..at]) => {
                    return Some(at.saturating_add(len));
                }
                _ => {}
            },
            _ => {}
        }
        at = at.saturating_add(len);
    }
    loose_secret_in(line, was_inside)
}

/// The same for a line that lacks its `=`, or that is inside a string, which may lack its end.
fn loose_secret_in(line: &str, is_inside: bool) -> Option<usize> {
    let start = line.len().saturating_sub(line.trim_start_matches(['#', ' ', '\t']).len());
    let is_word = |c: char| c.is_alphanumeric() || "_-.".contains(c) || QUOTES.contains(&c);
    let len = line[start..].find(|c: char| !is_word(c)).unwrap_or_default();
    let (word, rest) = line[start..].split_at(len);
    let is_set = rest.trim_start().starts_with(['=', ':']) && is_named(&bare(word));
    let is_broken = !is_inside && !line.contains('=') && rest.starts_with([' ', '\t', ':']);
    (is_set || (is_broken && is_secret(word))).then(|| start.saturating_add(len))
}

/// The value that begins at `start`, or after a `=` and white space there.
fn value_at(text: &str, start: usize) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    let value = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
    let gap = rest.len().saturating_sub(value.len());
    let is_here = !rest[..gap].contains('\n') || value.starts_with(QUOTES);
    let start = start.saturating_add(gap);
    if !is_here {
        return start..start;
    }
    let long = LONG_QUOTES.into_iter().find(|long| value.starts_with(long));
    let closed = match (long, value.chars().next()) {
        (Some(long), _) => value[long.len()..].find(long).map(|end| end.saturating_add(long.len())),
        (None, Some('[' | '{')) => balanced(value),
        _ => Some(0),
    };
    // Whatever follows on the line may be a part of it.
    let line = |from: usize| value[from..].find('\n').map(|len| from.saturating_add(len));
    let len = closed.and_then(line).unwrap_or(value.len());
    start..start.saturating_add(len)
}

/// Where the bracket that `value` begins with is closed.
fn balanced(value: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let ends = |c: char| {
        match c {
            '[' | '{' => depth = depth.saturating_add(1),
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    };
    value.find(ends)
}

/// Whether what `key` is set to may be a secret.
fn is_secret(key: &str) -> bool {
    if key.split('.').any(|part| bare(part) == OPTIONS) {
        return true;
    }
    let name = bare(key.rsplit('.').next().unwrap_or_default());
    is_named(&name) || name.split(['_', '-']).any(|word| WORDS.contains(&word))
}

fn is_named(name: &str) -> bool {
    NAMES.iter().any(|part| name.contains(part))
}

/// A name without quotes and white space, in small letters.
fn bare(name: &str) -> String {
    name.trim_matches(|c: char| c.is_whitespace() || c == '#' || QUOTES.contains(&c))
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line that is shown otherwise than it is written.
    #[track_caller]
    fn assert_hidden(text: &str) {
        let shown = masked(text);
        assert!(!shown.contains("CANARY"), "{shown}");
        assert_eq!(shown.len(), text.len(), "{shown}");
        assert_eq!(shown.chars().count(), text.chars().count(), "{shown}");
        let ends = |text: &str| text.match_indices('\n').map(|(at, _)| at).collect::<Vec<_>>();
        assert_eq!(ends(&shown), ends(text), "{shown}");
    }

    #[test]
    fn what_looks_like_a_secret_is_hidden() {
        for text in [
            "aws_secret_access_key = \"CANARY\"\n",
            "aws_secret_access_key=CANARY\nx = 1",
            "aws_secret_access_key CANARY\n",
            "# aws_secret_access_key = \"CANARY\"\n",
            "password: CANARY\n",
            "  \"client.secret\" = 'CANARY'",
            "storage.options.aws_session_tokn = \"CANARY\"\n",
            "[storage.options]\nregoin = \"CANARY\"\n",
            "[ storage . \"options\" ]\nregoin = 'CANARY'\n",
            "options = { region = \"x\", aws_session_tokn = \"CANARY\" }\n",
            "storage = { root = \".\", key = \"CANARY\" }\n",
            "token = \"\"\"\nCANARY\n CANARY\"\"\" # CANARY\n",
            "token = [\n \"CANARY\",\n [\"CANARY\"],\n]\n",
            "token = [\n \"CANARY\",\n",
            "token =\n  \"CANARY\"\n",
            "sql = \"\"\"\nSELECT 1\npassword = \"CANARY\"\n",
            "ü = 'ü'\npassword = \"CANARYüあ𝄞\"\n",
            "root = \"s3://CANARY:CANARY@b/p\"\n",
            "root = \"s3://AKID:CAN ARY:CANARY@b/p\"\n",
            "root = \"s3:/AKID:CANARY@b/p\"\n",
            "root = \"s3://b/p?X-Amz-Signature=CANARY&b=CANARY\"\n",
            "root = \"s3://b/p#CANARY\"\n",
            "root = s3://CANARY@b/p?x=CANARY\n",
            "path = \"in?sig=CANARY\"\n",
            "sql = \"\"\"\nSELECT * FROM 'https://u:CANARY@h/x?sig=CANARY' WHERE a\n\"\"\"\n",
        ] {
            assert_hidden(text);
        }
    }

    #[test]
    fn what_does_not_is_shown_as_it_is() {
        for text in [
            "[pipeline.tokens]\nname = \"tokens\"\npath = \"in/dt=2026-??-*/hour=*/\"\n",
            "sort_by = [\n  \"token\",\n  \"key\",\n]\n",
            "keys = [\"order_key\"]\nroot = \"s3://bucket/prefix\"\n",
            "sql = \"\"\"\nSELECT token, a.order_key\nFROM a JOIN b ON a.order_key = b.order_key\n\
             WHERE mail LIKE '%@x' AND a ? b\n\"\"\"\nsize = \"1h\"\n",
            "sql = \"SELECT 1 WHERE a_key = 2 -- it's\"\nsize = \"1h\"\n",
            "path = \"out/dt={start:%Y-%m-%d}/hour={start:%H}\"\n",
            "",
            "=\n@\n?\n://\n",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn the_rest_of_the_file_stays_readable() {
        let text = "[storage]\nroot = \"s3://AKID:SEC@b/p?x=y\"\npassword = \"a\"\nsize = 1\n";
        let shown = "[storage]\nroot = \"s3://********@b/p?***\"\npassword = ***\nsize = 1\n";
        assert_eq!(masked(text), shown);
    }
}
