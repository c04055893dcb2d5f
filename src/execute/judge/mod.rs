//! Judges the rows of a window before its query sees them: rules first, then duplicates.
//!
//! A row is judged in the window it belongs to, its home, from all rows of that window and, where
//! duplicates are told apart across windows, from those before. A window that shows rows of its
//! neighbours judges them as they are judged at home, and counts none of them.

mod alike;
mod dedup;
mod quarantine;
mod rules;
mod trace;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::prelude::SessionContext;

use super::even::Even;
use super::scan::Piece;
use super::sql::bug;
use crate::error::{Code, Error, Result};
use crate::spec::SourceSpec;
use crate::state::{FileBalance, RuleCount};
use crate::window::{Window, WindowGrid};
use dedup::Dedup;
pub(super) use quarantine::{Origins, check_names, schema as quarantine_schema, with_origins};
pub(super) use quarantine::{REASON, RULE, RULES, SOURCE_FILE, SOURCE_ROW};
use rules::{Broken, Rules};
pub(super) use rules::{check_syntax, columns_of, condition};
pub use trace::RowFate;

/// What is done to the rows of one source before they are queried.
#[derive(Debug)]
pub(super) struct Judge {
    source: SourceSpec,
    /// The columns that are read: those that the queries see, and those that rows are judged by.
    read: SchemaRef,
    /// The places of those that the queries see.
    seen: Vec<usize>,
    seen_schema: SchemaRef,
    rules: Rules,
    dedup: Option<Dedup>,
}

/// What became of the rows of one table that matter to a window.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// The rows that the queries see.
    pub(super) seen: Vec<RecordBatch>,
    /// The rows that were put aside.
    pub(super) quarantined: Vec<RecordBatch>,
    /// The window's own rows, by file.
    pub(super) files: Vec<FileBalance>,
    /// The rules that they broke.
    pub(super) rules: Vec<RuleCount>,
    /// Rows of other windows that the queries see.
    pub(super) margin: u64,
}

/// What becomes of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Used,
    Duplicate,
    Dropped,
    Quarantined,
    /// Its window is refused.
    Refused,
}

impl Judge {
    /// Plans how to judge the rows of `source`, whose files and folders give the columns `whole`
    /// and whose queries see `seen`.
    ///
    /// # Errors
    /// If a condition cannot be planned over these columns, or one of them is not there.
    pub(super) fn new(
        session: &SessionContext,
        source: &SourceSpec,
        whole: &SchemaRef,
        seen: &SchemaRef,
    ) -> Result<Self> {
        check_dedup(source, whole)?;
        let read = columns_to_read(session, source, whole, seen)?;
        let places = seen.fields().iter().map(|field| read.index_of(field.name()));
        let places: Vec<usize> =
            places.collect::<Result<_, _>>().map_err(|why| bug(&why.into()))?;
        let seen_schema = read.project(&places).map_err(|why| bug(&why.into()))?;
        if source.has_quarantine() {
            quarantine::check_names(source, &read)?;
        }
        let rules = Rules::new(session, source, &read)?;
        let dedup = source.dedup.as_ref().map(|dedup| Dedup::new(dedup, source, &read));
        Ok(Self {
            source: source.clone(),
            read,
            seen: places,
            seen_schema: Arc::new(seen_schema),
            rules,
            dedup: dedup.transpose()?,
        })
    }

    /// The columns that are read.
    pub(super) fn read(&self) -> &SchemaRef {
        &self.read
    }

    /// The columns of quarantined rows.
    pub(super) fn quarantine_schema(&self) -> SchemaRef {
        quarantine_schema(&self.read)
    }

    /// Judges the rows that matter to `window`.
    ///
    /// # Errors
    /// If a condition fails over a row, or a row must not be there at all.
    pub(super) fn judge(
        &self,
        grid: &WindowGrid,
        window: Window,
        pieces: &[Piece],
    ) -> Result<Judged> {
        let (mut fates, broken) = self.by_rules(pieces)?;
        if let Some(dedup) = &self.dedup {
            dedup.mark(grid, pieces, &mut fates)?;
        }
        let mut sheet = Sheet::new(self, window);
        for ((piece, broken), fates) in pieces.iter().zip(&broken).zip(&fates) {
            sheet.add(piece, broken, fates)?;
        }
        sheet.finish(grid)
    }

    /// What rules alone make of each row, and which it breaks.
    fn by_rules(&self, pieces: &[Piece]) -> Result<(Vec<Vec<Fate>>, Vec<Broken>)> {
        let mut fates = Vec::with_capacity(pieces.len());
        let mut broken = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let name_of = |place: usize| {
                let row = piece.rows.get(place).copied().unwrap_or_default();
                format!("row {row} of {}", self.source.name_of(&piece.key))
            };
            let breaks = self.rules.broken(&piece.batch, name_of)?;
            fates.push(breaks.iter().map(|broken| self.rules.fate(*broken)).collect::<Vec<_>>());
            broken.push(breaks);
        }
        Ok((fates, broken))
    }
}

/// Refuses duplicates that are told by columns which are not among `whole`.
fn check_dedup(source: &SourceSpec, whole: &SchemaRef) -> Result<()> {
    let Some(dedup) = &source.dedup else { return Ok(()) };
    let [keys, order] = [("keys", &dedup.keys), ("order_by", &dedup.order_by)]
        .map(|(key, columns)| columns.iter().map(move |name| (key, name)));
    let mut named = keys.chain(order);
    let Some((key, name)) = named.find(|(_, name)| whole.column_with_name(name).is_none()) else {
        return Ok(());
    };
    let error = dedup::missing(key, name, source, whole);
    Err(match dedup.places.iter().find(|(column, _)| column == name) {
        Some((_, place)) => error.at(place.clone()),
        None => error,
    })
}

