//! An HTTP server on this machine that speaks a little S3, and does to each request what a script
//! says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::s3::{Lie, S3, deleted_keys};

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// What was asked for.
    Serve,
    /// Nothing is done; this is the answer: a status, and the store's word for what is wrong or
    /// where else to look.
    Answer(u16, &'static str),
    /// Nothing is done; these bytes are the answer, and the connection ends.
    Raw(&'static str),
    /// Nothing is done, and the connection ends.
    Close,
    /// It is done, and then this is the answer.
    DoneThen(u16),
    /// It is done, and the connection ends without an answer.
    DoneThenClose,
    /// It is done, and the connection ends within the first line.
    DoneThenHalfALine,
    /// It is done, and the connection is reset.
    DoneThenReset,
    /// It is done, and the answer comes too late for anybody.
    DoneThenHang,
    /// Nothing is done, and nothing is said for too long.
    Hang,
    /// Half of the body, then the connection ends.
    HalfABody,
    /// Half of the body, then nothing for too long.
    StallInBody,
    /// Half of the body, told as if it were all.
    ShorterBody,
    /// Another range than was asked for.
    OtherRange,
    /// The whole object, whatever range was asked for.
    WholeBody,
    /// Another `ETag` than the object's.
    OtherTag,
    /// Nothing is done; the answer is a success that says, inside, that it was not permitted.
    NotDeleted,
}

pub(crate) const DENIED: Act = Act::Answer(403, "AccessDenied");
pub(crate) const ELSEWHERE: Act = Act::Answer(301, "http://elsewhere.invalid/");
/// An error that is told as a success.
pub(crate) const FALSE_SUCCESS: Act = Act::Answer(200, "InternalError");
pub(crate) const NO_BUCKET: Act = Act::Answer(404, "NoSuchBucket");
pub(crate) const SLOW_DOWN: Act = Act::Answer(503, "SlowDown");

impl Act {
    /// Whether it is not answered for too long.
    pub(crate) fn is_silent(self) -> bool {
        matches!(self, Self::Hang | Self::DoneThenHang | Self::StallInBody)
    }
}

/// What becomes of the next `times` requests whose line begins so: `PUT lake/log/`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule(pub(crate) &'static str, pub(crate) usize, pub(crate) Act);

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    at: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    s3: S3,
    script: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<String>>,
    ends: AtomicBool,
}

/// Longer than every client of the tests waits.
const TOO_LONG: Duration = Duration::from_millis(2500);

/// A request that was read.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Bucket and key, decoded.
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn error(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>it is so</Message></Error>");
        Self::new(status, body)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer with the first `sent` bytes of its body.
    fn bytes(&self, sent: usize) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} X\r\n", self.status);
        for (name, value) in &self.headers {
            _ = write!(head, "{name}: {value}\r\n");
        }
        _ = write!(head, "Content-Length: {}\r\n\r\n", self.body.len());
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body[..sent]);
        bytes
    }
}

impl Server {
    pub(crate) fn start(lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            s3: S3::new(lie),
            script: Mutex::default(),
            seen: Mutex::default(),
            ends: AtomicBool::new(false),
        });
        let server = Self { at, inner: Arc::clone(&inner) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if inner.ends.load(Ordering::SeqCst) {
                    return;
                }
                let inner = Arc::clone(&inner);
                std::thread::spawn(move || stream.map(|stream| inner.talk(stream)));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    pub(crate) fn s3(&self) -> &S3 {
        &self.inner.s3
    }

    /// From now on, what `script` says, and nothing was seen yet.
    pub(crate) fn follow(&self, script: &[Rule]) {
        *self.inner.script.lock().unwrap() = script.to_vec();
        self.inner.seen.lock().unwrap().clear();
    }

    /// How many requests there were whose line begins so.
    pub(crate) fn seen(&self, on: &str) -> usize {
        self.inner.seen.lock().unwrap().iter().filter(|line| line.starts_with(on)).count()
    }

    /// How many requests the script still waits for.
    pub(crate) fn waits_for(&self) -> usize {
        let script = self.inner.script.lock().unwrap();
        script.iter().map(|Rule(_, times, _)| times).filter(|times| **times < ALWAYS / 2).sum()
    }
}

/// So often that it never ends.
pub(crate) const ALWAYS: usize = 1_000_000;

impl Drop for Server {
    fn drop(&mut self) {
        self.inner.ends.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for the next connection.
        _ = TcpStream::connect(self.at);
    }
}

