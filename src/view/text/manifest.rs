//! The files of a manifest, and what a rollback would do, as text.

use super::{counted, label, lines, number, right, table};
use crate::plan::Rollback;
use crate::report::Manifest;
use crate::spec::PipelineSpec;

/// One path a line, and nothing else: it is made to be piped.
#[must_use]
pub fn manifest(manifest: &Manifest) -> String {
    let mut text = String::new();
    for file in &manifest.files {
        text.push_str(&file.path);
        text.push('\n');
    }
    text
}

/// The windows that would go back.
#[must_use]
pub fn rollback(spec: &PipelineSpec, rollback: &Rollback) -> String {
    let mut table = table(&["WINDOW", "REV", "BACK TO", "OF ENTRY"]);
    right(&mut table, 1..=3);
    for restore in &rollback.windows {
        table.add_row([
            label(spec, restore.start, restore.end),
            restore.rev.to_string(),
            restore.to.rev.to_string(),
            restore.to.seq.to_string(),
        ]);
    }
    let windows = counted(number(rollback.windows.len()), "window");
    let stay = match rollback.stay {
        0 => String::new(),
        stay => format!("; {} as they are", counted(stay, "window")),
    };
    format!(
        "{}    {windows} to go back{stay}\n{}The watermark stays. Nothing has been written.\n",
        spec.name,
        lines(&table)
    )
}
