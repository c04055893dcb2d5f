//! What retiring removed, as text.

use std::fmt::Write;

use super::{bytes, counted};
use crate::report::Retired;

/// What was removed, or would be, and what stays.
#[must_use]
pub fn retire(retired: &Retired) -> String {
    let target = match &retired.output {
        Some(output) => format!("{}.{output}", retired.pipeline),
        None => retired.pipeline.to_string(),
    };
    let mut text = String::new();
    let (removed, size) = (counted(retired.removed, "object"), bytes(retired.bytes));
    let verb = if retired.is_dry { "would be removed" } else { "removed" };
    let gone = match retired.gone {
        0 => String::new(),
        gone => format!(", {} not there any more", counted(gone, "object")),
    };
    let _ = writeln!(text, "{target}    {removed}, {size} {verb}{gone}");
    for standing in &retired.standing {
        let _ = writeln!(text, "  stays: {}", standing.path);
        let _ = writeln!(text, "         {}", standing.message);
    }
    for reader in &retired.readers {
        let _ =
            writeln!(text, "  read by pipeline {reader}, which has to wait for what comes next");
    }
    if !retired.standing.is_empty() {
        let _ = writeln!(text, "  not done as long as that stays: look at it, move it away, and");
        let _ = writeln!(text, "  `highwater retire {target}` again");
    } else if retired.is_done {
        let next = match &retired.output {
            None => "a run would begin anew".to_owned(),
            Some(output) if retired.is_configured => format!(
                "take [pipeline.{}.output.{output}] out of the configuration before the next run",
                retired.pipeline
            ),
            Some(_) => "runs go on without it".to_owned(),
        };
        let _ = writeln!(text, "  it is retired; its log stays, and {next}");
    }
    text
}
