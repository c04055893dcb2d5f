//! Changes text by words and lines, so that what comes out is often still a document: libFuzzer's
//! own changes, by bytes, mostly break it at once. Every other change is left to those.

/// Words that parsers have trouble with.
const HOSTILE: &[&str] = &[
    "0",
    "-1",
    "1",
    "65536",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "1e308",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "0000-01-01T00:00:00Z",
    "0001-02-01T00:00:00Z",
    "9999-10-31T23:59:59.999999Z",
    "9999-12-31T23:59:60Z",
    "9223372036854775807us",
    "-9223372036854775808us",
    "2026-03-29T02:30:00",
    "Africa/Monrovia",
    "America/St_Johns",
    "Pacific/Apia",
    "..",
    "\\u0000",
    "\u{fffd}",
];

/// `bytes` with a few words or lines changed, at most `max` long; `None` if it is not text, or every
/// other time.
pub fn tokens(bytes: &[u8], max: usize, seed: u32) -> Option<Vec<u8>> {
    let mut dice = Dice(u64::from(seed));
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
    if dice.roll(2) == 0 {
        return None;
    }
    let mut words = words(text);
    for _ in 0..=dice.roll(3) {
        if words.is_empty() {
            break;
        }
        let (at, other) = (dice.roll(words.len()), dice.roll(words.len()));
        match dice.roll(6) {
            0 | 1 => words[at] = HOSTILE[dice.roll(HOSTILE.len())],
            2 => words[at] = words[other],
            3 => words.swap(at, other),
            4 => drop(words.remove(at)),
            _ => lines(&mut words, &mut dice),
        }
    }
    let mut changed = words.concat().into_bytes();
    changed.truncate(max);
    Some(changed)
}

/// Takes a line out, doubles it, or moves it elsewhere.
fn lines(words: &mut Vec<&str>, dice: &mut Dice) {
    let text: Vec<&str> = std::mem::take(words);
    let mut lines: Vec<Vec<&str>> =
        text.split_inclusive(|word| *word == "\n").map(<[&str]>::to_vec).collect();
    let at = dice.roll(lines.len());
    let line = lines.remove(at);
    let to = dice.roll(lines.len() + 1);
    match dice.roll(3) {
        0 => {}
        1 => lines.insert(to, line),
        _ => {
            lines.insert(at, line.clone());
            lines.insert(to, line);
        }
    }
    *words = lines.concat();
}

/// Runs of what a word may hold, and single characters between them.
fn words(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || "_-+.:/%".contains(c);
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(run.max(first.len_utf8()));
        words.push(word);
        rest = after;
    }
    words
}

struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % sides.max(1) as u64).unwrap_or_default()
    }
}
