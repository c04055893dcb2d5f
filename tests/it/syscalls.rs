//! The real binary is killed at exact system calls, and told that system calls failed; the next
//! plain run ends where an undisturbed one would have, and a reader that looks on all the time sees
//! nothing but whole windows. Where there is no strace, this is skipped.

mod strace;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use strace::{LINK, LOOK, MAKE, OPEN, Place, REMOVE, RENAME, SYNC, WRITE};

use crate::equal::assert_equal;
use crate::kill::run_well;
use crate::support::{DAY_0, HOUR, Outputs, Project, TINY, code, each, files_below};
use crate::watcher::watch;

/// Runs that are disturbed at the same time.
const AT_ONCE: usize = 2;

/// Where the log lies.
const LOG: &str = "_highwater/tiny/log";

/// Three windows that close, one that does not.
fn fed() -> Project {
    let project = Project::new(TINY).without_checkpoints();
    let at = |hour: i64| DAY_0 + hour * HOUR;
    project.feed("a.parquet", &[(at(0), "a", 60), (at(1), "a", 60), (at(1) + 5, "b", 70)]);
    project.feed("b.parquet", &[(at(2), "a", 80), (at(3), "c", 90)]);
    project
}

/// The same after a run, with late rows for two windows.
fn fed_late() -> Project {
    let project = fed();
    project.run();
    project.feed("late.parquet", &[(DAY_0 + 7, "late", 55), (DAY_0 + HOUR + 7, "late", 56)]);
    project
}

/// A project, and what readers may see of it.
struct Scenario {
    before: Project,
    old: Outputs,
    new: Outputs,
    /// All files after an undisturbed run, but for those with a name of chance.
    files: Vec<String>,
}

impl Scenario {
    fn new(before: Project) -> Self {
        let whole = before.copy();
        run_well(&whole, &["run"]);
        let mut files = files_below(whole.path(""));
        files.retain(|file| file.starts_with("out/") || file.starts_with(LOG));
        Self { old: before.outputs(), new: whole.outputs(), before, files }
    }

    /// The calls by which files and folders get their names, and are made to stay.
    fn places(&self) -> Vec<Place> {
        let is_there = |path: &str| self.before.path(path).exists();
        let is_object = |file: &str| file.ends_with(".parquet");
        let is_written = |file: &&String| {
            let is_other = self.old.get(*file) != self.new.get(*file);
            if is_object(file) { is_other } else { !is_there(file) }
        };
        let written: Vec<&String> = self.files.iter().filter(is_written).collect();
        // An object is looked at just before it is renamed; strace cannot tell renames apart.
        let named = written.iter().map(|file| {
            if is_object(file) { Place::on(LOOK, file, 2) } else { Place::on(LINK, file, 1) }
        });
        let above = |file: &&String| {
            let above = Path::new(file).ancestors().skip(1).map(|path| path.display().to_string());
            above.filter(|path| !path.is_empty()).collect::<Vec<_>>()
        };
        let folders: BTreeSet<String> = written.iter().flat_map(above).collect();
        let made = folders.iter().filter(|folder| !is_there(folder));
        let made = made.map(|folder| Place::on(MAKE, folder, 1));
        let synced = folders.iter().map(|folder| Place::on(SYNC, folder, 1));
        named.chain(made).chain(synced).collect()
    }

    /// Runs again, undisturbed: all must be as if nothing had happened.
    fn mend(&self, project: &Project) {
        run_well(project, &["run"]);
        assert_equal(&project.outputs(), &self.new);
        project.assert_sound();
    }

    /// Disturbs a run, then runs again, while a reader looks on. What the first run gave.
    fn disturb<T>(&self, first: impl FnOnce(&Project) -> T) -> T {
        let project = self.before.copy();
        let disturbed = || {
            let first = first(&project);
            self.mend(&project);
            first
        };
        watch(&project, &[&self.old, &self.new], disturbed).0
    }
}

/// Calls on files whose names are of chance, and calls that nobody foresaw.
fn others() -> Vec<Place> {
    let counted = |calls, places: &[usize]| {
        places.iter().map(|nth| Place::any(calls, *nth)).collect::<Vec<_>>()
    };
    [
        counted(SYNC, &[2, 3, 4, 5, 6, 7, 8]),
        counted(WRITE, &[1, 2, 3, 4, 6]),
        counted(OPEN, &[5, 6, 8, 10, 12, 14, 16]),
        counted(RENAME, &[1, 2]),
        counted(REMOVE, &[1, 2]),
    ]
    .concat()
}

