//! Stages an object of an earlier revision, to be published again as a new one.
//!
//! Its rows, and every byte but one name, are those of the revision: only the attempt in the
//! footer is another. It could be the same file, byte for byte; it must not be, because the
//! protocol tells attempts apart by their bytes:
//!
//! * A store may make an object's version from its bytes: the `ETag` of S3 is their MD5. A writer
//!   that stalled for hours may still have a publication under way, conditional on the version it
//!   observed. Bytes that come back bring their version back, so the condition would hold again,
//!   and its attempt would replace what was committed since (ABA). Bytes that were never there have
//!   a version that nobody observed. On local disk a version is size and time of modification, and
//!   a staged file is new in any case.
//! * After an unclear answer the protocol asks whether the object has the bytes it sent. Were those
//!   what it had before, the answer would be yes although nothing was written, and a publication
//!   that is still under way over that version would stay alive.
//! * Readers of a chain tell a committed object from one that is being replaced by the attempt in
//!   its footer.
//!
//! So each attempt's bytes stay its own, `commit` publishes a copy like anything else, and the fold
//! asks no less of it. An attempt has the same length wherever it is written, so nothing else in
//! the file moves.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::output::{named_attempt, stage_failure};
use crate::commit::{ObjectDigest, StagedOutput};
use crate::error::{Code, Error, Result};
use crate::hash::{Sha256, Sha256Stream};
use crate::id::AttemptId;
use crate::state::{BatchOutput, CommittedOutput};
use crate::store::{ObjectMeta, Store};

/// Bytes read at once.
const PIECE_BYTES: u64 = 8 << 20;

/// The largest footer that is taken for one, in bytes: it is held in memory.
const FOOTER_BYTES_MAX: u64 = 64 << 20;

/// The end of a Parquet file: the footer's length and the magic.
const TAIL_BYTES: u64 = 8;

/// The key under which the footer names the attempt.
pub(super) const ATTEMPT_KEY: &str = "highwater.attempt";

/// Where a revision's object may be had.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// The store.
    pub store: &'a Arc<dyn Store>,
    /// Its key there.
    pub key: &'a str,
    /// What the log says of it.
    pub output: &'a CommittedOutput,
}

/// Stages the object at `origin` as `staged_at`, to be published as `begun` announces.
///
/// # Errors
/// [`Code::RevisionGone`] if it is not there, or is not what the log says; others if it cannot be
/// read or staged.
pub async fn stage_again(
    origin: &Origin<'_>,
    begun: &BatchOutput,
    staged_at: &Path,
) -> Result<StagedOutput> {
    let Origin { store, key, output } = origin;
    let meta = store.head(key).await?.ok_or_else(|| gone(origin, "is not there any more"))?;
    if meta.size != output.bytes {
        return Err(gone(origin, "has another size than the log says"));
    }
    let copy = Copying { store, meta, path: &begun.path, from: output.att, to: begun.att };
    let Some((was, digest)) = copy.stage(staged_at).await? else {
        return Err(gone(origin, "is not a file that this pipeline published"));
    };
    if was != output.sha256 {
        return Err(gone(origin, "has other bytes than the log says"));
    }
    let found = named_attempt(staged_at).map_err(|why| gone(origin, &why))?;
    if found != (begun.att.to_string(), output.rows) {
        return Err(gone(origin, "cannot be told from other files"));
    }
    Ok(StagedOutput {
        staged_at: staged_at.to_owned(),
        path: begun.path.clone(),
        att: begun.att,
        digest,
        rows: output.rows,
        content: output.content.clone(),
    })
}

fn gone(origin: &Origin<'_>, what: &str) -> Error {
    let name = origin.store.name_of(origin.key);
    Error::new(Code::RevisionGone, format!("{name} {what}: its revision cannot be restored"))
        .note("nothing was changed; what is published stands")
        .hint("`highwater history` shows the other revisions; `reprocess` computes the window anew")
}

/// An object on its way to a staged file.
struct Copying<'a> {
    store: &'a Arc<dyn Store>,
    meta: ObjectMeta,
    path: &'a str,
    from: AttemptId,
    to: AttemptId,
}

