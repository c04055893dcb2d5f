//! Who this process is, so that a log can name it.

use std::fs;

use crate::state::Who;

/// This process.
#[must_use]
pub fn current() -> Who {
    let pid = std::process::id();
    Who {
        host: read("/proc/sys/kernel/hostname"),
        pid,
        boot: boot(),
        start: started(pid),
        ver: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Names one boot of the host, and the space that process ids are told apart in: containers of one
/// host have their own.
fn boot() -> String {
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits: String = space.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    format!("{}/{digits}", read("/proc/sys/kernel/random/boot_id"))
}

/// What can be known of another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It is gone.
    Dead,
    /// It exists, though it may be stopped.
    There,
    /// It is, or was, on another host, or in another container.
    Unknown,
}

/// Whether the process `who` lives, asked by the process `asker` of this host.
#[must_use]
pub fn liveness(who: &Who, asker: &Who) -> Liveness {
    let is_named = |text: &str| !text.contains(UNKNOWN);
    let is_here = who.host == asker.host && who.boot == asker.boot;
    if !is_here || !is_named(&who.boot) || !is_named(&who.start) || !is_named(&asker.start) {
        return Liveness::Unknown;
    }
    if started(who.pid) == who.start { Liveness::There } else { Liveness::Dead }
}

/// Stands for what this system does not tell.
const UNKNOWN: &str = "unknown";

/// The trimmed text of a file of `/proc`; `unknown` where there is none.
fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| UNKNOWN.to_owned(), |text| text.trim().to_owned())
}

/// When process `pid` started, in ticks since boot: field 22 of its `stat`, counted from behind the
/// command's name, which may hold blanks and brackets.
fn started(pid: u32) -> String {
    let stat = read(&format!("/proc/{pid}/stat"));
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(19).unwrap_or(UNKNOWN).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_keeps_its_name() {
        assert_eq!(current(), current());
        assert!(current().start.parse::<u64>().is_ok(), "{:?}", current());
    }

    #[test]
    fn the_dead_are_told_from_the_living_and_from_strangers() {
        let me = current();
        assert_eq!(liveness(&me, &me), Liveness::There);
        let reused = Who { start: "1".to_owned(), ..me.clone() };
        assert_eq!(liveness(&reused, &me), Liveness::Dead);
        let gone = Who { pid: u32::MAX, ..me.clone() };
        assert_eq!(liveness(&gone, &me), Liveness::Dead);
        for stranger in [
            Who { host: "elsewhere".to_owned(), ..gone.clone() },
            Who { boot: "another".to_owned(), ..gone.clone() },
            Who { start: UNKNOWN.to_owned(), ..gone.clone() },
        ] {
            assert_eq!(liveness(&stranger, &me), Liveness::Unknown);
        }
    }
}
