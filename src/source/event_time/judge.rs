//! Whether the event time of a row can be used.

use crate::time::{EventTime, ProcessingTime, Span};

/// Says of each row whether its event time can be used.
///
/// The same rule holds at admission and whenever the file is read again: it depends on the file
/// alone, not on the time of the run.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    latest: EventTime,
}

/// What a row's event time is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It names the row's home window.
    Usable(EventTime),
    /// There is none, or none that a row may carry.
    NoTime,
    /// It is further ahead of the file's arrival than allowed.
    Future,
}

impl Judge {
    /// The judge of a file that arrived at `arrived_at`.
    #[must_use]
    pub fn new(arrived_at: ProcessingTime, max_future: Span) -> Self {
        Self { latest: arrived_at.latest_event(max_future) }
    }

    /// The verdict on a row whose event time is `micros`.
    #[must_use]
    pub fn verdict(self, micros: Option<i64>) -> Verdict {
        match micros.map(EventTime::from_micros) {
            Some(at) if at.is_usable() && at <= self.latest => Verdict::Usable(at),
            Some(at) if at.is_usable() => Verdict::Future,
            _ => Verdict::NoTime,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_far_ahead_of_its_file_is_no_event() {
        let judge = Judge::new(ProcessingTime::from_micros(0), Span::from_seconds(1));
        let at = |micros| judge.verdict(Some(micros));
        assert_eq!(at(1_000_000), Verdict::Usable(EventTime::from_micros(1_000_000)));
        assert_eq!(at(1_000_001), Verdict::Future);
        assert_eq!(at(i64::MAX), Verdict::NoTime);
        assert_eq!(judge.verdict(None), Verdict::NoTime);
    }
}
