//! One pipeline from its sources to its log: discover, plan, execute, publish.
//!
//! It holds no rule of its own: what is due is decided by `plan`, what is safe by `commit`. It only
//! puts them in order, and takes the lease only when there is something to write, so that an idle
//! run leaves no trace.

mod aside;
mod backend;
mod batch;
mod drive;
mod fitness;
mod foresee;
mod keeper;
mod lease;
mod left;
mod manifest;
mod orphans;
mod owner;
mod project;
mod quarantine;
mod retire;
mod rollback;
mod session;
mod settle;
mod shape;
mod stop;
mod trace;
mod vacuum;
mod verify;
mod worker;

pub use crate::source::is_caught;
pub use backend::Connect;
pub use drive::{Asked, run_pipeline, skippable};
pub use foresee::{Foreseen, Look};
pub use lease::{lease_of, release_lease};
pub use left::{waiting_requests, withdraw_left};
pub use manifest::manifest;
pub use project::{Opened, Project};
pub use quarantine::{ALL_TIME, AskedRows, admitted, committed_between, quarantined};
pub use rollback::check_rollback;
pub use session::{Planned, Session};
pub use stop::Stop;
pub use trace::{AskedTrace, trace};
pub use verify::{Depth, Extent, verify_pipeline};
