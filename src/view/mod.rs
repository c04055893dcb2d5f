//! What people and machines see: plain data and text made from state, plans and reports. Knows
//! nothing of stores, sockets or terminals, and fetches nothing.

mod explain;
pub mod json;
mod lateness;
mod quarantine;
mod status;
pub mod text;

pub use explain::{
    ColumnChange, EventKind, ExplainView, Explained, InputView, LeftOut, Mistake, SourceStanding,
    Standing, WhyLeftOut, WindowEvent, WindowStory, explain,
};
pub use lateness::{
    AdmissionWatermarks, AllowedLateness, LatenessView, Lookback, Missed, SourceLateness, lateness,
};
pub use quarantine::{
    AsideGroup, AsideView, QuarantineGroup, QuarantineKey, QuarantineView, QuarantinedBy,
    quarantine,
};
pub use status::{PipelineState, StatusView, WindowCounts, status};

use crate::error::Code;

/// What gets a window further that failed with `code`: the log keeps no more than its sentence.
#[must_use]
pub fn hint(code: &str) -> Option<&'static str> {
    Some(match Code::parse(code)? {
        Code::SqlFailed => {
            "mend the query or its input and run `highwater run`; a window that was never \
             committed can be left out: `highwater skip`"
        }
        Code::CorruptInput => "put a whole file in its place and run `highwater run`",
        Code::InputChanged => {
            "run again; if it stays so and the input is the output of another pipeline, \
             `highwater verify` names it, and `highwater reprocess` of its window makes it anew"
        }
        Code::UpstreamDamaged => {
            "`highwater verify` names what is damaged; `highwater reprocess` of its window, then \
             `highwater run`"
        }
        Code::SchemaMismatch => {
            "mend the file; or change what needs the column: the query, or a rule with \
             `quarantine`, which needs all of them; or the keys `on_missing_column` and \
             `on_type_change` of its source; then run `highwater run`"
        }
        Code::InputRemoved => {
            "put the file back and run `highwater run`; if it is gone for good, set `on_removed = \
             \"recompute\"` in its source: the window is computed without it"
        }
        Code::QualityGate => {
            "mend the input, or change the limits under `quality`: within them, bad rows are put \
             into quarantine, where they can be looked at; a window that was never committed can \
             be left out: `highwater skip`"
        }
        Code::CheckFailed => {
            "mend the input or the query; to publish it all the same, and look at it there, set \
             severity = \"warn\"; a window that was never committed can be left out: \
             `highwater skip`"
        }
        Code::WindowTooLarge => "raise `max_object_bytes` or `memory_limit` in [engine]",
        Code::StorageFull => "make room and run `highwater run` again",
        Code::StoreFailed => "mend what the message names and run `highwater run` again",
        Code::PermissionDenied => {
            "give the user that runs highwater access to it, then run `highwater run`"
        }
        _ => return None,
    })
}
