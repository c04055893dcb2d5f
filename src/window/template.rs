//! Output paths that carry the start of a window: `out/hourly/dt={start:%Y-%m-%d}/hour={start:%H}`.
//!
//! A template is a list of plain characters and fields. All fields have a fixed width, so two
//! windows have the same path exactly if all their fields are equal; `injective` builds on that.

use std::fmt::Write;
use std::ops::Range;
use std::str::CharIndices;

use chrono::{Datelike, NaiveDateTime, Timelike};

use super::{Window, WindowGrid};

/// The longest name of a folder that every file system takes, in bytes.
const FOLDER_MAX: usize = 255;
/// The longest path, in bytes: with the name of a file behind it, it still fits a key of any store.
const PATH_MAX: usize = 1000;

/// The folder of each window: a relative path with fields in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    text: String,
    root: String,
    pub(super) parts: Vec<Part>,
}

/// Why a text is not a path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong, and what to write instead.
    pub message: String,
    /// Byte range of the place in the template's text.
    pub span: Range<usize>,
}

/// One step of writing a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Literal(char),
    Field(Clock, Field),
}

/// Which reading of the window's start a field shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// `start`: the grid's zone.
    Zone,
    /// `start_utc`: UTC.
    Utc,
}

/// A strftime field of fixed width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Year,
    Month,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
    IsoYear,
    IsoWeek,
    Weekday,
}

/// A window's start, read once for all fields of a path.
pub(super) struct Start {
    zone: NaiveDateTime,
    utc: NaiveDateTime,
}

impl PathTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with `text`, and where.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let parts = parse_parts(text)?;
        check_folders(text, &parts)?;
        let root = match text.split_once('{') {
            None => text,
            Some((literal, _)) => {
                literal.rsplit_once('/').map(|(root, _)| root).ok_or_else(|| TemplateError {
                    message: "the first folder must not have a field: it holds all of the output"
                        .to_owned(),
                    span: 0..text.len(),
                })?
            }
        };
        Ok(Self { text: text.to_owned(), root: root.to_owned(), parts })
    }

    /// The template as it was written, without a slash at its end.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The folders before the first one that has a field: `out/hourly`.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The path of `window`; `None` if its start is not in the years 0 to 9999.
    #[must_use]
    pub fn render(&self, grid: &WindowGrid, window: Window) -> Option<String> {
        let start = Start::of(grid, window)?;
        let mut path = String::with_capacity(self.text.len());
        for part in &self.parts {
            match *part {
                Part::Literal(c) => path.push(c),
                Part::Field(clock, field) => {
                    let (value, width) = (field.value(start.by(clock))?, field.width());
                    write!(path, "{value:0width$}").ok()?;
                }
            }
        }
        Some(path)
    }
}

impl Start {
    pub(super) fn of(grid: &WindowGrid, window: Window) -> Option<Self> {
        Some(Self {
            zone: window.start().to_local(grid.zone())?.naive_local(),
            utc: window.start().to_utc()?.naive_utc(),
        })
    }

    pub(super) fn by(&self, clock: Clock) -> NaiveDateTime {
        match clock {
            Clock::Zone => self.zone,
            Clock::Utc => self.utc,
        }
    }
}

impl Field {
    fn of_letter(letter: char) -> Option<Self> {
        Some(match letter {
            'Y' => Self::Year,
            'm' => Self::Month,
            'd' => Self::Day,
            'j' => Self::DayOfYear,
            'H' => Self::Hour,
            'M' => Self::Minute,
            'S' => Self::Second,
            'G' => Self::IsoYear,
            'V' => Self::IsoWeek,
            'u' => Self::Weekday,
            _ => return None,
        })
    }

    pub(super) fn value(self, at: NaiveDateTime) -> Option<u32> {
        let year = |year: i32| u32::try_from(year).ok().filter(|year| *year <= 9999);
        match self {
            Self::Year => year(at.year()),
            Self::Month => Some(at.month()),
            Self::Day => Some(at.day()),
            Self::DayOfYear => Some(at.ordinal()),
            Self::Hour => Some(at.hour()),
            Self::Minute => Some(at.minute()),
            Self::Second => Some(at.second()),
            Self::IsoYear => year(at.iso_week().year()),
            Self::IsoWeek => Some(at.iso_week().week()),
            Self::Weekday => Some(at.weekday().number_from_monday()),
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Year | Self::IsoYear => 4,
            Self::DayOfYear => 3,
            Self::Weekday => 1,
            _ => 2,
        }
    }
}

