//! Named instants at which a test can kill or stop this process for real.
//!
//! In a debug build, `HIGHWATER_STOP_AT=name:count` makes the thread that comes to that point for
//! the count-th time stand still for ever, after saying so on stderr; the test then sends SIGKILL.
//! With `HIGHWATER_PAUSE_AT` the whole process is stopped instead, as by SIGSTOP, until the test
//! sends SIGCONT. In a release build this is nothing at all.

/// The variable that names the point where to stand still.
pub const STOP: &str = "HIGHWATER_STOP_AT";

/// The variable that names the point where to be stopped.
pub const PAUSE: &str = "HIGHWATER_PAUSE_AT";

/// Passes the point `name`.
#[cfg(debug_assertions)]
pub fn pass(name: &str) {
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Which variable, which point, and when.
    type Wanted = (&'static str, String, u64);

    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        [STOP, PAUSE].into_iter().find_map(|variable| {
            let text = std::env::var(variable).ok()?;
            let (name, count) = text.rsplit_once(':')?;
            Some((variable, name.to_owned(), count.parse().ok()?))
        })
    });
    let Some((variable, wanted, count)) = wanted else { return };
    if wanted == name && PASSED.fetch_add(1, Ordering::SeqCst).saturating_add(1) == *count {
        let _ = writeln!(std::io::stderr(), "stopped at {name}");
        if *variable == PAUSE {
            let pid = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-STOP", &pid]).status();
            return;
        }
        loop {
            std::thread::park();
        }
    }
}

/// Passes the point `name`.
#[cfg(not(debug_assertions))]
#[inline]
pub fn pass(_name: &str) {}
