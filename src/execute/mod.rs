//! Computes the windows of a batch: reads exactly the planned files, once, routes their rows to
//! windows, runs the steps over each window, and stages what is to be published.
//!
//! It decides nothing about what is due, never lists, and never touches a published object. It is
//! the only folder that names `DataFusion`.

mod aside;
mod check;
mod columns;
mod content;
mod decode;
mod even;
mod find;
mod gate;
mod judge;
mod message;
mod output;
mod put_aside;
mod query;
mod restore;
mod scan;
mod scratch;
mod session;
mod sql;
mod table;
mod trace;
mod window;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use aside::AsideExecutor;
pub use decode::decode;
pub use find::FoundRow;
pub use judge::RowFate;
pub use output::{Staging, stage_nothing};
pub use put_aside::{AsideRow, read_aside};
pub use query::{Prepared, prepare};
pub use restore::{Origin, stage_again};
pub use scan::{Desk, Scan};
pub use session::Engine;
pub use sql::is_same_query;
pub use table::{
    TableSchema, file_columns, gained_columns, has_columns, table_schema, widened_columns,
};
pub use trace::{Search, row_fates};

use crate::commit::{Batch, ComputedWindow};
use crate::error::{Code, Error};
use crate::id::Epoch;
use crate::ledger::Ledger;
use crate::plan::DueWindow;
use crate::source::{Listing, SourceStores};
use crate::spec::PipelineSpec;
use crate::state::{BatchWindow, FailedWindow, References};

/// Computes batches of one pipeline.
#[derive(Debug)]
pub struct Executor<'a> {
    /// The pipeline.
    pub spec: &'a PipelineSpec,
    /// What runs queries.
    pub engine: &'a Engine,
    /// Its queries, planned; `None` as long as some source has no file that tells its columns.
    pub prepared: Option<Arc<Prepared>>,
    /// Where its inputs are.
    pub sources: &'a SourceStores,
    /// What its inputs were when they were listed.
    pub listed: &'a Listing,
    /// The versions of its reference tables.
    pub references: &'a References,
    /// Its admitted inputs.
    pub ledger: &'a Ledger,
    /// The plan of the windows that batches name, by start.
    pub due: BTreeMap<crate::time::EventTime, DueWindow>,
    /// Where to stage.
    pub staging: PathBuf,
    /// The writer's epoch, which staged files carry in their names.
    pub epoch: Epoch,
    /// Whether gates and checks may refuse a result; not where nobody is to see one.
    pub is_gated: bool,
}

impl Executor<'_> {
    /// A result for each window of `batch`, in its order. Nothing that a reader can see is touched.
    /// What is not computed once `stopped` is over is [`FailedWindow::stopped`]; its query is
    /// dropped where it next waits.
    pub async fn compute(
        &self,
        batch: &Batch,
        stopped: impl Future<Output = ()> + Send,
    ) -> Vec<Result<ComputedWindow, FailedWindow>> {
        let Some((scan, desk)) = self.scan(self.due.values().cloned()) else {
            return self.no_columns(&batch.windows);
        };
        desk.open(&batch.windows);
        tokio::select! {
            biased;
            computed = desk.compute(batch, stopped) => computed,
            () = scan.run() => self.no_columns(&batch.windows),
        }
    }

    /// What reads and computes `windows`, which are in the order of work, and the desk where they
    /// are ordered; `None` if it is not known what the columns of a source are.
    pub fn scan(&self, windows: impl IntoIterator<Item = DueWindow>) -> Option<(Scan<'_>, Desk)> {
        let prepared = self.prepared.clone()?;
        Some(Scan::new(self, prepared, windows))
    }

    /// What is said of `windows` where some source has no file yet.
    #[must_use]
    pub fn no_columns(&self, windows: &[BatchWindow]) -> Vec<Result<ComputedWindow, FailedWindow>> {
        let text = format!("a source of pipeline {} has no file yet", self.spec.name);
        let error = Error::new(Code::SourceMissing, text);
        windows.iter().map(|begun| Err(window::failed(begun, &error))).collect()
    }
}
