//! States that no pipeline of the configuration belongs to.

use super::project::Project;
use crate::error::{Code, Error, Result};
use crate::id::PipelineName;
use crate::report::Orphan;

/// States that are looked into: bounds what `status` reads.
const ORPHANS_MAX: usize = 100;

impl Project {
    /// The states of pipelines that are not in the configuration and have published something, by
    /// name. On an object store, where that would mean to list every state whole, none.
    ///
    /// # Errors
    /// If the folder of the states cannot be listed, or a log not be read.
    pub async fn orphans(&self) -> Result<Vec<Orphan>> {
        let Some(folder) = self.spec.state.as_folder() else { return Ok(Vec::new()) };
        let failed = |why: &std::io::Error| {
            let text = format!("cannot list the states in {}: {why}", folder.display());
            Error::new(Code::StoreFailed, text)
        };
        let items = match std::fs::read_dir(folder) {
            Ok(items) => items,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(why) => return Err(failed(&why)),
        };
        let mut names = Vec::new();
        for item in items {
            let name = item.map_err(|why| failed(&why))?.file_name();
            let name = name.to_str().and_then(PipelineName::new);
            names.extend(name.filter(|name| self.pipeline(name).is_none()));
        }
        names.sort();
        let mut orphans = Vec::new();
        for pipeline in names.into_iter().take(ORPHANS_MAX) {
            let Some(state) = self.log(&pipeline).read().await? else { continue };
            let has_objects = !state.windows.is_empty() || !state.in_doubt.is_empty();
            if has_objects || state.retiring.is_some() {
                let (windows, _) = state.windows.totals();
                orphans.push(Orphan { pipeline, windows });
            }
        }
        Ok(orphans)
    }
}
