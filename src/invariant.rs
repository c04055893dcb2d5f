//! The invariants by id, each said once. Code, tests and docs name them by id.

use std::fmt;

/// What must always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// A pipeline's watermark never moves back by itself, and only with a commit.
    Wm1,
    /// The watermark never passes a window that is not committed.
    Wm2,
    /// Each (window, input version) is accounted for exactly once.
    In1,
    /// Rows in = rows used + rows refused; nothing is dropped uncounted.
    In2,
    /// One entry per seq; seqs have no gaps; an entry is never rewritten; each names its
    /// predecessor.
    Cm1,
    /// The published object of a window is its last committed revision, or an attempt that a later
    /// `begin` announced.
    Cm2,
    /// A batch is committed at most once, however often its append is tried.
    Cm3,
    /// No entry of an older epoch follows one of a newer epoch.
    Cm4,
    /// A backfill changes outputs, never the watermark.
    Bf1,
    /// Two windows never share an object, and windows tile the time line.
    Wi1,
    /// Nothing of a state prefix is deleted unless the log proves it dead, twice: marked by one
    /// process, swept by a later one.
    Gc1,
    /// A pipeline that is being retired publishes nothing: no reader sees two generations.
    Rt1,
}

impl Invariant {
    /// The id under which docs and tests name it.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Wm1 => "WM-1",
            Self::Wm2 => "WM-2",
            Self::In1 => "IN-1",
            Self::In2 => "IN-2",
            Self::Cm1 => "CM-1",
            Self::Cm2 => "CM-2",
            Self::Cm3 => "CM-3",
            Self::Cm4 => "CM-4",
            Self::Bf1 => "BF-1",
            Self::Wi1 => "WI-1",
            Self::Gc1 => "GC-1",
            Self::Rt1 => "RT-1",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
