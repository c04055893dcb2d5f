//! The bucket as one process reaches it, over a line that fails.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

use super::bucket::{Append, Bucket, Delivery, Mode, Object, STATE, Told, hash, modified, time};
use super::fault::{Call, Fault, SOMETIMES};
use super::world::{Inner, Pid, Standing, World};
use crate::support::Dice;

/// How far behind a list may be, in microseconds.
const STALE_MAX: u64 = 2_000_000;

/// How late what was sent may land, in microseconds: now and then, far behind everything.
const LATE: [u64; 4] = [50_000, 1_000_000, 5_000_000, 600_000_000];

/// A client of the bucket.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) pid: Pid,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.pid)
    }
}

fn answered(status: &str) -> Error {
    let text = format!("Server returned non-2xx status code: {status}: ");
    Error::Generic { store: "sim", source: text.into() }
}

fn lost() -> Error {
    Error::Generic { store: "sim", source: "the connection broke".into() }
}

fn exists(key: &str) -> Error {
    Error::AlreadyExists { path: key.to_owned(), source: "it exists".into() }
}

fn condition(key: &str) -> Error {
    Error::Precondition { path: key.to_owned(), source: "412".into() }
}

fn absent(key: &str) -> Error {
    Error::NotFound { path: key.to_owned(), source: "404".into() }
}

fn refused(fault: Fault, key: &str) -> Error {
    match fault {
        Fault::Busy => answered("503 Service Unavailable"),
        Fault::Full => answered("507 Insufficient Storage"),
        Fault::Denied => Error::PermissionDenied { path: key.to_owned(), source: "403".into() },
        _ => answered("500 Internal Server Error"),
    }
}

fn meta(key: &str, object: &Object) -> ObjectMeta {
    ObjectMeta {
        location: Path::parse(key).unwrap(),
        last_modified: modified(object.at),
        size: object.bytes.len() as u64,
        e_tag: Some(object.etag()),
        version: None,
    }
}

/// How a write ends for who sent it.
enum End {
    Answer(Result<PutResult>),
    Silence,
}

impl Client {
    fn choose(&self, inner: &mut Inner, call: Call, dice: &mut Dice) -> Option<Fault> {
        let now = inner.now;
        inner.bucket.faults.as_mut().and_then(|faults| faults.choose(now, self.pid, call, dice))
    }

    /// After a step of the protocol: its process may come to a halt before it hears of it.
    fn stall(&self, inner: &mut Inner, key: &str, dice: &mut Dice) {
        let is_step = key.ends_with(".parquet") || key.starts_with(&format!("{STATE}log/"));
        let stall = inner.bucket.faults.as_ref().and_then(|faults| faults.stall(dice));
        let Some(micros) = stall.filter(|_| is_step) else { return };
        let until = inner.now.saturating_add(micros);
        if let Some(standing @ Standing::Running) = inner.processes.get_mut(self.pid) {
            *standing = match micros {
                u64::MAX => Standing::Dead,
                _ => Standing::StoppedUntil(until),
            };
            let what = if micros == u64::MAX { "killed" } else { "stopped" };
            SOMETIMES.note(format!("{what} after a step"));
            let (at, pid) = (time(inner.now), self.pid);
            inner.bucket.trace.push(format!("{at} p{pid} is {what} for {micros}"));
        }
    }

