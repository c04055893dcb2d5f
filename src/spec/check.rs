//! What a window must be like to be published: checks of its result, and limits for its rows.

use std::fmt;

use super::SqlOrigin;

/// A query over the result of a window that must return no rows.
#[derive(Clone, Debug)]
pub struct CheckSpec {
    /// Its name, one of its own within the pipeline.
    pub name: String,
    /// The SQL as written. It sees the outputs and the reference tables by name.
    pub sql: String,
    /// Where the SQL stands.
    pub origin: SqlOrigin,
    /// What becomes of a window for which it returns rows.
    pub severity: Severity,
}

/// What becomes of a window whose result a check finds something in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It is published, and what was found is counted.
    Warn,
    /// It is refused.
    Error,
}

/// How many bad rows a window may have, and how few it must have. A row is bad that a rule drops
/// or puts aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QualitySpec {
    /// The largest share of bad rows.
    pub max_bad_ratio: Option<Ratio>,
    /// The most bad rows.
    pub max_bad_rows: Option<u64>,
    /// The fewest rows that are used, of all sources together. If that is more than none, a closed
    /// window without a row is refused, not committed as empty.
    pub min_rows: u64,
}

/// A share of a whole, from none to all of it, exact to nine decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    billionths: u64,
}

/// All of a whole.
const WHOLE: u64 = 1_000_000_000;

impl Ratio {
    /// `0.01`, or `1`; `None` if it is not from 0 to 1, or has more than nine decimals.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || decimals.len() > 9 || !is_number(whole) || !is_number(decimals) {
            return None;
        }
        let billionths = format!("{whole}{decimals:0<9}").parse().ok()?;
        (billionths <= WHOLE).then_some(Self { billionths })
    }

    /// Whether `part` of `whole` is more than this share of it.
    #[must_use]
    pub fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        let scaled = |count: u64, by: u64| u128::from(count).saturating_mul(u128::from(by));
        scaled(part, WHOLE) > scaled(whole, self.billionths)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.billionths / WHOLE, self.billionths % WHOLE);
        let text = format!("{whole}.{decimals:09}");
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_exact_at_its_limit() {
        // In binary fractions, 0.29 * 100 is less than 29.
        for (text, most, whole) in [("0.29", 29, 100), ("0", 0, 7), ("1", 7, 7), ("0.5", 1, 2)] {
            let ratio = Ratio::parse(text).unwrap();
            assert!(!ratio.is_exceeded_by(most, whole), "{text}");
            assert!(ratio.is_exceeded_by(most.saturating_add(1), whole), "{text}");
            assert_eq!(ratio.to_string(), text);
        }
        let most = Ratio::parse("0.999999999").unwrap();
        assert!(most.is_exceeded_by(u64::MAX, u64::MAX));
        assert!(!most.is_exceeded_by(0, 0));
    }

    #[test]
    fn what_is_no_share_is_no_ratio() {
        for text in
            ["", ".5", "-0.1", "-0", "1.1", "1.000000001", "0.0000000001", "NaN", "inf", "2"]
        {
            assert_eq!(Ratio::parse(text), None, "{text}");
        }
    }
}
