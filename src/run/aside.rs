//! Rows that belong to no window are kept aside: announced, read, published, committed, as windows
//! are. What cannot be read is told, and tried again by the next run; no window waits for it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::owner::claim;
use super::stop::Stop;
use super::worker::Worker;
use crate::commit::{Batch, ComputedWindow};
use crate::error::{Code, Error, Result};
use crate::execute::AsideExecutor;
use crate::id::{AttemptId, BatchId};
use crate::ledger::FileId;
use crate::plan::{DueAside, asides};
use crate::publish::Compute;
use crate::report::PipelineReport;
use crate::spec::QuarantineSpec;
use crate::state::{BatchOutput, FailedWindow};

/// The most files of one batch.
const FILES_AT_ONCE: usize = 64;

impl Worker<'_> {
    /// Keeps aside what is due to be, and what is `damaged` once more, unless `stop` is asked for.
    pub(super) async fn set_aside(
        &mut self,
        damaged: &BTreeSet<FileId>,
        stop: &Stop,
        report: &mut PipelineReport,
    ) -> Result<()> {
        let facts = self.look.facts(self.session.spec, self.state(), &self.ledger, self.outdated());
        let due = asides(&facts, damaged);
        let is_due = |id: &&FileId| due.iter().any(|due| due.file == **id);
        report.errors.extend(damaged.iter().filter(|id| !is_due(id)).map(|id| self.lost(id)));
        if due.is_empty() {
            return Ok(());
        }
        let spec = self.session.spec;
        let outputs = self.project.outputs(&spec.name);
        claim(spec, self.state(), outputs.as_ref(), &spec.aside, QuarantineSpec::ASIDE).await?;
        for due in due.chunks(FILES_AT_ONCE) {
            if stop.is_asked() {
                break;
            }
            let executor = AsideExecutor {
                spec,
                sources: &self.session.sources,
                listed: &self.look.discovery.listed,
                ledger: &self.ledger,
                due,
                outputs: outputs.clone(),
                staging: self.project.staging(&spec.name),
                epoch: self.state().epoch,
                max_object_bytes: self.project.engine.max_object_bytes(),
                errors: Mutex::default(),
            };
            let files = due.iter().map(|due| self.announced(due)).collect();
            let id = BatchId(self.project.clock.new_id());
            let batch = Batch::set_aside(id, self.publisher.state().generation, files);
            self.publisher.batch(batch, &executor).await?;
            let errors = executor.errors.into_inner().unwrap_or_else(PoisonError::into_inner);
            report.errors.extend(
                errors.into_iter().map(|why| {
                    why.note("rows of it that belong to no window are not kept aside yet")
                }),
            );
            self.sweep_staged();
        }
        Ok(())
    }

    /// The error for damage that cannot be mended.
    fn lost(&self, id: &FileId) -> Error {
        let source = self.session.spec.source(&id.table);
        let name = source.map_or_else(|| id.key.clone(), |source| source.name_of(&id.key));
        let known = self.state().asides.get(id).and_then(|known| known.committed.as_ref());
        let path = known.map_or("an object", |known| known.object.path.as_str());
        let text = format!("{path} cannot be mended: {name}, whose rows it held, is not there");
        Error::new(Code::InputRemoved, text)
            .note("they belong to no window: no output misses any of them")
            .hint("put the file back, and `highwater reprocess --damaged` again")
    }

    fn announced(&self, due: &DueAside) -> (FileId, crate::id::Generation, BatchOutput) {
        let object = BatchOutput {
            name: QuarantineSpec::ASIDE.to_owned(),
            path: due.path.clone(),
            before: due.before,
            att: AttemptId(self.project.clock.new_id()),
            optional: false,
        };
        (due.file.clone(), due.generation, object)
    }
}

#[async_trait]
impl Compute for AsideExecutor<'_> {
    async fn compute(
        &self,
        batch: &Batch,
    ) -> Vec<std::result::Result<ComputedWindow, FailedWindow>> {
        AsideExecutor::compute(self, batch).await
    }
}
