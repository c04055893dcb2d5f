//! What became of the rows that a condition holds for. It reads files of the ledger, and of those
//! only versions that were admitted; it writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::foresee::{Look, outdated};
use super::project::{Opened, Project};
use super::session::{Planned, Session, table_of};
use crate::error::{Code, Error, ErrorKind, Result};
use crate::execute::{Executor, FoundRow, RowFate, Search, row_fates};
use crate::id::Epoch;
use crate::ledger::{Admitted, FileId, Ledger};
use crate::plan::{DueWindow, Outdated, Place, Places, Sight};
use crate::report::{Fate, Original, Trace, TracedCommit, TracedRow};
use crate::source::Verdict;
use crate::spec::{PipelineSpec, QuarantineSpec, SourceSpec};
use crate::state::{Reason, State, TimeRange, WindowState};
use crate::time::EventTime;
use crate::window::Window;

/// The most rows that are told of: bounds memory, and how many windows are judged.
const ROWS_MAX: usize = 1_000;

/// Which rows to tell of.
#[derive(Clone, Debug)]
pub struct AskedTrace {
    /// A condition on one row, in SQL.
    pub condition: String,
    /// Only of this source.
    pub source: Option<String>,
    /// Only with an event time in here.
    pub range: Option<TimeRange>,
}

/// What became of the rows of `spec`, as `asked`.
///
/// # Errors
/// If the state or a source cannot be read, or the condition fits no source.
pub async fn trace(project: &Project, spec: &PipelineSpec, asked: &AskedTrace) -> Result<Trace> {
    let session = Session::new(project, spec);
    let Opened { log, state, ledger } = project.open(spec).await?;
    let mut told = Trace { is_before_first_run: state.is_none(), ..Trace::default() };
    let look = project.look(&session, state.as_ref(), &ledger).await?;
    let mut state = state.unwrap_or_else(|| State::before_first_run(spec.name.clone()));
    let planned = session.prepare(&project.engine, &look, &ledger, &state).await?;
    let news = count_news(&look, &ledger);
    told.not_admitted = u64::try_from(news).unwrap_or(u64::MAX);
    let unread = unreadable(&look, &ledger);
    let tracer = Tracer { project, session: &session, look: &look, ledger: &ledger, planned };
    let mut found = Vec::new();
    'sources: for (source, search) in tracer.searches(asked, &mut told)? {
        let files = ledger.files_of(&source.table).filter(|(_, known)| !known.record.removed);
        for (id, known) in files.filter(|(_, known)| may_hold(known, asked.range)) {
            if let Some(why) = unread.get(id) {
                told.unread.push((id.clone(), source.name_of(&id.key), why.clone()));
                continue;
            }
            let is_wanted = |verdict| is_within(verdict, asked.range);
            let left = ROWS_MAX.saturating_sub(found.len()).saturating_add(1);
            match search.find(&tracer.executor(), id, is_wanted, left).await {
                Ok(rows) => {
                    found.extend(rows.into_iter().map(|row| Found { source, id, known, row }));
                }
                Err(why) if is_of_the_file(&why) => {
                    let why = why.message().to_owned();
                    told.unread.push((id.clone(), source.name_of(&id.key), why));
                }
                Err(why) => return Err(why),
            }
            told.is_cut = found.len() > ROWS_MAX;
            if told.is_cut {
                break 'sources;
            }
        }
    }
    found.truncate(ROWS_MAX);
    let home = |found: &Found<'_>| match found.row.1 {
        Verdict::Usable(at) => spec.grid.window_at(at),
        Verdict::NoTime | Verdict::Future => None,
    };
    let homes: BTreeSet<EventTime> = found.iter().filter_map(home).map(Window::start).collect();
    let wanted = state.wanted(homes.iter().copied());
    log.recall(&mut state, wanted).await?;
    let outdated = outdated(spec, &state, &look.references);
    let standings = Standings { places: Places::new(spec, &state), spec, state: &state, outdated };
    told.rows = found.iter().map(|found| standings.row(found)).collect();
    tracer.judge(&mut told.rows, &unread).await?;
    Ok(told)
}

