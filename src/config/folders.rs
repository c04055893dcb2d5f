//! Which folders a project reads and writes, and that it never writes where it reads.
//!
//! Places are compared name by name without looking at the disk: links are not followed.

use crate::error::{Code, Error};
use crate::spec::Location;

use super::diagnose::{Place, Report};

/// A folder that the configuration names.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: Location,
    /// Whose it is, e.g. "output `hourly` of pipeline `orders`".
    pub(super) owner: String,
    pub(super) place: Place,
}

impl Folder {
    /// Whether one is the other or lies inside it.
    fn overlaps(&self, other: &Self) -> bool {
        self.path.overlaps(&other.path)
    }
}

/// All folders of a project.
#[derive(Debug, Default)]
pub(super) struct Folders {
    /// Of sources and of references.
    pub(super) sources: Vec<Folder>,
    pub(super) outputs: Vec<Folder>,
}

impl Folders {
    /// Reports every two folders that overlap where they must not: rows written would be read as
    /// input, or a file of one be taken for a file of the other. Sources may share a folder.
    pub(super) fn check(&self, state: &Folder, report: &mut Report<'_>) {
        for (at, output) in self.outputs.iter().enumerate() {
            let earlier = self.outputs.iter().take(at);
            let others = earlier.chain(&self.sources).chain([state]);
            others.filter(|other| output.overlaps(other)).for_each(|other| {
                clash(output, other, report);
            });
        }
        for source in self.sources.iter().filter(|source| source.overlaps(state)) {
            clash(source, state, report);
        }
    }
}

fn clash(folder: &Folder, other: &Folder, report: &mut Report<'_>) {
    let message = format!("the folders of {} and of {} overlap", folder.owner, other.owner);
    let error = Error::new(Code::Conflict, message)
        .note(format!("{}: {}", folder.owner, folder.path))
        .note(format!("{}: {}", other.owner, other.path))
        .hint("use two folders of which none lies inside the other");
    report.add(folder.place.clone(), format!("overlaps with {}", other.owner), error);
}
