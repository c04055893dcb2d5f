//! A reader that looks at the outputs all the time, as a plain glob would: whatever happens to the
//! writer, it may see nothing but whole windows.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Outputs, Project};

/// How long it rests between two looks, so that the writer gets on.
const REST: Duration = Duration::from_millis(1);

/// For every object, each content that it was seen with.
pub(crate) type Seen = BTreeMap<String, BTreeSet<Vec<String>>>;

/// Does `work` while all objects of `project` are read whole in a loop, and once more at the end.
/// What they held, and what `work` gave.
///
/// Fails if a file cannot be read to its end, if a window has two files or one that is no data, if
/// an object that was there is gone, or if it holds other rows than in any of `allowed`.
pub(crate) fn watch<T>(
    project: &Project,
    allowed: &[&Outputs],
    work: impl FnOnce() -> T,
) -> (T, Seen) {
    let is_done = AtomicBool::new(false);
    let read = || {
        let mut seen = Seen::new();
        loop {
            let is_last = is_done.load(Ordering::SeqCst);
            look(project, allowed, &mut seen);
            if is_last {
                return seen;
            }
            std::thread::sleep(REST);
        }
    };
    std::thread::scope(|scope| {
        let reader = scope.spawn(read);
        let worked = catch_unwind(AssertUnwindSafe(work));
        is_done.store(true, Ordering::SeqCst);
        let seen = reader.join();
        match (worked, seen) {
            (Ok(worked), Ok(seen)) => (worked, seen),
            (Err(why), _) | (_, Err(why)) => resume_unwind(why),
        }
    })
}

/// One look at everything.
fn look(project: &Project, allowed: &[&Outputs], seen: &mut Seen) {
    let outputs = project.outputs();
    assert_eq!(project.strays(), [""; 0], "among the outputs");
    let gone: Vec<_> = seen.keys().filter(|object| !outputs.contains_key(*object)).collect();
    assert!(gone.is_empty(), "{gone:?} were there and are gone");
    for (object, rows) in outputs {
        let may_hold = |allowed: &&Outputs| allowed.get(&object) == Some(&rows);
        assert!(allowed.iter().any(may_hold), "{object} holds what no run gave: {rows:?}");
        seen.entry(object).or_default().insert(rows);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::support::{DAY_0, HOUR, TINY};

    /// A project with two windows, and its outputs.
    fn ran() -> (Project, Outputs) {
        let project = Project::new(TINY);
        project.feed("a.parquet", &[(DAY_0, "a", 60), (DAY_0 + HOUR, "b", 70)]);
        project.feed("b.parquet", &[(DAY_0 + 2 * HOUR, "c", 80)]);
        project.run();
        let outputs = project.outputs();
        assert_eq!(outputs.len(), 4);
        (project, outputs)
    }

    fn first(project: &Project) -> PathBuf {
        project.path("out/totals/dt=2026-01-01/hour=00/data.parquet")
    }

    #[test]
    fn whole_windows_old_or_new_are_fine() {
        let (project, old) = ran();
        project.feed("late.parquet", &[(DAY_0 + 9, "late", 80)]);
        let whole = project.copy();
        whole.run();
        let (_, seen) = watch(&project, &[&old, &whole.outputs()], || project.run());
        let contents = |hour: &str| seen[&format!("out/totals/dt=2026-01-01/{hour}")].len();
        assert_eq!(contents("hour=01/data.parquet"), 1);
        assert!((1..=2).contains(&contents("hour=00/data.parquet")));
    }

    /// What the watcher says of `deed`.
    fn complaint(deed: impl FnOnce(&Project)) -> String {
        let (project, outputs) = ran();
        let watched = || watch(&project, &[&outputs], || deed(&project));
        let why = catch_unwind(AssertUnwindSafe(watched)).unwrap_err();
        why.downcast_ref::<String>().cloned().unwrap()
    }

    #[test]
    fn a_torn_file_is_seen() {
        let said = complaint(|project| {
            let bytes = fs::read(first(project)).unwrap();
            fs::write(first(project), &bytes[..bytes.len() / 2]).unwrap();
        });
        assert!(said.contains("hour=00/data.parquet"), "{said}");
    }

    #[test]
    fn a_second_file_in_a_window_is_seen() {
        let second = |name: &'static str| {
            complaint(move |project| {
                fs::copy(first(project), first(project).with_file_name(name)).unwrap();
            })
        };
        assert!(second("data-1.parquet").contains("data-1.parquet"));
        assert!(second("data.parquet#1").contains("data.parquet#1"));
    }

    #[test]
    fn other_rows_are_seen() {
        let said = complaint(|project| {
            let other = project.path("out/totals/dt=2026-01-01/hour=01/data.parquet");
            fs::copy(other, first(project)).unwrap();
        });
        assert!(said.contains("holds what no run gave"), "{said}");
    }

    #[test]
    fn a_window_that_is_gone_is_seen() {
        let (project, outputs) = ran();
        let mut seen = Seen::new();
        look(&project, &[&outputs], &mut seen);
        fs::remove_file(first(&project)).unwrap();
        let again = AssertUnwindSafe(|| look(&project, &[&outputs], &mut seen));
        let why = catch_unwind(again).unwrap_err();
        assert!(why.downcast_ref::<String>().unwrap().contains("gone"));
    }
}
