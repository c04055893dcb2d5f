//! What must hold for any input of the parsers. Each target takes bytes and panics if something
//! does not; it is run by the fuzzer, and over its saved corpus by the tests.

mod config;
mod log;
mod place;
mod time;

/// Something that takes bytes it should not trust.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Its name, and that of its folder in the corpus.
    pub(crate) name: &'static str,
    /// Panics if a property does not hold.
    pub(crate) check: fn(&[u8]),
}

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "entry", check: log::entry },
    Target { name: "replay", check: log::replay },
    Target { name: "checkpoint", check: log::checkpoint },
    Target { name: "facts", check: log::facts },
    Target { name: "segment", check: log::segment },
    Target { name: "request", check: log::request },
    Target { name: "names", check: log::names },
    Target { name: "config", check: config::config },
    Target { name: "value", check: config::value },
    Target { name: "instant", check: time::instant },
    Target { name: "window", check: time::window },
    Target { name: "template", check: place::template },
    Target { name: "location", check: place::location },
];

/// The lines of an input; none if it is no text.
fn lines(bytes: &[u8]) -> Vec<&str> {
    std::str::from_utf8(bytes).map(|text| text.split('\n').collect()).unwrap_or_default()
}

/// Whether `whole` is refused with any one of some bytes changed. `is_taken` decodes.
fn refuses_changes(whole: &[u8], is_taken: impl Fn(&[u8]) -> bool) {
    // Every byte of a short text, some of a long one.
    let step = (whole.len() / 64).max(1);
    let mut changed = whole.to_vec();
    for at in (0..whole.len()).step_by(step) {
        changed[at] ^= 1 << (at % 8);
        assert!(!is_taken(&changed), "the byte at {at} may be changed");
        changed[at] = whole[at];
    }
    for end in (0..whole.len()).step_by(step) {
        assert!(!is_taken(&whole[..end]), "it may be cut at {end}");
    }
    changed.push(b'\n');
    assert!(!is_taken(&changed), "a byte may be added");
}
