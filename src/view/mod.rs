//! What people and machines see: plain data and text made from state, plans and reports. Knows
//! nothing of stores, sockets or terminals, and fetches nothing.

pub mod json;
mod status;
pub mod text;

pub use status::{PipelineState, StatusView, WindowCounts, status};
