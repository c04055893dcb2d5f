//! placeholder: the crate docs are written when the modules stand.
pub mod config;
pub mod error;
pub mod id;
pub mod invariant;
pub mod spec;
pub mod time;
pub mod window;
