//! What went wrong, for three readers: the exit code for cron, the sentence for a person, the hint
//! for the next step.
//!
//! An [`Error`] never swallows its cause and never prints: the command line renders it. A lost race
//! or a late row is not an error but a value of the function that met it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// What the caller can do about an error; it decides the exit code (DESIGN §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The command line or the configuration must be changed.
    Config,
    /// Some windows failed, the others are done: mend the cause and run again.
    Partial,
    /// A rule, a check or a policy of the operator refused the data.
    Refused,
    /// Storage could not be read or written, or is unfit for use.
    Storage,
    /// The state log is damaged, or was written by a newer version.
    Corrupt,
    /// Another process is the writer now: wait for it.
    LeaseHeld,
    /// Another process took over: this one must stop.
    Fenced,
    /// Nobody knows whether the last write landed: run again, that is safe.
    OutcomeUnknown,
    /// The work itself failed.
    Failed,
    /// A signal ended the run; the number is the signal's.
    Interrupted(u8),
}

impl ErrorKind {
    /// The process exit code of this kind alone.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Config => 2,
            Self::Partial => 3,
            Self::Refused => 4,
            Self::Storage => 5,
            Self::Corrupt => 6,
            Self::LeaseHeld => 11,
            Self::Fenced => 12,
            Self::OutcomeUnknown => 75,
            Self::Interrupted(signal) => 128_u8.saturating_add(signal),
        }
    }

    /// Which of several exit codes a run ends with: the lowest rank wins (order of DESIGN §9).
    fn rank(self) -> u8 {
        match self {
            Self::Corrupt => 0,
            Self::Fenced => 1,
            Self::OutcomeUnknown => 2,
            Self::Storage => 3,
            Self::Config => 4,
            Self::LeaseHeld => 5,
            Self::Partial => 6,
            Self::Refused => 7,
            Self::Failed => 8,
            Self::Interrupted(_) => 9,
        }
    }

    /// The kind that decides for several errors; `None` for none.
    pub fn worst(kinds: impl IntoIterator<Item = Self>) -> Option<Self> {
        kinds.into_iter().min_by_key(|kind| kind.rank())
    }
}

