//! One object against what the log says of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Depth;
use crate::error::{Code, Error, Result};
use crate::execute::decode;
use crate::report::ProblemKind;
use crate::source::{SourceStore, open};
use crate::spec::{Compression, PipelineSpec};
use crate::state::CommittedOutput;
use crate::store::{Found, ObjectMeta};

/// Objects that are decoded at the same time take no more than this together, in mebibytes; a
/// larger one is decoded alone.
const DECODED_MIB_MAX: u32 = 256;

/// How an object differs.
pub(super) struct Difference {
    pub(super) kind: ProblemKind,
    pub(super) message: String,
}

/// Looks at objects of one pipeline.
pub(super) struct Objects {
    store: Arc<SourceStore>,
    compression: BTreeMap<String, Compression>,
    depth: Depth,
    room: Semaphore,
}

impl Objects {
    pub(super) fn new(store: Arc<SourceStore>, spec: &PipelineSpec, depth: Depth) -> Arc<Self> {
        let objects = spec.objects();
        let compression =
            objects.map(|object| (object.name.to_owned(), object.compression)).collect();
        let room = Semaphore::new(DECODED_MIB_MAX.try_into().unwrap_or(usize::MAX));
        Arc::new(Self { store, compression, depth, room })
    }

    /// Whether there is anything at `path`.
    pub(super) async fn is_there(&self, path: &str) -> Result<bool> {
        Ok(self.store.store().find(path).await? != Found::Nothing)
    }

    /// How the object differs from what was committed; `None` if it does not.
    pub(super) async fn look(&self, output: &CommittedOutput) -> Result<Option<Difference>> {
        let missing = || Some(differs(ProblemKind::Missing, "it is not there"));
        let meta = match self.store.store().find(&output.path).await? {
            Found::Nothing => return Ok(missing()),
            Found::Other(what) => return Ok(Some(differs(ProblemKind::Obstacle, what))),
            Found::Object(meta) => meta,
        };
        if meta.size != output.bytes {
            let text = format!("it has {} bytes, the log says {}", meta.size, output.bytes);
            return self.changed(&meta, output, ProblemKind::Size, text).await;
        }
        if self.depth < Depth::Full {
            return Ok(None);
        }
        match self.store.store().sha256(&output.path).await? {
            None => return Ok(missing()),
            Some(hash) if hash != output.sha256 => {
                let text = "its bytes are not those that were published".to_owned();
                return self.changed(&meta, output, ProblemKind::Sha256, text).await;
            }
            Some(_) => {}
        }
        match self.rows(&meta, output).await {
            Ok(difference) => Ok(difference),
            Err(why) if is_of_the_file(&why) => Ok(Some(differs(ProblemKind::Rows, why.message()))),
            Err(why) => Err(why),
        }
    }

    /// How the rows differ of an object whose bytes are right.
    async fn rows(
        &self,
        meta: &ObjectMeta,
        output: &CommittedOutput,
    ) -> Result<Option<Difference>> {
        let file = open(&self.store, meta).await?;
        let mebibytes = u32::try_from(meta.size >> 20).unwrap_or(u32::MAX);
        let room = self.room.acquire_many(mebibytes.clamp(1, DECODED_MIB_MAX)).await;
        let compression = self.compression.get(&output.name).copied();
        let (rows, content) =
            decode(&file, compression.unwrap_or(Compression::Uncompressed)).await?;
        drop(room);
        if rows != output.rows {
            let text = format!("it has {rows} rows, the log says {}", output.rows);
            return Ok(Some(differs(ProblemKind::Rows, text)));
        }
        let is_other = match (&output.content, &content) {
            (Some(then), Some(now)) => then.is_comparable(now) && then != now,
            _ => false,
        };
        let text = "its rows are not those that were published";
        Ok(is_other.then(|| differs(ProblemKind::Content, text)))
    }

    /// How an object differs whose bytes are others: an attempt that is newer than the committed
    /// one, and that nothing announces, comes from a log that was longer once.
    async fn changed(
        &self,
        meta: &ObjectMeta,
        output: &CommittedOutput,
        kind: ProblemKind,
        text: String,
    ) -> Result<Option<Difference>> {
        let attempt = match open(&self.store, meta).await {
            Ok(file) => file.attempt(),
            Err(why) if is_of_the_file(&why) => None,
            Err(why) => return Err(why),
        };
        // Ids of attempts sort by time.
        Ok(Some(match attempt {
            Some(attempt) if attempt > output.att => {
                let text = format!(
                    "attempt {attempt} wrote it, which the log does not know: was the state \
                     restored from an older copy?"
                );
                differs(ProblemKind::Newer, text)
            }
            _ => differs(kind, text),
        }))
    }
}

fn differs(kind: ProblemKind, message: impl Into<String>) -> Difference {
    Difference { kind, message: message.into() }
}

/// Whether it is the object that cannot be read, and not the store that fails.
fn is_of_the_file(why: &Error) -> bool {
    matches!(why.code(), Code::CorruptInput | Code::InputChanged)
}