impl Inner {
    /// Answers requests until the connection ends.
    fn talk(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        loop {
            let Some((mut request, len)) = read_head(&mut stream) else { return };
            if self.ends.load(Ordering::SeqCst) {
                return;
            }
            let is_pinned = request.headers.contains_key("if-match");
            let pin = if is_pinned { " if-match" } else { "" };
            let act = self.act(&format!("{} {}{pin}", request.method, request.path));
            // A connection that is closed with something unread is reset.
            let unread = usize::from(matches!(act, Act::DoneThenReset) && len > 0);
            request.body = vec![0; len - unread];
            if stream.read_exact(&mut request.body).is_err() {
                return;
            }
            if unread > 0 {
                let mut last = [0];
                if stream.peek(&mut last).is_err() {
                    return;
                }
                request.body.extend(last);
            }
            if !self.answer(&mut stream, &request, act) {
                return;
            }
        }
    }

    fn act(&self, line: &str) -> Act {
        self.seen.lock().unwrap().push(line.to_owned());
        let mut script = self.script.lock().unwrap();
        let rule = script.iter_mut().find(|Rule(on, times, _)| *times > 0 && line.starts_with(on));
        rule.map_or(Act::Serve, |Rule(_, times, act)| {
            *times -= 1;
            *act
        })
    }

    /// Whether the connection goes on.
    fn answer(&self, stream: &mut TcpStream, request: &Request, act: Act) -> bool {
        let is_done = !matches!(
            act,
            Act::Answer(..) | Act::Raw(_) | Act::Close | Act::Hang | Act::NotDeleted
        );
        let mut asked = request.clone();
        if matches!(act, Act::WholeBody) {
            asked.headers.remove("range");
        }
        let mut reply = if is_done { self.s3.serve(&asked) } else { Reply::new(200, "") };
        let mut raw: Option<&[u8]> = None;
        match act {
            Act::Answer(status, place) if place.starts_with("http") => {
                reply = Reply::error(status, "PermanentRedirect").with("Location", place);
            }
            Act::Answer(status, "") => reply = Reply::new(status, ""),
            Act::Answer(status, code) => reply = Reply::error(status, code),
            Act::DoneThen(status) => reply = Reply::error(status, "InternalError"),
            Act::ShorterBody => reply.body.truncate(reply.body.len() / 2),
            Act::OtherRange => {
                let len = reply.body.len();
                reply.headers.retain(|(name, _)| *name != "Content-Range");
                reply = reply.with("Content-Range", format!("bytes 1-{len}/{}", len + 9));
            }
            Act::OtherTag => {
                reply.headers.retain(|(name, _)| *name != "ETag");
                reply = reply.with("ETag", "\"other\"");
            }
            Act::NotDeleted => {
                let key = deleted_keys(request).concat();
                let error = format!("<Error><Key>{key}</Key><Code>AccessDenied</Code>");
                let body =
                    format!("<DeleteResult>{error}<Message>no</Message></Error></DeleteResult>");
                reply = Reply::new(200, body);
            }
            Act::Raw(bytes) => raw = Some(bytes.as_bytes()),
            Act::DoneThenHalfALine => raw = Some(b"HTTP/1.1 20"),
            Act::Close | Act::DoneThenClose | Act::DoneThenReset => return false,
            Act::Hang | Act::DoneThenHang => {
                std::thread::sleep(TOO_LONG);
                return false;
            }
            Act::Serve | Act::HalfABody | Act::StallInBody | Act::WholeBody => {}
        }
        let is_cut = matches!(act, Act::HalfABody | Act::StallInBody);
        let sent = match (request.method.as_str(), is_cut) {
            ("HEAD", _) => 0,
            (_, true) => reply.body.len() / 2,
            (_, false) => reply.body.len(),
        };
        let bytes = raw.map_or_else(|| reply.bytes(sent), <[u8]>::to_vec);
        let is_said = stream.write_all(&bytes).is_ok();
        if matches!(act, Act::StallInBody) {
            std::thread::sleep(TOO_LONG);
        }
        is_said && raw.is_none() && !is_cut
    }
}

/// The head of the next request, and the length of its body.
fn read_head(stream: &mut TcpStream) -> Option<(Request, usize)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(&value.replace('+', " ")))
    };
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> =
        headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let len = headers.get("content-length").map_or(0, |len| len.parse().unwrap());
    let request = Request {
        method: method.to_owned(),
        path: decode(path.trim_start_matches('/')),
        query: query.split('&').map(pair).collect(),
        headers,
        body: Vec::new(),
    };
    Some((request, len))
}

/// `text` without its percent signs.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
