//! The only file that reads the time of day, makes ids, or waits: once per need, at the edge.

use std::fmt;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::time::{ProcessingTime, Span};

/// Where a run takes its time and its ids from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug, Default)]
enum Source {
    #[default]
    System,
    Fixed(ProcessingTime),
    Simulated(&'static dyn TimeSource),
}

/// A time that passes as a simulation says.
pub trait TimeSource: fmt::Debug + Send + Sync {
    /// Now.
    fn now(&self) -> ProcessingTime;

    /// An id that nobody else was given; later ones sort after earlier ones.
    fn new_id(&self) -> Uuid;

    /// Waits until `time` has passed.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl Clock {
    /// The clock of the machine.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `at`, for runs that must give the same answer twice.
    #[must_use]
    pub fn fixed(at: ProcessingTime) -> Self {
        Self(Source::Fixed(at))
    }

    /// A clock of a simulation.
    #[must_use]
    pub fn simulated(source: &'static dyn TimeSource) -> Self {
        Self(Source::Simulated(source))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> ProcessingTime {
        match self.0 {
            Source::System => since_epoch(read_system_time()),
            Source::Fixed(at) => at,
            Source::Simulated(source) => source.now(),
        }
    }

    /// Waits until `time` has passed.
    pub async fn sleep(&self, time: Duration) {
        match self.0 {
            Source::System | Source::Fixed(_) => tokio::time::sleep(time).await,
            Source::Simulated(source) => source.sleep(time).await,
        }
    }

    /// What `work` comes to; `None` if it does not within `time`: then it is dropped.
    pub async fn timeout<T>(&self, time: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            result = work => Some(result),
            () = self.sleep(time) => None,
        }
    }

    /// A new id, unique in the world; later ones sort after earlier ones.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        match self.0 {
            Source::System | Source::Fixed(_) => now_v7(),
            Source::Simulated(source) => source.new_id(),
        }
    }
}

/// Measures how long something took, for people to read.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where time is measured")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago it was started.
    #[must_use]
    pub fn elapsed(self) -> Span {
        let micros = i64::try_from(self.0.elapsed().as_micros()).unwrap_or(i64::MAX);
        Span::from_micros(micros).unwrap_or_default()
    }
}

/// The processing time of a file system's or system clock's time.
#[must_use]
pub fn since_epoch(time: SystemTime) -> ProcessingTime {
    let micros = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_micros()).map_or(i64::MIN, i64::saturating_neg)
        }
    };
    ProcessingTime::from_micros(micros)
}

#[expect(clippy::disallowed_methods, reason = "this is where the time of day is read")]
fn read_system_time() -> SystemTime {
    SystemTime::now()
}

#[expect(clippy::disallowed_methods, reason = "this is where ids are made")]
fn now_v7() -> Uuid {
    Uuid::now_v7()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_are_negative() {
        let before = UNIX_EPOCH.checked_sub(std::time::Duration::from_secs(1)).unwrap();
        assert_eq!(since_epoch(before), ProcessingTime::from_micros(-1_000_000));
    }

    #[test]
    fn a_fixed_clock_stands_still() {
        let at = ProcessingTime::from_micros(7);
        assert_eq!(Clock::fixed(at).now(), at);
        assert!(Clock::system().now() > at);
    }
}
