//! The real binary under strace.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use crate::support::Project;

/// Calls that change the disk or look at it, each by all names that machines have for it.
pub(super) const LINK: &str = "?link,?linkat";
pub(super) const RENAME: &str = "?rename,?renameat,?renameat2";
pub(super) const SYNC: &str = "?fsync,?fdatasync";
pub(super) const MAKE: &str = "?mkdir,?mkdirat";
pub(super) const REMOVE: &str = "?unlink,?unlinkat";
pub(super) const LOOK: &str = "%%stat";
pub(super) const OPEN: &str = "?open,?openat";
pub(super) const WRITE: &str = "?write,?pwrite64";

/// Which call of a run is meant.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// One of the constants above.
    pub(super) calls: &'static str,
    /// Only calls on this path of the project; on any, if `None`.
    pub(super) path: Option<String>,
    /// Which of them, counted from 1. Each thread counts its own: the first to get there is meant.
    pub(super) nth: usize,
}

impl Place {
    pub(super) fn on(calls: &'static str, path: &str, nth: usize) -> Self {
        Self { calls, path: Some(path.to_owned()), nth }
    }

    pub(super) fn any(calls: &'static str, nth: usize) -> Self {
        Self { calls, path: None, nth }
    }

    /// Runs `highwater run --format json` on `project`, and does `what` in place of this call:
    /// `signal=SIGKILL`, or `error=EIO`.
    pub(super) fn run(&self, project: &Project, what: &str) -> Output {
        let plain = project.command(&["run", "--format", "json"]);
        let mut command = Command::new("strace");
        command.current_dir(project.path("")).args(["-f", "-qq", "-o", "trace"]);
        command.args(["-e", &format!("trace={}", self.calls)]);
        command.args(["-e", &format!("inject={}:{what}:when={}", self.calls, self.nth)]);
        if let Some(path) = &self.path {
            command.arg("-P").arg(fs::canonicalize(project.path("")).unwrap().join(path));
        }
        command.arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.output().unwrap()
    }

    /// Kills a run of `project` at this call. Whether it came to it.
    pub(super) fn kill(&self, project: &Project) -> bool {
        let ended = self.run(project, "signal=SIGKILL");
        let was_killed = ended.status.signal() == Some(9);
        assert!(was_killed || ended.status.success(), "{self:?}: {ended:?}");
        was_killed
    }
}

/// Whether the call that was meant in the last run of `project` was tampered with.
pub(super) fn was_met(project: &Project) -> bool {
    fs::read_to_string(project.path("trace")).unwrap().contains("(INJECTED)")
}

/// Whether strace is there and may trace. Says so if not: the caller's test is skipped then.
pub(super) fn is_there() -> bool {
    let tried = Command::new("strace").args(["-f", "-qq", "-e", "trace=none", "true"]).output();
    let is_there = tried.is_ok_and(|ended| ended.status.success());
    if !is_there {
        let _ = writeln!(std::io::stderr(), "skipped: strace is not there, or may not trace");
    }
    is_there
}
