//! How long after its event each row arrived, counted in classes of length: enough to tell what an
//! allowed lateness would have missed, small enough to be kept for every file.

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// Rows by delay. A class is a quarter of a doubling, so that a delay is known to within a fifth of
/// it; class 0 holds what was there within a second, or ahead of its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Delays {
    /// Rows by class, ascending; classes without a row do not appear.
    classes: Vec<(u8, u64)>,
}

/// Classes in a doubling.
const CLASSES_PER_DOUBLING: u32 = 4;

impl Delays {
    /// Counts `rows` rows that came this long after their events; negative: ahead of them.
    pub fn add(&mut self, delay_micros: i64, rows: u64) {
        self.add_class(class_of(delay_micros), rows);
    }

    fn add_class(&mut self, class: u8, rows: u64) {
        match self.classes.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(place) => {
                let count = &mut self.classes[place].1;
                *count = count.saturating_add(rows);
            }
            Err(place) => self.classes.insert(place, (class, rows)),
        }
    }

    /// Counts the rows of `other` too.
    pub fn merge(&mut self, other: &Self) {
        for (class, rows) in &other.classes {
            self.add_class(*class, *rows);
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// How many rows were counted.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.classes.iter().fold(0, |sum, (_, rows)| sum.saturating_add(*rows))
    }

    /// The delay that this share of the rows does not exceed, from 0 to 1; within a class, rows are
    /// taken to be spread evenly. `None` if nothing was counted.
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate")]
    pub fn quantile(&self, share: f64) -> Option<Span> {
        let target = self.rows() as f64 * share.clamp(0.0, 1.0);
        let mut before = 0.0;
        for (class, rows) in &self.classes {
            let rows = *rows as f64;
            if before + rows >= target {
                let (from, to) = (shortest_of(*class) as f64, longest_of(*class) as f64);
                let seconds = from + (to - from) * ((target - before) / rows).clamp(0.0, 1.0);
                return Span::from_micros((seconds * 1_000_000.0) as i64);
            }
            before += rows;
        }
        None
    }

    /// Rows by the longest delay of their class, ascending.
    pub fn classes(&self) -> impl Iterator<Item = (Span, u64)> {
        let longest = |class: u8| {
            let micros = i64::try_from(longest_of(class)).ok()?.checked_mul(1_000_000);
            Span::from_micros(micros.unwrap_or(i64::MAX))
        };
        self.classes.iter().filter_map(move |(class, rows)| Some((longest(*class)?, *rows)))
    }
}

/// The class of a delay.
fn class_of(delay_micros: i64) -> u8 {
    let seconds = u64::try_from(delay_micros.div_euclid(1_000_000)).unwrap_or(0);
    let Some(doublings) = seconds.checked_ilog2() else { return 0 };
    let quarter = u32::try_from((u128::from(seconds) << 2 >> doublings) & 3).unwrap_or(0);
    let place = doublings.saturating_mul(CLASSES_PER_DOUBLING).saturating_add(quarter);
    u8::try_from(place).unwrap_or(u8::MAX).saturating_add(1)
}

/// The shortest delay of a class, in seconds.
fn shortest_of(class: u8) -> u64 {
    let Some(place) = u32::from(class).checked_sub(1) else { return 0 };
    let (doublings, quarter) = (place / CLASSES_PER_DOUBLING, place % CLASSES_PER_DOUBLING);
    let quarters = u128::from(quarter.saturating_add(CLASSES_PER_DOUBLING)) << doublings;
    u64::try_from(quarters.div_ceil(u128::from(CLASSES_PER_DOUBLING))).unwrap_or(u64::MAX)
}

/// The longest delay of a class, exclusive, in seconds.
fn longest_of(class: u8) -> u64 {
    shortest_of(class.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_lies_between_the_edges_of_its_class() {
        let mut seconds: u64 = 0;
        while seconds < 1 << 40 {
            let class = class_of(i64::try_from(seconds * 1_000_000).unwrap());
            assert!(shortest_of(class) <= seconds && seconds < shortest_of(class + 1).max(1));
            seconds += 1 + seconds / 7;
        }
        assert_eq!((class_of(-1), class_of(999_999), class_of(1_000_000)), (0, 0, 1));
        assert_eq!(class_of(i64::MAX), class_of(i64::MAX - 1));
    }

    #[test]
    fn quantiles_are_within_a_fifth() {
        let mut delays = Delays::default();
        (0..1_000).for_each(|second| delays.add(second * 1_000_000, 1));
        assert_eq!(delays.rows(), 1_000);
        for (share, seconds) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let found = delays.quantile(share).unwrap().micros() as f64 / 1e6;
            assert!((found / seconds - 1.0).abs() < 0.2, "{share}: {found}");
        }
        let all = delays.quantile(1.0).unwrap();
        assert!(delays.classes().all(|(longest, _)| longest <= all));
        assert_eq!(Delays::default().quantile(0.5), None);
        let mut twice = delays.clone();
        twice.merge(&delays);
        assert_eq!((twice.rows(), twice.quantile(0.5)), (2_000, delays.quantile(0.5)));
    }
}
