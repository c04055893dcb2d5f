//! Quality gates: whether a window has too many bad rows, or too few good ones, to be published.

use std::fmt::Write;

use crate::error::{Code, Error, Result};
use crate::spec::{OnViolation, QualitySpec, Ratio};
use crate::state::{Balance, RowCounts};

/// The most rules that a refusal names.
const RULES_MAX: usize = 5;

/// How many decimals a share in percent has, at least and at most. A limit has seven.
const DECIMALS_MIN: u32 = 2;
const DECIMALS_MAX: u32 = 16;

/// Refuses the window called `label` if its rows are not within the limits of `quality`.
pub(super) fn gate(
    quality: &QualitySpec,
    label: &str,
    rows: &RowCounts,
    balance: &Balance,
) -> Result<()> {
    let bad = rows.quarantined.saturating_add(rows.dropped);
    if let Some(max) = quality.max_bad_ratio
        && max.is_exceeded_by(bad, rows.input)
    {
        let (share, all, rules) = (percent(bad, rows.input, max), rows.input, rules(balance));
        return Err(refused(&format!(
            "{share}% of the rows of window {label} are bad ({bad} of {all}), more than \
             max_bad_ratio = {max}: {rules}"
        )));
    }
    if let Some(max) = quality.max_bad_rows
        && bad > max
    {
        let rules = rules(balance);
        return Err(refused(&format!(
            "{bad} rows of window {label} are bad, more than max_bad_rows = {max}: {rules}"
        )));
    }
    if rows.used < quality.min_rows {
        let (used, all, min) = (rows.used, rows.input, quality.min_rows);
        return Err(refused(&format!(
            "{used} of {all} rows of window {label} are used, fewer than min_rows = {min}"
        )));
    }
    Ok(())
}

fn refused(why: &str) -> Error {
    Error::new(Code::QualityGate, format!("quality gate: {why}"))
        .note("the window was not published, and its bad rows are not in quarantine either")
        .note("its previous output, if any, stands")
}

/// `part` of `whole` in percent, cut to two decimals; to more where it would not be more than `max`
/// otherwise.
fn percent(part: u64, whole: u64, max: Ratio) -> String {
    let mut text = String::new();
    for decimals in DECIMALS_MIN..=DECIMALS_MAX {
        let unit = 10_u64.saturating_pow(decimals);
        let hundred = u128::from(unit).saturating_mul(100);
        let share = u128::from(part).saturating_mul(hundred).checked_div(u128::from(whole));
        let share = share.and_then(|share| u64::try_from(share).ok()).unwrap_or_default();
        let (full, rest) = (share.checked_div(unit), share.checked_rem(unit));
        let digits = usize::try_from(decimals).unwrap_or_default();
        text = format!("{}.{:0digits$}", full.unwrap_or_default(), rest.unwrap_or_default());
        if max.is_exceeded_by(share, unit.saturating_mul(100)) {
            break;
        }
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The rules that made rows bad, and how many each.
fn rules(balance: &Balance) -> String {
    let harmful = [OnViolation::Drop.as_str(), OnViolation::Quarantine.as_str()];
    let is_harmful = |action: &str| harmful.contains(&action);
    let broken: Vec<_> = balance.rules.iter().filter(|rule| is_harmful(&rule.action)).collect();
    let named = broken.iter().take(RULES_MAX).map(|rule| format!("{} {}", rule.rule, rule.rows));
    let mut named = named.collect::<Vec<_>>().join(", ");
    if let more @ 1.. = broken.len().saturating_sub(RULES_MAX) {
        let _ = write!(named, " and {more} more rules");
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Ratio;
    use crate::state::RuleCount;

    fn counts(quarantined: u64, dropped: u64, used: u64) -> RowCounts {
        let input = [quarantined, dropped, used, 2].iter().sum();
        RowCounts { input, used, quarantined, dropped, duplicate: 2, ..RowCounts::default() }
    }

    fn balance(rules: &[(&str, &str, u64)]) -> Balance {
        let count = |(rule, action, rows): &(&str, &str, u64)| RuleCount {
            table: "t".to_owned(),
            rule: (*rule).to_owned(),
            action: (*action).to_owned(),
            rows: *rows,
        };
        Balance { rules: rules.iter().map(count).collect(), ..Balance::default() }
    }

    fn said(quality: QualitySpec, rows: &RowCounts, balance: &Balance) -> Option<String> {
        gate(&quality, "W", rows, balance).err().map(|why| why.message().to_owned())
    }

    #[test]
    fn a_limit_itself_may_be_reached() {
        let none = Balance::default();
        let ratio = QualitySpec { max_bad_ratio: Ratio::parse("0.29"), ..QualitySpec::default() };
        assert_eq!(said(ratio, &counts(20, 9, 69), &none), None);
        assert!(said(ratio, &counts(21, 9, 68), &none).is_some());
        let rows = QualitySpec { max_bad_rows: Some(3), ..QualitySpec::default() };
        assert_eq!(said(rows, &counts(2, 1, 0), &none), None);
        assert!(said(rows, &counts(2, 2, 0), &none).is_some());
        let min = QualitySpec { min_rows: 3, ..QualitySpec::default() };
        assert_eq!(said(min, &counts(0, 0, 3), &none), None);
        assert!(said(min, &counts(9, 9, 2), &none).is_some());
        assert_eq!(said(QualitySpec::default(), &counts(9, 9, 0), &none), None);
        // No row at all is no bad row.
        let strict = QualitySpec { max_bad_ratio: Ratio::parse("0"), ..QualitySpec::default() };
        assert_eq!(said(strict, &RowCounts::default(), &none), None);
    }

    #[test]
    fn the_share_is_told_with_the_digits_that_show_it_is_too_much() {
        let none = Balance::default();
        let told = |max: &str, counts: &RowCounts| {
            let ratio = QualitySpec { max_bad_ratio: Ratio::parse(max), ..QualitySpec::default() };
            let said = said(ratio, counts, &none).unwrap();
            said.split('%').next().unwrap().rsplit(' ').next().unwrap().to_owned()
        };
        assert_eq!(told("0", &counts(1, 0, 999_997)), "0.0001");
        let third = counts(1, 0, 0);
        assert_eq!(told("0.333333333", &third), "33.33333333");
        assert_eq!(told("0.3333", &third), "33.333");
        assert_eq!(told("0.01", &third), "33.33");
    }

    #[test]
    fn it_says_what_and_which_rules() {
        let ratio = QualitySpec { max_bad_ratio: Ratio::parse("0.01"), ..QualitySpec::default() };
        let broken = balance(&[("a", "quarantine", 40), ("odd", "warn", 900), ("b", "drop", 1)]);
        assert_eq!(
            said(ratio, &counts(40, 1, 957), &broken).unwrap(),
            "quality gate: 4.1% of the rows of window W are bad (41 of 1000), more than \
             max_bad_ratio = 0.01: a 40, b 1"
        );
        let many: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].map(|rule| (rule, "drop", 1)).into();
        let rows = QualitySpec { max_bad_rows: Some(0), ..QualitySpec::default() };
        assert_eq!(
            said(rows, &counts(0, 7, 0), &balance(&many)).unwrap(),
            "quality gate: 7 rows of window W are bad, more than max_bad_rows = 0: a 1, b 1, c 1, \
             d 1, e 1 and 2 more rules"
        );
        let min = QualitySpec { min_rows: 5, ..QualitySpec::default() };
        assert_eq!(
            said(min, &counts(1, 0, 4), &balance(&[])).unwrap(),
            "quality gate: 4 of 7 rows of window W are used, fewer than min_rows = 5"
        );
    }
}
