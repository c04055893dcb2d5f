//! Rows that were put aside, read from the objects that the log names: no folder is listed, and no
//! attempt that was not committed is taken for one that was.

use std::sync::Arc;

use super::project::Project;
use crate::error::{Code, Error, Result};
use crate::execute::{AsideRow, read_aside};
use crate::log::StateLog;
use crate::report::{Quarantined, QuarantinedRow};
use crate::source::{OpenFile, SourceStore, open};
use crate::spec::{PipelineSpec, QuarantineSpec};
use crate::state::{CommittedOutput, CommittedWindow, State, TimeRange};
use crate::time::EventTime;

/// How often an object is looked for that is not what the log says, while the log says other things
/// of it each time.
const ROUNDS_MAX: u32 = 3;

/// Which rows to show.
#[derive(Clone, Debug)]
pub struct AskedRows {
    /// Only of windows that start in here.
    pub range: TimeRange,
    /// Only those that this rule put aside.
    pub rule: Option<String>,
    /// Only those of this file: its key, or what it is called.
    pub file: Option<String>,
    /// At most so many.
    pub most: usize,
}

/// What the log of `spec` says, with the facts of all windows that start in `range`; `None` before
/// the first run.
///
/// # Errors
/// If the log is damaged or cannot be read.
pub async fn committed_between(
    project: &Project,
    spec: &PipelineSpec,
    range: TimeRange,
) -> Result<Option<State>> {
    read(&project.log(&spec.name), range).await
}

async fn read(log: &StateLog, range: TimeRange) -> Result<Option<State>> {
    let Some(opening) = log.open().await? else { return Ok(None) };
    let mut state = opening.state;
    let wanted = state.wanted_between(range.start, range.end);
    log.recall(&mut state, wanted).await?;
    Ok(Some(state))
}

/// The rows of `spec` that were put aside, as `asked`.
///
/// # Errors
/// If the log or a committed object is damaged or cannot be read.
pub async fn quarantined(
    project: &Project,
    spec: &PipelineSpec,
    asked: &AskedRows,
) -> Result<Quarantined> {
    let log = project.log(&spec.name);
    let mut told = Quarantined::default();
    let Some(state) = read(&log, asked.range).await? else { return Ok(told) };
    let store = SourceStore::new(project.outputs(&spec.name));
    let shelf = Shelf { spec, log, store };
    let AskedRows { range, rule, most, .. } = asked;
    for (start, window) in state.windows.range(range.start..range.end) {
        let committed = &window.committed;
        let mut rules = committed.balance.rules.iter();
        let has_rows = committed.rows.quarantined > 0;
        if !has_rows || rule.as_ref().is_some_and(|name| !rules.any(|rule| rule.rule == *name)) {
            continue;
        }
        // One more tells whether there are more.
        let left = most.saturating_sub(told.rows.len()).saturating_add(1);
        let found = shelf.rows(&state, committed, asked, left).await?;
        if state.in_doubt.contains_key(start) || found.is_none() {
            let window = TimeRange { start: *start, end: committed.end };
            told.in_doubt.push((window, found.is_some()));
        }
        told.rows.extend(found.into_iter().flatten());
        if told.rows.len() > *most {
            told.is_cut = true;
            told.rows.truncate(*most);
            break;
        }
    }
    Ok(told)
}

/// What reading the objects of a window came to.
enum Reading {
    /// The wanted rows.
    Rows(Vec<QuarantinedRow>),
    /// An object, which is called so, is not the one that was committed.
    Other(String),
    /// An object was replaced meanwhile.
    Replaced,
}

struct Shelf<'a> {
    spec: &'a PipelineSpec,
    log: StateLog,
    store: Arc<SourceStore>,
}

