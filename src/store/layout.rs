//! Builds and reads every key of a state prefix.
//!
//! ```text
//! <state>/<pipeline>/log/<20 digits>.json   the log: contiguous from 0, never changed
//! <state>/<pipeline>/seg/inputs-<20 digits>.<attempt>.seg   records of one admission
//! <state>/<pipeline>/tmp/<20 digits>-…      staged files of one epoch; local disk only
//! <state>/<pipeline>/tmp/create-…           a file on its way into place; local disk only
//! <state>/<pipeline>/lock                   held while a process writes; local disk only
//! <output root>/_OWNER.json                 which pipeline may write below
//! ```
//!
//! Nothing in a state prefix ends in `.parquet`, so that no reader takes it for data.

use uuid::Uuid;

use crate::id::{AttemptId, Epoch, Generation, Seq};

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

/// The key of the segment that attempt `att` wrote for `generation`.
#[must_use]
pub fn inputs_segment(generation: Generation, att: AttemptId) -> String {
    format!("seg/inputs-{:020}.{att}.seg", generation.0)
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
    fn staged_files_of_earlier_epochs_and_creations_are_dead() {
        let name = format!("{}x", staging_prefix(Epoch(7)));
        assert!(is_dead(&name, Epoch(8)) && !is_dead(&name, Epoch(7)));
        assert!(is_dead(&staged_creation(Uuid::nil()), Epoch(0)));
        assert!(!is_dead("7-x", Epoch(8)) && !is_dead("notes.txt", Epoch(8)));
    }
}
