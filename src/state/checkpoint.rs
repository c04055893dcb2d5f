//! A state as bytes, so that a log need not be folded from its beginning, and the facts of the
//! windows that it leaves out.
//!
//! Both are derived from the log, and never relied on for more than speed: a checkpoint that is not
//! whole, or not of this log, is passed over. Its name is its own, so that two writers never mix
//! their parts.

use serde::{Deserialize, Serialize};

use super::codec::DecodeError;
use super::{State, WindowState};
use crate::hash::Sha256;
use crate::id::Seq;

/// The format that this program writes, and the only one it reads: another is passed over.
const FORMAT: u32 = 1;

/// The largest checkpoint that is read, in bytes.
pub const CHECKPOINT_BYTES_MAX: u64 = 1 << 30;

/// The first line: what the second must be.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    v: u32,
    /// The newest entry that is folded into it.
    n: Seq,
    len: usize,
    sha256: Sha256,
}

/// Where the newest checkpoint is. A hint: it may be old, torn or missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatestHint {
    /// Its key.
    pub key: String,
}

/// The stored form of `state`.
///
/// # Errors
/// If it has no text.
pub fn encode(state: &State) -> Result<Vec<u8>, String> {
    let body = serde_json::to_vec(state).map_err(|why| why.to_string())?;
    let n = state.head.seq;
    let header = Header { v: FORMAT, n, len: body.len(), sha256: Sha256::of(&body) };
    let mut bytes = serde_json::to_vec(&header).map_err(|why| why.to_string())?;
    bytes.push(b'\n');
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The state stored as `bytes`.
///
/// # Errors
/// If a byte is missing, added or changed, or another version wrote it.
pub fn decode(bytes: &[u8]) -> Result<State, DecodeError> {
    let damaged = |why: &str| DecodeError::Damaged(why.to_owned());
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (header, body) = bytes
        .split_at_checked(end.unwrap_or(bytes.len()))
        .and_then(|(header, rest)| Some((header, rest.get(1..)?)))
        .ok_or_else(|| damaged("it has no second line"))?;
    let header: Header =
        serde_json::from_slice(header).map_err(|_| damaged("its first line is not a header"))?;
    if header.v != FORMAT {
        return Err(DecodeError::TooNew(format!("its format is {}", header.v)));
    }
    if header.len != body.len() || header.sha256 != Sha256::of(body) {
        return Err(damaged("it is not what was written"));
    }
    let state: State = serde_json::from_slice(body).map_err(|why| damaged(&why.to_string()))?;
    if state.head.seq != header.n {
        return Err(damaged("it is of another entry"));
    }
    // Whoever wrote it: no fold gives this, and nothing could be asked of it.
    let sets = state.empty.ranges().chain(state.skipped.ranges());
    if !state.windows.is_sound() || sets.into_iter().any(|(start, end)| start >= end) {
        return Err(damaged("a stretch of windows in it ends before it starts"));
    }
    Ok(state)
}

/// The stored form of the facts of `windows`: one a line.
///
/// # Errors
/// If they have no text.
pub fn encode_windows(windows: &[WindowState]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for window in windows {
        serde_json::to_writer(&mut bytes, window).map_err(|why| why.to_string())?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// The facts stored as `bytes`.
///
/// # Errors
/// If a line is none.
pub fn decode_windows(bytes: &[u8]) -> Result<Vec<WindowState>, String> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(|why| why.to_string())).collect()
}
