//! Where a project keeps something: a folder of this machine, or a prefix of an object store.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// A folder of this machine, or a prefix of an object store.
///
/// It never holds credentials: a URL with a user or a query is refused where it is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A folder, absolute, without `.` and `..`.
    Folder(PathBuf),
    /// A prefix of an object store.
    Prefix(Prefix),
}

/// Everything below one prefix of one bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// Whose interface the store speaks.
    pub scheme: Scheme,
    /// The bucket, or the container.
    pub bucket: String,
    /// The path below it without slashes at its ends; empty: the whole bucket.
    pub path: String,
}

/// The interfaces of object stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Amazon S3 and what speaks its language.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::S3, Self::Gs, Self::Az];

    /// The word before `://`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
        }
    }
}

impl Prefix {
    /// The prefix that `url` names.
    ///
    /// # Errors
    /// What is wrong with it, in a few words that do not repeat its secrets.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("it is not a URL")?;
        let scheme = Scheme::ALL
            .into_iter()
            .find(|known| known.as_str() == scheme)
            .ok_or_else(|| format!("`{scheme}://` is no store that this version knows"))?;
        check_plain(rest)?;
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_named = bucket.len() >= 3
            && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_named {
            return Err(format!("`{bucket}` is not the name of a bucket"));
        }
        let path = path.trim_matches('/');
        Ok(Self { scheme, bucket: bucket.to_owned(), path: key(path)? })
    }

    /// The key, in the bucket, of the object that is called `relative` below this prefix.
    #[must_use]
    pub fn key(&self, relative: &str) -> String {
        match (self.path.as_str(), relative) {
            ("", relative) => relative.to_owned(),
            (path, "") => path.to_owned(),
            (path, relative) => format!("{path}/{relative}"),
        }
    }
}

/// Whether `text` could be of a URL that names nothing but a place.
fn check_plain(text: &str) -> Result<(), String> {
    if text.contains(['?', '#', '@']) {
        return Err("a user, a query or a signature has no place in it".to_owned());
    }
    Ok(())
}

/// `path`, if it can be a prefix of keys.
fn key(path: &str) -> Result<String, String> {
    check_plain(path)?;
    if path.is_empty() {
        return Ok(String::new());
    }
    let is_odd = |part: &str| {
        part.is_empty() || part == "." || part == ".." || part.chars().any(char::is_control)
    };
    if path.split('/').any(is_odd) {
        return Err("its path holds an empty part, `.`, `..` or a control character".to_owned());
    }
    Ok(path.to_owned())
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.bucket)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, "/{}", self.path) }
    }
}

impl Location {
    /// What `text` names, seen from here: a URL, an absolute folder, or something below.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn join(&self, text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Prefix::parse(text).map(Self::Prefix);
        }
        if text.chars().any(char::is_control) {
            return Err("it holds a control character".to_owned());
        }
        match self {
            Self::Folder(folder) => Ok(Self::Folder(normal(&folder.join(text)))),
            Self::Prefix(_) if Path::new(text).is_absolute() => {
                Ok(Self::Folder(normal(Path::new(text))))
            }
            Self::Prefix(prefix) => {
                let path = prefix.key(&key(text.trim_end_matches('/').trim_start_matches("./"))?);
                Ok(Self::Prefix(Prefix { path, ..prefix.clone() }))
            }
        }
    }

    /// The folder, if it is one.
    #[must_use]
    pub fn as_folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Prefix(_) => None,
        }
    }

    /// What it lies in, and its own name.
    #[must_use]
    pub fn split_last(&self) -> Option<(Self, String)> {
        match self {
            Self::Folder(path) => {
                let name = path.file_name()?.to_str()?.to_owned();
                Some((Self::Folder(path.parent()?.to_owned()), name))
            }
            Self::Prefix(prefix) => {
                let (path, name) = prefix.path.rsplit_once('/').unwrap_or(("", &prefix.path));
                let name = Some(name.to_owned()).filter(|name| !name.is_empty())?;
                let path = path.to_owned();
                Some((Self::Prefix(Prefix { path, ..prefix.clone() }), name))
            }
        }
    }

    /// What lies `name` below it; `name` is plain words with `/` between them.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        match self {
            Self::Folder(folder) => Self::Folder(normal(&folder.join(name))),
            Self::Prefix(prefix) => {
                Self::Prefix(Prefix { path: prefix.key(name), ..prefix.clone() })
            }
        }
    }

    /// Whether one is the other or lies inside it. Compared name by name: links are not followed.
    /// Not all disks tell `A` from `a`.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Folder(one), Self::Folder(other)) => {
                let (one, other) = (caseless(one), caseless(other));
                one.starts_with(&other) || other.starts_with(&one)
            }
            (Self::Prefix(one), Self::Prefix(other)) => {
                let is_same = one.scheme == other.scheme && one.bucket == other.bucket;
                let (one, other) = (Path::new(&one.path), Path::new(&other.path));
                is_same && (one.starts_with(other) || other.starts_with(one))
            }
            _ => false,
        }
    }

    /// How it is called in messages, by somebody who stands at `root`.
    #[must_use]
    pub fn label(&self, root: &Self) -> String {
        match (self, root) {
            (Self::Folder(folder), Self::Folder(root)) => {
                folder.strip_prefix(root).unwrap_or(folder).display().to_string()
            }
            (Self::Folder(folder), Self::Prefix(_)) => folder.display().to_string(),
            (Self::Prefix(prefix), _) => prefix.to_string(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Prefix(prefix) => prefix.fmt(f),
        }
    }
}

