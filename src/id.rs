//! Names and numbers that must not be mixed up: each has a type of its own.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The next number; `None` at the end of the type's range.
            #[must_use]
            pub fn next(self) -> Option<Self> {
                self.0.checked_add(1).map(Self)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

macro_rules! unique {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// A place in a state log, counted from 0 without gaps.
    Seq, u64
}
number! {
    /// The fencing token: grows with each claim of a log; an older one must stop.
    Epoch, u64
}
number! {
    /// How often a window was published, counted from 1.
    Revision, u32
}
number! {
    /// How often the ledger of a pipeline was added to, counted from 1; 0 is the empty ledger.
    Generation, u64
}

unique! {
    /// Names one state prefix for ever, wherever it is moved or mounted.
    StoreId
}
unique! {
    /// Names one invocation of the program.
    RunId
}
unique! {
    /// Names one begun batch of windows.
    BatchId
}
unique! {
    /// Names one attempt at a write, so that it can recognise itself when it is read back.
    AttemptId
}

/// The name of a pipeline: letters, digits, `_` and `-`, at most 64, beginning with a letter or
/// digit. It is a folder name and part of environment variables, hence the narrow alphabet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PipelineName(String);

impl PipelineName {
    /// The longest name, in bytes.
    pub const LENGTH_MAX: usize = 64;

    /// The name `text`; `None` if it breaks the rule above.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let first = text.chars().next()?;
        (first.is_ascii_alphanumeric() && text.len() <= Self::LENGTH_MAX && text.chars().all(valid))
            .then(|| Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PipelineName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text).ok_or_else(|| format!("not a pipeline name: `{text}`"))
    }
}

impl From<PipelineName> for String {
    fn from(name: PipelineName) -> Self {
        name.0
    }
}

impl fmt::Display for PipelineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names a request in the log: the sequence number of the entry that made it, printed as `r17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub Seq);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl std::str::FromStr for RequestId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.strip_prefix('r')
            .and_then(|digits| digits.parse().ok())
            .map(|seq| Self(Seq(seq)))
            .ok_or_else(|| format!("not a request id: `{text}`; one looks like `r17`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipeline_names_are_safe_folder_names() {
        for good in ["orders", "orders_hourly", "2024-orders", "A"] {
            assert!(PipelineName::new(good).is_some(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", "_x", "-x", ".", "..", "a/b", "a b", "ü", "a.b", long.as_str()] {
            assert!(PipelineName::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_request_id_is_typed_as_it_is_printed() {
        let id = RequestId(Seq(17));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("17".parse::<RequestId>().is_err());
    }
}
