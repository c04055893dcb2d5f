//! What can be typed. The comments here are the help.

mod rows;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

pub(super) use rows::{
    By, QuarantineArgs, QuarantineCommand, QuarantineListArgs, QuarantineRetryArgs,
    QuarantineShowArgs, Stretch, TraceArgs,
};

/// Incremental batch jobs over Parquet, driven by event-time watermarks
#[derive(Debug, Parser)]
#[command(name = "highwater", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  highwater plan                                              What would the next run do?
  highwater run                                               Do it; after any crash, the same again
  highwater backfill orders --from 2026-10-01 --to 2026-11-01   Fill October (--to is exclusive)
  highwater status --format json | jq '.pipelines[].lag_seconds'

Exit codes:
  0 ok            1 failed          2 usage or config     3 some windows failed, others are done
  4 refused by a rule or policy     5 storage             6 state damaged or newer
  10 work pending (plan --exit-code)    11 lease held by another    12 another took over
  75 outcome unknown, run again     130, 143 interrupted";

/// Options of every command.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Config file [default: ./config.toml, then each parent folder]
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "HIGHWATER_CONFIG",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(super) config: Option<PathBuf>,
    /// Output for people or machines
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Global options")]
    pub(super) format: Format,
    /// Colour
    #[arg(
        help = "Colour [NO_COLOR, CLICOLOR_FORCE and TERM=dumb are honoured]",
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Global options"
    )]
    pub(super) color: Color,
    /// More detail
    #[arg(
        short,
        long,
        global = true,
        action = clap::ArgAction::Count,
        help_heading = "Global options"
    )]
    pub(super) verbose: u8,
    /// Only errors and results
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(super) quiet: bool,
    /// Never show progress bars (the default when stderr is not a terminal)
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) no_progress: bool,
    /// Never ask; fail if an answer would be needed
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) no_input: bool,
}

/// The form of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    // For people.
    #[default]
    Text,
    // One document.
    Json,
    // One event a line, then the document.
    Jsonl,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    // On a terminal.
    #[default]
    Auto,
    // Always.
    Always,
    // Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check config, SQL and inputs without computing anything
    Check(CheckArgs),
    /// Show the windows the next run would compute, and why
    Plan(PlanArgs),
    /// Compute every closed window that is new or has new input
    Run(RunArgs),
    /// Compute windows that were never computed, between two times
    Backfill(BackfillArgs),
    /// Compute windows again although they are done, and replace their output
    Reprocess(ReprocessArgs),
    /// Watermark, lag, open, pending, stale and failed windows of each pipeline
    Status(StatusArgs),
    /// Commits of a pipeline, newest first
    History(HistoryArgs),
    /// Why one window is as it is: its state, inputs, what holds it, what became of it
    Explain(ExplainArgs),
    /// How late rows came, and what waiting less or looking back blindly would have missed
    Lateness(LatenessArgs),
    /// Go back to an earlier revision of some windows (a commit of its own; nothing is deleted)
    Rollback(RollbackArgs),
    /// The committed files, one path a line; as of an older entry of the log, where they are now
    Manifest(ManifestArgs),
    /// Compare every output and the log with what was committed; exits 1 if anything differs
    Verify(VerifyArgs),
    /// Rows that rules put aside: how many, which and why; computes their windows again
    Quarantine(QuarantineArgs),
    /// What became of the rows that a condition holds for: used, put aside, duplicate of which, …
    Trace(TraceArgs),
    /// Commit windows without computing them, so that nothing blocks for ever
    Skip(SkipArgs),
    /// Requests that are not done yet
    Requests(RequestsArgs),
    /// Who is writing a pipeline now, and how far it is; takes the lease away from who hangs
    Lease(LeaseArgs),
    /// Remove what a pipeline, or one output, has published, so that it can begin anew
    Retire(RetireArgs),
    /// Delete what nothing needs from the state: marked first, deleted by a later vacuum
    Vacuum(VacuumArgs),
}

/// Which pipelines.
#[derive(Debug, Args)]
pub(super) struct Pipelines {
    /// Pipelines to act on, `*` matches any part of a name [default: all]
    #[arg(value_name = "PIPELINE")]
    pub(super) pipelines: Vec<String>,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) which: Pipelines,
    /// Write to the object store of the state, and see whether it keeps its promises
    #[arg(long)]
    pub(super) online: bool,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) which: Pipelines,
    /// Exit with 10 when there is work to do
    #[arg(long)]
    pub(super) exit_code: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) which: Pipelines,
    #[command(flatten)]
    pub(super) writing: Writing,
    /// Exit with this code when there was nothing to do (99 makes Airflow mark the task skipped)
    #[arg(long, value_name = "CODE", default_value_t = 0)]
    pub(super) skip_exit_code: u8,
}

/// Options of every command that writes.
#[derive(Debug, Args)]
pub(super) struct Writing {
    /// Show what would be done; writes nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub(super) yes: bool,
}

/// Arguments of `backfill`.
#[derive(Debug, Args)]
pub(super) struct BackfillArgs {
    /// The pipeline
    pub(super) pipeline: String,
    #[command(flatten)]
    pub(super) range: Range,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) writing: Writing,
}

