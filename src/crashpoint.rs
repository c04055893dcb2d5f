//! Named instants at which a test can kill this process for real.
//!
//! In a debug build, `HIGHWATER_STOP_AT=name:count` makes the process stand still for ever when it
//! comes to that point for the count-th time, after saying so on stderr; the test then sends
//! SIGKILL. In a release build this is nothing at all.

/// The variable that names the point.
pub const VARIABLE: &str = "HIGHWATER_STOP_AT";

/// Passes the point `name`.
#[cfg(debug_assertions)]
pub fn pass(name: &str) {
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var(VARIABLE).ok()?;
        let (name, count) = text.rsplit_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    let Some((wanted, count)) = wanted else { return };
    if wanted == name && PASSED.fetch_add(1, Ordering::SeqCst).saturating_add(1) == *count {
        let _ = writeln!(std::io::stderr(), "stopped at {name}");
        loop {
            std::thread::park();
        }
    }
}

/// Passes the point `name`.
#[cfg(not(debug_assertions))]
#[inline]
pub fn pass(_name: &str) {}