fn caseless(path: &Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().to_lowercase())
}

/// `path` without `.` and `..`, both taken literally.
#[must_use]
pub fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_prefixes_and_nothing_secret() {
        let prefix = Prefix::parse("s3://lake/raw/orders/").unwrap();
        assert_eq!((prefix.bucket.as_str(), prefix.path.as_str()), ("lake", "raw/orders"));
        assert_eq!(prefix.to_string(), "s3://lake/raw/orders");
        assert_eq!(prefix.key("a.parquet"), "raw/orders/a.parquet");
        for wrong in [
            "s3://key:secret@lake/x",
            "s3://lake/x?X-Amz-Signature=secret",
            "ftp://lake/x",
            "s3://",
            "s3://l/x",
            "s3://lake/a/../b",
            "s3://lake/a//b",
            "s3://lake/a\nb",
        ] {
            let why = Prefix::parse(wrong).unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn paths_are_seen_from_where_the_project_keeps_its_data() {
        let lake = Location::Prefix(Prefix::parse("s3://lake/shop").unwrap());
        let here = Location::Folder("/data/shop".into());
        assert_eq!(lake.join("raw/orders/").unwrap().to_string(), "s3://lake/shop/raw/orders");
        assert_eq!(lake.join("/tmp/in").unwrap(), Location::Folder("/tmp/in".into()));
        assert_eq!(here.join("../in").unwrap(), Location::Folder("/data/in".into()));
        assert_eq!(here.join("gs://other/x").unwrap().to_string(), "gs://other/x");
        assert!(lake.join("../up").is_err());
        for odd in ["a\0b", "a\nb", "/a\0b", "s3://lake/a\0b"] {
            assert!(here.join(odd).is_err() && lake.join(odd).is_err(), "{odd:?}");
        }
        for odd in ["a?b", "a#b", "a@b"] {
            assert!(here.join(odd).is_ok() && lake.join(odd).is_err(), "{odd}");
        }
        assert_eq!(here.join("raw").unwrap().label(&here), "raw");
    }

    #[test]
    fn places_overlap_by_whole_names() {
        let at = |url: &str| Location::Prefix(Prefix::parse(url).unwrap());
        assert!(at("s3://lake/a").overlaps(&at("s3://lake/a/b")));
        assert!(at("s3://lake").overlaps(&at("s3://lake/a")));
        assert!(!at("s3://lake/a").overlaps(&at("s3://lake/ab")));
        assert!(!at("s3://lake/a").overlaps(&at("gs://lake/a")));
        assert!(!at("s3://lake/a").overlaps(&Location::Folder("/a".into())));
    }
}
