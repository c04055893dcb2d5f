//! Builds and reads every key of a state prefix.
//!
//! ```text
//! <state>/<pipeline>/log/<20 digits>.json   the log: contiguous from 0, never changed
//! <state>/<pipeline>/FORMAT.json            that this object store was found fit
//! <state>/<pipeline>/CLOCK                  written to be told the time; empty
//! <state>/<pipeline>/ckpt/<20 digits>.<attempt>.ckpt   the state up to that entry; derived
//! <state>/<pipeline>/ckpt/LATEST            which of them is the newest; a hint
//! <state>/<pipeline>/seg/windows-<20 digits>.<attempt>.seg   facts of windows; derived
//! <state>/<pipeline>/seg/inputs-<20 digits>.<attempt>.seg   records of one admission
//! <state>/<pipeline>/lease/<20 digits>.json the heartbeat of the holder of an epoch; a hint
//! <state>/<pipeline>/inbox/<id>.json        what was asked while another process held the lease
//! <state>/<pipeline>/history/<window start>-<output>-<revision>.<attempt>   what was replaced
//! <state>/<pipeline>/tmp/<20 digits>-…      staged files of one epoch; local disk only
//! <state>/<pipeline>/tmp/create-…           a file on its way into place; local disk only
//! <state>/<pipeline>/lock                   held while a process writes; local disk only
//! <output root>/_OWNER.json                 which pipeline may write below
//! ```
//!
//! Nothing in a state prefix ends in `.parquet`, so that no reader takes it for data.

use uuid::Uuid;

use crate::id::{AttemptId, Epoch, Generation, Revision, Seq};
use crate::time::EventTime;

/// The name of the file that says which pipeline owns an output.
pub const OWNER: &str = "_OWNER.json";

/// The file that the writing process holds locked.
pub const LOCK: &str = "lock";

/// The folder of staged files.
pub const STAGING: &str = "tmp";

/// The key of the log's entry `seq`.
#[must_use]
pub fn entry(seq: Seq) -> String {
    format!("log/{:020}.json", seq.0)
}

/// The place of the entry whose key this is; `None` if it is the key of something else.
#[must_use]
pub fn entry_of(key: &str) -> Option<Seq> {
    let digits = key.strip_prefix("log/")?.strip_suffix(".json")?;
    let is_place = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_place.then(|| digits.parse().ok().map(Seq))?
}

/// The key of what is known of the store itself.
pub const FORMAT: &str = "FORMAT.json";

/// The key of the object that is written to be told the time.
pub const CLOCK: &str = "CLOCK";

/// The folder of checkpoints.
pub const CHECKPOINTS: &str = "ckpt/";

/// The key of the hint to the newest checkpoint.
pub const LATEST: &str = "ckpt/LATEST";

/// The key of the checkpoint that attempt `att` made of the log up to and including `seq`.
#[must_use]
pub fn checkpoint(seq: Seq, att: AttemptId) -> String {
    format!("{CHECKPOINTS}{:020}.{att}.ckpt", seq.0)
}

/// The newest entry that the checkpoint at `key` knows; `None` if it is the key of something else.
#[must_use]
pub fn checkpoint_of(key: &str) -> Option<Seq> {
    let name = key.strip_prefix(CHECKPOINTS)?.strip_suffix(".ckpt")?;
    let (digits, _) = name.split_once('.')?;
    (digits.len() == 20).then(|| digits.parse().ok().map(Seq))?
}

/// The key of the segment that attempt `att` wrote with facts of windows, for a checkpoint up to
/// and including `seq`.
#[must_use]
pub fn windows_segment(seq: Seq, att: AttemptId) -> String {
    format!("seg/windows-{:020}.{att}.seg", seq.0)
}

/// The key of the segment that attempt `att` wrote for `generation`.
#[must_use]
pub fn inputs_segment(generation: Generation, att: AttemptId) -> String {
    format!("seg/inputs-{:020}.{att}.seg", generation.0)
}

