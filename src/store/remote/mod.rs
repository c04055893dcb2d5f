//! A prefix of an object store as a store.
//!
//! Two clients stand behind it: one for the small objects of the log, which answers soon or not at
//! all and is not to try anything again by itself, and one for data. What a failed write means is
//! decided here: only what the store certainly did not take is [`Written::Refused`], all else is
//! [`Written::Unclear`], for the client tries again behind our back, and an answer may be lost.
//! Reads name the version they want, and are tried again while that may help.
//!
//! It never deletes but in [`Store::remove`], never tells a secret, and never waits for ever: each
//! call has its bound in [`Bounds`].

mod connect;
mod failure;
mod list;
mod mark;
mod read;

use std::fmt;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

pub use connect::{Environment, connect};

use self::failure::{Failure, Secrets};
use self::mark::Mark;
use super::{ObjectMeta, Store, Written};
use crate::clock::{Clock, Stopwatch};
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use crate::spec::Prefix;
use crate::time::{ProcessingTime, Span};

/// Objects larger than this are data, whatever they are for: the client of small objects would give
/// up before they are through.
const SMALL_BYTES_MAX: u64 = 8 << 20;

/// How often a call for data is made, if the first failed in a way that may pass: the client of
/// data has tried again by itself each time.
const DATA_TRIES: u32 = 2;

/// The first pause before a call is made again; it doubles each time.
const PAUSE: Duration = Duration::from_millis(50);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long what failed is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySpec {
    /// How often, after the first try.
    pub max_retries: u32,
    /// No try begins later than this after the first.
    pub retry_timeout: Span,
}

/// The two clients of a store.
#[derive(Clone)]
pub struct Clients {
    /// For the log: small objects. It should not try a write again by itself.
    pub small: Arc<dyn ObjectStore>,
    /// For data.
    pub data: Arc<dyn ObjectStore>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a client says of itself may hold the password of a proxy.
        f.write_str("Clients")
    }
}

/// How long calls may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// One call of the client of small objects.
    pub small_for: Span,
    /// One call of the client of data, with what it tries again by itself.
    pub data_for: Span,
    /// How reads are tried again.
    pub retry: RetrySpec,
}

/// Everything below a prefix of an object store, as a store.
#[derive(Clone)]
pub struct RemoteStore {
    prefix: Prefix,
    small: Client,
    data: Client,
    retry: RetrySpec,
    secrets: Secrets,
    clock: Clock,
}

/// A client, and how long one call of it may take.
#[derive(Clone)]
struct Client {
    store: Arc<dyn ObjectStore>,
    answers_for: Duration,
    clock: Clock,
}

impl Client {
    /// The result of `call`, which uses this client, or a failure once the time is over.
    async fn ask<T, E: Into<Failure>>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        match self.clock.timeout(self.answers_for, call).await {
            Some(answer) => answer.map_err(Into::into),
            None => Err(Failure::damaged("the store did not answer in time")),
        }
    }
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteStore({})", self.prefix)
    }
}

impl RemoteStore {
    /// The store of everything below `prefix`, reached by `clients`.
    #[must_use]
    pub fn new(prefix: Prefix, clients: Clients, bounds: Bounds, clock: Clock) -> Self {
        let Clients { small, data } = clients;
        let client = |store, span| Client { store, answers_for: duration(span), clock };
        Self {
            prefix,
            small: client(small, bounds.small_for),
            data: client(data, bounds.data_for),
            retry: bounds.retry,
            secrets: Secrets::default(),
            clock,
        }
    }

    /// The store of everything `name` below it, reached in the same way.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let prefix = Prefix { path: self.prefix.key(name), ..self.prefix.clone() };
        Self { prefix, ..self.clone() }
    }

    /// The same, with words that no error may repeat.
    fn keeping(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// The path of `key` in the bucket, character by character: nothing in it is encoded twice.
    fn path(&self, key: &str) -> Result<Path, Failure> {
        let key = self.prefix.key(key);
        match Path::parse(&key) {
            Ok(path) if path.as_ref() == key => Ok(path),
            Ok(_) => {
                let source = object_store::path::Error::EmptySegment { path: key };
                Err(Failure::from(object_store::Error::from(source)))
            }
            Err(why) => Err(Failure::from(object_store::Error::from(why))),
        }
    }

    fn error(&self, what: &str, key: &str, failure: &Failure) -> Error {
        failure.error(what, &self.name_of(key), &self.secrets)
    }

    fn changed(&self, key: &str) -> Error {
        Error::new(Code::InputChanged, format!("{} changed while it was read", self.name_of(key)))
            .hint("run `highwater run` again: the new version is taken in by itself")
    }

    /// What the store says of the object at `key`, in our words.
    fn meta(&self, key: String, meta: &object_store::ObjectMeta) -> Result<ObjectMeta> {
        let mark = Mark::of(self.prefix.scheme, meta.e_tag.as_deref(), meta.version.as_deref());
        let mark = mark.ok_or_else(|| {
            let name = self.name_of(&key);
            Error::new(Code::StoreUnfit, format!("the store gives no ETag for {name}"))
                .note("without one, two versions of an object cannot be told apart")
                .hint("use a store that gives every object a strong ETag")
        })?;
        Ok(ObjectMeta {
            key,
            size: meta.size,
            mark: mark.encode(),
            modified_at: ProcessingTime::from_micros(meta.last_modified.timestamp_micros()),
            is_young: false,
        })
    }

    /// Makes `call` up to `tries` times, while its failures may pass and there is time.
    async fn again<T, F>(&self, tries: u32, call: impl Fn() -> F + Send) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let watch = Stopwatch::start();
        let mut made: u32 = 1;
        loop {
            match call().await {
                Err(failure)
                    if failure.may_pass
                        && made < tries
                        && watch.elapsed() < self.retry.retry_timeout =>
                {
                    self.clock.sleep(pause(made, self.clock.new_id().as_u128())).await;
                    made = made.saturating_add(1);
                }
                result => return result,
            }
        }
    }

    /// How often a call of the client of small objects is made.
    fn small_tries(&self) -> u32 {
        self.retry.max_retries.saturating_add(1)
    }

    /// The client for an object of `size` bytes.
    fn client_for(&self, size: usize) -> &Client {
        let is_small = u64::try_from(size).is_ok_and(|size| size <= SMALL_BYTES_MAX);
        if is_small { &self.small } else { &self.data }
    }

    /// Writes `payload` on one condition. Not tried again here: the caller knows what to look for
    /// first.
    async fn put(&self, client: &Client, key: &str, payload: Bytes, mode: PutMode) -> Written {
        let is_creation = matches!(mode, PutMode::Create);
        let what = if is_creation { "create" } else { "publish" };
        let path = match self.path(key) {
            Ok(path) => path,
            Err(failure) => return Written::Refused(self.error(what, key, &failure)),
        };
        let options = PutOptions::from(mode);
        let put = client.store.put_opts(&path, PutPayload::from(payload), options);
        match client.ask(put).await {
            Ok(_) => Written::Stored,
            // That an object to be replaced is gone is its condition failing.
            Err(failure) if failure.is_definite() && (is_creation || !failure.is_absent()) => {
                Written::Refused(self.error(what, key, &failure))
            }
            Err(failure) => Written::Unclear(self.error(what, key, &failure)),
        }
    }

    async fn head_at(&self, key: &str) -> Result<Option<object_store::ObjectMeta>, Failure> {
        let path = self.path(key)?;
        let head = || async { self.small.ask(self.small.store.head(&path)).await };
        match self.again(self.small_tries(), head).await {
            Err(failure) if failure.is_absent() => Ok(None),
            head => head.map(Some),
        }
    }
}

