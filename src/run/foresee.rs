//! What can be known of a pipeline without writing anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::project::{Opened, Project};
use super::session::Session;
use crate::error::{Code, Error, Result};
use crate::execute::is_same_query;
use crate::hash::Sha256;
use crate::ledger::Ledger;
use crate::plan::{
    Facts, Outdated, Outside, Plan, Sight, admission, asides, judge_lateness, plan, promises,
};
use crate::source::{Discovery, Upstream, Upstreams, discover, reference_versions};
use crate::spec::{
    CheckSpec, DedupSpec, OnReferenceChange, PipelineSpec, RuleSpec, SourceSpec, StepSpec,
};
use crate::state::{
    Query, QueryCheck, QueryDedup, QueryRule, QuerySource, QueryStep, References, Request,
    RowCounts, SegmentRef, State,
};
use crate::time::{EventTime, Span};

/// What there is outside of a pipeline's log at one moment.
#[derive(Debug)]
pub struct Look {
    /// What the sources hold.
    pub discovery: Discovery,
    /// Which bytes the reference tables have.
    pub references: References,
    /// The time, and how far other pipelines are.
    pub outside: Outside,
}

impl Project {
    /// Looks at everything the pipeline is computed from.
    ///
    /// # Errors
    /// If a source or a reference table cannot be listed, or the log of another pipeline not read.
    pub async fn look(
        &self,
        session: &Session<'_>,
        state: Option<&State>,
        ledger: &Ledger,
    ) -> Result<Look> {
        let spec = session.spec;
        let now = session.store_at.unwrap_or_else(|| self.clock.now());
        let upstreams = self.upstreams(spec).await?;
        let discovery = discover(spec, &session.sources, &upstreams, ledger, now).await?;
        let known = state.and_then(State::references);
        let known = known.map(|(_, references)| references);
        let references = reference_versions(spec, &session.sources, known).await?;
        let upstream = upstreams.into_iter();
        let upstream =
            upstream.filter_map(|(table, from)| Some((table, from.watermark?))).collect();
        Ok(Look { discovery, references, outside: Outside { now, upstream } })
    }

    /// What the pipelines that `spec` reads from have committed.
    async fn upstreams(&self, spec: &PipelineSpec) -> Result<Upstreams> {
        let mut upstreams = Upstreams::new();
        for source in &spec.sources {
            let Some(from) = source.upstream() else { continue };
            let state = self.log(&from.pipeline).read().await?;
            let upstream = state.map(|state| Upstream::of(&state, &from.output));
            upstreams.insert(source.table.clone(), upstream.unwrap_or_default());
        }
        Ok(upstreams)
    }

    /// What a run would do now. Nothing is written.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Self::look`].
    pub async fn foresee(
        &self,
        session: &Session<'_>,
        opened: &Opened,
        request: Option<Request>,
    ) -> Result<Foreseen> {
        let spec = session.spec;
        let mut look = self.look(session, opened.state.as_ref(), &opened.ledger).await?;
        let before = opened.state.clone();
        let before = before.unwrap_or_else(|| State::before_first_run(spec.name.clone()));
        let records = std::mem::take(&mut look.discovery.records);
        let (records, refused) = judge_lateness(spec, &before, &opened.ledger, records);
        look.discovery.records = records;
        look.discovery.unreadable.extend(refused);
        let (state, ledger) = foresee_admission(spec, before, &opened.ledger, &look.discovery)?;
        let state = match promises(spec, &state, &ledger, &look.outside) {
            Some(watermarks) => state.foresee_watermarks(&watermarks),
            None => state,
        };
        let state = match request {
            Some(request) => state.foresee_request(request),
            None => state,
        };
        let outdated = outdated(spec, &state, &look.references);
        let facts = look.facts(spec, &state, &ledger, &outdated);
        let (plan, has_asides) = (plan(&facts), !asides(&facts, &BTreeSet::new()).is_empty());
        Ok(Foreseen { look, outdated, state, ledger, plan, has_asides })
    }
}

impl Look {
    /// What a plan is made from.
    #[must_use]
    pub fn facts<'a>(
        &'a self,
        spec: &'a PipelineSpec,
        state: &'a State,
        ledger: &'a Ledger,
        outdated: &'a Outdated,
    ) -> Facts<'a> {
        Facts {
            spec,
            state,
            ledger,
            missing: &self.discovery.missing,
            held: &self.discovery.held,
            is_held: !self.discovery.unreadable.is_empty(),
            outdated,
        }
    }
}

/// What a run would do.
#[derive(Debug)]
pub struct Foreseen {
    /// What there is outside of the log.
    pub look: Look,
    /// What of the log is out of force.
    pub outdated: Outdated,
    /// The state once that is admitted.
    pub state: State,
    /// The ledger once that is admitted.
    pub ledger: Arc<Ledger>,
    /// What is due then.
    pub plan: Plan,
    /// Whether rows that belong to no window are to be kept aside.
    pub has_asides: bool,
}

