//! Asks a store whether it keeps the promises the protocol needs, before anything is trusted to it.
//!
//! Stores say that they know conditional writes, and ignore the condition, turn it around, or keep
//! it only until two writers come at once. Each promise is put to the test on objects of the
//! probe's own. An answer that was lost is no broken promise: what is there is read back, and only
//! that is judged.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;

use super::{Store, Written};
use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::time::ProcessingTime;

/// How often everything is tried, if nothing else is asked for: a race that is lost seldom must
/// still be seen.
pub const PROBE_ROUNDS: u32 = 20;

/// Creations of one key at the same time.
const RACERS: usize = 8;

/// How often a write is tried whose answer was lost, before the store is called unreachable.
const TRIES: u32 = 6;

/// The first pause before a write is tried again; it doubles each time.
const PAUSE: Duration = Duration::from_millis(50);

/// What a probe found out about a store that keeps its promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Now, by the clock of the store.
    pub store_at: ProcessingTime,
    /// How often everything was tried.
    pub rounds: u32,
}

/// Whether `store` keeps its promises, as far as `rounds` rounds can show.
///
/// All objects lie below `probe/<id>/` and are removed afterwards, as far as that is permitted.
/// What is to be published is staged in the folder `staging`, which must exist.
///
/// # Errors
/// [`Code::StoreUnfit`] names the promise that was broken. A store that refuses, fails or does not
/// answer gives the error of that.
pub async fn probe(store: &dyn Store, staging: &Path, rounds: u32, clock: Clock) -> Result<Probed> {
    let id = clock.new_id();
    let mut found = None;
    for round in 0..rounds.max(1) {
        let round = Round {
            store,
            folder: format!("probe/{id}/{round}"),
            staged: staging.join(format!("probe-{id}-{round}")),
            clock,
        };
        let result = round.run().await;
        round.clean_up().await;
        found = Some(result?);
    }
    let store_at = found.ok_or_else(|| Error::new(Code::Bug, "a probe had no round"))?;
    Ok(Probed { store_at, rounds: rounds.max(1) })
}

/// What became of a write, as far as can be known.
#[derive(Debug)]
enum Seen {
    /// The store said that it is stored.
    Stored,
    /// It did not, and this is there now.
    Found(Bytes),
    /// It did not, and nothing is there.
    Nothing(Error),
}

/// One time everything, on keys of its own.
struct Round<'a> {
    store: &'a dyn Store,
    folder: String,
    staged: PathBuf,
    clock: Clock,
}