impl Shelf<'_> {
    /// The wanted rows of one window, which `state` has; `None` if its objects are being replaced.
    async fn rows(
        &self,
        state: &State,
        committed: &CommittedWindow,
        asked: &AskedRows,
        most: usize,
    ) -> Result<Option<Vec<QuarantinedRow>>> {
        let (mut committed, mut is_in_doubt) =
            (committed.clone(), state.in_doubt.contains_key(&committed.start));
        for _ in 0..ROUNDS_MAX {
            let name = match self.read(&committed, asked, most).await? {
                Reading::Rows(rows) => return Ok(Some(rows)),
                Reading::Replaced => continue,
                Reading::Other(name) => name,
            };
            if is_in_doubt {
                return Ok(None);
            }
            // A run may be at work on it since.
            let Some((now, in_doubt)) = self.look_again(committed.start).await? else {
                return Ok(None);
            };
            if !in_doubt && now.outputs == committed.outputs {
                let text = format!("{name} is not what was committed");
                return Err(Error::new(Code::CorruptInput, text)
                    .hint("`highwater verify` names all that is damaged")
                    .hint("`highwater reprocess PIPELINE --damaged` computes it again"));
            }
            (committed, is_in_doubt) = (now, in_doubt);
        }
        Ok(None)
    }

    async fn look_again(&self, start: EventTime) -> Result<Option<(CommittedWindow, bool)>> {
        let Some(opening) = self.log.open().await? else { return Ok(None) };
        let mut state = opening.state;
        let wanted = state.wanted([start]);
        self.log.recall(&mut state, wanted).await?;
        let window = state.windows.get(&start).map(|window| window.committed.clone());
        Ok(window.map(|window| (window, state.in_doubt.contains_key(&start))))
    }

    /// The wanted rows of a window.
    async fn read(
        &self,
        committed: &CommittedWindow,
        asked: &AskedRows,
        most: usize,
    ) -> Result<Reading> {
        let window = TimeRange { start: committed.start, end: committed.end };
        let mut rows = Vec::new();
        for output in committed.outputs.iter().filter(|one| QuarantineSpec::is_name(&one.name)) {
            let table = output.name.split_once('.').map_or("", |(_, table)| table);
            if output.rows == 0 || rows.len() >= most {
                continue;
            }
            let Some(file) = self.open(output).await? else {
                return Ok(Reading::Other(self.store.store().name_of(&output.path)));
            };
            let left = most.saturating_sub(rows.len());
            let source_file = self.name_of(table, asked.file.as_deref());
            let read = read_aside(&file, asked.rule.as_deref(), source_file.as_deref(), left).await;
            match read {
                Ok(found) => rows.extend(found.into_iter().map(|row| named(row, table, window))),
                Err(why) if why.code() == Code::InputChanged => return Ok(Reading::Replaced),
                Err(why) => return Err(why),
            }
        }
        Ok(Reading::Rows(rows))
    }

    /// The object, if it is, byte for byte, what was committed. What is read of it later is of the
    /// version that was found here.
    async fn open(&self, output: &CommittedOutput) -> Result<Option<OpenFile>> {
        let store = self.store.store();
        let Some(meta) = store.head(&output.path).await? else { return Ok(None) };
        if store.sha256(&output.path).await? != Some(output.sha256) {
            return Ok(None);
        }
        match open(&self.store, &meta).await {
            Ok(file) => Ok(Some(file)),
            Err(why) if why.code() == Code::InputChanged => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// What quarantine calls the file of `table` that is asked for by its key or by that name.
    fn name_of(&self, table: &str, asked: Option<&str>) -> Option<String> {
        let asked = asked?;
        let source = self.spec.source(table);
        let label = source.and_then(|source| source.folder()).map(|folder| &folder.label);
        let is_name = label.is_some_and(|label| {
            asked.strip_prefix(label.as_str()).is_some_and(|rest| rest.starts_with('/'))
        });
        Some(match source {
            Some(source) if !is_name => source.name_of(asked),
            _ => asked.to_owned(),
        })
    }
}

fn named(row: AsideRow, table: &str, window: TimeRange) -> QuarantinedRow {
    let AsideRow { rule, rules, reason, file, row, values } = row;
    QuarantinedRow { window, table: table.to_owned(), rule, rules, reason, file, row, values }
}