fn parse_parts(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut open: Option<(usize, Clock)> = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, open) {
            ('{', None) => open = Some((at, parse_clock(&mut chars)?)),
            ('}', Some(_)) => open = None,
            ('%', Some((_, clock))) => parse_field(at, clock, &mut chars, &mut parts)?,
            _ if c.is_ascii_alphanumeric() || "._=-/".contains(c) => parts.push(Part::Literal(c)),
            _ => {
                let message = format!(
                    "the character {c:?} cannot be here: use letters, digits, `.`, `_`, `=`, `-`, \
                     `/`, and fields such as `{{start:%Y-%m-%d}}`"
                );
                return Err(TemplateError { message, span: at..chars.offset() });
            }
        }
    }
    match open {
        None => Ok(parts),
        Some((at, _)) => {
            let message = "this `{` has no `}`".to_owned();
            Err(TemplateError { message, span: at..text.len() })
        }
    }
}

/// Reads `start:` or `start_utc:`, the opening brace having been read.
fn parse_clock(chars: &mut CharIndices<'_>) -> Result<Clock, TemplateError> {
    let first = chars.offset();
    let name = chars.as_str().split([':', '{', '}', '/']).next().unwrap_or_default();
    let span = first..first.saturating_add(name.len());
    let clock = match name {
        "start" => Clock::Zone,
        "start_utc" => Clock::Utc,
        _ => {
            let message = format!(
                "`{}` is not a name that can be used here: use `start`, or `start_utc` for UTC",
                name.escape_default()
            );
            return Err(TemplateError { message, span });
        }
    };
    if chars.find(|(at, _)| *at >= span.end).is_none_or(|(_, c)| c != ':')
        || chars.as_str().starts_with('}')
    {
        let message = format!("`{name}` has no field: write, for example, `{{{name}:%Y-%m-%d}}`");
        return Err(TemplateError { message, span });
    }
    Ok(clock)
}

/// Reads the letter of a field, the `%` at byte `at` having been read.
fn parse_field(
    at: usize,
    clock: Clock,
    chars: &mut CharIndices<'_>,
    parts: &mut Vec<Part>,
) -> Result<(), TemplateError> {
    let letter = chars.next().map(|(_, letter)| letter);
    if letter == Some('F') {
        parts.extend([
            Part::Field(clock, Field::Year),
            Part::Literal('-'),
            Part::Field(clock, Field::Month),
            Part::Literal('-'),
            Part::Field(clock, Field::Day),
        ]);
        return Ok(());
    }
    let Some(field) = letter.and_then(Field::of_letter) else {
        let message = "this field cannot be used in a path, only those of fixed width can: \
            `%Y`, `%m`, `%d`, `%F`, `%j`, `%H`, `%M`, `%S`, `%G`, `%V`, `%u`"
            .to_owned();
        return Err(TemplateError { message, span: at..chars.offset() });
    };
    parts.push(Part::Field(clock, field));
    Ok(())
}

/// Refuses folders that are empty, lead elsewhere, or would not be read by others.
fn check_folders(text: &str, parts: &[Part]) -> Result<(), TemplateError> {
    let refused =
        |message: &str| Err(TemplateError { message: message.to_owned(), span: 0..text.len() });
    if text.starts_with('/') {
        return refused("the path must not begin with `/`: it is relative to the project's `root`");
    }
    for folder in parts.split(|part| *part == Part::Literal('/')) {
        match folder {
            [] => return refused("a folder has no name"),
            [Part::Literal('.')] | [Part::Literal('.'), Part::Literal('.')] => {
                return refused("a folder must not be `.` or `..`: write the path without them");
            }
            [Part::Literal('.' | '_'), ..] => {
                return refused(
                    "a folder must not begin with `.` or `_`: Spark and Athena do not see it",
                );
            }
            _ => {}
        }
        if width(folder) > FOLDER_MAX {
            return refused(&format!("the name of a folder has at most {FOLDER_MAX} characters"));
        }
    }
    if width(parts) > PATH_MAX {
        return refused(&format!("the path of a window has at most {PATH_MAX} characters"));
    }
    Ok(())
}

/// How long these parts are in every path: only characters of one byte are let in.
fn width(parts: &[Part]) -> usize {
    let width = |part: &Part| match part {
        Part::Literal(_) => 1,
        Part::Field(_, field) => field.width(),
    };
    parts.iter().map(width).sum()
}
