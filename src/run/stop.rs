//! That a run is to end before its work is done: what a signal asks for.

use tokio::sync::watch;

/// Asks runs to end early. It knows no clock: how long the grace is says whoever asks.
#[derive(Debug)]
pub struct Stop(watch::Sender<Phase>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Nobody asked.
    Running,
    /// No batch is begun any more; the one in hand goes on.
    Asked,
    /// Of the batch in hand, what is not computed is left for the next run.
    GraceOver,
}

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Running))
    }
}

impl Stop {
    /// Lets no batch begin from now on. Whether nobody asked before.
    #[must_use]
    pub fn ask(&self) -> bool {
        self.go_on_to(Phase::Asked)
    }

    /// Ends the grace of the batch in hand: what of it is computed is committed, the rest is not
    /// waited for and stays due.
    pub fn end_grace(&self) {
        self.go_on_to(Phase::GraceOver);
    }

    fn go_on_to(&self, phase: Phase) -> bool {
        self.0.send_if_modified(|now| {
            let is_later = *now < phase;
            *now = phase.max(*now);
            is_later
        })
    }

    /// What `work` comes to; `None` if the grace is over before: then it is dropped.
    pub(super) async fn unless_over<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.grace_over() => None,
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        *self.0.borrow() >= Phase::Asked
    }

    /// Waits until the grace is over.
    pub(super) async fn grace_over(&self) {
        // It cannot fail: the sender is ours.
        let _ = self.0.subscribe().wait_for(|now| *now == Phase::GraceOver).await;
    }
}
