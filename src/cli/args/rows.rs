//! Arguments of the commands that tell of single rows. The comments here are the help.

use clap::{Args, Subcommand, ValueEnum};

use super::{Pipelines, Writing};

/// Arguments of `quarantine`.
#[derive(Debug, Args)]
pub(in crate::cli) struct QuarantineArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: QuarantineCommand,
}

/// What to do with rows that were put aside.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum QuarantineCommand {
    /// How many rows were put aside, from the log alone; without a range, also those that belong to
    /// no window
    List(QuarantineListArgs),
    /// The rows themselves, with the reason and where they came from; without a range, also those
    /// that belong to no window
    Show(QuarantineShowArgs),
    /// Compute the windows again that hold such rows, once the files or the rules are mended
    Retry(QuarantineRetryArgs),
}

/// A stretch of event time, or all of it.
#[derive(Debug, Args)]
pub(in crate::cli) struct Stretch {
    /// Only windows that start at or after this; a date is read in the pipeline's zone
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) from: Option<String>,
    /// Only windows that start before this
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) to: Option<String>,
}

/// Arguments of `quarantine list`.
#[derive(Debug, Args)]
pub(in crate::cli) struct QuarantineListArgs {
    #[command(flatten)]
    pub(in crate::cli) which: Pipelines,
    #[command(flatten)]
    pub(in crate::cli) stretch: Stretch,
    /// What to count by
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) by: By,
}

/// What quarantined rows are counted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum By {
    // The rule that put them aside.
    #[default]
    Rule,
    // The file they stand in.
    File,
    // The day of their window, in the pipeline's zone.
    Day,
}

/// Arguments of `quarantine show`.
#[derive(Debug, Args)]
pub(in crate::cli) struct QuarantineShowArgs {
    /// The pipeline
    pub(in crate::cli) pipeline: String,
    #[command(flatten)]
    pub(in crate::cli) stretch: Stretch,
    /// Only rows that this rule put aside; of those that belong to no window `null_time`, `future`
    /// or `expired`
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) rule: Option<String>,
    /// Only rows of this file, by its key or as `show` names it
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) file: Option<String>,
    /// At most this many rows
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(in crate::cli) limit: u16,
}

/// Arguments of `quarantine retry`.
#[derive(Debug, Args)]
pub(in crate::cli) struct QuarantineRetryArgs {
    /// The pipeline
    pub(in crate::cli) pipeline: String,
    #[command(flatten)]
    pub(in crate::cli) stretch: Stretch,
    /// Only windows with rows that this rule put aside
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) rule: Option<String>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) writing: Writing,
}

/// Arguments of `trace`.
#[derive(Debug, Args)]
pub(in crate::cli) struct TraceArgs {
    /// The pipeline
    pub(in crate::cli) pipeline: String,
    /// A condition over the columns of a source, in SQL: `event_id = '4711'`
    #[arg(long = "where", value_name = "CONDITION")]
    pub(in crate::cli) condition: String,
    /// Only this source [default: each that has the columns]
    #[arg(long, value_name = "TABLE")]
    pub(in crate::cli) source: Option<String>,
    /// Only rows with an event time at or after this; a date is read in the pipeline's zone
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) from: Option<String>,
    /// Only rows with an event time before this
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) to: Option<String>,
}
