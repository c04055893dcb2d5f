//! Takes Rust source apart, as far as the rules of the layout need it: into tokens, the paths they
//! name, and the part that is not test code. It knows no grammar beyond that.

use std::iter::Peekable;
use std::slice::Iter;

/// A piece of code; literals, comments and blanks are none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) line: usize,
    pub(super) text: &'a str,
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        self.text.starts_with(in_word)
    }
}

/// A path as code names it, `use` trees taken apart.
pub(super) type Named<'a> = Vec<Token<'a>>;

/// `tokens` without the items that only tests see.
pub(super) fn shipped<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::new();
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        let attribute = rest.iter().take_while(|token| token.text != "]").map(|token| token.text);
        let attribute: Vec<&str> = if token.text == "#" { attribute.collect() } else { Vec::new() };
        let is_for_tests = attribute.starts_with(&["#", "[", "cfg"])
            && attribute.contains(&"test")
            && !attribute.contains(&"not");
        rest = if is_for_tests {
            after_item(rest.get(attribute.len()..).unwrap_or_default())
        } else {
            after
        };
        if !is_for_tests {
            kept.push(*token);
        }
    }
    kept
}

/// What follows the item that `tokens` begin with: its end is a `;` or the brace that closes it.
fn after_item<'a, 'b>(tokens: &'b [Token<'a>]) -> &'b [Token<'a>] {
    let mut open = Vec::new();
    let mut rest = tokens.get(1..).unwrap_or_default();
    while let Some((token, after)) = rest.split_first() {
        match token.text {
            "(" | "[" | "{" => open.push(token.text),
            ")" | "]" | "}" => {
                let opened = open.pop();
                if opened.is_none() {
                    return rest;
                }
                if opened == Some("{") && open.is_empty() {
                    return after;
                }
            }
            ";" if open.is_empty() => return after,
            _ => {}
        }
        rest = after;
    }
    rest
}

/// Every path that `tokens` name.
pub(super) fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Named<'a>> {
    let mut found = Vec::new();
    let mut rest = tokens.iter().peekable();
    while let Some(token) = rest.peek() {
        if token.is_word() {
            take_path(&mut rest, &[], &mut found);
        } else {
            rest.next();
        }
    }
    found
}

/// Takes a path, or all paths of a `use` tree, that continue `prefix`.
fn take_path<'a>(
    rest: &mut Peekable<Iter<'_, Token<'a>>>,
    prefix: &[Token<'a>],
    found: &mut Vec<Named<'a>>,
) {
    let mut path = prefix.to_vec();
    while let Some(word) = rest.next_if(|token| token.is_word() || token.text == "*") {
        path.push(*word);
        if rest.next_if(|token| token.text == "::").is_none() {
            break;
        }
        if rest.next_if(|token| token.text == "{").is_some() {
            return take_branches(rest, &path, found);
        }
    }
    found.push(path);
}

/// Takes the branches of a `use` tree and the brace that ends them.
fn take_branches<'a>(
    rest: &mut Peekable<Iter<'_, Token<'a>>>,
    prefix: &[Token<'a>],
    found: &mut Vec<Named<'a>>,
) {
    while let Some(token) = rest.peek() {
        match token.text {
            "}" => {
                rest.next();
                return;
            }
            // A new name is no path.
            "as" => {
                rest.nth(1);
            }
            "," => {
                rest.next();
            }
            _ => take_path(rest, prefix, found),
        }
    }
}

/// Takes Rust apart.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, is_code) = piece(rest);
        if is_code {
            found.push(Token { line, text: piece });
        }
        line += piece.matches('\n').count();
        rest = rest.strip_prefix(piece).unwrap_or_default();
    }
    found
}

/// The first piece of `text`, which is not empty, and whether it is code.
fn piece(text: &str) -> (&str, bool) {
    let upto = |length: usize| text.get(..length).unwrap_or(text);
    let first = text.chars().next().unwrap_or_default();
    let word = upto(text.find(|c| !in_word(c)).unwrap_or(text.len()));
    if text.starts_with("//") {
        (text.split('\n').next().unwrap_or(text), false)
    } else if text.starts_with("/*") {
        (block_comment(text), false)
    } else if matches!(word, "r" | "br" | "cr")
        && let Some(literal) = raw_string(text)
    {
        (literal, false)
    } else if first == '"' {
        (quoted(text, '"'), false)
    } else if first == '\'' {
        let mut inside = text.chars().skip(1);
        let is_char = inside.next() == Some('\\') || inside.next() == Some('\'');
        (if is_char { quoted(text, '\'') } else { upto(1) }, false)
    } else if in_word(first) {
        (word, true)
    } else if text.starts_with("::") {
        (upto(2), true)
    } else {
        (upto(first.len_utf8()), !first.is_whitespace())
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The literal between two `quote`s that `text` begins with.
fn quoted(text: &str, quote: char) -> &str {
    let mut escaped = false;
    let mut ends = text.char_indices().skip(1).filter(|(_, c)| {
        let is_end = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        is_end
    });
    ends.next().and_then(|(last, _)| text.get(..=last)).unwrap_or(text)
}

/// The literal like `r#"…"#` that `text` begins with, if it does.
fn raw_string(text: &str) -> Option<&str> {
    let (start, body) = text.split_once('"')?;
    let hashes = start.trim_start_matches(in_word);
    if hashes.contains(|c| c != '#') {
        return None;
    }
    let (inside, _) = body.split_once(&format!("\"{hashes}"))?;
    let length = [start, "\"", inside, "\"", hashes].iter().map(|part| part.len()).sum();
    text.get(..length)
}

/// The comment that `text` begins with; comments nest.
fn block_comment(text: &str) -> &str {
    let mut depth = 0;
    let mut taken = 0;
    for (at, _) in text.char_indices() {
        let here = text.get(at..).unwrap_or_default();
        if at >= taken && here.starts_with("/*") {
            (depth, taken) = (depth + 1, at + 2);
        } else if at >= taken && here.starts_with("*/") {
            (depth, taken) = (depth - 1, at + 2);
        }
        if depth == 0 {
            return text.get(..taken).unwrap_or(text);
        }
    }
    text
}
