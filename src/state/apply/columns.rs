//! What the columns of a table do to the state.

use super::{Check, rule};
use crate::id::Seq;
use crate::invariant::Invariant;
use crate::state::{Columns, State, TableColumns};

impl State {
    pub(super) fn apply_columns(&mut self, seq: Seq, said: &Columns) -> Check {
        // A batch that is being computed would otherwise be committed as if it had read them.
        rule(self.open.is_empty(), Invariant::In1, || "it changes columns under a batch".into())?;
        rule(said.is_sound(), Invariant::In1, || {
            format!("the columns of {} cannot be told apart", said.table)
        })?;
        let before = self.columns.get(&said.table);
        let changed = before.map(|_| seq);
        let columns = TableColumns { seq, changed, said: said.clone() };
        self.columns.insert(said.table.clone(), columns);
        Ok(())
    }
}
