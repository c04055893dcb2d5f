//! The heartbeat of a writer: a small object that it rewrites as long as it lives.
//!
//! Whoever waits watches it change, by no clock but his own. It is a hint: a beat that is lost, or
//! comes too late, costs somebody a claim, never a row.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::LeaseInfo;
use crate::clock::Clock;
use crate::error::Result;
use crate::id::Epoch;
use crate::store::{Store, layout};
use crate::time::Span;

/// One beat, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Who lives.
    #[serde(flatten)]
    pub info: LeaseInfo,
    /// How often the heart has beaten.
    pub beat: u64,
    /// How many windows the run has dealt with.
    pub windows_done: u64,
    /// How many it has planned.
    pub windows_planned: u64,
}

/// How far a run is.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    planned: AtomicU64,
}

impl Progress {
    /// `windows` more are planned.
    pub fn plan(&self, windows: usize) {
        self.planned.fetch_add(u64::try_from(windows).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// `windows` more are dealt with.
    pub fn finish(&self, windows: usize) {
        self.done.fetch_add(u64::try_from(windows).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A beating heart; it stops when this is dropped.
#[derive(Debug)]
pub struct Heart {
    progress: Arc<Progress>,
    beating: JoinHandle<()>,
}

impl Heart {
    /// Starts to beat in `store` for the holder of `epoch`: now or after the first `pause`, then
    /// after each.
    pub(super) fn start(
        store: Arc<dyn Store>,
        epoch: Epoch,
        info: LeaseInfo,
        pause: Span,
        at_once: bool,
        clock: Clock,
    ) -> Self {
        let progress = Arc::new(Progress::default());
        let pause = Duration::from_micros(u64::try_from(pause.micros()).unwrap_or(u64::MAX));
        let beating =
            tokio::spawn(beat(store, epoch, info, pause, at_once, progress.clone(), clock));
        Self { progress, beating }
    }

    /// Where the run says how far it is.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

async fn beat(
    store: Arc<dyn Store>,
    epoch: Epoch,
    info: LeaseInfo,
    pause: Duration,
    at_once: bool,
    progress: Arc<Progress>,
    clock: Clock,
) {
    if !at_once {
        clock.sleep(pause).await;
    }
    for beat in 1_u64.. {
        let beat = Beat {
            info: info.clone(),
            beat,
            windows_done: progress.done.load(Ordering::Relaxed),
            windows_planned: progress.planned.load(Ordering::Relaxed),
        };
        if let Ok(text) = serde_json::to_vec(&beat) {
            // A beat that fails is followed by another one.
            let _ = store.overwrite(&layout::heartbeat(epoch), Bytes::from(text)).await;
        }
        clock.sleep(pause).await;
    }
}

/// The newest beat of the holder of `epoch`; `None` if there is none that can be read.
///
/// # Errors
/// If the store fails.
pub async fn newest_beat(store: &dyn Store, epoch: Epoch) -> Result<Option<Beat>> {
    let bytes = store.read(&layout::heartbeat(epoch)).await?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