/// Arguments of `reprocess`.
#[derive(Debug, Args)]
pub(super) struct ReprocessArgs {
    /// The pipeline
    pub(super) pipeline: String,
    /// First window start, INCLUSIVE: RFC 3339, or a date or date-hour in the pipeline's zone
    #[arg(long, value_name = "TIME", required_unless_present_any = ["outdated", "damaged"])]
    pub(super) from: Option<String>,
    /// End, EXCLUSIVE: windows that start before it
    #[arg(long, value_name = "TIME", required_unless_present_any = ["outdated", "damaged"])]
    pub(super) to: Option<String>,
    /// Only windows that were computed with another query, or other reference tables, than today's
    #[arg(long)]
    pub(super) outdated: bool,
    /// Only what `verify` finds missing or broken: windows with such outputs, and, without a range,
    /// objects of rows that belong to no window
    #[arg(long, conflicts_with = "outdated")]
    pub(super) damaged: bool,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) writing: Writing,
}

/// Arguments of `lease`.
#[derive(Debug, Args)]
pub(super) struct LeaseArgs {
    #[command(flatten)]
    pub(super) which: Pipelines,
    /// Take the lease away from its holder, and let go of it (on an object store; on local disk a
    /// process that lives keeps it: end that process)
    #[arg(long)]
    pub(super) release: bool,
    #[command(flatten)]
    pub(super) writing: Writing,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("windows").required(true).args(["from", "window"])))]
pub(super) struct RollbackArgs {
    /// The pipeline
    pub(super) pipeline: String,
    /// First window start, INCLUSIVE: RFC 3339, or a date or date-hour in the pipeline's zone
    #[arg(long, value_name = "TIME", requires = "to")]
    pub(super) from: Option<String>,
    /// End, EXCLUSIVE: windows that start before it
    #[arg(long, value_name = "TIME", requires = "from")]
    pub(super) to: Option<String>,
    /// The one window that holds this time
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    pub(super) window: Option<String>,
    /// To this revision [default: the one before]
    #[arg(long, value_name = "N", conflicts_with = "to_seq")]
    pub(super) revision: Option<u32>,
    /// To the revisions that stood once the log had this entry (COMMIT in `history`)
    #[arg(long, value_name = "SEQ")]
    pub(super) to_seq: Option<u64>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) writing: Writing,
}

/// Arguments of `manifest`.
#[derive(Debug, Args)]
pub(super) struct ManifestArgs {
    /// The pipeline
    pub(super) pipeline: String,
    /// As the log said once it had this entry
    #[arg(long, value_name = "SEQ")]
    pub(super) as_of: Option<u64>,
}

/// A stretch of event time.
#[derive(Debug, Args)]
pub(super) struct Range {
    /// First window start, INCLUSIVE: RFC 3339, or a date or date-hour in the pipeline's zone
    #[arg(long, value_name = "TIME")]
    pub(super) from: String,
    /// End, EXCLUSIVE: windows that start before it
    #[arg(long, value_name = "TIME")]
    pub(super) to: String,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) which: Pipelines,
    /// Exit with 1 when a pipeline is failed, held or overdue
    #[arg(long)]
    pub(super) exit_code: bool,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The pipeline
    pub(super) pipeline: String,
    /// At most this many commits
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(super) limit: usize,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The pipeline
    pub(super) pipeline: String,
    /// Any time in the window: RFC 3339, or a date, date-hour or date-time in the pipeline's zone
    pub(super) window: String,
}

/// Arguments of `lateness`.
#[derive(Debug, Args)]
pub(super) struct LatenessArgs {
    /// The pipeline
    pub(super) pipeline: String,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    pub(super) which: Pipelines,
    /// Only windows that start at or after this; a date is read in the pipeline's zone
    #[arg(long, value_name = "TIME")]
    pub(super) from: Option<String>,
    /// Only windows that start before this
    #[arg(long, value_name = "TIME")]
    pub(super) to: Option<String>,
    #[command(flatten)]
    pub(super) level: Level,
}

/// How closely `verify` looks.
#[derive(Debug, Args)]
#[group(multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(super) struct Level {
    /// Presence and size of the newest 100 windows, and of those in doubt, failed or stale
    #[arg(long)]
    pub(super) quick: bool,
    /// The log from its first entry, its list, its ledger; no outputs
    #[arg(long)]
    pub(super) log: bool,
    /// The log, and that every row of every input is in exactly one place, for all time
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub(super) balance: bool,
    /// The log, presence and size of every output, and what else lies among them
    #[arg(long)]
    pub(super) sizes: bool,
    /// The same, and every byte, page and row of every output (the default)
    #[arg(long)]
    pub(super) full: bool,
    /// The same, and every window computed once more from its inputs
    #[arg(long)]
    pub(super) recompute: bool,
}

/// Arguments of `retire`.
#[derive(Debug, Args)]
pub(super) struct RetireArgs {
    /// The pipeline, in the configuration or not, or one output of it: `orders.hourly`
    #[arg(value_name = "PIPELINE[.OUTPUT]")]
    pub(super) target: String,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) writing: Writing,
}

/// Arguments of `vacuum`.
#[derive(Debug, Args)]
pub(super) struct VacuumArgs {
    #[command(flatten)]
    pub(super) which: Pipelines,
    /// How long what is marked stays for readers who still look at an older state
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub(super) retention: String,
    #[command(flatten)]
    pub(super) writing: Writing,
}

/// Arguments of `skip`.
#[derive(Debug, Args)]
pub(super) struct SkipArgs {
    /// The pipeline
    pub(super) pipeline: String,
    #[command(flatten)]
    pub(super) range: Range,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) writing: Writing,
}

/// Arguments of `requests`.
#[derive(Debug, Args)]
pub(super) struct RequestsArgs {
    #[command(flatten)]
    pub(super) which: Pipelines,
    /// Withdraw this request of the one pipeline that is named
    #[arg(long, value_name = "ID")]
    pub(super) cancel: Option<String>,
    #[command(flatten)]
    pub(super) writing: Writing,
}
