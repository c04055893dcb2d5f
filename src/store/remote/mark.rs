//! What tells two versions of an object apart: its `ETag` and, where replacing needs it, the
//! store's number of the version.

use object_store::UpdateVersion;

use crate::spec::Scheme;

/// The mark of a version. As text it is the `ETag`, followed by `@` and the version if there is
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) e_tag: String,
    version: Option<String>,
}

impl Mark {
    /// The mark of the version that a store describes so. `None` if it cannot be told from others:
    /// without an `ETag`, or with a weak one, which two versions may share.
    pub(super) fn of(scheme: Scheme, e_tag: Option<&str>, version: Option<&str>) -> Option<Self> {
        let e_tag = e_tag.filter(|e_tag| !e_tag.is_empty() && !e_tag.starts_with("W/"))?;
        let e_tag = match scheme {
            // Its lists leave the quotes away, its answers do not.
            Scheme::Az if !e_tag.starts_with('"') => format!("\"{e_tag}\""),
            _ => e_tag.to_owned(),
        };
        // Only there is it what a replacement is conditional on. Elsewhere answers name a version
        // that lists do not, and one version must not have two marks.
        let version = version.filter(|_| scheme == Scheme::Gs).map(str::to_owned);
        Some(Self { e_tag, version }).filter(|mark| Self::decode(&mark.encode()) == *mark)
    }

    pub(super) fn encode(&self) -> String {
        match &self.version {
            Some(version) => format!("{}@{version}", self.e_tag),
            None => self.e_tag.clone(),
        }
    }

    pub(super) fn decode(text: &str) -> Self {
        match text.rsplit_once("\"@") {
            Some((e_tag, version)) => {
                Self { e_tag: format!("{e_tag}\""), version: Some(version.to_owned()) }
            }
            None => Self { e_tag: text.to_owned(), version: None },
        }
    }

    /// Whether both are marks of one version, as far as both say.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let is_same_version = match (&self.version, &other.version) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.e_tag == other.e_tag && is_same_version
    }
}

impl From<Mark> for UpdateVersion {
    fn from(mark: Mark) -> Self {
        Self { e_tag: Some(mark.e_tag), version: mark.version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_were_written() {
        let of = |scheme, e_tag, version| Mark::of(scheme, Some(e_tag), version);
        for (scheme, e_tag, version, text) in [
            (Scheme::S3, "\"9b2c\"", None, "\"9b2c\""),
            (Scheme::S3, "\"9b2c-3\"", Some("null"), "\"9b2c-3\""),
            (Scheme::S3, "\"a@b\"", None, "\"a@b\""),
            (Scheme::Gs, "\"9b2c\"", Some("1700"), "\"9b2c\"@1700"),
            (Scheme::Az, "0x8D", Some("2026"), "\"0x8D\""),
            (Scheme::Az, "\"0x8D\"", None, "\"0x8D\""),
            (Scheme::S3, "17", None, "17"),
        ] {
            let mark = of(scheme, e_tag, version).unwrap();
            assert_eq!(mark.encode(), text);
            assert_eq!(Mark::decode(text), mark);
        }
        assert_eq!(of(Scheme::S3, "", None), None);
        assert_eq!(of(Scheme::S3, "W/\"9b2c\"", None), None);
        assert_eq!(of(Scheme::S3, "\"9b\"@2c", None), None);
        assert_eq!(of(Scheme::Gs, "9b2c", Some("1700")), None);
        assert_eq!(Mark::of(Scheme::S3, None, Some("1700")), None);
    }

    #[test]
    fn a_listed_mark_agrees_with_the_one_that_names_a_version_too() {
        let mark = |text| Mark::decode(text);
        assert!(mark("\"a\"").agrees(&mark("\"a\"@7")));
        assert!(!mark("\"a\"@6").agrees(&mark("\"a\"@7")));
        assert!(!mark("\"a\"").agrees(&mark("\"b\"")));
    }
}