/// A row that was found.
struct Found<'a> {
    source: &'a SourceSpec,
    id: &'a FileId,
    known: &'a Admitted,
    row: FoundRow,
}

/// How many files are listed that the ledger does not have.
fn count_news(look: &Look, ledger: &Ledger) -> usize {
    let news_of = |table: &str| {
        let known: BTreeSet<&str> = ledger.files_of(table).map(|(id, _)| &*id.key).collect();
        look.discovery.listed.keys(table).filter(|key| !known.contains(key)).count()
    };
    look.discovery.listed.tables().map(news_of).sum()
}

/// Files of the ledger whose admitted version is not to be had, and why not.
fn unreadable(look: &Look, ledger: &Ledger) -> BTreeMap<FileId, String> {
    let discovery = &look.discovery;
    let news = discovery.records.iter().filter(|record| !record.settles);
    let news: BTreeSet<(&str, &str)> =
        news.map(|record| (record.id.table.as_str(), record.id.key.as_str())).collect();
    let mut unread = BTreeMap::new();
    for (id, known) in ledger.files().filter(|(_, known)| !known.record.removed) {
        let listed = discovery.listed.get(id);
        let is_as_admitted = !news.contains(&(id.table.as_str(), id.key.as_str()))
            && listed.is_none_or(|listed| listed.has_version(&known.record.version));
        let why = if discovery.held.contains(id) {
            "it is being written"
        } else if listed.is_none() {
            "it is gone"
        } else if !is_as_admitted {
            "it changed, and no run has admitted what it is now"
        } else {
            continue;
        };
        unread.insert(id.clone(), why.to_owned());
    }
    unread
}

/// Whether a file may hold a row with an event time in `range`.
fn may_hold(known: &Admitted, range: Option<TimeRange>) -> bool {
    let Some(range) = range else { return true };
    known.record.event_range.is_some_and(|(first, last)| first < range.end && range.start <= last)
}

fn is_within(verdict: Verdict, range: Option<TimeRange>) -> bool {
    match (range, verdict) {
        (None, _) => true,
        (Some(range), Verdict::Usable(at)) => range.start <= at && at < range.end,
        (Some(_), Verdict::NoTime | Verdict::Future) => false,
    }
}

/// Whether it is the file that cannot be read or has other columns, and not the store that fails.
fn is_of_the_file(why: &Error) -> bool {
    let codes = [
        Code::CorruptInput,
        Code::InputChanged,
        Code::SchemaMismatch,
        Code::SourceMissing,
        Code::UpstreamDamaged,
    ];
    codes.contains(&why.code())
}

struct Tracer<'a> {
    project: &'a Project,
    session: &'a Session<'a>,
    look: &'a Look,
    ledger: &'a Ledger,
    planned: Option<Planned>,
}

impl<'a> Tracer<'a> {
    /// The sources to search, and what to look for in each. Those that the condition does not fit
    /// are passed over, unless it fits none.
    fn searches(
        &self,
        asked: &AskedTrace,
        told: &mut Trace,
    ) -> Result<Vec<(&'a SourceSpec, Search)>> {
        let spec = self.session.spec;
        let is_asked =
            |source: &&SourceSpec| asked.source.as_ref().is_none_or(|table| source.table == *table);
        if !spec.sources.iter().any(|source| is_asked(&source)) {
            let names: Vec<&str> = spec.sources.iter().map(|one| one.table.as_str()).collect();
            let table = asked.source.as_deref().unwrap_or_default();
            return Err(Error::new(Code::Usage, format!("there is no source `{table}`"))
                .note(format!("sources of {}: {}", spec.name, names.join(", "))));
        }
        let mut searches = Vec::new();
        let mut refusal = None;
        for source in spec.sources.iter().filter(is_asked) {
            let columns = self.planned.iter().flat_map(|planned| &planned.columns);
            let mut columns = columns.filter(|columns| columns.table == source.table);
            let Some(columns) = columns.next() else {
                // No file tells what columns there are: what the condition names may be there.
                Search::check(&self.project.engine, &asked.condition)?;
                continue;
            };
            let schema = table_of(source, self.look, columns)?;
            match Search::new(&self.project.engine, source, &schema, &asked.condition) {
                Ok(search) => searches.push((source, search)),
                Err(why) if why.kind() == ErrorKind::Config => {
                    told.passed_over.push(source.table.clone());
                    refusal = refusal.or(Some(why));
                }
                Err(why) => return Err(why),
            }
        }
        match refusal {
            Some(why) if searches.is_empty() => Err(why),
            _ => Ok(searches),
        }
    }

