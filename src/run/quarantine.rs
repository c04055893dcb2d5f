//! Rows that were put aside, read from the objects that the log names: no folder is listed, and no
//! attempt that was not committed is taken for one that was.

use std::sync::Arc;

use super::project::Project;
use crate::error::{Code, Error, Result};
use crate::execute::{AsideRow, read_aside};
use crate::ledger::{FileId, Ledger};
use crate::log::{StateLog, read_ledger};
use crate::report::{Quarantined, QuarantinedRow};
use crate::source::{OpenFile, SourceStore, open};
use crate::spec::{PipelineSpec, QuarantineSpec};
use crate::state::{CommittedOutput, State, TimeRange};
use crate::time::EventTime;

/// How often an object is looked for that is not what the log says, while the log says other things
/// of it each time.
const ROUNDS_MAX: u32 = 3;

/// The range that leaves nothing out: also not rows that belong to no window.
pub const ALL_TIME: TimeRange = TimeRange { start: EventTime::FIRST, end: EventTime::END };

/// Which rows to show.
#[derive(Clone, Debug)]
pub struct AskedRows {
    /// Only of windows that start in here. Rows that belong to no window are in no range but
    /// [`ALL_TIME`].
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

/// The files that `state`, the log of `spec`, has admitted, if rows of any of them are kept aside
/// that belong to no window.
///
/// # Errors
/// If the ledger is damaged or cannot be read.
pub async fn admitted(project: &Project, spec: &PipelineSpec, state: &State) -> Result<Ledger> {
    if state.asides.is_empty() {
        return Ok(Ledger::default());
    }
    read_ledger(project.log(&spec.name).store().as_ref(), state).await
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
    let shelf = Shelf { spec, log, store, asked };
    let AskedRows { range, rule, .. } = asked;
    for (start, window) in state.windows.range(range.start..range.end) {
        let committed = &window.committed;
        let mut rules = committed.balance.rules.iter();
        let has_rows = committed.rows.quarantined > 0;
        if !has_rows || rule.as_ref().is_some_and(|name| !rules.any(|rule| rule.rule == *name)) {
            continue;
        }
        let found = shelf.rows(&state, &Holder::Window(*start), asked.room(&told)).await?;
        if state.in_doubt.contains_key(start) || found.is_none() {
            let window = TimeRange { start: *start, end: committed.end };
            told.in_doubt.push((window, found.is_some()));
        }
        if asked.has_enough(&mut told, found) {
            return Ok(told);
        }
    }
    let is_of_windows = rule.as_ref().is_some_and(|name| !QuarantineSpec::is_windowless(name));
    if *range != ALL_TIME || is_of_windows {
        return Ok(told);
    }
    for (id, known) in &state.asides {
        let has_rows = known.committed.as_ref().is_some_and(|known| known.object.rows > 0);
        if !(has_rows || known.is_in_doubt) || !shelf.is_asked(id) {
            continue;
        }
        let found = shelf.rows(&state, &Holder::File(id.clone()), asked.room(&told)).await?;
        if known.is_in_doubt || found.is_none() {
            told.files_in_doubt.push((id.clone(), found.is_some()));
        }
        if asked.has_enough(&mut told, found) {
            break;
        }
    }
    Ok(told)
}

impl AskedRows {
    /// How many rows may still be found. One more tells whether there are more.
    fn room(&self, told: &Quarantined) -> usize {
        self.most.saturating_sub(told.rows.len()).saturating_add(1)
    }

