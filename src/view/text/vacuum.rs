//! What a vacuum deleted, as text.

use std::fmt::Write;

use super::{bytes, counted, number};
use crate::garbage::Garbage;
use crate::report::Vacuumed;
use crate::time::Span;

/// What was deleted and marked in each pipeline's state, or would be.
#[must_use]
pub fn vacuum(found: &[Vacuumed], is_dry: bool, retention: Span) -> String {
    let mut text = String::new();
    for vacuumed in found {
        let pipeline = &vacuumed.pipeline;
        let _ = writeln!(text, "{pipeline}    {}", said(vacuumed, is_dry, retention));
        let dead = vacuumed.swept.iter().map(|dead| ("delete", dead));
        let marked = vacuumed.marked.iter().map(|dead| ("mark", dead));
        for (what, Garbage { object, why }) in dead.chain(marked).filter(|_| is_dry) {
            let _ = writeln!(text, "  {what:6}  {}", object.key);
            let _ = writeln!(text, "          {}, {}", bytes(object.size), why.as_str());
        }
        for key in &vacuumed.spared {
            let _ = writeln!(text, "  stays: {key}: it is needed again, or was written anew");
        }
        for failed in &vacuumed.failed {
            let _ = writeln!(text, "  not deleted: {}", failed.path);
            let _ = writeln!(text, "    {}", failed.message);
        }
    }
    text
}

fn said(vacuumed: &Vacuumed, is_dry: bool, retention: Span) -> String {
    let size = |dead: &[Garbage]| {
        let sizes = dead.iter().map(|dead| dead.object.size);
        let files = counted(number(dead.len()), "file");
        format!("{files}, {}", bytes(sizes.fold(0, u64::saturating_add)))
    };
    let would = if is_dry { "would be " } else { "" };
    let mut said = Vec::new();
    if !vacuumed.swept.is_empty() {
        said.push(format!("{} {would}deleted", size(&vacuumed.swept)));
    }
    if !vacuumed.marked.is_empty() {
        let marked = size(&vacuumed.marked);
        said.push(format!("{marked} {would}marked: a vacuum after {retention} deletes them"));
    }
    if let Some((files, left)) = vacuumed.waiting {
        said.push(format!("{} marked, for {left} more", counted(number(files), "file")));
    }
    if said.is_empty() { "nothing to delete".to_owned() } else { said.join("; ") }
}