impl Foreseen {
    /// Whether a run would write anything to the log.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.look.discovery.has_news()
            || !self.plan.is_empty()
            || self.has_asides
            || self.has_hopeless()
    }

    /// Whether a window is in doubt and cannot be computed: what it had is restored.
    fn has_hopeless(&self) -> bool {
        let in_doubt = &self.state.in_doubt;
        self.plan.refused.iter().any(|(due, _)| in_doubt.contains_key(&due.window.start()))
    }

    /// Rows that are in no window: before the pipeline's begin, or too late in the new files.
    #[must_use]
    pub fn rows_outside(&self, spec: &PipelineSpec) -> RowCounts {
        let news = self.look.discovery.records.iter().filter(|record| !record.settles);
        RowCounts {
            before_begin: rows_before_begin(spec, &self.state, &self.ledger),
            expired: news.fold(0, |sum, record| sum.saturating_add(record.expired_rows())),
            ..RowCounts::default()
        }
    }
}

/// Rows in windows before the pipeline's begin that no backfill has computed.
fn rows_before_begin(spec: &PipelineSpec, state: &State, ledger: &Ledger) -> u64 {
    let Some(begin) = spec.begin else { return 0 };
    let sight = Sight::new(spec, ledger);
    let early = sight.windows_from(EventTime::FIRST, begin);
    let waiting = early.filter(|window| !state.is_committed(*window));
    waiting.fold(0, |sum, window| sum.saturating_add(sight.rows_of(window)))
}

fn foresee_admission(
    spec: &PipelineSpec,
    state: State,
    ledger: &Arc<Ledger>,
    discovery: &Discovery,
) -> Result<(State, Arc<Ledger>)> {
    let mut ledger = ledger.clone();
    if !discovery.has_news() {
        return Ok((state, ledger));
    }
    let nowhere = SegmentRef { key: String::new(), len: 0, sha256: Sha256::ZERO, files: 0 };
    let inputs = admission(spec, &state, &ledger, &discovery.records, nowhere, 0)
        .ok_or_else(|| Error::new(Code::Bug, "the ledger has no generation left"))?;
    let generation = inputs.generation;
    let state = state
        .foresee_inputs(&inputs)
        .map_err(|violation| Error::new(Code::Bug, violation.to_string()))?;
    let all = Arc::make_mut(&mut ledger);
    for record in &discovery.records {
        all.admit(record.clone(), generation);
    }
    Ok((state, ledger))
}

/// The query of `spec`.
pub(super) fn query_of(spec: &PipelineSpec) -> Query {
    let step = |step: &StepSpec| QueryStep { name: step.name.clone(), sql: step.sql.clone() };
    let judged = spec.sources.iter().filter(|source| source.is_judged());
    // How severe a check is changes no result, as the limits of `quality` do not.
    let check = |check: &CheckSpec| QueryCheck { name: check.name.clone(), sql: check.sql.clone() };
    Query {
        steps: spec.steps.iter().map(step).collect(),
        judged: judged.map(judged_of).collect(),
        checks: spec.checks.iter().map(check).collect(),
    }
}

fn judged_of(source: &SourceSpec) -> QuerySource {
    let rule = |rule: &RuleSpec| QueryRule {
        name: rule.name.clone(),
        expect: rule.expect.clone(),
        action: rule.on_violation.as_str().to_owned(),
    };
    let dedup = |dedup: &DedupSpec| QueryDedup {
        keys: dedup.keys.clone(),
        order_by: dedup.order_by.clone(),
        keep: dedup.keep.as_str().to_owned(),
        across_micros: dedup.across.map(Span::micros).unwrap_or_default(),
    };
    QuerySource {
        table: source.table.clone(),
        rules: source.rules.iter().map(rule).collect(),
        dedup: source.dedup.as_ref().map(dedup),
    }
}

/// The entries of `state` that say other than the query of `spec` and the reference tables as they
/// are `now`.
pub(super) fn outdated(spec: &PipelineSpec, state: &State, now: &References) -> Outdated {
    let query = query_of(spec);
    let queries = state.queries.iter().filter(|(_, then)| !is_same_query(then, &query));
    let mut outdated =
        Outdated { queries: queries.map(|(seq, _)| *seq).collect(), ..Outdated::default() };
    for (seq, then) in &state.references {
        for reference in &spec.references {
            if is_same_table(&reference.table, then, now) {
                continue;
            }
            outdated.references.insert(*seq);
            if reference.on_change == OnReferenceChange::Reprocess {
                outdated.references_due.insert(*seq);
            }
        }
    }
    outdated
}

fn is_same_table(table: &str, then: &References, now: &References) -> bool {
    let of = |references: &References| {
        references.tables.iter().find(|version| version.table == table).cloned()
    };
    match (of(then), of(now)) {
        (Some(then), Some(now)) => then.is_same(&now),
        (then, now) => then.is_none() && now.is_none(),
    }
}

/// Whether the reference tables that are logged last have the bytes of `now`.
pub(super) fn are_logged(state: &State, now: &References) -> bool {
    let last = state.references().map(|(_, references)| references.tables.as_slice());
    let last = last.unwrap_or_default();
    last.len() == now.tables.len()
        && last.iter().zip(&now.tables).all(|(then, now)| then.is_same(now))
}
