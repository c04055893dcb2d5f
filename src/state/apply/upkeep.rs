//! What retiring and vacuuming do to the state.

use std::collections::BTreeMap;

use super::{Check, rule};
use crate::id::Seq;
use crate::invariant::Invariant;
use crate::state::{
    Body, GcMark, GcSweep, Marked, Retire, RetirePhase, Retiring, RowCounts, ShapeOutput, State,
    Windows,
};
use crate::window::WindowSet;

impl State {
    /// Whether `body` may be written while the pipeline is being retired: nothing that computes,
    /// publishes or admits.
    pub(super) fn check_retiring(&self, body: &Body) -> Check {
        let Some(retiring) = &self.retiring else { return Ok(()) };
        let may = matches!(
            body,
            Body::Claim { .. }
                | Body::Release
                | Body::Retire(_)
                | Body::GcMark(_)
                | Body::GcSweep(_)
        );
        rule(may, Invariant::Rt1, || {
            format!("the pipeline is being retired since entry {}", retiring.since)
        })
    }

    pub(super) fn apply_retire(&mut self, seq: Seq, retire: &Retire) -> Check {
        rule(self.open.is_empty(), Invariant::Rt1, || "it retires under a batch".into())?;
        match (retire.phase, self.retiring.take()) {
            (RetirePhase::Announced, None) => {
                if let Some(output) = &retire.output {
                    let is_known = self.shape.as_ref().is_some_and(|shape| {
                        shape.outputs.iter().any(|other| other.name == *output)
                    });
                    rule(is_known, Invariant::Rt1, || format!("there is no output {output}"))?;
                }
                self.retiring = Some(Retiring { output: retire.output.clone(), since: seq });
                Ok(())
            }
            (RetirePhase::Done, Some(announced)) => {
                rule(announced.output == retire.output, Invariant::Rt1, || {
                    format!("it ends another retirement than that of entry {}", announced.since)
                })?;
                match &retire.output {
                    Some(output) => self.forget_output(output),
                    None => self.forget_all(),
                }
                Ok(())
            }
            (RetirePhase::Announced, Some(announced)) => {
                rule(false, Invariant::Rt1, || format!("entry {} began it", announced.since))
            }
            (RetirePhase::Done, None) => {
                rule(false, Invariant::Rt1, || "it ends what was not announced".into())
            }
        }
    }

    /// One output is no more: no window has an object of it.
    fn forget_output(&mut self, output: &str) {
        if let Some(shape) = &mut self.shape {
            let is_it = |other: &mut ShapeOutput| other.name == output;
            self.retired.extend(shape.outputs.extract_if(.., is_it));
        }
        // Everything was recalled before this entry: what lies in segments speaks of the output.
        self.windows.spread_all();
        self.windows.edit(|window| window.committed.outputs.retain(|other| other.name != output));
    }

    /// The pipeline is as if it had never run, but for its log and what numbers its writers and
    /// admissions: those go on, so that no name is used twice.
    fn forget_all(&mut self) {
        let shape = self.shape.take().into_iter();
        self.retired.extend(shape.flat_map(|shape| [shape.outputs, shape.quarantines].concat()));
        self.queries = BTreeMap::new();
        self.references = BTreeMap::new();
        self.columns = BTreeMap::new();
        self.asides = BTreeMap::new();
        self.segments = Vec::new();
        self.last_event_at = BTreeMap::new();
        self.source_watermarks = BTreeMap::new();
        self.refused_rows = RowCounts::default();
        self.watermark = None;
        self.windows = Windows::default();
        self.blank = BTreeMap::new();
        self.empty = WindowSet::default();
        self.skipped = WindowSet::default();
        self.stale = BTreeMap::new();
        self.in_doubt = BTreeMap::new();
        self.failed = BTreeMap::new();
        self.requests = BTreeMap::new();
    }

    pub(super) fn apply_gc_mark(&mut self, seq: Seq, mark: &GcMark) -> Check {
        rule(self.marked.is_none(), Invariant::Gc1, || {
            "what was marked before is not swept yet".into()
        })?;
        self.marked = Some(Marked { seq, at: mark.at, objects: mark.objects.clone() });
        Ok(())
    }

    pub(super) fn apply_gc_sweep(&mut self, sweep: &GcSweep) -> Check {
        let marked = self.marked.take();
        rule(marked.is_some_and(|marked| marked.seq == sweep.mark), Invariant::Gc1, || {
            format!("it sweeps what entry {} did not mark", sweep.mark)
        })
    }
}
