//! What the small S3 does when it does what it was asked to, and how a lying one differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::server::{Reply, Request};

/// How a store breaks its promises, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    IgnoresIfNoneMatch,
    InvertsIfNoneMatch,
    /// Refuses a second creation and stores it all the same.
    RefusesAndStores,
    /// Looks first, and stores a while later.
    ChecksThenWrites,
    /// Two halves, each of which knows only what was created through it.
    TwoEndpoints,
    IgnoresIfMatch,
    OneTagForAll,
    WeakTags,
    NoTags,
    ShowsWhatIsGone,
    HidesWhatIsNew,
    KeepsOtherBytes,
}

#[derive(Clone, Debug)]
struct Object {
    bytes: Vec<u8>,
    tag: String,
    /// Which of two endpoints created it.
    endpoint: usize,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Object>,
    writes: usize,
    /// Keys of marks of folders.
    folders: BTreeSet<String>,
}

/// The objects of one server, by bucket and key.
#[derive(Debug)]
pub(crate) struct S3 {
    state: Mutex<State>,
    writing: Mutex<()>,
    lie: Lie,
}

/// How long a store that looks first takes before it writes.
const A_WHILE: Duration = Duration::from_millis(30);

/// Keys of one page of a list.
const PAGE: usize = 3;

const MODIFIED: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

impl S3 {
    pub(crate) fn new(lie: Lie) -> Self {
        Self { state: Mutex::default(), writing: Mutex::default(), lie }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What is there, by bucket and key.
    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        state.objects.iter().map(|(key, object)| (key.clone(), object.bytes.clone())).collect()
    }

