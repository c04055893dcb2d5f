//! Deletes what nothing needs from a state prefix: one process marks it in the log, a later one
//! sweeps it (GC-1).
//!
//! Only below the state prefix, and never an entry of the log. How long ago the mark was made is
//! told by the store's clock alone.

use std::collections::BTreeSet;

use super::fitness::store_clock;
use super::keeper::{Keeper, remove};
use super::project::Project;
use crate::error::Result;
use crate::garbage::{Garbage, MARKED_MAX, Stored, Sweep, garbage, is_ripe, sweep};
use crate::id::{PipelineName, Seq};
use crate::report::{Standing, Vacuumed};
use crate::state::{Body, GcMark, GcSweep, MarkedObject, State};
use crate::store::{ObjectMeta, Store, layout};
use crate::time::{ProcessingTime, Span};

impl Project {
    /// What a vacuum would delete and mark now, keeping what was marked for less than `retention`,
    /// as far as our own clock tells. Writes nothing.
    ///
    /// # Errors
    /// If the log is damaged; if the store fails.
    pub async fn foresee_vacuum(&self, name: &PipelineName, retention: Span) -> Result<Vacuumed> {
        let log = self.log(name);
        let Some(state) = log.read().await? else { return Ok(nothing(name)) };
        let look = Look::at(
            log.store().as_ref(),
            &state,
            self.spec.history_keep,
            retention,
            self.clock.now(),
        )
        .await?;
        Ok(look.foreseen(name))
    }

    /// Deletes what an earlier vacuum marked at least `retention` ago, and marks what is garbage
    /// now. If there is neither, the log is not touched.
    ///
    /// # Errors
    /// As [`Self::foresee_vacuum`]; if another process holds the lease. What could not be deleted
    /// is in the result.
    pub async fn vacuum(&self, name: &PipelineName, retention: Span) -> Result<Vacuumed> {
        let log = self.log(name);
        let Some(state) = log.read().await? else { return Ok(nothing(name)) };
        let now = match state.marked {
            Some(_) => store_clock(log.store().as_ref()).await?,
            None => self.clock.now(),
        };
        let look =
            Look::at(log.store().as_ref(), &state, self.spec.history_keep, retention, now).await?;
        if look.ripe.is_none() && look.marked.is_empty() {
            return Ok(look.foreseen(name));
        }
        let mut keeper = Keeper::take(self, name).await?;
        let mut vacuumed = nothing(name);
        match self.carry_out_vacuum(&mut keeper, retention, &mut vacuumed).await {
            Ok(()) => vacuumed.entries = Some(keeper.release().await?),
            Err(why) => {
                keeper.give_up().await;
                return Err(why);
            }
        }
        Ok(vacuumed)
    }

    async fn carry_out_vacuum(
        &self,
        keeper: &mut Keeper,
        retention: Span,
        vacuumed: &mut Vacuumed,
    ) -> Result<()> {
        let store = keeper.log.store().clone();
        let now = store_clock(store.as_ref()).await?;
        // Once more, now that nobody else writes.
        let look = Look::at(store.as_ref(), keeper.state(), self.spec.history_keep, retention, now)
            .await?;
        vacuumed.waiting = look.waiting;
        if let Some(mark) = look.ripe {
            let spared = look.swept.spared.clone();
            keeper.append(Body::GcSweep(GcSweep { mark, spared })).await?;
            vacuumed.spared = look.swept.spared;
            for dead in look.swept.delete {
                match delete(store.as_ref(), &dead.object).await {
                    Ok(()) => vacuumed.swept.push(dead),
                    Err(why) => vacuumed.failed.push(Standing {
                        path: store.name_of(&dead.object.key),
                        message: why.message().to_owned(),
                    }),
                }
            }
        }
        if !look.marked.is_empty() {
            let objects = look.marked.iter().map(|found| found.object.clone()).collect();
            keeper.append(Body::GcMark(GcMark { at: now, objects })).await?;
            vacuumed.marked = look.marked;
        }
        Ok(())
    }
}

/// What there is to do in a state prefix at one moment.
struct Look {
    /// The mark that may be swept.
    ripe: Option<Seq>,
    /// What becomes of it.
    swept: Sweep,
    /// What is to be marked.
    marked: Vec<Garbage>,
    /// How much is marked and not old enough, and for how long not.
    waiting: Option<(usize, Span)>,
}

impl Look {
    async fn at(
        store: &dyn Store,
        state: &State,
        keep: usize,
        retention: Span,
        now: ProcessingTime,
    ) -> Result<Self> {
        let mut listing = Vec::new();
        for folder in layout::SWEPT {
            listing.extend(store.list(folder).await?.into_iter().filter_map(stored));
        }
        let found = garbage(state, &listing, &copies_kept(state, keep));
        let mut look =
            Self { ripe: None, swept: Sweep::default(), marked: Vec::new(), waiting: None };
        match &state.marked {
            Some(marked) if !is_ripe(marked.at, now, retention) => {
                let left = retention.micros().saturating_sub(now.since(marked.at).micros());
                let left = Span::from_micros(left.max(0)).unwrap_or_default();
                look.waiting = Some((marked.objects.len(), left));
                return Ok(look);
            }
            Some(marked) => {
                look.ripe = Some(marked.seq);
                look.swept = sweep(&marked.objects, &listing, &found);
            }
            None => {}
        }
        let swept: BTreeSet<&Garbage> = look.swept.delete.iter().collect();
        let rest = found.into_iter().filter(|dead| !swept.contains(dead));
        look.marked = rest.take(MARKED_MAX).collect();
        Ok(look)
    }

    fn foreseen(self, name: &PipelineName) -> Vacuumed {
        let Self { swept: Sweep { delete, spared }, marked, waiting, .. } = self;
        Vacuumed { swept: delete, marked, waiting, spared, ..nothing(name) }
    }
}

/// How the keys of the copies begin that can be needed: of the revisions that can be restored if
/// `keep` earlier ones stay, and of the last one, which is restored if what follows it cannot be
/// completed. `state` has the facts of every window.
fn copies_kept(state: &State, keep: usize) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    for (start, window) in &state.windows {
        let earlier = window.restorable(keep).map(|earlier| earlier.rev);
        for rev in earlier.chain([window.committed.rev]) {
            let outputs = window.committed.outputs.iter();
            kept.extend(outputs.map(|output| layout::copies(*start, &output.name, rev)));
        }
    }
    kept
}

/// The object, if its key says what it is there for.
fn stored(meta: ObjectMeta) -> Option<Stored> {
    let role = layout::role_of(&meta.key)?;
    let ObjectMeta { key, size, mark, .. } = meta;
    Some(Stored { object: MarkedObject { key, size, mark }, role })
}

/// Deletes exactly the version that was marked.
async fn delete(store: &dyn Store, dead: &MarkedObject) -> Result<()> {
    match store.head(&dead.key).await? {
        Some(seen) if seen.size == dead.size && seen.mark == dead.mark => {
            remove(store, &seen).await.map(|_| ())
        }
        _ => Ok(()),
    }
}

fn nothing(name: &PipelineName) -> Vacuumed {
    Vacuumed {
        pipeline: name.clone(),
        swept: Vec::new(),
        marked: Vec::new(),
        waiting: None,
        spared: Vec::new(),
        failed: Vec::new(),
        entries: None,
    }
}
