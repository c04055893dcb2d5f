//! What the programs of a world have to do, and what they find when they compute it.

use super::journal::bytes_of;
use crate::commit::*;
use crate::hash::{ContentHash, Sha256};
use crate::id::{AttemptId, Generation};
use crate::ledger::FileId;
use crate::state::tests::log::hour_of;
use crate::state::*;

/// What every program of a world has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// The hours whose windows it computes, from 0 on.
    pub(super) hours: &'static [i64],
    /// The outputs of each.
    pub(super) outputs: &'static [&'static str],
    /// Whether each has one more, called [`OPTIONAL`], and which runs find rows for it.
    pub(super) optional: Option<Finds>,
    /// The most windows of a batch.
    pub(super) per_batch: usize,
    /// The source files of which rows belong to no window. Each run finds other versions of them.
    pub(super) files: &'static [&'static str],
}

/// What the optional object of each window is called.
pub(super) const OPTIONAL: &str = "q";

/// Which runs find rows for the optional object of the window at 0; those that do not find some for
/// that of the window at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finds {
    /// Those with an odd name.
    Odd,
    /// Those with an even one.
    Even,
}

/// An object of rows that belong to no window, as it is to be announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) file: FileId,
    pub(super) path: String,
    pub(super) before: Option<Sha256>,
    /// Whether it is only owed because nobody knows what lies there.
    pub(super) is_mere_doubt: bool,
}

impl Work {
    /// Two windows with two outputs each, in one batch.
    pub(super) const ALL: Self =
        Self { hours: &[0, 1], outputs: &["a", "b"], optional: None, per_batch: 2, files: &[] };
    /// Two windows with one output and an optional one each, in one batch, and two files.
    pub(super) const ROWS_APART: Self =
        Self { outputs: &["a"], optional: Some(Finds::Odd), files: &["f", "g"], ..Self::ALL };

    /// How many rows a run finds for the optional object of the window at an hour.
    pub(super) fn optional_rows(&self, run: u64, hour: i64) -> u64 {
        let is_even = (run + hour.unsigned_abs()).is_multiple_of(2);
        let finds = self.optional.is_some_and(|finds| is_even == (finds == Finds::Even));
        finds.into()
    }

    /// How many rows of a file belong to no window, in the version that came with a generation:
    /// some, others, none, and so on.
    pub(super) fn rows_of(&self, file: &FileId, generation: Generation) -> u64 {
        let place = self.files.iter().position(|known| *known == file.key).unwrap();
        (generation.0 + u64::try_from(place).unwrap()) % 3
    }

    /// The objects of rows that belong to no window that are not what they are to be.
    pub(super) fn owed(&self, state: &State) -> Vec<Owed> {
        let owed = |key: &&str| {
            let file = FileId { table: "t".to_owned(), key: (*key).to_owned() };
            let known = state.asides.get(&file);
            let done = known.and_then(|known| known.committed.as_ref());
            let rows = self.rows_of(&file, state.generation);
            let is_right = match done {
                None => rows == 0,
                Some(done) => {
                    let is_of_it = rows == 0 || done.generation == state.generation;
                    done.object.rows == rows && is_of_it
                }
            };
            let is_in_doubt = known.is_some_and(|known| known.is_in_doubt);
            (!is_right || is_in_doubt).then(|| Owed {
                path: format!("{key}.parquet"),
                before: done.map(|done| done.object.sha256),
                file,
                is_mere_doubt: is_right,
            })
        };
        self.files.iter().filter_map(owed).collect()
    }

    /// What the windows of `batch` are computed to, or what stands in their place. With `content`,
    /// all rows are the same every time.
    pub(super) fn computed(
        &self,
        batch: &Batch,
        window: &BatchWindow,
        content: Option<&ContentHash>,
    ) -> ComputedWindow {
        let mut counts = RowCounts { input: 1, used: 1, out: 1, ..RowCounts::default() };
        let mut balance = Balance::default();
        let mut outputs = Vec::new();
        for output in &window.outputs {
            let mut rows = 1;
            if let Aim::SetAside(files) = &batch.aim {
                let place = usize::try_from(window.start.micros()).unwrap();
                let (file, generation) = &files[place];
                rows = self.rows_of(file, *generation);
            } else if output.name == OPTIONAL {
                rows = self.optional_rows(run_of(output.att), hour_of(window.start));
                counts.input += rows;
                counts.quarantined += rows;
                balance = quarantined(rows);
            }
            if rows > 0 || !output.optional {
                outputs.push(staged(output, rows, content));
            }
        }
        let inputs = InputsDigest { files: 1, sha256: Sha256::of(b"inputs") };
        ComputedWindow { inputs, rows: counts, balance, checks: Vec::new(), outputs }
    }
}

fn staged(output: &BatchOutput, rows: u64, content: Option<&ContentHash>) -> StagedOutput {
    StagedOutput {
        staged_at: "tmp".into(),
        path: output.path.clone(),
        att: output.att,
        digest: ObjectDigest { bytes: 16, sha256: bytes_of(output.att) },
        rows,
        content: content.map(|same| if rows > 0 { same.clone() } else { ContentHash::new("", 0) }),
    }
}

/// What is said of these many rows.
fn quarantined(rows: u64) -> Balance {
    if rows == 0 {
        return Balance::default();
    }
    let (table, action) = ("t".to_owned(), "quarantine".to_owned());
    let rule = RuleCount { table: table.clone(), rule: "even".to_owned(), action, rows };
    let key = "c.parquet".to_owned();
    let file = FileBalance { table, key, input: rows, quarantined: rows, ..FileBalance::default() };
    Balance::new(vec![rule], [file])
}

/// The name of the run that an attempt is of.
pub(super) fn run_of(attempt: AttemptId) -> u64 {
    attempt.0.as_u64_pair().0
}

/// The next admission. Its files replace those that came before.
pub(super) fn inputs(generation: Generation) -> Option<Inputs> {
    let segment = SegmentRef {
        key: format!("ledger/{generation}.jsonl"),
        len: 1,
        sha256: Sha256::of(b"segment"),
        files: 1,
    };
    Some(Inputs {
        generation: generation.next()?,
        segment,
        replaces: 0,
        last_event_at: Vec::new(),
        refused: RowCounts::default(),
        late: Vec::new(),
    })
}