    /// What reads files; it computes nothing.
    fn executor(&self) -> Executor<'_> {
        Executor {
            spec: self.session.spec,
            engine: &self.project.engine,
            prepared: self.planned.as_ref().map(|planned| planned.prepared.clone()),
            sources: &self.session.sources,
            listed: &self.look.discovery.listed,
            references: &self.look.references,
            ledger: self.ledger,
            due: BTreeMap::new(),
            staging: PathBuf::new(),
            epoch: Epoch(0),
            is_gated: false,
        }
    }

    /// Judges the rows of which is only known that their window was committed with them, window by
    /// window.
    async fn judge(&self, rows: &mut [TracedRow], unread: &BTreeMap<FileId, String>) -> Result<()> {
        let mut windows: BTreeMap<(String, EventTime), Vec<usize>> = BTreeMap::new();
        for (place, row) in rows.iter().enumerate() {
            if let (Some(window), Fate::Used) = (row.window, &row.fate) {
                let home = (row.file.table.clone(), window.start());
                windows.entry(home).or_default().push(place);
            }
        }
        for ((table, _), places) in windows {
            let own = |place: &usize| rows.get(*place);
            let Some(window) = places.first().and_then(own).and_then(|row| row.window) else {
                continue;
            };
            let wanted: Vec<(String, u64)> =
                places.iter().filter_map(own).map(|row| (row.file.key.clone(), row.row)).collect();
            let fates = self.fates(&table, window, &wanted, unread).await?;
            for (place, fate) in places.into_iter().zip(fates) {
                if let Some(row) = rows.get_mut(place) {
                    row.fate = fate;
                }
            }
        }
        Ok(())
    }

    /// What becomes of rows of one window.
    async fn fates(
        &self,
        table: &str,
        window: Window,
        wanted: &[(String, u64)],
        unread: &BTreeMap<FileId, String>,
    ) -> Result<Vec<Fate>> {
        let spec = self.session.spec;
        let unknown = |why: String| vec![Fate::Unknown { why }; wanted.len()];
        if !spec.source(table).is_some_and(SourceSpec::is_judged) {
            return Ok(vec![Fate::Used; wanted.len()]);
        }
        let inputs = Sight::new(spec, self.ledger).inputs_of(window).into_iter();
        let inputs = inputs.map(|(_, input)| input).filter(|input| input.file.table == table);
        let due =
            DueWindow { inputs: inputs.collect(), ..DueWindow::empty(window, Reason::Requested) };
        let gone =
            due.inputs.iter().find_map(|input| Some((&input.file, unread.get(&input.file)?)));
        if let Some((file, why)) = gone {
            let why = format!("{}, which decides about it too: {why}", self.name_of(file));
            return Ok(unknown(why));
        }
        match row_fates(&self.executor(), table, &due, wanted).await {
            Ok(fates) => Ok(fates.into_iter().map(|fate| self.fate(table, fate)).collect()),
            Err(why)
                if is_of_the_file(&why)
                    || why.code() == Code::WindowTooLarge
                    || why.kind() == ErrorKind::Failed =>
            {
                Ok(unknown(why.message().to_owned()))
            }
            Err(why) => Err(why),
        }
    }

    fn name_of(&self, file: &FileId) -> String {
        let source = self.session.spec.source(&file.table);
        source.map_or_else(|| file.key.clone(), |source| source.name_of(&file.key))
    }

    fn fate(&self, table: &str, fate: Option<RowFate>) -> Fate {
        let original = |(key, row, at): (String, u64, EventTime)| {
            let file = FileId { table: table.to_owned(), key };
            let (name, window) = (self.name_of(&file), self.session.spec.grid.window_at(at));
            Original { key: file.key, name, row, window }
        };
        match fate {
            Some(RowFate::Used) => Fate::Used,
            Some(RowFate::Quarantined { rule, reason }) => Fate::Quarantined { rule, reason },
            Some(RowFate::Dropped { rule }) => Fate::Dropped { rule },
            Some(RowFate::Refused { rule }) => Fate::Refused { rule },
            Some(RowFate::Duplicate { of }) => Fate::Duplicate { of: of.map(original) },
            None => Fate::Unknown { why: "it is not in its window any more".to_owned() },
        }
    }
}