/// The columns of `whole` that must be read: what queries see, what rows are judged by, and
/// everything if rows may be put aside.
fn columns_to_read(
    session: &SessionContext,
    source: &SourceSpec,
    whole: &SchemaRef,
    seen: &SchemaRef,
) -> Result<SchemaRef> {
    let mut names: BTreeSet<String> = rules::columns(session, source, whole)?;
    if source.has_quarantine() {
        return Ok(whole.clone());
    }
    names.extend(seen.fields().iter().map(|field| field.name().clone()));
    if let Some(dedup) = &source.dedup {
        names.extend(dedup.keys.iter().chain(&dedup.order_by).cloned());
    }
    let read = whole.fields().iter().filter(|field| names.contains(field.name()));
    Ok(Arc::new(Schema::new(read.cloned().collect::<Vec<_>>())))
}

/// What became of the rows, as far as they were gone through.
struct Sheet<'a> {
    judge: &'a Judge,
    window: Window,
    /// What the queries see.
    shown: Window,
    judged: Judged,
    seen: Even,
    /// How many rows of the window count with each rule.
    by_rule: Vec<u64>,
    /// The first row that refuses the window, and how many there are.
    refused: Option<(String, u64)>,
}

impl<'a> Sheet<'a> {
    fn new(judge: &'a Judge, window: Window) -> Self {
        let shown = judge.source.margins.seen_from(window);
        let by_rule = vec![0; judge.rules.specs().count()];
        let seen = Even::new(&judge.seen_schema);
        Self { judge, window, shown, judged: Judged::default(), seen, by_rule, refused: None }
    }

    fn add(&mut self, piece: &Piece, broken: &Broken, fates: &[Fate]) -> Result<()> {
        let mut file = FileBalance {
            table: self.judge.source.table.clone(),
            key: piece.key.to_string(),
            ..FileBalance::default()
        };
        let mut is_seen = Vec::with_capacity(fates.len());
        for (row, (at, fate)) in piece.times.iter().zip(fates).enumerate() {
            let is_own = self.window.contains(*at);
            is_seen.push(*fate == Fate::Used && self.shown.contains(*at));
            if is_own {
                count(&mut file, *fate);
                if let Some(broken) = broken.get(row).copied().filter(|broken| *broken != 0) {
                    self.count_rules(piece, row, broken, *fate);
                }
            } else if is_seen.last() == Some(&true) {
                self.judged.margin = self.judged.margin.saturating_add(1);
            }
        }
        self.add_file(file);
        let own = piece.batch.project(&self.judge.seen).map_err(|why| bug(&why.into()))?;
        self.seen.add(own, Some(&BooleanArray::from(is_seen)))?;
        let (source, rules) = (&self.judge.source, &self.judge.rules);
        let aside = quarantine::rows(source, rules, self.window, piece, broken, fates)?;
        self.judged.quarantined.extend(aside);
        Ok(())
    }

    fn count_rules(&mut self, piece: &Piece, row: usize, broken: u64, fate: Fate) {
        for place in self.judge.rules.counting(broken) {
            if let Some(rows) = self.by_rule.get_mut(place) {
                *rows = rows.saturating_add(1);
            }
        }
        if fate == Fate::Refused {
            let rule = self.judge.rules.decider(broken);
            let rule = rule.and_then(|place| self.judge.rules.specs().nth(place));
            let name = rule.map_or("", |rule| rule.name.as_str());
            let row = piece.rows.get(row).copied().unwrap_or_default();
            let file = self.judge.source.name_of(&piece.key);
            let first = || (format!("row {row} of {file} breaks rule `{name}`"), 0);
            let (_, rows) = self.refused.get_or_insert_with(first);
            *rows = rows.saturating_add(1);
        }
    }

    /// Pieces of a file follow each other.
    fn add_file(&mut self, file: FileBalance) {
        match self.judged.files.last_mut() {
            Some(last) if last.key == file.key => last.add(&file),
            _ => self.judged.files.push(file),
        }
    }

    fn finish(mut self, grid: &WindowGrid) -> Result<Judged> {
        if let Some((first, rows)) = self.refused {
            let label = grid.label(self.window);
            let text = format!("{first}; window {label} has {rows} rows that must not be there");
            return Err(Error::new(Code::RuleBroken, text)
                .note("the window was not published; its previous output, if any, stands")
                .hint("mend the file, or let the rule put such rows aside: `quarantine`"));
        }
        let rules = self.judge.rules.specs().zip(self.by_rule).filter(|(_, rows)| *rows > 0);
        self.judged.rules = rules
            .map(|(rule, rows)| RuleCount {
                table: self.judge.source.table.clone(),
                rule: rule.name.clone(),
                action: rule.on_violation.as_str().to_owned(),
                rows,
            })
            .collect();
        self.judged.files.retain(|file| file.input > 0);
        self.judged.seen = self.seen.finish()?;
        Ok(self.judged)
    }
}

fn count(file: &mut FileBalance, fate: Fate) {
    let part = match fate {
        Fate::Used => &mut file.used,
        Fate::Duplicate => &mut file.duplicate,
        Fate::Dropped => &mut file.dropped,
        Fate::Quarantined => &mut file.quarantined,
        Fate::Refused => return,
    };
    *part = part.saturating_add(1);
    file.input = file.input.saturating_add(1);
}
