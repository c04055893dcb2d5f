//! SHA-256, as `sha256sum` prints it, so that anybody can check what the log says.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// The SHA-256 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// What the first entry of a log names as its predecessor.
    pub const ZERO: Self = Self([0; 32]);

    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The first half of the hash, as a number.
    #[must_use]
    pub fn first_half(self) -> u128 {
        self.0.iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
    }

    /// Reads 64 hexadecimal digits, lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
        }
        Some(Self(bytes))
    }
}

/// Names the rows of an object whatever their order and encoding: what made it, and the sum of the
/// hashes of its rows. Two objects with equal content hold the same rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(String);

impl ContentHash {
    /// Which way of hashing this is: another one never gives an equal hash.
    const VERSION: &str = "c1";

    /// The hash of rows whose own hashes add up to `sum`, in a file made as `form` says: its
    /// columns and how they are written.
    #[must_use]
    pub fn new(form: &str, sum: u128) -> Self {
        let form = Sha256::of(form.as_bytes()).to_string();
        Self(format!("{}-{}-{sum:032x}", Self::VERSION, &form[..16]))
    }
}

impl ContentHash {
    /// Whether both say something of files that are made in the same way: only then does a
    /// difference mean other rows.
    #[must_use]
    pub fn is_comparable(&self, other: &Self) -> bool {
        let form = |hash: &Self| hash.0.rsplit_once('-').map(|(form, _)| form.to_owned());
        form(self).is_some() && form(self) == form(other)
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of a lower-case hexadecimal digit.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => digit.checked_sub(b'0'),
        b'a'..=b'f' => digit.checked_sub(b'a' - 10),
        _ => None,
    }
}

/// Hashes a stream of bytes piece by piece.
#[derive(Clone, Default)]
pub struct Sha256Stream(sha2::Sha256);

impl Sha256Stream {
    /// Adds `bytes` to what was seen so far.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes seen.
    #[must_use]
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

impl fmt::Debug for Sha256Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256Stream")
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Digits)
    }
}

/// Reads the text of a hash where it stands.
struct Digits;

impl Visitor<'_> for Digits {
    type Value = Sha256;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SHA-256 in hexadecimal")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Sha256, E> {
        Sha256::parse(text).ok_or_else(|| E::custom("not a SHA-256 in hexadecimal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prints_what_sha256sum_prints() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256::of(b"").to_string(), empty);
        assert_eq!(Sha256::parse(empty), Some(Sha256::of(b"")));
        assert_eq!(Sha256::parse(&empty.to_uppercase()), None);
        assert_eq!(Sha256::parse(&empty[1..]), None);
    }

    #[test]
    fn content_tells_forms_and_sums_apart() {
        let content = ContentHash::new("a: Int64", 7);
        assert_eq!(content, ContentHash::new("a: Int64", 7));
        assert_ne!(content, ContentHash::new("a: Int32", 7));
        assert_ne!(content, ContentHash::new("a: Int64", 8));
        assert!(
            Sha256::of(b"").to_string().starts_with(&format!("{:x}", Sha256::of(b"").first_half()))
        );
    }

    #[test]
    fn a_stream_hashes_as_the_whole_does() {
        let mut stream = Sha256Stream::default();
        stream.update(b"high");
        stream.update(b"water");
        assert_eq!(stream.finish(), Sha256::of(b"highwater"));
    }
}
