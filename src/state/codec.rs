//! Entries to bytes and back, and requests that wait for the holder of the lease.
//!
//! A stored entry is exactly two lines: the body, one line of JSON, and a trailer with its length
//! and SHA-256. Anything else is damage, never an empty entry: a zero-length file that replays as
//! nothing would lose acknowledged work in silence.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, FORMAT, Request};
use crate::hash::Sha256;

/// The largest stored entry, in bytes.
pub const ENTRY_BYTES_MAX: usize = 4 << 20;

/// Features of entries that this program understands.
const FEATURES: &[&str] = &[];

/// Kinds of entries that this program understands.
pub(super) const KINDS: &[&str] = &[
    "init",
    "claim",
    "release",
    "shape",
    "query",
    "references",
    "columns",
    "inputs",
    "watermarks",
    "request",
    "request_done",
    "begin",
    "commit",
    "failed",
    "rollback",
    "abort",
    "begin_aside",
    "aside",
    "skip",
    "retire",
    "gc_mark",
    "gc_sweep",
];

/// Why bytes are not an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes are not what was written.
    Damaged(String),
    /// A newer version wrote them.
    TooNew(String),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(why) | Self::TooNew(why) => f.write_str(why),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Trailer {
    len: usize,
    sha256: Sha256,
}

/// What must be understood before the rest is looked at.
#[derive(Deserialize)]
struct Envelope {
    v: u32,
    #[serde(default)]
    rf: Vec<String>,
    kind: String,
}

/// An entry in its stored form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Both lines.
    pub bytes: Vec<u8>,
    /// The hash of the first, which the next entry names.
    pub hash: Sha256,
}

/// The stored form of `entry`.
///
/// # Errors
/// If it would be larger than [`ENTRY_BYTES_MAX`].
pub fn encode(entry: &Entry) -> Result<Encoded, String> {
    let mut bytes = serde_json::to_vec(entry).map_err(|why| why.to_string())?;
    let trailer = Trailer { len: bytes.len(), sha256: Sha256::of(&bytes) };
    bytes.push(b'\n');
    serde_json::to_writer(&mut bytes, &trailer).map_err(|why| why.to_string())?;
    bytes.push(b'\n');
    if bytes.len() > ENTRY_BYTES_MAX {
        let (len, max) = (bytes.len(), ENTRY_BYTES_MAX);
        return Err(format!("a log entry of {len} bytes is larger than the limit of {max}"));
    }
    Ok(Encoded { bytes, hash: trailer.sha256 })
}

/// The entry stored as `bytes`, and the hash of its body.
///
/// # Errors
/// If a byte is missing, added or changed, or if a newer version wrote it.
pub fn decode(bytes: &[u8]) -> Result<(Entry, Sha256), DecodeError> {
    let damaged = |why: &str| DecodeError::Damaged(why.to_owned());
    if bytes.is_empty() {
        return Err(damaged("it has no bytes"));
    }
    if bytes.len() > ENTRY_BYTES_MAX {
        return Err(damaged("it is larger than an entry can be"));
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (body, rest) = bytes.split_at(end);
    let line = rest
        .strip_prefix(b"\n")
        .and_then(|rest| rest.strip_suffix(b"\n"))
        .ok_or_else(|| damaged("its second line is missing or cut off"))?;
    // JSON has many texts for one value; the trailer, which no hash protects, has only one.
    let trailer = serde_json::from_slice::<Trailer>(line)
        .ok()
        .filter(|trailer| serde_json::to_vec(trailer).is_ok_and(|written| written == line))
        .ok_or_else(|| damaged("its second line does not say a length and a hash"))?;
    let hash = Sha256::of(body);
    if trailer.len != body.len() || trailer.sha256 != hash {
        let expected = trailer.sha256;
        return Err(DecodeError::Damaged(format!("its hash is {hash}, expected {expected}")));
    }
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|why| DecodeError::Damaged(format!("it is not an entry: {why}")))?;
    check_version(&envelope)?;
    let entry = serde_json::from_slice(body)
        .map_err(|why| DecodeError::Damaged(format!("it is not a `{}`: {why}", envelope.kind)))?;
    Ok((entry, hash))
}

fn check_version(envelope: &Envelope) -> Result<(), DecodeError> {
    if envelope.v > FORMAT {
        let (found, known) = (envelope.v, FORMAT);
        return Err(DecodeError::TooNew(format!(
            "it has format {found}, this version reads {known}"
        )));
    }
    if let Some(feature) = envelope.rf.iter().find(|feature| !FEATURES.contains(&feature.as_str()))
    {
        return Err(DecodeError::TooNew(format!("it needs the feature `{feature}` to be read")));
    }
    if !KINDS.contains(&envelope.kind.as_str()) {
        return Err(DecodeError::TooNew(format!("it has the unknown kind `{}`", envelope.kind)));
    }
    Ok(())
}

/// The first feature of `entry` that a writer would have to know and this program does not.
#[must_use]
pub fn unknown_writer_feature(entry: &Entry) -> Option<&str> {
    entry.wf.iter().map(String::as_str).find(|feature| !FEATURES.contains(feature))
}

/// The format of a request that waits.
const REQUEST_FORMAT: u32 = 1;

#[derive(Serialize)]
struct Waiting<'a> {
    v: u32,
    request: &'a Request,
}

/// The stored form of a request that waits for the holder of the lease.
///
/// # Errors
/// If it has no text.
pub fn encode_request(request: &Request) -> Result<Vec<u8>, String> {
    let waiting = Waiting { v: REQUEST_FORMAT, request };
    serde_json::to_vec(&waiting).map_err(|why| why.to_string())
}

/// The request stored as `bytes`.
///
/// # Errors
/// If it is none, or another version wrote it.
pub fn decode_request(bytes: &[u8]) -> Result<Request, DecodeError> {
    #[derive(Deserialize)]
    struct Waiting {
        v: u32,
        request: Request,
    }
    let damaged = |why: serde_json::Error| DecodeError::Damaged(why.to_string());
    let Waiting { v, request } = serde_json::from_slice(bytes).map_err(damaged)?;
    if v == REQUEST_FORMAT {
        Ok(request)
    } else {
        Err(DecodeError::TooNew(format!("its format {v} is not known to this version")))
    }
}
