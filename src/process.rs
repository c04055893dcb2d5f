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
        boot: read("/proc/sys/kernel/random/boot_id"),
        start: started(pid),
        ver: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The trimmed text of a file of `/proc`; `unknown` where there is none.
fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// When process `pid` started, in ticks since boot: field 22 of its `stat`, counted from behind the
/// command's name, which may hold blanks and brackets.
fn started(pid: u32) -> String {
    let stat = read(&format!("/proc/{pid}/stat"));
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(19).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_keeps_its_name() {
        assert_eq!(current(), current());
        assert!(current().start.parse::<u64>().is_ok(), "{:?}", current());
    }
}
