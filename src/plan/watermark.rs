//! How far sources promise to be complete, and so which windows are closed.

use std::collections::BTreeMap;

use crate::ledger::Ledger;
use crate::spec::{Closes, PipelineSpec, SourceSpec};
use crate::state::{PromisedBy, SourceWatermark, State, Watermarks};
use crate::time::{EventTime, ProcessingTime, Span};
use crate::window::Window;

/// The watermark of a source: no event before it is still expected on time. `None` before its first
/// event.
#[must_use]
pub fn source_watermark(source: &SourceSpec, state: &State) -> Option<EventTime> {
    promised(source, state, state.source_watermarks.get(&source.table).copied())
}

/// The watermark of a source that is held to `promised` beside the events it brought.
fn promised(source: &SourceSpec, state: &State, promised: Option<EventTime>) -> Option<EventTime> {
    if source.upstream().is_some() || source.closes == Closes::Clock {
        return promised;
    }
    let last = state.last_event_at.get(&source.table).copied();
    let by_events = last.and_then(|last| last.minus(source.watermark_delay));
    by_events.max(promised)
}

/// The end of the last closed window: a window closes when the watermark of each source has reached
/// its end, and what the source shows after it.
#[must_use]
pub fn closed_until(spec: &PipelineSpec, state: &State) -> Option<EventTime> {
    closed_by(spec, |source| source_watermark(source, state))
}

fn closed_by(
    spec: &PipelineSpec,
    watermark: impl Fn(&SourceSpec) -> Option<EventTime>,
) -> Option<EventTime> {
    let reached =
        spec.sources.iter().map(|source| watermark(source)?.minus(source.margins.lookahead));
    let slowest = reached.collect::<Option<Vec<_>>>()?.into_iter().min()?;
    spec.grid.window_at(slowest).map(Window::start)
}

/// What sources are held to beside the events they brought.
#[derive(Clone, Debug)]
pub struct Outside {
    /// The store's time.
    pub now: ProcessingTime,
    /// The watermarks of the pipelines that sources read from, by the source's table; without one
    /// that has none yet.
    pub upstream: BTreeMap<String, EventTime>,
}

/// The promises of sources that their events do not make, as far as `state` does not have them.
/// `None` if they let no further window close: then they need not be logged.
#[must_use]
pub fn promises(
    spec: &PipelineSpec,
    state: &State,
    ledger: &Ledger,
    outside: &Outside,
) -> Option<Watermarks> {
    let promise = |source: &SourceSpec| {
        let (at, by) = promise(source, ledger, outside)?;
        let known = state.source_watermarks.get(&source.table);
        let table = source.table.clone();
        known.is_none_or(|known| *known < at).then_some(SourceWatermark { table, at, by })
    };
    let news = Watermarks { sources: spec.sources.iter().filter_map(promise).collect() };
    let after = closed_by(spec, |source| {
        let new = news.sources.iter().find(|new| new.table == source.table).map(|new| new.at);
        let known = state.source_watermarks.get(&source.table).copied();
        promised(source, state, new.max(known))
    });
    (after > closed_until(spec, state)).then_some(news)
}

fn promise(
    source: &SourceSpec,
    ledger: &Ledger,
    outside: &Outside,
) -> Option<(EventTime, PromisedBy)> {
    let delay = source.watermark_delay;
    if source.upstream().is_some() {
        let at = outside.upstream.get(&source.table)?.minus(delay)?;
        return Some((at, PromisedBy::Upstream));
    }
    if source.closes == Closes::Clock {
        return Some((outside.now.promise_behind(delay), PromisedBy::Clock));
    }
    let timeout = source.idle_timeout?;
    let last_arrival = last_arrival(&source.table, ledger)?;
    let is_idle = outside.now.since(last_arrival) >= timeout;
    let behind = Span::from_micros(timeout.micros().saturating_add(delay.micros()))?;
    is_idle.then(|| (outside.now.promise_behind(behind), PromisedBy::Idle))
}

/// When the newest file of `table` arrived.
fn last_arrival(table: &str, ledger: &Ledger) -> Option<ProcessingTime> {
    ledger.files_of(table).map(|(_, known)| known.record.arrived_at).max()
}