/// What the log says of the windows that rows belong to.
struct Standings<'a> {
    spec: &'a PipelineSpec,
    state: &'a State,
    places: Places<'a>,
    outdated: Outdated,
}

impl Standings<'_> {
    /// A row, as far as ledger and log tell; [`Fate::Used`] if it is to be judged yet.
    fn row(&self, found: &Found<'_>) -> TracedRow {
        let Found { source, id, known, row: (row, verdict) } = *found;
        let (at, time_fate) = match verdict {
            Verdict::Usable(at) => (Some(at), None),
            Verdict::NoTime => (None, Some(Fate::NullTime)),
            Verdict::Future => (None, Some(Fate::Future)),
        };
        let window = at.and_then(|at| self.spec.grid.window_at(at));
        let computed = window.and_then(|window| self.state.windows.get(&window.start()));
        let is_expired = at.is_some_and(|at| {
            let cell = source.margins.cell_at(&self.spec.grid, at).map(Window::start);
            known.record.expired.iter().any(|(expired, _)| Some(*expired) == cell)
        });
        let fate = match (time_fate, window) {
            (Some(fate), _) => fate,
            (None, Some(_)) if is_expired => Fate::Expired,
            (None, Some(window)) => self.fate(window, known, computed),
            (None, None) => Fate::NullTime,
        };
        let name = source.name_of(&id.key);
        let commit = computed.map(|window| self.commit(window));
        let file = id.clone();
        TracedRow { file, name, row, at, window, fate, commit }
    }

    fn fate(&self, window: Window, known: &Admitted, computed: Option<&WindowState>) -> Fate {
        match self.places.of(window) {
            Place::Committed if computed.is_some_and(|it| it.committed.restores.is_some()) => {
                Fate::Restored
            }
            Place::Committed => Fate::Used,
            Place::Stale | Place::Empty => {
                // Of a window without a row nothing was known.
                let is_new = computed.is_none_or(|it| known.came_with() > it.generation);
                Fate::Stale { is_new }
            }
            Place::Skipped => Fate::Skipped,
            Place::Failed => {
                let failed = self.state.failed.get(&window.start());
                let (code, message) = failed.map_or_else(Default::default, |failed| {
                    (failed.code.clone(), failed.message.clone())
                });
                Fate::Failed { code, message }
            }
            Place::Pending => Fate::Pending,
            Place::Open => Fate::Open,
            Place::BeforeBegin => Fate::BeforeBegin,
        }
    }

    fn commit(&self, window: &WindowState) -> TracedCommit {
        let outputs = window.committed.outputs.iter();
        let outputs = outputs.filter(|output| !QuarantineSpec::is_name(&output.name));
        TracedCommit {
            seq: window.seq,
            revision: window.committed.rev,
            outputs: outputs.map(|output| output.path.clone()).collect(),
            is_in_doubt: self.state.in_doubt.contains_key(&window.committed.start),
            is_outdated: self.outdated.queries.contains(&window.query),
        }
    }
}
