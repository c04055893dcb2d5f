//! highwater turns Parquet that keeps arriving — late, twice, or broken — into Parquet that can be
//! trusted, one event-time window at a time.
//!
//! Golden rule: `kill -9` at any point, run again: no loss, no duplicate, no reader sees half a
//! window.
//!
//! # The way of the data
//!
//! It goes one way, and each arrow is one type:
//!
//! ```text
//! config.toml ─► PipelineSpec ─► Discovery ─► Plan ─► StagedOutput ─► Entry ─► State ─► views
//!    config         source         plan      execute     publish       log     state    view
//! ```
//!
//! Four absences carry the design: **plan never reads; execute never decides; publish never
//! computes; views never fetch.**
//!
//! # The layers, bottom to top
//!
//! A module names only modules below its own layer, or in it where the table of `tests/it/tidy.rs`
//! says so; that test reads the source.
//!
//! * **Words**, in which everything is said: [`error`], [`invariant`], [`time`], [`hash`], [`id`].
//! * **Domain**, pure: [`window`], [`ledger`], [`spec`], [`config`], [`state`], [`plan`],
//!   [`garbage`], [`commit`], [`report`], [`view`]. Every decision is made here. It builds without
//!   the feature `engine`, and knows no clock, store or randomness.
//! * **Edges**: `clock`, `crashpoint`, `process`, `store`, `log`, `source`, `publish`, `execute`.
//!   All IO is here, and no decision.
//! * **Driver**: `run` puts them in order.
//! * **People**: `cli` reads arguments, prints views, picks exit codes.
//!
//! # What must always hold
//!
//! [`invariant::Invariant`] lists it by id. In short: the log is contiguous and never rewritten
//! (CM-1); a published object is its last committed revision or an attempt that a later `begin`
//! announced (CM-2); nothing is committed twice (CM-3) or by a writer that was superseded (CM-4);
//! the watermark never moves back (WM-1) and never passes a window that is not committed (WM-2);
//! every input row is accounted for once (IN-1, IN-2).
//!
//! # On disk
//!
//! ```text
//! <root>/<output path>/data.parquet      one object per window and output, replaced as a whole
//! <root>/<output root>/_OWNER.json       which pipeline may write there
//! <state>/<pipeline>/log/…               the log: the watermark store (see `store::layout`)
//! ```
//!
//! # The life of a run
//!
//! `run::run_pipeline` looks at the sources and plans without writing anything. Only if there is
//! work it takes the lease, claims the log, admits new inputs to the ledger, and then, batch by
//! batch: `begin` → compute to staged files → observe, fence, publish → `commit`. The protocol
//! itself is [`commit::Writer`], events in, effects out; `publish` carries the effects out. A
//! process may die between any two of them: what was begun and not committed is *in doubt*, is due,
//! and is done again by the next run. There is no other recovery.

#[cfg(feature = "engine")]
pub mod cli;
#[cfg(feature = "engine")]
pub mod clock;
pub mod commit;
pub mod config;
#[cfg(feature = "engine")]
pub mod crashpoint;
pub mod error;
#[cfg(feature = "engine")]
pub mod execute;
pub mod garbage;
pub mod hash;
pub mod id;
pub mod invariant;
pub mod ledger;
#[cfg(feature = "engine")]
pub mod log;
pub mod plan;
#[cfg(feature = "engine")]
pub mod process;
#[cfg(feature = "engine")]
pub mod publish;
pub mod report;
#[cfg(feature = "engine")]
pub mod run;
#[cfg(feature = "engine")]
pub mod source;
pub mod spec;
pub mod state;
#[cfg(feature = "engine")]
pub mod store;
pub mod time;
pub mod view;
pub mod window;
