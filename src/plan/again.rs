//! A committed window as it would be computed once more.

use std::collections::BTreeMap;

use super::{DueWindow, Facts, Planner, Sight};
use crate::error::{Code, Error};
use crate::state::Reason;
use crate::window::{Window, WindowSet};

/// What `window` would be computed from now, whether it is due or not.
///
/// # Errors
/// If an input of it is gone, or on its way.
pub fn computed_again(facts: &Facts<'_>, window: Window) -> Result<DueWindow, Error> {
    let planner = Planner {
        facts,
        sight: Sight::new(facts.spec, facts.ledger),
        closed_until: None,
        due: BTreeMap::new(),
        blocked: Vec::new(),
        empty: WindowSet::default(),
        rows_needed_from: None,
        rowless: 0,
        withheld: WindowSet::default(),
    };
    let due = planner.due_window(window, Reason::Requested);
    if let Some(gone) = planner.missing_input(&due) {
        return Err(gone);
    }
    if planner.is_waiting(&due) {
        let label = facts.spec.grid.label(window);
        let text = format!("an input of window {label} is not to be had at the moment");
        return Err(Error::new(Code::InputChanged, text));
    }
    Ok(due)
}
