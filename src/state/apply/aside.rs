//! Rows kept aside, file by file: begun, then published. The rules are those of windows.

use super::{Check, rule};
use crate::invariant::Invariant;
use crate::ledger::FileId;
use crate::state::entry::{Aside, AsideFile, BatchOutput, BeginAside, CommittedOutput};
use crate::state::{AsideState, OpenAside, State};

impl State {
    pub(super) fn apply_begin_aside(&mut self, begin: &BeginAside) -> Check {
        let is_alone = self.open.is_empty() && self.open_aside.is_none();
        rule(is_alone, Invariant::Cm3, || format!("batch {} is begun under another", begin.batch))?;
        let mut files: Vec<(AsideFile<BatchOutput>, bool)> = Vec::new();
        for file in &begin.files {
            rule(file.generation <= self.generation, Invariant::In1, || {
                format!("{} came with generation {}", file.key, file.generation)
            })?;
            let id = id_of(file);
            let known = self.asides.entry(id.clone()).or_default();
            let before = known.committed.as_ref().map(|known| known.object.sha256);
            rule(before == file.object.before, Invariant::Cm2, || {
                format!("{} is not what was kept aside there", file.object.path)
            })?;
            let was_in_doubt = std::mem::replace(&mut known.is_in_doubt, true);
            let is_first = files.iter().all(|(other, _)| id_of(other) != id);
            rule(is_first, Invariant::Cm3, || format!("{} is begun twice", file.key))?;
            files.push((file.clone(), was_in_doubt));
        }
        self.open_aside = Some(OpenAside { batch: begin.batch, files });
        Ok(())
    }

    pub(super) fn apply_aside(&mut self, aside: &Aside) -> Check {
        let open = self.open_aside.take().filter(|open| open.batch == aside.batch);
        let unknown = || (Invariant::Cm3, format!("batch {} is not open", aside.batch));
        let mut open = open.ok_or_else(unknown)?;
        for file in &aside.files {
            let begun = open.take(&id_of(file));
            let is_as_begun = begun.is_some_and(|(begun, _)| announces(&begun, file));
            rule(is_as_begun, Invariant::Cm2, || {
                format!("it keeps rows of {} aside otherwise than begun", file.key)
            })?;
            let committed = Some(file.clone());
            self.asides.insert(id_of(file), AsideState { committed, is_in_doubt: false });
        }
        for file in &aside.failed {
            let begun = open.take(&id_of(file));
            let (_, was_in_doubt) = begun
                .ok_or_else(|| (Invariant::Cm2, format!("rows of {} were not begun", file.key)))?;
            if let Some(known) = self.asides.get_mut(&id_of(file)) {
                known.is_in_doubt = was_in_doubt;
            }
        }
        self.asides.retain(|_, known| known.is_in_doubt || known.committed.is_some());
        Ok(())
    }
}

impl OpenAside {
    fn take(&mut self, id: &FileId) -> Option<(AsideFile<BatchOutput>, bool)> {
        let place = self.files.iter().position(|(begun, _)| id_of(begun) == *id)?;
        Some(self.files.swap_remove(place))
    }
}

fn id_of<T>(file: &AsideFile<T>) -> FileId {
    FileId { table: file.table.clone(), key: file.key.clone() }
}

fn announces(begun: &AsideFile<BatchOutput>, file: &AsideFile<CommittedOutput>) -> bool {
    begun.generation == file.generation
        && (&begun.object.path, begun.object.att) == (&file.object.path, file.object.att)
}
