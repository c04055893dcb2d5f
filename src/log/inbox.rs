//! What is asked of a pipeline while another process holds its lease: one object each, created
//! once, taken in by the holder.
//!
//! An item is removed only after the log has it, and the log names it: should the holder die in
//! between, the next one knows that it was taken in.

use bytes::Bytes;
use uuid::Uuid;

use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::state::Request;
use crate::state::codec::{decode_request, encode_request};
use crate::store::{ObjectMeta, Store, Written, layout};

/// The most items that are taken in at once; others wait for the next time.
const ITEMS_MAX: usize = 100;

/// An item's largest size in bytes: a person wrote it.
const ITEM_BYTES_MAX: u64 = 64 << 10;

/// The inbox of one pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Inbox<'a> {
    store: &'a dyn Store,
}

/// Something that was asked.
#[derive(Clone, Debug)]
pub struct InboxItem {
    /// Names it.
    pub id: Uuid,
    /// What was asked; why it cannot be read, if it cannot.
    pub request: Result<Request>,
    seen: ObjectMeta,
}

impl<'a> Inbox<'a> {
    /// The inbox in the state prefix `store`.
    #[must_use]
    pub fn new(store: &'a dyn Store) -> Self {
        Self { store }
    }

    /// Leaves `request` for the holder of the lease.
    ///
    /// # Errors
    /// If the store fails; [`Code::OutcomeUnknown`] if nobody knows whether it was left.
    pub async fn leave(&self, request: &Request, clock: &Clock) -> Result<Uuid> {
        let id = clock.new_id();
        let text = encode_request(request)
            .map_err(|why| Error::new(Code::Bug, format!("a request has no text: {why}")))?;
        let (key, bytes) = (layout::inbox(id), Bytes::from(text));
        match self.store.create(&key, bytes.clone()).await {
            Written::Stored => Ok(id),
            Written::Refused(why) => Err(why),
            // The name is ours alone: whatever is there is ours.
            Written::Unclear(why) | Written::Untrusted(why) => match self.store.read(&key).await? {
                Some(found) if found == bytes => Ok(id),
                _ => Err(Error::new(Code::OutcomeUnknown, why.message()).hint(
                    "`highwater requests` shows whether it was taken in; to ask again is safe",
                )),
            },
        }
    }

    /// Whether anything was left.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_items(&self) -> Result<bool> {
        Ok(self.list().await?.iter().any(|seen| layout::inbox_of(&seen.key).is_some()))
    }

    async fn list(&self) -> Result<Vec<ObjectMeta>> {
        match self.store.list(layout::INBOX).await {
            // Before the first run there is no state at all.
            Err(why) if why.code() == Code::SourceMissing => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// What was left, oldest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn look(&self) -> Result<Vec<InboxItem>> {
        let mut items = Vec::new();
        for seen in self.list().await?.into_iter().take(ITEMS_MAX) {
            let Some(id) = layout::inbox_of(&seen.key) else { continue };
            // One that is gone was taken in since it was listed.
            let Some(request) = self.read(&seen).await.transpose() else { continue };
            items.push(InboxItem { id, request, seen });
        }
        items.sort_by_key(|item| item.id);
        Ok(items)
    }

    async fn read(&self, seen: &ObjectMeta) -> Result<Option<Request>> {
        let unusable = |why: &str| {
            let name = self.store.name_of(&seen.key);
            Error::new(Code::BadValue, format!("{name} is no request: {why}"))
                .hint("it is left where it is: remove it, and ask again")
        };
        if seen.size > ITEM_BYTES_MAX {
            return Err(unusable("it is too large"));
        }
        let Some(bytes) = self.store.read(&seen.key).await? else { return Ok(None) };
        decode_request(&bytes).map(Some).map_err(|why| unusable(&why.to_string()))
    }

    /// Removes `item`, which the log has.
    ///
    /// # Errors
    /// If the store fails: the item stays, and is known to be taken in.
    pub async fn clear(&self, item: &InboxItem) -> Result<()> {
        self.store.remove(&item.seen).await
    }
}