/// The published name of an error: `HW` and four digits. Ranges: 0 usage, 1 configuration, 2 SQL,
/// 3 input, 4 rules, 5 lease and commit, 6 storage, 7 output, 9 a bug of ours.
///
/// A code never changes its meaning; a retired one is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Code {
    /// The command line does not say something that can be done.
    Usage = 1,
    /// A destructive command has nobody to ask.
    NotConfirmed = 3,
    /// A name on the command line is not in the configuration.
    UnknownPipeline = 4,
    /// `config.toml` cannot be found or read.
    ConfigMissing = 1000,
    /// `config.toml` is not TOML.
    ConfigSyntax = 1001,
    /// A key that does not exist.
    UnknownKey = 1002,
    /// A value from the environment that cannot be used.
    BadEnvironment = 1003,
    /// A key that must be there is not.
    MissingKey = 1004,
    /// A value of the wrong type, or outside what the key allows.
    BadValue = 1010,
    /// Two keys, or two pipelines, that contradict each other.
    Conflict = 1011,
    /// Two windows would share one output path.
    PathNotInjective = 1012,
    /// Pipelines that read from each other in a circle.
    Cycle = 1013,
    /// A documented feature that this version does not have yet.
    NotSupportedYet = 1020,
    /// The SQL cannot be parsed or planned.
    BadSql = 2001,
    /// The SQL would not give the same answer twice.
    NotDeterministic = 2002,
    /// The SQL does something other than asking a question.
    NotAQuery = 2003,
    /// The SQL failed while it ran.
    SqlFailed = 2010,
    /// An input file that cannot be read as Parquet.
    CorruptInput = 3001,
    /// An input file without the event-time column.
    NoEventTime = 3002,
    /// An event-time column of a type that is not a time.
    BadEventTimeType = 3003,
    /// Input files that differ in a column the query needs.
    SchemaMismatch = 3004,
    /// An input changed while it was read.
    InputChanged = 3005,
    /// An input that a window needs is no longer there.
    InputRemoved = 3006,
    /// A file with rows in more windows than is sane.
    TooManyWindows = 3007,
    /// What another pipeline committed, and this one reads, is damaged.
    UpstreamDamaged = 3008,
    /// Too many rows of a window are bad, or it has too few.
    QualityGate = 4001,
    /// Rows later than the allowed lateness.
    Expired = 4002,
    /// Rows without a usable event time.
    UnusableTime = 4003,
    /// A row breaks a rule that no row may break.
    RuleBroken = 4004,
    /// A check found something in the result of a window.
    CheckFailed = 4005,
    /// The window is too large for the limits of the configuration.
    WindowTooLarge = 4010,
    /// An earlier revision of a window that is not to be had any more.
    RevisionGone = 4020,
    /// Another process holds the lease.
    LeaseHeld = 5001,
    /// Another process took the lease over.
    Fenced = 5002,
    /// The last write may or may not have landed.
    OutcomeUnknown = 5003,
    /// The state log is damaged.
    StateCorrupt = 5010,
    /// The state was written by a newer version.
    StateTooNew = 5011,
    /// The output folder belongs to another pipeline.
    NotTheOwner = 5012,
    /// The pipeline's shape differs from the one its state was made with.
    ShapeChanged = 5013,
    /// The pipeline is being retired, and that is not done.
    Retiring = 5014,
    /// A source path that does not exist, or lists nothing where it had files.
    SourceMissing = 6002,
    /// The store refused access.
    PermissionDenied = 6003,
    /// The store is full.
    StorageFull = 6004,
    /// Any other failure of the store.
    StoreFailed = 6010,
    /// The store does not keep the promises the protocol needs.
    StoreUnfit = 6011,
    /// Some windows failed and stay due.
    WindowsFailed = 7001,
    /// A signal ended the run.
    Interrupted = 7002,
    /// An assumption of this program does not hold: a bug of ours.
    Bug = 9001,
}

impl Code {
    /// Every code there is.
    pub const ALL: &[Self] = &[
        Self::Usage,
        Self::NotConfirmed,
        Self::UnknownPipeline,
        Self::ConfigMissing,
        Self::ConfigSyntax,
        Self::UnknownKey,
        Self::BadEnvironment,
        Self::MissingKey,
        Self::BadValue,
        Self::Conflict,
        Self::PathNotInjective,
        Self::Cycle,
        Self::NotSupportedYet,
        Self::BadSql,
        Self::NotDeterministic,
        Self::NotAQuery,
        Self::SqlFailed,
        Self::CorruptInput,
        Self::NoEventTime,
        Self::BadEventTimeType,
        Self::SchemaMismatch,
        Self::InputChanged,
        Self::InputRemoved,
        Self::TooManyWindows,
        Self::UpstreamDamaged,
        Self::QualityGate,
        Self::Expired,
        Self::UnusableTime,
        Self::RuleBroken,
        Self::CheckFailed,
        Self::WindowTooLarge,
        Self::RevisionGone,
        Self::LeaseHeld,
        Self::Fenced,
        Self::OutcomeUnknown,
        Self::StateCorrupt,
        Self::StateTooNew,
        Self::NotTheOwner,
        Self::ShapeChanged,
        Self::Retiring,
        Self::SourceMissing,
        Self::PermissionDenied,
        Self::StorageFull,
        Self::StoreFailed,
        Self::StoreUnfit,
        Self::WindowsFailed,
        Self::Interrupted,
        Self::Bug,
    ];

