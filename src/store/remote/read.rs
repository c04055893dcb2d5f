//! Reading: whole objects, and pieces of one version.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, OBJECT_STORE_COALESCE_DEFAULT, coalesce_ranges};

use super::failure::{Failure, Kind};
use super::mark::Mark;
use super::{Client, DATA_TRIES, RemoteStore, SMALL_BYTES_MAX};
use crate::error::{Code, Error, Result};
use crate::hash::{Sha256, Sha256Stream};
use crate::spec::Scheme;
use crate::store::{ObjectMeta, Store};

/// How much of an object is held while it is hashed.
const PIECE_BYTES: u64 = 16 << 20;

/// How often an object is hashed anew that was replaced meanwhile.
const HASH_TRIES: u32 = 3;

/// What there is at a key, read by the client of small objects.
enum Whole {
    Bytes(Bytes),
    /// More than that client is for.
    TooLarge,
}

/// One version of one object.
struct Pinned<'a> {
    path: &'a Path,
    scheme: Scheme,
    size: u64,
    mark: Mark,
}

impl Pinned<'_> {
    /// Whether the store describes this version.
    fn is(&self, meta: &object_store::ObjectMeta) -> bool {
        let mark = Mark::of(self.scheme, meta.e_tag.as_deref(), meta.version.as_deref());
        meta.size == self.size && mark.is_some_and(|mark| mark.agrees(&self.mark))
    }
}

impl RemoteStore {
    pub(super) async fn read_whole(&self, key: &str) -> Result<Option<Bytes>, Failure> {
        let path = self.path(key)?;
        let read = |client, size_max| {
            let (path, scheme) = (&path, self.prefix.scheme);
            move || async move { whole(client, path, scheme, size_max).await }
        };
        let small = self.again(self.small_tries(), read(&self.small, SMALL_BYTES_MAX)).await;
        let whole = match small {
            Ok(Whole::TooLarge) => self.again(DATA_TRIES, read(&self.data, u64::MAX)).await,
            small => small,
        };
        match whole {
            Ok(Whole::Bytes(bytes)) => Ok(Some(bytes)),
            Ok(Whole::TooLarge) => Ok(None),
            Err(failure) if failure.is_absent() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn read_pinned(
        &self,
        seen: &ObjectMeta,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>> {
        let key = &seen.key;
        if ranges.iter().any(|range| range.end > seen.size || range.start > range.end) {
            let name = self.name_of(key);
            return Err(Error::new(
                Code::CorruptInput,
                format!("{name} points beyond its own end"),
            ));
        }
        let told = |failure: Failure| match failure.kind {
            Kind::Changed | Kind::Absent => self.changed(key),
            _ => self.error("read", key, &failure),
        };
        let path = self.path(key).map_err(told)?;
        let pinned = &self.pin(&path, seen);
        let fetch = |range: Range<u64>| async move { self.fetch(pinned, range).await };
        coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await.map_err(told)
    }

    pub(super) async fn hash_pinned(&self, key: &str) -> Result<Option<Sha256>> {
        let failed = |failure| self.error("read", key, &failure);
        let path = self.path(key).map_err(failed)?;
        for _ in 0..HASH_TRIES {
            let Some(seen) = self.head(key).await? else { return Ok(None) };
            match self.hash(&self.pin(&path, &seen)).await {
                Ok(hash) => return Ok(Some(hash)),
                // Replaced or removed since it was looked at.
                Err(failure) if matches!(failure.kind, Kind::Changed | Kind::Absent) => {}
                Err(failure) => return Err(failed(failure)),
            }
        }
        let name = self.name_of(key);
        Err(Error::new(Code::StoreFailed, format!("{name} is replaced faster than it is read")))
    }

    fn pin<'a>(&self, path: &'a Path, seen: &ObjectMeta) -> Pinned<'a> {
        let (scheme, mark) = (self.prefix.scheme, Mark::decode(&seen.mark));
        Pinned { path, scheme, size: seen.size, mark }
    }

    async fn hash(&self, pinned: &Pinned<'_>) -> Result<Sha256, Failure> {
        let mut stream = Sha256Stream::default();
        let mut start = 0;
        while start < pinned.size {
            let end = start.saturating_add(PIECE_BYTES).min(pinned.size);
            stream.update(&self.fetch(pinned, start..end).await?);
            start = end;
        }
        Ok(stream.finish())
    }

    /// The bytes of `range`, all of them, of that version.
    async fn fetch(&self, pinned: &Pinned<'_>, range: Range<u64>) -> Result<Bytes, Failure> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let range = &range;
        self.again(DATA_TRIES, || async move { piece(&self.data, pinned, range.clone()).await })
            .await
    }
}

/// All bytes of the object at `path`, if they are not more than `size_max`.
async fn whole(
    client: &Client,
    path: &Path,
    scheme: Scheme,
    size_max: u64,
) -> Result<Whole, Failure> {
    let read = async {
        let got = client.store.get_opts(path, GetOptions::new()).await?;
        let (size, e_tag) = (got.meta.size, got.meta.e_tag.as_deref());
        // Without one it is no object: the client takes an error told as a success for one.
        if Mark::of(scheme, e_tag, got.meta.version.as_deref()).is_none() {
            return Err(Failure::untagged());
        }
        if size > size_max {
            return Ok(Whole::TooLarge);
        }
        collect(got, size).await.map(Whole::Bytes)
    };
    client.ask(read).await
}

async fn piece(client: &Client, pinned: &Pinned<'_>, range: Range<u64>) -> Result<Bytes, Failure> {
    let options = GetOptions::new()
        .with_if_match(Some(pinned.mark.e_tag.as_str()))
        .with_range(Some(range.clone()));
    let read = async {
        let got = client.store.get_opts(pinned.path, options).await?;
        // A store that knows no `If-Match` answers with what is there now.
        if !pinned.is(&got.meta) {
            return Err(Failure::changed());
        }
        if got.range != range {
            return Err(Failure::damaged("the store answered with another range"));
        }
        collect(got, range.end.saturating_sub(range.start)).await
    };
    client.ask(read).await
}

/// The body of an answer, which must have `size` bytes.
async fn collect(got: GetResult, size: u64) -> Result<Bytes, Failure> {
    let other = || Failure::damaged(format!("the store sent other than the {size} bytes it said"));
    let size = usize::try_from(size).map_err(|_| other())?;
    let mut body = got.into_stream();
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        if piece.len() > size.saturating_sub(bytes.len()) {
            return Err(other());
        }
        // Most bodies come in one piece or few; what is promised is not yet worth memory.
        bytes.extend_from_slice(&piece);
    }
    if bytes.len() == size { Ok(bytes.freeze()) } else { Err(other()) }
}
