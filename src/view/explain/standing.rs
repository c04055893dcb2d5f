//! How a window stands, in one word and one sentence.

use super::{EventKind, Explained, LeftOut, WhyLeftOut, Work};
use crate::id::PipelineName;
use crate::plan::{ROWLESS_MAX, source_watermark};
use crate::spec::{OnQueryChange, SourceSpec};
use crate::time::{EventTime, Span};

/// How a window stands, in one word: the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was begun and not committed.
    InDoubt,
    /// It could not be computed the last time, or a run would refuse it now.
    Failed,
    /// It is closed, and waits for an input that is on its way or cannot be read.
    Held,
    /// It is committed, and due again.
    Stale,
    /// It is due, and was never committed.
    Pending,
    /// It is committed, and not due.
    Committed,
    /// It is committed without a row, and not due.
    Empty,
    /// It is committed without being computed, and not due.
    Skipped,
    /// It lies before the first window that runs take up by themselves, and was never committed.
    BeforeBegin,
    /// It is not closed.
    Open,
}

impl Standing {
    /// The word for it in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InDoubt => "in_doubt",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Stale => "stale",
            Self::Pending => "pending",
            Self::Committed => "committed",
            Self::Empty => "empty",
            Self::Skipped => "skipped",
            Self::BeforeBegin => "before_begin",
            Self::Open => "open",
        }
    }
}

/// How far a source has come, and how far a window needs it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStanding {
    /// The table's name in SQL.
    pub table: String,
    /// The pipeline it reads from; `None` if it reads files.
    pub upstream: Option<PipelineName>,
    /// Its watermark; `None` before its first event.
    pub watermark: Option<EventTime>,
    /// The newest event it ever brought.
    pub last_event_at: Option<EventTime>,
    /// What its watermark must reach for the window to close: its end and the source's lookahead.
    pub needs: EventTime,
}

impl SourceStanding {
    /// Whether the window may close as far as this source goes.
    #[must_use]
    pub fn has_come(&self) -> bool {
        self.watermark.is_some_and(|at| at >= self.needs)
    }
}