    /// Adds what was found. Whether that is all that may be told.
    fn has_enough(&self, told: &mut Quarantined, found: Option<Vec<QuarantinedRow>>) -> bool {
        told.rows.extend(found.into_iter().flatten());
        told.is_cut = told.rows.len() > self.most;
        told.rows.truncate(self.most);
        told.is_cut
    }
}

/// Whose objects hold rows that were put aside.
enum Holder {
    /// The window that starts here.
    Window(EventTime),
    /// A source file, of whose rows some belong to no window.
    File(FileId),
}

/// What the log says of a holder: its objects with the tables their rows are of.
#[derive(PartialEq)]
struct Said {
    window: Option<TimeRange>,
    objects: Vec<(String, CommittedOutput)>,
    is_in_doubt: bool,
}

impl Holder {
    fn said(&self, state: &State) -> Option<Said> {
        match self {
            Self::Window(start) => {
                let committed = &state.windows.get(start)?.committed;
                let outputs = committed.outputs.iter();
                let asides = outputs.filter(|output| QuarantineSpec::is_name(&output.name));
                let table = |name: &str| name.split_once('.').map_or("", |(_, table)| table).into();
                let objects = asides.map(|output| (table(&output.name), output.clone()));
                Some(Said {
                    window: Some(TimeRange { start: *start, end: committed.end }),
                    objects: objects.collect(),
                    is_in_doubt: state.in_doubt.contains_key(start),
                })
            }
            Self::File(id) => {
                let known = state.asides.get(id)?;
                let objects = known.committed.iter();
                let objects = objects.map(|known| (known.table.clone(), known.object.clone()));
                let is_in_doubt = known.is_in_doubt;
                Some(Said { window: None, objects: objects.collect(), is_in_doubt })
            }
        }
    }
}

/// What reading the objects of a holder came to.
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
    asked: &'a AskedRows,
}

impl Shelf<'_> {
    /// The wanted rows of one holder, which `state` has; `None` if its objects are being replaced.
    async fn rows(
        &self,
        state: &State,
        holder: &Holder,
        most: usize,
    ) -> Result<Option<Vec<QuarantinedRow>>> {
        let said = holder.said(state).filter(|said| !said.objects.is_empty());
        let Some(mut said) = said else { return Ok(None) };
        for _ in 0..ROUNDS_MAX {
            let name = match self.read(&said, most).await? {
                Reading::Rows(rows) => return Ok(Some(rows)),
                Reading::Replaced => continue,
                Reading::Other(name) => name,
            };
            if said.is_in_doubt {
                return Ok(None);
            }
            // A run may be at work on it since.
            let Some(now) = self.look_again(holder).await? else { return Ok(None) };
            if now == said {
                let text = format!("{name} is not what was committed");
                return Err(Error::new(Code::CorruptInput, text)
                    .hint("`highwater verify` names all that is damaged")
                    .hint("`highwater reprocess PIPELINE --damaged` computes it again"));
            }
            said = now;
        }
        Ok(None)
    }

    async fn look_again(&self, holder: &Holder) -> Result<Option<Said>> {
        let Some(opening) = self.log.open().await? else { return Ok(None) };
        let mut state = opening.state;
        if let Holder::Window(start) = holder {
            let wanted = state.wanted([*start]);
            self.log.recall(&mut state, wanted).await?;
        }
        Ok(holder.said(&state))
    }

    /// The wanted rows of a holder; of one without an object nothing was ever committed.
    async fn read(&self, said: &Said, most: usize) -> Result<Reading> {
        let mut rows = Vec::new();
        for (table, object) in &said.objects {
            if object.rows == 0 || rows.len() >= most {
                continue;
            }
            let Some(file) = self.open(object).await? else {
                return Ok(Reading::Other(self.store.store().name_of(&object.path)));
            };
            let left = most.saturating_sub(rows.len());
            let source_file = self.name_of(table, self.asked.file.as_deref());
            let rule = self.asked.rule.as_deref();
            match read_aside(&file, rule, source_file.as_deref(), left).await {
                Ok(found) => {
                    rows.extend(found.into_iter().map(|row| self.named(row, table, said.window)));
                }
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

    /// Whether rows of this file are asked for.
    fn is_asked(&self, id: &FileId) -> bool {
        let Some(asked) = self.asked.file.as_deref() else { return true };
        let source = self.spec.source(&id.table);
        asked == id.key || source.is_some_and(|source| source.name_of(&id.key) == asked)
    }

    fn named(&self, row: AsideRow, table: &str, window: Option<TimeRange>) -> QuarantinedRow {
        let AsideRow { rule, rules, reason, file, row, window_start, values } = row;
        let home = || {
            let home = self.spec.grid.window_at(window_start?)?;
            Some(TimeRange { start: home.start(), end: home.end() })
        };
        let (window, table) = (window.or_else(home), table.to_owned());
        QuarantinedRow { window, table, rule, rules, reason, file, row, values }
    }
}