    /// The code that prints as `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.to_string() == text)
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::Usage
            | Self::NotConfirmed
            | Self::UnknownPipeline
            | Self::ConfigMissing
            | Self::ConfigSyntax
            | Self::UnknownKey
            | Self::BadEnvironment
            | Self::MissingKey
            | Self::BadValue
            | Self::Conflict
            | Self::PathNotInjective
            | Self::Cycle
            | Self::NotSupportedYet
            | Self::BadSql
            | Self::NotDeterministic
            | Self::NotAQuery
            | Self::NoEventTime
            | Self::BadEventTimeType
            | Self::ShapeChanged
            | Self::Retiring
            | Self::NotTheOwner => ErrorKind::Config,
            Self::SqlFailed
            | Self::CorruptInput
            | Self::InputChanged
            | Self::UpstreamDamaged
            | Self::Bug => ErrorKind::Failed,
            Self::SchemaMismatch
            | Self::InputRemoved
            | Self::TooManyWindows
            | Self::QualityGate
            | Self::Expired
            | Self::UnusableTime
            | Self::RuleBroken
            | Self::CheckFailed
            | Self::RevisionGone
            | Self::WindowTooLarge => ErrorKind::Refused,
            Self::LeaseHeld => ErrorKind::LeaseHeld,
            Self::Fenced => ErrorKind::Fenced,
            Self::OutcomeUnknown => ErrorKind::OutcomeUnknown,
            Self::StateCorrupt | Self::StateTooNew => ErrorKind::Corrupt,
            Self::SourceMissing
            | Self::PermissionDenied
            | Self::StorageFull
            | Self::StoreFailed
            | Self::StoreUnfit => ErrorKind::Storage,
            Self::WindowsFailed => ErrorKind::Partial,
            Self::Interrupted => ErrorKind::Interrupted(2),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HW{:04}", *self as u16)
    }
}

/// A place in a text that the user wrote, to be shown with its line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The file as the user named it, e.g. `config.toml`.
    pub origin: String,
    /// The whole text of that file.
    pub text: Arc<str>,
    /// Byte range of the place in `text`.
    pub span: Range<usize>,
    /// What is wrong there, in a few words.
    pub label: String,
}

/// One thing that went wrong: code, sentence, notes, hints, and where.
///
/// Sentences start in lower case, end without a full stop, and name the pipeline, window, file or
/// key they speak of.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    code: Code,
    kind: ErrorKind,
    message: String,
    excerpt: Option<Excerpt>,
    notes: Vec<String>,
    hints: Vec<String>,
}

/// The result of anything that can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `code`, whose kind is the code's.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            kind: code.kind(),
            message: message.into(),
            excerpt: None,
            notes: Vec::new(),
            hints: Vec::new(),
        }))
    }

    /// Adds what else is known: what now stands, what was looked at.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.0.notes.push(note.into());
        self
    }

    /// Adds the command or key that gets further.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Says where in the user's text it is.
    #[must_use]
    pub fn at(mut self, excerpt: Excerpt) -> Self {
        self.0.excerpt = Some(excerpt);
        self
    }

    /// The same error with another kind, where the same cause asks for another action.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Puts `context` in front of the sentence: `context: sentence`.
    #[must_use]
    pub fn within(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// The published code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What the caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The place in the user's text, if there is one.
    #[must_use]
    pub fn excerpt(&self) -> Option<&Excerpt> {
        self.0.excerpt.as_ref()
    }

    /// What else is known.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.0.notes
    }

    /// What gets further.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.code, self.0.message)?;
        self.0.notes.iter().try_for_each(|note| write!(f, "\n  note: {note}"))?;
        self.0.hints.iter().try_for_each(|hint| write!(f, "\n  help: {hint}"))
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_kinds_the_first_of_the_published_order_decides() {
        let order = [
            ErrorKind::Corrupt,
            ErrorKind::Fenced,
            ErrorKind::OutcomeUnknown,
            ErrorKind::Storage,
            ErrorKind::Config,
            ErrorKind::LeaseHeld,
            ErrorKind::Partial,
            ErrorKind::Refused,
            ErrorKind::Failed,
        ];
        for (i, first) in order.iter().enumerate() {
            for later in &order[i..] {
                assert_eq!(ErrorKind::worst([*later, *first]), Some(*first));
            }
        }
        assert_eq!(ErrorKind::worst([]), None);
    }

    #[test]
    fn codes_have_four_digits() {
        assert_eq!(Code::Usage.to_string(), "HW0001");
        assert_eq!(Code::CorruptInput.to_string(), "HW3001");
        assert!(Code::ALL.iter().all(|code| Code::parse(&code.to_string()) == Some(*code)));
    }
}