/// The key of the heartbeat of the holder of `epoch`.
#[must_use]
pub fn heartbeat(epoch: Epoch) -> String {
    format!("lease/{:020}.json", epoch.0)
}

/// The folder of what is asked of a pipeline while another process holds its lease.
pub const INBOX: &str = "inbox/";

/// The key of what was asked under the name `id`.
#[must_use]
pub fn inbox(id: Uuid) -> String {
    format!("{INBOX}{id}.json")
}

/// The name under which was asked what `key` holds; `None` if it is the key of something else.
#[must_use]
pub fn inbox_of(key: &str) -> Option<Uuid> {
    Uuid::parse_str(key.strip_prefix(INBOX)?.strip_suffix(".json")?).ok()
}

/// The folder of what was replaced.
pub const HISTORY: &str = "history/";

/// The longest part of an output's name that is in a key, in bytes.
const OUTPUT_NAME_MAX: usize = 64;

/// The key of the copy of one object: what attempt `att` wrote as the revision `rev` of `output`,
/// for the window that starts at `start`. The rest of the key is for people; the attempt alone
/// tells two copies apart.
#[must_use]
pub fn history(start: EventTime, output: &str, rev: Revision, att: AttemptId) -> String {
    let start = start.to_string().replace(':', "");
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let output: String = output.chars().take(OUTPUT_NAME_MAX).map(safe).collect();
    format!("{HISTORY}{start}-{output}-{rev}.{att}")
}

/// How the names of staged files of `epoch` begin.
#[must_use]
pub fn staging_prefix(epoch: Epoch) -> String {
    format!("{:020}-", epoch.0)
}

/// How the names of staged files begin that are created, not published.
const CREATE_PREFIX: &str = "create-";

/// The name of the staged file of one creation.
#[must_use]
pub fn staged_creation(id: Uuid) -> String {
    format!("{CREATE_PREFIX}{id}")
}

/// Whether nobody will ever put the staged file `name` in place, once a writer of `epoch` holds the
/// lease and creates nothing itself right now.
#[must_use]
pub fn is_dead(name: &str, epoch: Epoch) -> bool {
    name.starts_with(CREATE_PREFIX) || staged_by(name).is_some_and(|by| by < epoch)
}

/// The epoch that a staged file belongs to; `None` if the name is not one of ours.
fn staged_by(name: &str) -> Option<Epoch> {
    let (digits, _) = name.split_once('-')?;
    (digits.len() == 20).then(|| digits.parse().ok().map(Epoch))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_places_do() {
        let places = [0, 9, 10, 99, 1 << 40, u64::MAX];
        assert!(places.iter().all(|place| entry_of(&entry(Seq(*place))) == Some(Seq(*place))));
        assert_eq!(entry_of("log/42.json.bak"), None);
        assert!(places.windows(2).all(|pair| entry(Seq(pair[0])) < entry(Seq(pair[1]))));
    }

    #[test]
    fn the_key_of_a_copy_is_a_safe_name_and_no_parquet() {
        let key = |output, rev| {
            history(EventTime::from_micros(0), output, Revision(rev), AttemptId(Uuid::nil()))
        };
        let end = "00000000-0000-0000-0000-000000000000";
        assert_eq!(key("totals", 2), format!("history/1970-01-01T000000Z-totals-2.{end}"));
        let odd = key("a/../b: ü.parquet", 1);
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(odd.strip_prefix(HISTORY).unwrap().chars().all(safe) && !odd.contains(".."));
        assert!(!key("x.parquet", 1).ends_with(".parquet"));
        assert!(key(&"x".repeat(999), 1).len() < 200);
    }

    #[test]
    fn staged_files_of_earlier_epochs_and_creations_are_dead() {
        let name = format!("{}x", staging_prefix(Epoch(7)));
        assert!(is_dead(&name, Epoch(8)) && !is_dead(&name, Epoch(7)));
        assert!(is_dead(&staged_creation(Uuid::nil()), Epoch(0)));
        assert!(!is_dead("7-x", Epoch(8)) && !is_dead("notes.txt", Epoch(8)));
    }
}
