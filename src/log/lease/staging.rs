//! Clears away what died while it was being staged.

use std::fs;
use std::path::Path;

use crate::id::{AttemptId, Epoch};
use crate::store::layout;

/// Removes from the staging folder what `attempts` of `epoch` have left there: they were published
/// by now, or never will be.
pub fn unstage(staging: &Path, epoch: Epoch, attempts: &[AttemptId]) {
    for attempt in attempts {
        // Best effort: what stays behind is swept later.
        let _ = fs::remove_file(staging.join(layout::staged(epoch, *attempt)));
    }
}

/// Removes from the staging folder what nobody will put in place any more: what epochs before
/// `epoch` left, for this process holds a newer one, and creations that died.
pub fn sweep_staging(staging: &Path, epoch: Epoch) {
    let Ok(files) = fs::read_dir(staging) else { return };
    for file in files.flatten() {
        let name = file.file_name();
        if name.to_str().is_some_and(|name| layout::is_dead(name, epoch)) {
            // Best effort: what stays behind is in nobody's way.
            let _ = fs::remove_file(file.path());
        }
    }
}