    /// Puts an object there, whatever was.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        self.store(path, bytes.to_vec(), 0);
    }

    /// Puts a mark of a folder there.
    pub(crate) fn mark_folder(&self, path: &str) {
        self.state().folders.insert(format!("{path}/"));
    }

    /// Stores it and returns its tag.
    fn store(&self, path: &str, mut bytes: Vec<u8>, endpoint: usize) -> String {
        let mut state = self.state();
        state.writes += 1;
        let tag = match self.lie {
            Lie::OneTagForAll => "\"one\"".to_owned(),
            Lie::WeakTags => format!("W/\"e{}\"", state.writes),
            _ => format!("\"e{}\"", state.writes),
        };
        if self.lie == Lie::KeepsOtherBytes {
            bytes.push(b'!');
        }
        state.objects.insert(path.to_owned(), Object { bytes, tag: tag.clone(), endpoint });
        tag
    }

    pub(crate) fn serve(&self, request: &Request) -> Reply {
        match request.method.as_str() {
            "PUT" => self.serve_put(request),
            "POST" => self.serve_delete(request),
            "GET" if request.query.contains_key("list-type") => self.serve_list(request),
            // Azure's; nobody relies on what is in it.
            "GET" if request.query.contains_key("comp") => {
                Reply::new(200, "<EnumerationResults><Blobs></Blobs></EnumerationResults>")
            }
            "GET" | "HEAD" => self.serve_get(request),
            other => panic!("the client sent {other}"),
        }
    }

    fn serve_put(&self, request: &Request) -> Reply {
        // Whoever looks first and writes later does not keep others away meanwhile.
        let _alone = (self.lie != Lie::ChecksThenWrites).then(|| self.writing.lock().unwrap());
        let there = self.state().objects.get(&request.path).cloned();
        let endpoint = self.state().writes % 2;
        let refused = |status| Reply::error(status, "PreconditionFailed");
        if request.headers.contains_key("if-none-match") {
            let is_there = match self.lie {
                Lie::IgnoresIfNoneMatch => false,
                Lie::InvertsIfNoneMatch => there.is_none(),
                Lie::TwoEndpoints => there.as_ref().is_some_and(|one| one.endpoint == endpoint),
                _ => there.is_some(),
            };
            if self.lie == Lie::ChecksThenWrites {
                std::thread::sleep(A_WHILE);
            } else if self.lie == Lie::RefusesAndStores && is_there {
                self.store(&request.path, request.body.clone(), endpoint);
            }
            if is_there {
                return refused(412);
            }
        }
        if let Some(tag) = request.headers.get("if-match")
            && self.lie != Lie::IgnoresIfMatch
        {
            match &there {
                Some(there) if there.tag == *tag => {}
                Some(_) => return refused(412),
                None => return Reply::error(404, "NoSuchKey"),
            }
        }
        let tag = self.store(&request.path, request.body.clone(), endpoint);
        Reply::new(200, "").with("ETag", tag)
    }

    fn serve_get(&self, request: &Request) -> Reply {
        let state = self.state();
        let Some(object) = state.objects.get(&request.path) else {
            return Reply::error(404, "NoSuchKey");
        };
        if request.headers.get("if-match").is_some_and(|tag| *tag != object.tag)
            && self.lie != Lie::IgnoresIfMatch
        {
            return Reply::error(412, "PreconditionFailed");
        }
        if request.headers.contains_key("if-none-match") {
            return Reply::new(304, "");
        }
        if self.lie == Lie::HidesWhatIsNew && request.path.contains("probe/") {
            return Reply::error(404, "NoSuchKey");
        }
        let (all, len) = (&object.bytes, object.bytes.len());
        let reply = match request.headers.get("range") {
            Some(range) => {
                let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap();
                let start: usize = start.parse().unwrap();
                let end = end.parse::<usize>().unwrap().min(len - 1);
                if start > end {
                    return Reply::error(416, "InvalidRange");
                }
                Reply::new(206, &all[start..=end])
                    .with("Content-Range", format!("bytes {start}-{end}/{len}"))
            }
            None => Reply::new(200, all.clone()),
        };
        let reply = reply.with("Last-Modified", MODIFIED);
        if self.lie == Lie::NoTags { reply } else { reply.with("ETag", object.tag.clone()) }
    }

    fn serve_delete(&self, request: &Request) -> Reply {
        let mut state = self.state();
        let bucket = request.path.trim_end_matches('/');
        let mut said = String::new();
        for key in deleted_keys(request) {
            if self.lie != Lie::ShowsWhatIsGone {
                state.objects.remove(&format!("{bucket}/{key}"));
            }
            _ = write!(said, "<Deleted><Key>{}</Key></Deleted>", escape(&key));
        }
        Reply::new(200, format!("<DeleteResult>{said}</DeleteResult>"))
    }

    fn serve_list(&self, request: &Request) -> Reply {
        let state = self.state();
        let bucket = request.path.trim_end_matches('/');
        let prefix = request.query.get("prefix").map_or("", String::as_str);
        let after = request.query.get("continuation-token").map_or("", String::as_str);
        let sizes = state.objects.iter().map(|(path, object)| (path, object.bytes.len()));
        let all: BTreeMap<&String, usize> =
            sizes.chain(state.folders.iter().map(|path| (path, 0))).collect();
        let mut found = all.into_iter().filter_map(|(path, size)| {
            let key = path.strip_prefix(bucket)?.strip_prefix('/')?;
            (key.starts_with(prefix) && key > after).then_some((key, size))
        });
        let page: Vec<_> = found.by_ref().take(PAGE).collect();
        let mut body = "<ListBucketResult>".to_owned();
        for (key, size) in &page {
            let tag = state.objects.get(&format!("{bucket}/{key}"));
            let tag = tag.map_or("\"folder\"", |object| object.tag.as_str());
            _ = write!(
                body,
                "<Contents><Key>{}</Key><Size>{size}</Size><ETag>{}</ETag>\
                 <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
                escape(key),
                escape(tag)
            );
        }
        if found.next().is_some()
            && let Some((last, _)) = page.last()
        {
            let last = escape(last);
            _ = write!(body, "<NextContinuationToken>{last}</NextContinuationToken>");
        }
        body.push_str("</ListBucketResult>");
        Reply::new(200, body)
    }
}

/// The keys that a request wants deleted.
pub(crate) fn deleted_keys(request: &Request) -> Vec<String> {
    let body = String::from_utf8(request.body.clone()).unwrap();
    let keys = body.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap());
    let plain = |key: &str| {
        key.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&")
    };
    keys.map(plain).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
