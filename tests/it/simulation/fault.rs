//! What a store may do to a call, and a count of what it did to which.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::support::Dice;

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It fails before anything happens.
    Before,
    /// It happens, and the answer is lost.
    LostAck,
    /// It happens, and the answer is that there is an object already: the client sent it twice.
    LostAckExists,
    /// It happens, and the answer is that its condition failed.
    LostAckCondition,
    /// It fails, and happens later, should its condition hold then.
    Late,
    /// It happens, and the answer is lost; and later it happens again, should its condition hold.
    Twice,
    /// Nothing happens, and the answer is that there is an object already.
    Exists,
    /// Nothing happens, and the answer is that its condition failed.
    Condition,
    /// Nothing happens, and there is no answer.
    Hang,
    /// From here on nothing happens for a while: too many requests.
    Busy,
    /// From here on nothing is stored for a while: no space is left.
    Full,
    /// From here on nothing is permitted for a while.
    Denied,
    /// The body ends too soon.
    Short,
    /// A bit of the body is another.
    Flip,
    /// A list is as it was a while ago.
    StaleList,
    /// It takes long.
    Slow,
}

impl Fault {
    pub(crate) const WRITE: &[Self] = &[
        Self::Before,
        Self::LostAck,
        Self::LostAckExists,
        Self::LostAckCondition,
        Self::Late,
        Self::Twice,
        Self::Exists,
        Self::Condition,
        Self::Hang,
        Self::Busy,
        Self::Full,
        Self::Denied,
        Self::Slow,
    ];
    const READ: &[Self] =
        &[Self::Before, Self::Hang, Self::Busy, Self::Short, Self::Flip, Self::Slow];
    const LIST: &[Self] = &[Self::Before, Self::Busy, Self::StaleList, Self::Slow];
    const DELETE: &[Self] = &[Self::Before, Self::LostAck, Self::Late, Self::Denied, Self::Slow];
}

/// What a call wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    Read,
    List,
    Delete,
}

/// The faults of one history: some kinds, at some rate.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    enabled: u64,
    /// One call in so many is broken, by what it wants; 0: none.
    one_in: [u64; 4],
    /// After one step of the protocol in so many its process is stopped, or killed; 0: never.
    stall_one_in: u64,
    /// Who is out of favour until when, and how.
    moods: BTreeMap<usize, (u64, Fault)>,
}

/// How long a mood lasts at most, in microseconds.
const MOOD_MAX: u64 = 500_000;

impl Faults {
    pub(crate) const NONE: Self =
        Self { enabled: 0, one_in: [0; 4], stall_one_in: 0, moods: BTreeMap::new() };

    pub(crate) fn random(dice: &mut Dice) -> Self {
        // Half of the kinds, or all.
        let enabled = if dice.roll(4) == 0 { u64::MAX } else { dice.roll(u64::MAX) };
        let one_in = [
            *dice.pick(&[0, 3, 6, 6, 12, 12, 30]),
            *dice.pick(&[0, 0, 30, 100, 300]),
            *dice.pick(&[0, 4, 10, 30]),
            *dice.pick(&[0, 2, 5]),
        ];
        let stall_one_in = *dice.pick(&[0, 8, 20]);
        Self { enabled, one_in, stall_one_in, moods: BTreeMap::new() }
    }

    /// Whether a process comes to a halt after a step of the protocol, and for how long: for ever
    /// if that is longer than all else.
    pub(crate) fn stall(&self, dice: &mut Dice) -> Option<u64> {
        let is_stalled = self.stall_one_in > 0 && dice.roll(self.stall_one_in) == 0;
        is_stalled.then(|| *dice.pick(&[1_000_000, 3_000_000, 8_000_000, u64::MAX]))
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.enabled & (1 << fault as u64) != 0
    }

    /// What becomes of a call of process `pid` at `now`.
    pub(crate) fn choose(
        &mut self,
        now: u64,
        pid: usize,
        call: Call,
        dice: &mut Dice,
    ) -> Option<Fault> {
        let kinds = match call {
            Call::Write => Fault::WRITE,
            Call::Read => Fault::READ,
            Call::List => Fault::LIST,
            Call::Delete => Fault::DELETE,
        };
        match self.moods.get(&pid) {
            Some((until, mood)) if now < *until => {
                return Some(*mood).filter(|mood| kinds.contains(mood));
            }
            _ => {}
        }
        let one_in = self.one_in[call as usize];
        let kinds: Vec<Fault> = kinds.iter().copied().filter(|kind| self.has(*kind)).collect();
        if one_in == 0 || dice.roll(one_in) != 0 || kinds.is_empty() {
            return None;
        }
        let fault = *dice.pick(&kinds);
        if matches!(fault, Fault::Busy | Fault::Full | Fault::Denied) {
            self.moods.insert(pid, (now + dice.roll(MOOD_MAX), fault));
        }
        Some(fault)
    }
}

/// How often what happened, over all histories.
#[derive(Debug)]
pub(crate) struct Sometimes(Mutex<BTreeMap<String, u64>>);

/// Of this process of tests.
pub(crate) static SOMETIMES: Sometimes = Sometimes(Mutex::new(BTreeMap::new()));

impl Sometimes {
    pub(crate) fn note(&self, what: impl Into<String>) {
        *self.0.lock().unwrap().entry(what.into()).or_default() += 1;
    }

    pub(crate) fn count(&self, what: &str) -> u64 {
        self.0.lock().unwrap().get(what).copied().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap().clone()
    }
}
