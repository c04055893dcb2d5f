//! How long windows are: the few lengths that tile a calendar.

use std::fmt;

use chrono::Weekday;

const MINUTES_PER_DAY: u16 = 1440;
/// The longest window that is shorter than a day.
const MINUTES_MAX: u16 = 720;

/// The length of a pipeline's windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowSize {
    /// So many minutes of absolute time from local midnight: a divisor of 1440, from 1 to 720.
    Minutes(u16),
    /// A calendar day.
    Day,
    /// Seven calendar days.
    Week {
        /// The day of the week on which each window begins.
        first: Weekday,
    },
    /// A calendar month.
    Month,
}

impl WindowSize {
    /// About how long such a window is, in seconds: the shortest month, a day without a change of
    /// clocks.
    #[must_use]
    pub fn seconds(self) -> i64 {
        const DAY: i64 = 86_400;
        match self {
            Self::Minutes(minutes) => i64::from(minutes).saturating_mul(60),
            Self::Day => DAY,
            Self::Week { .. } => 7 * DAY,
            Self::Month => 28 * DAY,
        }
    }

    /// Reads `15m`, `6h`, `1d`, `1w` (from Monday) or `1mo`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text`, and what can be used instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at(digits);
        let usable = "use `1m` to `12h`, `1d`, `1w` or `1mo`";
        let Ok(count) = count.parse::<u32>() else {
            return Err(format!("`{text}` is not a window size: {usable}"));
        };
        match (count, unit) {
            (0, _) => Err(format!("`{text}` is no time at all: {usable}")),
            (_, "m") => Self::from_minutes(text, count),
            (_, "h") => Self::from_minutes(text, count.saturating_mul(60)),
            (1, "d") => Ok(Self::Day),
            (7, "d") => Err("a window of seven days is a week: write `1w`".to_owned()),
            (_, "d") => Err(format!(
                "windows of several days (`{text}`) are not possible: use `1d` or `1w`"
            )),
            (1, "w") => Ok(Self::Week { first: Weekday::Mon }),
            (_, "w") => Err(format!(
                "windows of several weeks (`{text}`) are not possible: use `1w` or `1mo`"
            )),
            (1, "mo") => Ok(Self::Month),
            (_, "mo" | "y") => {
                Err(format!("`{text}` is too long: the largest window is a month, `1mo`"))
            }
            (_, "M") => Err(format!(
                "`{text}` can be read in two ways: write `1mo` for a month, `{count}m` for minutes"
            )),
            (_, "s") => {
                Err(format!("`{text}` is too short: the smallest window is a minute, `1m`"))
            }
            _ => Err(format!("`{text}` is not a window size: {usable}")),
        }
    }

    /// The same size, with weeks that begin on `first`; other sizes do not change.
    #[must_use]
    pub fn with_week_start(self, first: Weekday) -> Self {
        match self {
            Self::Week { .. } => Self::Week { first },
            other => other,
        }
    }

    fn from_minutes(text: &str, minutes: u32) -> Result<Self, String> {
        let minutes = u16::try_from(minutes).ok().filter(|minutes| *minutes <= MINUTES_PER_DAY);
        match minutes {
            None => Err(format!("`{text}` is longer than a day: use `1d`, `1w` or `1mo`")),
            Some(MINUTES_PER_DAY) => {
                Err(format!("`{text}` is a day, which may have 23 or 25 hours: write `1d`"))
            }
            Some(minutes) if divides_a_day(minutes) => Ok(Self::Minutes(minutes)),
            Some(minutes) => {
                let shorter = (1..minutes)
                    .rev()
                    .find(|m| divides_a_day(*m))
                    .map_or(Self::Minutes(1), Self::Minutes);
                let longer = (minutes..=MINUTES_MAX)
                    .find(|m| divides_a_day(*m))
                    .map_or(Self::Day, Self::Minutes);
                Err(format!(
                    "`{text}` does not divide a day: \
                     the nearest that do are `{shorter}` and `{longer}`"
                ))
            }
        }
    }
}

fn divides_a_day(minutes: u16) -> bool {
    minutes <= MINUTES_MAX && MINUTES_PER_DAY.is_multiple_of(minutes)
}

/// As it is written in `config.toml`, except that whole hours are hours: `60m` reads `1h`.
impl fmt::Display for WindowSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minutes(minutes) if minutes.is_multiple_of(60) => write!(f, "{}h", minutes / 60),
            Self::Minutes(minutes) => write!(f, "{minutes}m"),
            Self::Day => f.write_str("1d"),
            Self::Week { .. } => f.write_str("1w"),
            Self::Month => f.write_str("1mo"),
        }
    }
}