    fn write(&self, inner: &mut Inner, sent: &Delivery, dice: &mut Dice) -> End {
        let fault = self.choose(inner, Call::Write, dice);
        let key = &sent.key;
        let step = Bucket::step_of(key, &sent.bytes);
        if let Some(fault) = fault {
            SOMETIMES.note(format!("{fault:?} × {step}"));
        }
        let now = inner.now;
        let stored = |inner: &mut Inner| inner.bucket.carry_out(now, sent);
        let end = match fault {
            None | Some(Fault::Slow) => {
                let answer = match (stored(inner), &sent.mode) {
                    (true, _) => {
                        let e_tag = inner.bucket.get(key).map(Object::etag);
                        Ok(PutResult { e_tag, version: None })
                    }
                    (false, Mode::Create) => Err(exists(key)),
                    (false, _) => Err(condition(key)),
                };
                End::Answer(answer)
            }
            Some(Fault::LostAck) => {
                stored(inner);
                End::Answer(Err(lost()))
            }
            Some(Fault::LostAckExists) => {
                stored(inner);
                End::Answer(Err(exists(key)))
            }
            Some(Fault::LostAckCondition) => {
                stored(inner);
                End::Answer(Err(condition(key)))
            }
            Some(fault @ (Fault::Late | Fault::Twice)) => {
                if fault == Fault::Twice {
                    stored(inner);
                }
                let delay = *dice.pick(&LATE);
                inner.land_later(1 + dice.roll(delay), sent.clone());
                End::Answer(Err(lost()))
            }
            Some(Fault::Exists) => End::Answer(Err(exists(key))),
            Some(Fault::Condition) => End::Answer(Err(condition(key))),
            Some(Fault::Hang) => End::Silence,
            Some(fault) => End::Answer(Err(refused(fault, key))),
        };
        let told = match &end {
            End::Answer(Ok(_)) => "ok".to_owned(),
            End::Answer(Err(why)) => why.to_string(),
            End::Silence => "no answer".to_owned(),
        };
        let how = fault.map(|fault| format!(" [{fault:?}]")).unwrap_or_default();
        let (at, pid, mode) = (time(now), self.pid, &sent.mode);
        let key = key.trim_start_matches(STATE);
        inner.bucket.trace.push(format!("{at} p{pid} {mode:?} {key} ({step}){how}: {told}"));
        end
    }

    async fn put(&self, sent: Delivery) -> Result<PutResult> {
        let slot = sent.key.strip_prefix(STATE).and_then(|key| key.strip_prefix("log/"));
        let slot = slot.and_then(|name| name.strip_suffix(".json")?.parse().ok());
        let append = slot.map(|slot| {
            let mut inner = self.world.lock();
            let (pid, hash, sent) = (self.pid, hash(&sent.bytes), inner.now);
            inner.bucket.appends.push(Append { pid, slot, hash, sent, told: None });
            inner.bucket.appends.len() - 1
        });
        let random = self.world.arrive(self.pid, format!("put {}", sent.key)).await;
        let mut dice = Dice(random);
        let end = {
            let mut inner = self.world.lock();
            let end = self.write(&mut inner, &sent, &mut dice);
            self.stall(&mut inner, &sent.key, &mut dice);
            end
        };
        let End::Answer(answer) = end else { return std::future::pending().await };
        _ = self.world.arrive(self.pid, format!("answer {}", sent.key)).await;
        if let Some(append) = append {
            let mut inner = self.world.lock();
            let told = match &answer {
                Ok(_) => Told::Ok,
                Err(Error::PermissionDenied { .. }) => Told::Refused,
                Err(_) => Told::Nothing,
            };
            let now = inner.now;
            inner.bucket.appends[append].told = Some((now, told));
        }
        answer
    }

    /// What becomes of the bytes of `key` on their way.
    fn damage(fault: Option<Fault>, key: &str, bytes: Bytes, dice: &mut Dice) -> Bytes {
        let len = bytes.len();
        // Only what carries a hash of its own is ever damaged in a way that its length hides.
        let is_hashed = ["log/", "ckpt/", "seg/"]
            .iter()
            .any(|folder| key.strip_prefix(STATE).is_some_and(|key| key.starts_with(folder)));
        match fault {
            Some(Fault::Short) if len > 0 => bytes.slice(..len - 1),
            Some(Fault::Flip) if len > 0 && is_hashed => {
                let mut bytes = bytes.to_vec();
                let place = usize::try_from(dice.roll(len as u64)).unwrap();
                bytes[place] ^= 1 << dice.roll(8);
                Bytes::from(bytes)
            }
            _ => bytes,
        }
    }

    async fn listed(&self, prefix: String) -> Result<Vec<ObjectMeta>> {
        let random = self.world.arrive(self.pid, format!("list {prefix}")).await;
        let mut dice = Dice(random);
        let mut inner = self.world.lock();
        let fault = self.choose(&mut inner, Call::List, &mut dice);
        if let Some(fault) = fault {
            SOMETIMES.note(format!("{fault:?} × list"));
        }
        let mut listed = match fault {
            None | Some(Fault::Slow) => inner.bucket.below(&prefix),
            Some(Fault::StaleList) => {
                let then = inner.now.saturating_sub(dice.roll(STALE_MAX));
                inner.bucket.below_at(&prefix, then)
            }
            Some(fault) => return Err(refused(fault, &prefix)),
        };
        for place in (1..listed.len()).rev() {
            listed.swap(place, usize::try_from(dice.roll(place as u64 + 1)).unwrap());
        }
        Ok(listed.iter().map(|(key, object)| meta(key, object)).collect())
    }