impl Explained<'_> {
    pub(super) fn sources(&self) -> Vec<SourceStanding> {
        let end = self.window().end();
        let standing = |source: &SourceSpec| SourceStanding {
            table: source.table.clone(),
            upstream: source.upstream().map(|upstream| upstream.pipeline.clone()),
            watermark: source_watermark(source, self.facts.state),
            last_event_at: self.facts.state.last_event_at.get(&source.table).copied(),
            needs: end.plus(source.margins.lookahead).unwrap_or(EventTime::END),
        };
        self.spec().sources.iter().map(standing).collect()
    }

    pub(super) fn standing(&self, work: Option<&Work<'_>>, sources: &[SourceStanding]) -> Standing {
        let (state, start) = (self.facts.state, self.window().start());
        let is_closed = sources.iter().all(SourceStanding::has_come);
        let is_failed = state.failed.contains_key(&start);
        match work {
            _ if state.in_doubt.contains_key(&start) => Standing::InDoubt,
            Some(Work::Refuse(..)) => Standing::Failed,
            _ if is_failed => Standing::Failed,
            Some(Work::Wait(_) | Work::Withhold(_)) => Standing::Held,
            Some(_) if state.is_committed(self.window()) => Standing::Stale,
            Some(_) => Standing::Pending,
            None if state.is_computed(start) => Standing::Committed,
            None if state.skipped.contains(start) => Standing::Skipped,
            None if state.empty.contains(start) => Standing::Empty,
            None if self.is_before_begin() => Standing::BeforeBegin,
            None if is_closed && self.facts.is_held => Standing::Held,
            None => Standing::Open,
        }
    }

    /// Whether the window lies before the first one that runs take up by themselves.
    pub(super) fn is_before_begin(&self) -> bool {
        let first = self.facts.state.watermark.or(self.spec().begin);
        first.is_some_and(|first| self.window().start() < first)
    }

    pub(super) fn has_outdated_query(&self) -> bool {
        let computed = self.facts.state.windows.get(&self.window().start());
        computed.is_some_and(|computed| self.facts.outdated.queries.contains(&computed.query))
    }

    pub(super) fn has_outdated_references(&self) -> bool {
        let computed = self.facts.state.windows.get(&self.window().start());
        let references = computed.and_then(|computed| computed.references);
        references.is_some_and(|seq| self.facts.outdated.references.contains(&seq))
    }

    pub(super) fn why_not(
        &self,
        state: Standing,
        work: Option<&Work<'_>>,
        sources: &[SourceStanding],
        left_out: &[LeftOut],
    ) -> Option<String> {
        let on_its_way = left_out.iter().find(|left| left.why == WhyLeftOut::Held);
        if let (Some(Work::Wait(_)), Some(input)) = (work, on_its_way) {
            return Some(format!("it waits for {}, which is on its way", input.name));
        }
        if let Some(Work::Withhold(_)) = work {
            let min = self.spec().quality.min_rows;
            return Some(format!(
                "it has no row, fewer than min_rows = {min}, as {ROWLESS_MAX} windows before it \
                 that are refused"
            ));
        }
        match state {
            Standing::InDoubt | Standing::Failed | Standing::Stale | Standing::Pending => None,
            Standing::Held => Some(
                "it is closed, but no new window is taken up while a listed file cannot be read, \
                 or is refused"
                    .to_owned(),
            ),
            Standing::Open => Some(self.why_open(sources)),
            Standing::Committed => Some(self.why_committed(left_out)),
            Standing::Empty => {
                Some("it is committed as empty: no source has a row that it sees".to_owned())
            }
            Standing::Skipped => Some(self.why_skipped()),
            Standing::BeforeBegin => Some(self.why_before_begin()),
        }
    }

    /// Names the source that is furthest behind what the window needs.
    fn why_open(&self, sources: &[SourceStanding]) -> String {
        let behind = |source: &&SourceStanding| {
            source.watermark.map(|at| at.micros().saturating_sub(source.needs.micros()))
        };
        let slowest = sources.iter().filter(|source| !source.has_come()).min_by_key(behind);
        let Some(SourceStanding { table, watermark, needs, .. }) = slowest else {
            return "no source has brought a row yet, so there is no first window".to_owned();
        };
        let Some(watermark) = watermark else {
            return format!("not closed: source `{table}` has brought no event yet");
        };
        let (at, needs) = (self.local(*watermark), self.local(*needs));
        let ahead = self.spec().margins(table).lookahead;
        let ahead = if ahead == Span::ZERO {
            String::new()
        } else {
            format!(", {ahead} of lookahead included")
        };
        format!(
            "not closed: source `{table}` has come to {at} (its watermark), the window needs \
             {needs}{ahead}"
        )
    }

    fn why_committed(&self, left_out: &[LeftOut]) -> String {
        let reprocess = format!("`{}` renews it", self.command("reprocess"));
        let has = |why| left_out.iter().any(|left| left.why == why);
        if self.has_outdated_query() && self.spec().on_query_change == OnQueryChange::Report {
            return format!(
                "it is outdated by the query, but on_query_change = \"report\": {reprocess}"
            );
        }
        if self.has_outdated_references() {
            return format!(
                "it is outdated by a reference table, but on_change = \"report\": {reprocess}"
            );
        }
        if has(WhyLeftOut::Gone) {
            return "it is committed; files it was computed from are gone since, which makes \
                    nothing due (on_removed = \"keep\")"
                .to_owned();
        }
        if has(WhyLeftOut::Expired) {
            return "it is committed from exactly these inputs; rows that came later than \
                    allowed_lateness are left out"
                .to_owned();
        }
        "it is committed from exactly these inputs".to_owned()
    }

    fn why_skipped(&self) -> String {
        let why = self.story.events().iter().rev().find_map(|event| match &event.what {
            EventKind::Skipped(why) => Some(why.as_str()),
            _ => None,
        });
        format!("it is committed as skipped: {}", why.unwrap_or("an operator said so"))
    }

    fn why_before_begin(&self) -> String {
        let begin = self.spec().begin.filter(|begin| self.window().start() < *begin);
        let before = begin.map_or_else(
            || "the first window that runs took up".to_owned(),
            |begin| format!("`begin`, {}", self.local(begin)),
        );
        format!("it lies before {before}: `{}` computes it", self.command("backfill"))
    }

    /// The command that does `verb` to this window alone.
    fn command(&self, verb: &str) -> String {
        let (name, from, to) = (&self.spec().name, self.window().start(), self.window().end());
        format!("highwater {verb} {name} --from {from} --to {to}")
    }

    fn local(&self, at: EventTime) -> String {
        self.spec().grid.local_instant(at)
    }
}
