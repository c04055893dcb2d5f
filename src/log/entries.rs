//! The entries of a log in order, read ahead.

use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt};

use super::StateLog;
use crate::error::Result;
use crate::hash::Sha256;
use crate::id::Seq;
use crate::state::{Entry, codec};
use crate::store::layout;

/// Entries read at once. Bounds memory by this many entries of at most
/// [`codec::ENTRY_BYTES_MAX`] each.
const READS_AT_ONCE: usize = 16;

type Reads<'a> = dyn Stream<Item = (Seq, Result<Option<Bytes>>)> + Send + 'a;

/// Reads entries from one place on, to the first place that is free.
pub(super) struct Entries<'a> {
    log: &'a StateLog,
    reads: Pin<Box<Reads<'a>>>,
}

impl<'a> Entries<'a> {
    pub(super) fn from(log: &'a StateLog, first: Seq) -> Self {
        let reads = futures::stream::iter(first.0..).map(move |seq| async move {
            let key = layout::entry(Seq(seq));
            (Seq(seq), log.store().read(&key).await)
        });
        Self { log, reads: Box::pin(reads.buffered(READS_AT_ONCE)) }
    }

    /// The next entry and the hash of its body; `None` behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<(Entry, Sha256)>> {
        let Some((seq, bytes)) = self.reads.next().await else { return Ok(None) };
        let Some(bytes) = bytes? else {
            // What was asked for at the same time shows whether this is a hole.
            let mut later = None;
            for _ in 1..READS_AT_ONCE {
                if let Some((seq, bytes)) = self.reads.next().await {
                    later = later.or(bytes?.map(|_| seq));
                }
            }
            self.log.check_end(seq, later).await?;
            return Ok(None);
        };
        let (entry, hash) = match codec::decode(&bytes) {
            Ok(decoded) => decoded,
            Err(why) => self.log.read_again(seq, &why).await?,
        };
        if entry.n != seq {
            return Err(self.log.damaged(seq, &format!("it says that it is entry {}", entry.n)));
        }
        Ok(Some((entry, hash)))
    }
}