    async fn remove(&self, path: Path) -> Result<Path> {
        let random = self.world.arrive(self.pid, format!("delete {path}")).await;
        let mut dice = Dice(random);
        let mut inner = self.world.lock();
        let fault = self.choose(&mut inner, Call::Delete, &mut dice);
        let (pid, key, bytes) = (self.pid, path.to_string(), Bytes::new());
        let sent = Delivery { pid, key, bytes, mode: Mode::Delete };
        let now = inner.now;
        let (at, key) = (time(now), &sent.key);
        inner.bucket.trace.push(format!("{at} p{pid} delete {key} {fault:?}"));
        match fault {
            None | Some(Fault::Slow) => {
                inner.bucket.carry_out(now, &sent);
                Ok(path)
            }
            Some(Fault::LostAck) => {
                inner.bucket.carry_out(now, &sent);
                Err(lost())
            }
            Some(Fault::Late) => {
                inner.land_later(1 + dice.roll(LATE[2]), sent);
                Err(lost())
            }
            Some(fault) => Err(refused(fault, &sent.key)),
        }
    }
}

#[async_trait]
impl ObjectStore for Client {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let mode = match options.mode {
            PutMode::Create => Mode::Create,
            PutMode::Overwrite => Mode::Overwrite,
            PutMode::Update(version) => Mode::Update(version.e_tag.unwrap_or_default()),
        };
        let (key, bytes) = (location.to_string(), Bytes::from(payload));
        self.put(Delivery { pid: self.pid, key, bytes, mode }).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let key = location.to_string();
        let what = if options.head { "head" } else { "get" };
        let range = options.range.as_ref().map(|range| format!("{range:?}")).unwrap_or_default();
        let random = self.world.arrive(self.pid, format!("{what} {key} {range}")).await;
        let mut dice = Dice(random);
        let (fault, found) = {
            let mut inner = self.world.lock();
            let fault = self.choose(&mut inner, Call::Read, &mut dice);
            let found = inner.bucket.get(&key).cloned();
            if options.head && key.ends_with(".parquet") {
                self.stall(&mut inner, &key, &mut dice);
            }
            (fault, found)
        };
        match fault {
            Some(Fault::Hang) => return std::future::pending().await,
            Some(fault @ (Fault::Before | Fault::Busy)) => return Err(refused(fault, &key)),
            Some(Fault::Slow) => {
                _ = self.world.wait(self.pid, 400_000, format!("slow {key}")).await;
            }
            _ if options.head => _ = self.world.arrive(self.pid, format!("answer {key}")).await,
            _ => {}
        }
        let object = found.ok_or_else(|| absent(&key))?;
        let meta = meta(&key, &object);
        options.check_preconditions(&meta)?;
        let range = match options.range {
            Some(GetRange::Bounded(range)) => range,
            _ => 0..meta.size,
        };
        let range = range.start..range.end.min(meta.size);
        let place = |at: u64| usize::try_from(at).unwrap();
        let whole = place(range.start)..place(range.end);
        let bytes = if options.head { Bytes::new() } else { object.bytes.slice(whole) };
        let bytes = Self::damage(fault, &key, bytes, &mut dice);
        let payload = GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes: Attributes::new() })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let client = self.clone();
        locations
            .then(move |location| {
                let client = client.clone();
                async move { client.remove(location?).await }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let client = self.clone();
        let listed = async move {
            match client.listed(prefix).await {
                Ok(listed) => listed.into_iter().map(Ok).collect(),
                Err(why) => vec![Err(why)],
            }
        };
        stream::once(listed).flat_map(stream::iter).boxed()
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "multipart".into(), implementer: "sim".into() })
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(Error::NotImplemented { operation: "delimiter".into(), implementer: "sim".into() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotImplemented { operation: "copy".into(), implementer: "sim".into() })
    }
}
