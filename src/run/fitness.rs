//! Whether a store keeps the promises that the protocol stands on: asked once, before the first
//! entry is written, and again when another version of this program, or another endpoint, comes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::project::Project;
use crate::error::{Code, Error, Result};
use crate::id::PipelineName;
use crate::spec::{Closes, PipelineSpec};
use crate::store::{PROBE_ROUNDS, Probed, Store, fitness, layout, make_folders, probe};
use crate::time::{ProcessingTime, Span};

/// What was found, as stored beside the log.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Finding {
    v: u32,
    /// Which store: its place, and the options it was reached with.
    store: String,
    /// When, by the store's clock.
    at: ProcessingTime,
    rounds: u32,
}

/// How far the clocks of the store and of this machine may be apart.
const CLOCKS_APART_MAX: Span = Span::from_seconds(300);

/// The format of a finding.
const FORMAT: u32 = 1;

impl Project {
    /// Makes sure that what holds state and outputs of `spec` can keep the promises: a disk by what
    /// is mounted there, an object store by asking it. One that was found fit is not asked again.
    ///
    /// # Errors
    /// [`Code::StoreUnfit`] if it does not; if it fails.
    pub(super) async fn check_fitness(&self, spec: &PipelineSpec) -> Result<()> {
        if let (Some(state), Some(root)) = (self.state_folder(&spec.name), self.root_folder()) {
            let mut objects = spec.objects().filter(|object| object.is_wanted);
            return objects.try_for_each(|object| fitness(&state, &root.join(object.path.root())));
        }
        let store = self.log(&spec.name).store().clone();
        let known = store.read(layout::FORMAT).await?;
        let known = known.and_then(|bytes| serde_json::from_slice::<Finding>(&bytes).ok());
        let name = self.store_name();
        if known.is_some_and(|known| known.v == FORMAT && known.store == name) {
            return Ok(());
        }
        let probed = self.probe(&spec.name).await?;
        let finding =
            Finding { v: FORMAT, store: name, at: probed.store_at, rounds: probed.rounds };
        let text = serde_json::to_vec(&finding)
            .map_err(|why| Error::new(Code::Bug, format!("a finding has no text: {why}")))?;
        store.overwrite(layout::FORMAT, Bytes::from(text)).await
    }

    /// Asks the store of the state of `name` whether it keeps its promises. On local disk the
    /// answer is known.
    ///
    /// # Errors
    /// [`Code::StoreUnfit`] if it does not; if it fails.
    pub async fn probe(&self, name: &PipelineName) -> Result<Probed> {
        let staging = self.staging(name);
        make_folders(&staging).map_err(|why| {
            Error::new(Code::StoreFailed, format!("cannot make {}: {why}", staging.display()))
        })?;
        let log = self.log(name);
        let store: &dyn Store = log.store().as_ref();
        probe(store, &staging, PROBE_ROUNDS, self.clock).await
    }

    /// The time by the clock of the store that holds the state of `spec`, if a decision depends on
    /// it: then two hosts whose clocks differ decide alike. `None` where the clock of this machine
    /// is that of the store.
    ///
    /// # Errors
    /// [`Code::StoreUnfit`] if the two clocks are further apart than [`CLOCKS_APART_MAX`].
    pub(super) async fn store_time(&self, spec: &PipelineSpec) -> Result<Option<ProcessingTime>> {
        let by_clock = spec
            .sources
            .iter()
            .any(|source| source.closes == Closes::Clock || source.idle_timeout.is_some());
        if !by_clock || self.state_folder(&spec.name).is_some() {
            return Ok(None);
        }
        let theirs = store_clock(self.log(&spec.name).store().as_ref()).await?;
        let ours = self.clock.now();
        if ours.since(theirs) <= CLOCKS_APART_MAX && theirs.since(ours) <= CLOCKS_APART_MAX {
            return Ok(Some(theirs));
        }
        let text = format!("the clock of the store says {theirs}, that of this machine {ours}");
        Err(Error::new(Code::StoreUnfit, text)
            .note("a source closes its windows by the clock, so it must be right")
            .hint("set the clock of this machine, for example by NTP"))
    }

    /// Which store the state lies in, and how it is reached; without a secret.
    fn store_name(&self) -> String {
        let options = self.spec.storage.options.iter();
        let options: Vec<String> = options.map(|(key, value)| format!("{key}={value}")).collect();
        let endpoint = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT"];
        let endpoint = endpoint.iter().find_map(|name| std::env::var(name).ok());
        format!("{} {} {}", self.spec.state, options.join(" "), endpoint.unwrap_or_default())
    }
}

/// The time by the clock of `store`: when it takes the write that this is.
///
/// # Errors
/// If the store fails.
pub(super) async fn store_clock(store: &dyn Store) -> Result<ProcessingTime> {
    store.overwrite(layout::CLOCK, Bytes::new()).await?;
    let seen = store.head(layout::CLOCK).await?;
    seen.map(|seen| seen.modified_at).ok_or_else(|| {
        let name = store.name_of(layout::CLOCK);
        Error::new(Code::StoreFailed, format!("{name} was written and cannot be found"))
    })
}
