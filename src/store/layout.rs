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
//! <state>/<pipeline>/probe/<id>/…           written to see what a store can do
//! <state>/<pipeline>/tmp/<20 digits>-…      staged files of one epoch; local disk only
//! <state>/<pipeline>/tmp/create-…           a file on its way into place; local disk only
//! <state>/<pipeline>/lock                   held while a process writes; local disk only
//! <output root>/_OWNER.json                 which pipeline may write below
//! ```
//!
//! Nothing in a state prefix ends in `.parquet`, so that no reader takes it for data.

use uuid::Uuid;

use crate::garbage::Role;
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
    number(key.strip_prefix("log/")?.strip_suffix(".json")?).map(Seq)
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
    format!("{}.{att}", copies(start, output, rev))
}

/// How the keys of the copies of one revision begin, up to the last dot.
#[must_use]
pub fn copies(start: EventTime, output: &str, rev: Revision) -> String {
    let start = start.to_string().replace(':', "");
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let output: String = output.chars().take(OUTPUT_NAME_MAX).map(safe).collect();
    format!("{HISTORY}{start}-{output}-{rev}")
}

/// The folders of a state prefix in which objects can be of no use any more.
pub const SWEPT: [&str; 6] = ["ckpt/", "history/", "lease/", "probe/", "seg/", "tmp/"];

/// What the object at `key`, in one of the folders [`SWEPT`], is there for; `None` if the key is
/// not one of ours. A file on its way into place carries no epoch and has no role.
#[must_use]
pub fn role_of(key: &str) -> Option<Role> {
    let (folder, name) = key.split_once('/')?;
    match folder {
        "tmp" => staged_by(name).map(Role::Staged),
        "seg" => {
            let (kind, rest) = name.strip_suffix(".seg")?.split_once('-')?;
            let (digits, att) = rest.split_once('.')?;
            Uuid::parse_str(att).ok()?;
            match kind {
                "inputs" => number(digits).map(|number| Role::Segment(Generation(number))),
                "windows" => number(digits).map(|number| Role::Windows(Seq(number))),
                _ => None,
            }
        }
        "history" => Uuid::parse_str(name.rsplit_once('.')?.1).ok().map(|_| Role::Copy),
        "ckpt" => {
            let (digits, id) = name.strip_suffix(".ckpt")?.split_once('.')?;
            Uuid::parse_str(id).ok()?;
            number(digits).map(|number| Role::Checkpoint(Seq(number)))
        }
        "lease" => number(name.strip_suffix(".json")?).map(|number| Role::Heartbeat(Epoch(number))),
        "probe" => {
            let (id, _) = name.split_once('/').unwrap_or((name, ""));
            Uuid::parse_str(id).ok().map(|_| Role::Probe)
        }
        _ => None,
    }
}

/// A number of 20 digits.
fn number(digits: &str) -> Option<u64> {
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

/// How the names of staged files of `epoch` begin.
#[must_use]
pub fn staging_prefix(epoch: Epoch) -> String {
    format!("{:020}-", epoch.0)
}

/// The name of the file that an attempt of `epoch` is staged as.
#[must_use]
pub fn staged(epoch: Epoch, att: AttemptId) -> String {
    format!("{}{att}", staging_prefix(epoch))
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
    number(digits).map(Epoch)
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
    fn every_key_that_is_made_has_its_role_and_no_other_has_one() {
        let (att, id) = (AttemptId(Uuid::from_u128(7)), Uuid::from_u128(8));
        let roles = [
            (inputs_segment(Generation(3), att), Role::Segment(Generation(3))),
            (format!("tmp/{}{id}", staging_prefix(Epoch(4))), Role::Staged(Epoch(4))),
            (format!("ckpt/{:020}.{id}.ckpt", 5), Role::Checkpoint(Seq(5))),
            (format!("lease/{:020}.json", 6), Role::Heartbeat(Epoch(6))),
            (windows_segment(Seq(9), att), Role::Windows(Seq(9))),
            (history(EventTime::from_micros(0), "a", Revision(1), att), Role::Copy),
            (checkpoint(Seq(5), att), Role::Checkpoint(Seq(5))),
            (heartbeat(Epoch(6)), Role::Heartbeat(Epoch(6))),
            (format!("probe/{id}/1/a"), Role::Probe),
        ];
        for (key, role) in roles {
            assert_eq!(role_of(&key), Some(role), "{key}");
            assert!(SWEPT.iter().any(|folder| key.starts_with(folder)), "{key}");
        }
        let creation = format!("tmp/{}", staged_creation(id));
        for key in [
            &entry(Seq(1)),
            LOCK,
            &creation,
            "seg/notes.txt",
            "seg/inputs-7.x.seg",
            "probe/x",
            "ckpt/LATEST",
            "lease/7.json",
            "tmp/7-x",
            "history/x",
            "seg/other-00000000000000000001.x.seg",
            "seg/deep/inputs",
            "",
        ] {
            assert_eq!(role_of(key), None, "{key}");
        }
    }

    #[test]
    fn staged_files_of_earlier_epochs_and_creations_are_dead() {
        let name = format!("{}x", staging_prefix(Epoch(7)));
        assert!(is_dead(&name, Epoch(8)) && !is_dead(&name, Epoch(7)));
        assert!(is_dead(&staged_creation(Uuid::nil()), Epoch(0)));
        assert!(!is_dead("7-x", Epoch(8)) && !is_dead("notes.txt", Epoch(8)));
    }
}
