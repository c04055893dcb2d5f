//! The entries of a log in order, read ahead.

use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt};

use super::StateLog;
use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use crate::id::Seq;
use crate::state::Entry;
use crate::state::codec::{self, DecodeError};
use crate::store::layout;

/// Entries read at once. Bounds memory by this many entries of at most
/// [`codec::ENTRY_BYTES_MAX`] each.
const READS_AT_ONCE: usize = 16;

type Decoded = std::result::Result<(Entry, Sha256), DecodeError>;
type Reads<'a> = dyn Stream<Item = (Seq, Result<Option<Decoded>>)> + Send + 'a;

/// Reads entries from one place on, to the first place that is free.
pub(super) struct Entries<'a> {
    log: &'a StateLog,
    reads: Pin<Box<Reads<'a>>>,
}

impl<'a> Entries<'a> {
    pub(super) fn from(log: &'a StateLog, first: Seq) -> Self {
        let reads = futures::stream::iter(first.0..).map(move |seq| async move {
            let seq = Seq(seq);
            let read = async {
                match log.store().read(&layout::entry(seq)).await? {
                    Some(bytes) => decode(bytes).await.map(Some),
                    None => Ok(None),
                }
            };
            (seq, read.await)
        });
        Self { log, reads: Box::pin(reads.buffered(READS_AT_ONCE)) }
    }

    /// The next entry and the hash of its body; `None` behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<(Entry, Sha256)>> {
        let Some((seq, decoded)) = self.reads.next().await else { return Ok(None) };
        let Some(decoded) = decoded? else {
            // What was asked for at the same time shows whether this is a hole.
            let mut later = None;
            for _ in 1..READS_AT_ONCE {
                if let Some((seq, decoded)) = self.reads.next().await {
                    later = later.or(decoded?.map(|_| seq));
                }
            }
            self.log.check_end(seq, later).await?;
            return Ok(None);
        };
        let (entry, hash) = match decoded {
            Ok(decoded) => decoded,
            Err(why) => self.log.read_again(seq, &why).await?,
        };
        if entry.n != seq {
            return Err(self.log.damaged(seq, &format!("it says that it is entry {}", entry.n)));
        }
        Ok(Some((entry, hash)))
    }
}

/// Takes an entry apart beside others: of a long log, that is what takes time.
async fn decode(bytes: Bytes) -> Result<Decoded> {
    let decoded = tokio::task::spawn_blocking(move || codec::decode(&bytes)).await;
    decoded
        .map_err(|panic| Error::new(Code::Bug, format!("a log entry cannot be decoded: {panic}")))
}