impl Round<'_> {
    async fn run(&self) -> Result<ProcessingTime> {
        let store_at = self.creates_once().await?;
        self.lets_one_of_many_create().await?;
        self.replaces_what_was_seen().await?;
        Ok(store_at)
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Bytes that no other write of any probe has.
    fn body(&self, what: &str) -> Bytes {
        Bytes::from(format!("{what} of {} {}\n", self.folder, self.clock.new_id()))
    }

    fn unfit(&self, what: impl std::fmt::Display) -> Error {
        let name = self.store.name_of("");
        Error::new(Code::StoreUnfit, format!("the store at {name} is unfit: {what}"))
            .note("on such a store two runs would overwrite each other's work without a trace")
            .hint("use a store, or a version or endpoint of it, with conditional writes")
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>> {
        self.store.read(key).await
    }

    /// What is at `key`, which was created and may not be gone.
    async fn read_back(&self, key: &str) -> Result<Bytes> {
        let found = self.read(key).await?;
        found.ok_or_else(|| self.unfit("what it has just stored cannot be read back"))
    }

    /// What became of one creation of `key`.
    async fn create(&self, key: &str, body: &Bytes) -> Result<Seen> {
        match self.store.create(key, body.clone()).await {
            Written::Stored => Ok(Seen::Stored),
            Written::Refused(why) | Written::Untrusted(why) => Err(why),
            Written::Unclear(why) => Ok(match self.read(key).await? {
                Some(found) => Seen::Found(found),
                None => Seen::Nothing(why),
            }),
        }
    }

    /// Creates `key`, which does not exist, with `body`.
    async fn create_new(&self, key: &str, body: &Bytes) -> Result<()> {
        let mut last = None;
        for tried in 0..TRIES {
            match self.create(key, body).await? {
                Seen::Stored => return self.has(key, body, "the first creation of a key").await,
                Seen::Found(found) if found == body => return Ok(()),
                Seen::Found(_) => return Err(self.unfit("it stored other bytes than it was sent")),
                Seen::Nothing(why) => last = Some(why),
            }
            self.pause(tried).await;
        }
        // It may be slow, or have turned the condition around: then it creates only what exists.
        let twisted = self.key("twisted");
        self.store.overwrite(&twisted, self.body("before")).await?;
        let second = self.body("second");
        let seen = self.create(&twisted, &second).await?;
        if matches!(seen, Seen::Stored) || matches!(seen, Seen::Found(found) if found == second) {
            return Err(self.unfit(
                "it refused the creation of a key that does not exist, and accepted that of one \
                 that does",
            ));
        }
        Err(unreachable_store(last))
    }

    /// Whether `key` holds `body`, which `what` stored.
    async fn has(&self, key: &str, body: &Bytes, what: &str) -> Result<()> {
        if self.read_back(key).await? == body {
            return Ok(());
        }
        Err(self.unfit(format!("it reported {what} as stored, and keeps other bytes")))
    }

    async fn creates_once(&self) -> Result<ProcessingTime> {
        let key = self.key("once");
        let (first, second) = (self.body("first"), self.body("second"));
        self.create_new(&key, &first).await?;
        let seen = self.create(&key, &second).await?;
        let now = self.read_back(&key).await?;
        if matches!(seen, Seen::Stored) || now != first {
            return Err(self.unfit("it accepted a second creation of the same key"));
        }
        let meta = self.store.head(&key).await?;
        let meta = meta.ok_or_else(|| self.unfit("what it has just stored cannot be looked at"))?;
        Ok(meta.modified_at)
    }

    async fn lets_one_of_many_create(&self) -> Result<()> {
        let mut last = None;
        for tried in 0..TRIES {
            let key = self.key(&format!("race-{tried}"));
            let bodies: Vec<Bytes> = (0..RACERS).map(|_| self.body("racer")).collect();
            let creations = bodies.iter().map(|body| self.store.create(&key, body.clone()));
            let mut stored = Vec::new();
            for (body, written) in bodies.iter().zip(join_all(creations).await) {
                match written {
                    Written::Stored => stored.push(body),
                    Written::Refused(why) | Written::Untrusted(why) => return Err(why),
                    Written::Unclear(why) => last = Some(why),
                }
            }
            match stored.as_slice() {
                [] => {
                    // One may have landed, and its answer been lost.
                    if let Some(found) = self.read(&key).await? {
                        return self.is_one_of(&found, &bodies);
                    }
                }
                [winner] => return self.has(&key, winner, "one of several racing creations").await,
                winners => {
                    let won = if winners.len() == 2 {
                        "both".to_owned()
                    } else {
                        winners.len().to_string()
                    };
                    return Err(self.unfit(format!("{won} of {RACERS} racing creations won")));
                }
            }
            self.pause(tried).await;
        }
        Err(unreachable_store(last))
    }

    fn is_one_of(&self, found: &Bytes, bodies: &[Bytes]) -> Result<()> {
        if bodies.contains(found) {
            return Ok(());
        }
        Err(self.unfit("it stored other bytes than it was sent"))
    }

    async fn replaces_what_was_seen(&self) -> Result<()> {
        let key = self.key("replaced");
        let (first, second, third) = (self.body("first"), self.body("second"), self.body("third"));
        self.create_new(&key, &first).await?;
        let stale = self.mark(&key).await?;
        self.replace(&key, &second, &first).await?;
        if self.mark(&key).await? == stale {
            return Err(self.unfit("it gives two versions of an object the same mark"));
        }
        let written = self.publish(&key, &third, &stale).await?;
        let now = self.read_back(&key).await?;
        if matches!(written, Written::Stored) || now != second {
            return Err(
                self.unfit("it replaced an object that was not the version it was asked to")
            );
        }
        self.forgets_what_is_removed(&key).await
    }

    /// Replaces `old` at `key` with `new`.
    async fn replace(&self, key: &str, new: &Bytes, old: &Bytes) -> Result<()> {
        let mut last = None;
        for tried in 0..TRIES {
            let mark = self.mark(key).await?;
            let written = self.publish(key, new, &mark).await?;
            let now = self.read_back(key).await?;
            match written {
                _ if now == new => return Ok(()),
                Written::Unclear(why) if now == old => last = Some(why),
                Written::Stored if now == old => {
                    return Err(self.unfit("it shows an old version after a new one is stored"));
                }
                _ => return Err(self.unfit("it stored other bytes than it was sent")),
            }
            self.pause(tried).await;
        }
        let error = unreachable_store(last);
        Err(error
            .hint("if that stays so, it cannot replace conditionally (`If-Match`): it is unfit"))
    }

    async fn forgets_what_is_removed(&self, key: &str) -> Result<()> {
        let Some(seen) = self.store.head(key).await? else { return Ok(()) };
        if self.store.remove(&seen).await.is_err() {
            // Nobody who writes must be permitted to remove.
            return Ok(());
        }
        match self.read(key).await? {
            None => Ok(()),
            Some(_) => Err(self.unfit("it shows what was removed")),
        }
    }

    async fn mark(&self, key: &str) -> Result<String> {
        let meta = self.store.head(key).await?;
        let meta = meta.ok_or_else(|| self.unfit("what it has just stored cannot be looked at"))?;
        Ok(meta.mark)
    }

    /// What became of one replacement; never [`Written::Refused`] or [`Written::Untrusted`].
    async fn publish(&self, key: &str, body: &Bytes, over: &str) -> Result<Written> {
        tokio::fs::write(&self.staged, body).await.map_err(|why| {
            let staged = self.staged.display();
            Error::new(Code::StoreFailed, format!("cannot write {staged}: {why}"))
        })?;
        match self.store.publish(key, &self.staged, Some(over)).await {
            Written::Refused(why) | Written::Untrusted(why) => Err(why),
            written => Ok(written),
        }
    }

    async fn pause(&self, tried: u32) {
        let pause = PAUSE.saturating_mul(1_u32.checked_shl(tried).unwrap_or(u32::MAX));
        self.clock.sleep(pause).await;
    }

    /// Removes what this round stored. Best effort: what stays behind is in nobody's way.
    async fn clean_up(&self) {
        let _ = tokio::fs::remove_file(&self.staged).await;
        let Ok(left) = self.store.list(&format!("{}/", self.folder)).await else { return };
        join_all(left.iter().map(|seen| self.store.remove(seen))).await;
    }
}

/// The error for a store that did not do what it was asked to, and broke no promise by that.
fn unreachable_store(last: Option<Error>) -> Error {
    let error = last.unwrap_or_else(|| Error::new(Code::StoreFailed, "the store did not answer"));
    error
        .within(format!("after {TRIES} tries"))
        .hint("run again once the store answers: that is safe")
}