#[test]
fn a_run_that_is_killed_at_any_call_is_finished_by_the_next() {
    if !strace::is_there() {
        return;
    }
    let kills = AtomicUsize::new(0);
    for scenario in [Scenario::new(fed()), Scenario::new(fed_late())] {
        let places = [scenario.places(), others()].concat();
        let kill = |place: &Place| {
            let was_killed = scenario.disturb(|project| place.kill(project));
            assert!(was_killed || place.path.is_none(), "the run never came to it");
            kills.fetch_add(usize::from(was_killed), Ordering::SeqCst);
        };
        each(AT_ONCE, &places, |place| format!("{place:?}"), kill);
    }
    let kills = kills.into_inner();
    assert!(kills >= 100, "only {kills} runs were killed");
}

/// Lets a call of a run give this error. The run must end with one of these codes and say this; it
/// leaves nothing half done.
fn fail(scenario: &Scenario, place: &Place, error: &str, codes: &[i32], says: &str) {
    scenario.disturb(|project| {
        let ended = place.run(project, &format!("error={error}"));
        assert!(strace::was_met(project), "the run never came to it");
        let said = String::from_utf8_lossy(&ended.stdout);
        let is_told = code(&ended) == 0 || said.contains(says);
        assert!(codes.contains(&code(&ended)) && is_told, "{ended:?}");
        if code(&ended) == 0 {
            // Whoever says that all is well has done it all.
            assert_equal(&project.outputs(), &scenario.new);
            project.assert_sound();
        }
    });
}

#[test]
fn a_call_that_fails_is_told_and_made_good_by_the_next_run() {
    if !strace::is_there() {
        return;
    }
    let scenario = Scenario::new(fed_late());
    let entry = format!("{LOG}/00000000000000000010.json");
    let folder = "out/totals/dt=2026-01-01/hour=00";
    let object = format!("{folder}/data.parquet");
    let (full, refused, failed, unfit, unknown) =
        ("HW6004", "HW6003", "HW6010", "HW6011", "HW5003");
    let cases: &[(Place, &str, &[i32], &str)] = &[
        (Place::on(LINK, &entry, 1), "ENOSPC", &[5], full),
        (Place::on(LINK, &entry, 1), "EDQUOT", &[5], full),
        (Place::on(LINK, &entry, 1), "EACCES", &[5], refused),
        (Place::on(LINK, &entry, 1), "EPERM", &[5], "has no hard links"),
        (Place::on(LINK, &entry, 1), "EOPNOTSUPP", &[5], unfit),
        (Place::on(LINK, &entry, 1), "EIO", &[75], unknown),
        // Another object of the same window may be in place: then the window is in doubt.
        (Place::any(RENAME, 1), "ENOSPC", &[5, 75], "No space left"),
        (Place::any(RENAME, 1), "EROFS", &[5, 75], "Read-only file system"),
        (Place::any(RENAME, 1), "EXDEV", &[5, 75], "different file systems"),
        // Calls are counted by thread: it may be a later look that fails, on which nothing hangs,
        // or that at the opened file.
        (Place::on(LOOK, &object, 2), "EIO", &[0, 5, 75], "data.parquet: Input/output error"),
        (Place::any(RENAME, 1), "EIO", &[75], unknown),
        (Place::on(SYNC, LOG, 1), "EIO", &[75], unknown),
        (Place::on(SYNC, folder, 1), "EIO", &[75], unknown),
        (Place::on(SYNC, "_highwater/tiny", 1), "EIO", &[5], failed),
        (Place::any(SYNC, 2), "EIO", &[5, 75], "Input/output error"),
        (Place::any(SYNC, 5), "EIO", &[5, 75], "Input/output error"),
        (Place::any(SYNC, 6), "EIO", &[5, 75], "Input/output error"),
        (Place::any(SYNC, 7), "ENOSPC", &[5, 75], "No space left"),
        (Place::on(OPEN, &entry, 1), "EMFILE", &[5], failed),
        (Place::on(OPEN, folder, 1), "ENFILE", &[75], unknown),
        (Place::on(OPEN, "_highwater/tiny/lock", 1), "EMFILE", &[5], failed),
        // Nothing hangs on these.
        (Place::any(REMOVE, 1), "EIO", &[0], ""),
        (Place::on(WRITE, "_highwater/tiny/lock", 1), "ENOSPC", &[0], ""),
    ];
    let name = |case: &(Place, &str, &[i32], &str)| format!("{:?} that gives {}", case.0, case.1);
    each(AT_ONCE, cases, name, |(place, error, codes, says)| {
        fail(&scenario, place, error, codes, says);
    });
}