#[async_trait]
impl Store for RemoteStore {
    fn name_of(&self, key: &str) -> String {
        match key {
            "" => self.prefix.to_string(),
            key => format!("{}/{key}", self.prefix),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        self.list_below(folder).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        let head = self.head_at(key).await.map_err(|why| self.error("look at", key, &why))?;
        head.map(|meta| self.meta(key.to_owned(), &meta)).transpose()
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>> {
        self.read_whole(key).await.map_err(|why| self.error("read", key, &why))
    }

    async fn read_ranges(&self, seen: &ObjectMeta, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.read_pinned(seen, ranges).await
    }

    async fn sha256(&self, key: &str) -> Result<Option<Sha256>> {
        self.hash_pinned(key).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Written {
        self.put(self.client_for(bytes.len()), key, bytes, PutMode::Create).await
    }

    async fn overwrite(&self, key: &str, bytes: Bytes) -> Result<()> {
        let path = self.path(key);
        let client = self.client_for(bytes.len());
        let put = || async {
            let payload = PutPayload::from(bytes.clone());
            client
                .ask(client.store.put_opts(
                    path.as_ref().map_err(Failure::clone)?,
                    payload,
                    PutOptions::default(),
                ))
                .await
        };
        match self.again(self.small_tries(), put).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.error("write", key, &failure)),
        }
    }

    /// There is no conditional deletion: another version that is stored between the look and the
    /// removal is removed with it. So nothing that may be replaced is ever removed.
    async fn remove(&self, seen: &ObjectMeta) -> Result<()> {
        let key = &seen.key;
        let failed = |failure| self.error("remove", key, &failure);
        let Some(now) = self.head(key).await? else { return Ok(()) };
        if !Mark::decode(&now.mark).agrees(&Mark::decode(&seen.mark)) {
            return Ok(());
        }
        let path = self.path(key).map_err(failed)?;
        match self.small.ask(self.small.store.delete(&path)).await {
            Err(failure) if !failure.is_absent() => Err(failed(failure)),
            _ => Ok(()),
        }
    }

    async fn publish(&self, key: &str, staged: &FilePath, over: Option<&str>) -> Written {
        let bytes = match tokio::fs::read(staged).await {
            Ok(bytes) => Bytes::from(bytes),
            Err(why) => {
                let what = format!("cannot read {} to publish it: {why}", staged.display());
                return Written::Refused(Error::new(Code::StoreFailed, what));
            }
        };
        let mode = match over {
            None => PutMode::Create,
            Some(over) => PutMode::Update(Mark::decode(over).into()),
        };
        let written = self.put(&self.data, key, bytes, mode).await;
        if matches!(written, Written::Stored) {
            // Best effort: what is left behind is not in anybody's way.
            let _ = tokio::fs::remove_file(staged).await;
        }
        written
    }
}

/// Doubles with each call made; the lower half is certain, the upper half is left to `random`.
fn pause(made: u32, random: u128) -> Duration {
    let doubled = 1_u32.checked_shl(made.saturating_sub(1)).unwrap_or(u32::MAX);
    let longest = PAUSE.saturating_mul(doubled).min(PAUSE_MAX);
    let half = longest.checked_div(2).unwrap_or(longest);
    let share = u32::try_from(random & 0xff).unwrap_or_default();
    half.saturating_add(half.saturating_mul(share).checked_div(256).unwrap_or_default())
}

fn duration(span: Span) -> Duration {
    Duration::from_micros(span.micros().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        assert!(pause(1, 0) < pause(2, 255) && pause(3, 0) >= pause(2, 255) / 2);
        assert!(pause(u32::MAX, u128::MAX) <= PAUSE_MAX);
    }
}