impl Copying<'_> {
    /// The hash of the bytes that were read, and those that were staged; `None` if the object does
    /// not name its attempt.
    async fn stage(&self, staged_at: &Path) -> Result<Option<(Sha256, ObjectDigest)>> {
        let Some(footer_at) = self.footer_at().await? else { return Ok(None) };
        let footer = self.read(footer_at, self.meta.size).await?;
        let Some(named_anew) = renamed(&footer, self.from, self.to) else { return Ok(None) };
        let failed = |why: io::Error| stage_failure(self.path, &why);
        let mut file = File::create_new(staged_at).map_err(failed)?;
        let (mut was, mut is) = (Sha256Stream::default(), Sha256Stream::default());
        let mut at = 0;
        while at < footer_at {
            let end = footer_at.min(at.saturating_add(PIECE_BYTES));
            let piece = self.read(at, end).await?;
            was.update(&piece);
            is.update(&piece);
            file.write_all(&piece).map_err(failed)?;
            at = end;
        }
        was.update(&footer);
        is.update(&named_anew);
        file.write_all(&named_anew).map_err(failed)?;
        let digest = ObjectDigest { bytes: self.meta.size, sha256: is.finish() };
        Ok(Some((was.finish(), digest)))
    }

    /// Where the footer begins; `None` if the object has no end of a Parquet file.
    async fn footer_at(&self) -> Result<Option<u64>> {
        let Some(tail_at) = self.meta.size.checked_sub(TAIL_BYTES) else { return Ok(None) };
        let tail = self.read(tail_at, self.meta.size).await?;
        let length = match tail.as_ref() {
            [a, b, c, d, b'P', b'A', b'R', b'1'] => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => return Ok(None),
        };
        let is_sane = u64::from(length) <= FOOTER_BYTES_MAX;
        Ok(tail_at.checked_sub(u64::from(length)).filter(|_| is_sane))
    }

    /// The bytes from `start` to `end`, of the version that was seen first.
    async fn read(&self, start: u64, end: u64) -> Result<Bytes> {
        let pieces =
            self.store.read_ranges(&self.meta, std::slice::from_ref(&(start..end))).await?;
        Ok(pieces.into_iter().next().unwrap_or_default())
    }
}

/// `footer` with the attempt `to` where it names `from`; `None` unless it names it exactly once.
///
/// A pair of the footer is a key and a value, each behind its type and length: two bytes here, for
/// neither is longer than a byte can say.
fn renamed(footer: &[u8], from: AttemptId, to: AttemptId) -> Option<Vec<u8>> {
    let (from, to) = (from.to_string(), to.to_string());
    let key = ATTEMPT_KEY.as_bytes();
    let value_at = key.len().saturating_add(2);
    let names = |window: &[u8]| window.starts_with(key) && window.ends_with(from.as_bytes());
    let width = value_at.saturating_add(from.len());
    let mut places = footer.windows(width).enumerate().filter(|(_, window)| names(window));
    let (place, _) = places.next()?;
    if places.next().is_some() || from.len() != to.len() {
        return None;
    }
    let start = place.saturating_add(value_at);
    let mut named_anew = footer.to_vec();
    named_anew.get_mut(start..start.saturating_add(to.len()))?.copy_from_slice(to.as_bytes());
    Some(named_anew)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn attempt(n: u128) -> AttemptId {
        AttemptId(Uuid::from_u128(n))
    }

    fn footer(attempts: &[AttemptId]) -> Vec<u8> {
        let pair = |att: &AttemptId| format!("\x18\x11{ATTEMPT_KEY}\x18\x24{att}\0");
        let pairs: String = attempts.iter().map(pair).collect();
        format!("schema{pairs}rest").into_bytes()
    }

    #[test]
    fn only_the_attempt_is_another() {
        let (old, new) = (attempt(1), attempt(2));
        assert_eq!(renamed(&footer(&[old]), old, new), Some(footer(&[new])));
    }

    #[test]
    fn a_footer_that_names_it_otherwise_is_not_touched() {
        let (old, new) = (attempt(1), attempt(2));
        assert_eq!(renamed(&footer(&[]), old, new), None);
        assert_eq!(renamed(&footer(&[new]), old, attempt(3)), None);
        assert_eq!(renamed(&footer(&[old, old]), old, new), None);
        // As a value of something else it means nothing.
        assert_eq!(renamed(format!("\x18\x04name\x18\x24{old}").as_bytes(), old, new), None);
    }
}
