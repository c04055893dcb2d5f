//! `config.toml` exactly as written. No default is applied and nothing is checked here, but each
//! key there is has a field, and no other key is let through.
//!
//! Every field is optional, so that a missing key is reported with all other mistakes and not as
//! the first and only one. Neither `#[serde(tag)]` nor `#[serde(flatten)]` is used: both lose the
//! place of a mistake.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

/// A value and its place, if the key is there.
pub(super) type Field<T> = Option<Spanned<T>>;
/// A text and its place, if the key is there.
pub(super) type Text = Field<String>;
/// The place of something that no part of this version reads.
pub(super) type Unread = Field<IgnoredAny>;
/// Tables that the user names: `[pipeline.<name>]`.
pub(super) type Named<T> = BTreeMap<Spanned<String>, Spanned<T>>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawProject {
    pub(super) version: Field<u64>,
    pub(super) name: Text,
    pub(super) include: Unread,
    pub(super) storage: Option<RawStorage>,
    pub(super) engine: Option<RawEngine>,
    pub(super) retry: Option<RawRetry>,
    pub(super) lease: Option<RawLease>,
    pub(super) history: Option<RawHistory>,
    pub(super) pipeline: Option<Named<RawPipeline>>,
    pub(super) alert: Unread,
    pub(super) metrics: Unread,
    pub(super) lineage: Unread,
}

/// `[storage]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawStorage {
    pub(super) root: Text,
    pub(super) state: Text,
    pub(super) options: Field<BTreeMap<Spanned<String>, Spanned<String>>>,
}

/// `[engine]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawEngine {
    pub(super) memory_limit: Text,
    pub(super) threads: Field<u64>,
    pub(super) temp_directory: Text,
    pub(super) jobs: Field<u64>,
    pub(super) max_object_bytes: Text,
    pub(super) ballista: Unread,
}

/// `[retry]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawRetry {
    pub(super) max_retries: Field<u64>,
    pub(super) retry_timeout: Text,
}

/// `[lease]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawLease {
    pub(super) patience: Text,
    pub(super) heartbeat: Text,
    pub(super) wait: Text,
}

/// `[history]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawHistory {
    pub(super) keep: Field<u64>,
}

/// `[pipeline.<name>]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawPipeline {
    pub(super) description: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) enabled: Option<bool>,
    pub(super) schedule: Unread,
    pub(super) overdue_after: Text,
    pub(super) on_query_change: Text,
    pub(super) allow_nondeterministic: Field<bool>,
    pub(super) window: Field<RawWindow>,
    pub(super) source: Option<Named<RawSource>>,
    pub(super) reference: Option<Named<RawReference>>,
    pub(super) quality: Field<RawQuality>,
    pub(super) step: Option<Vec<Spanned<RawStep>>>,
    pub(super) check: Option<Vec<Spanned<RawCheck>>>,
    pub(super) output: Option<Named<RawOutput>>,
    pub(super) load: Unread,
}

/// `[pipeline.<name>.window]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawWindow {
    pub(super) size: Text,
    pub(super) timezone: Text,
    pub(super) begin: Text,
    pub(super) week_start: Text,
}

/// `[pipeline.<name>.source.<table>]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawSource {
    pub(super) path: Text,
    pub(super) pipeline: Text,
    pub(super) output: Text,
    pub(super) glob: Text,
    pub(super) hive_partitioning: Field<bool>,
    pub(super) partition_columns: Field<BTreeMap<String, Spanned<String>>>,
    pub(super) partition_time: Unread,
    pub(super) partition_slack: Text,
    pub(super) event_time: Text,
    pub(super) event_timezone: Text,
    pub(super) event_time_unit: Text,
    pub(super) ingest_time: Text,
    pub(super) settle: Text,
    pub(super) closes: Text,
    pub(super) watermark_delay: Text,
    pub(super) idle_timeout: Text,
    pub(super) max_future: Text,
    pub(super) allowed_lateness: Text,
    pub(super) on_expired: Text,
    pub(super) on_null_time: Text,
    pub(super) max_windows_per_file: Field<u64>,
    pub(super) lookback: Text,
    pub(super) lookahead: Text,
    pub(super) on_missing_column: Text,
    pub(super) on_type_change: Text,
    pub(super) on_corrupt_file: Text,
    pub(super) on_removed: Text,
    pub(super) dedup: Field<RawDedup>,
    pub(super) rule: Option<Vec<Spanned<RawRule>>>,
}

/// `[pipeline.<name>.source.<table>.dedup]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawDedup {
    pub(super) keys: Option<Vec<Spanned<String>>>,
    pub(super) order_by: Option<Vec<Spanned<String>>>,
    pub(super) keep: Text,
    pub(super) across: Text,
}

/// `[[pipeline.<name>.source.<table>.rule]]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawRule {
    pub(super) name: Text,
    pub(super) expect: Text,
    pub(super) reason: Text,
    pub(super) on_violation: Text,
}

/// `[pipeline.<name>.quality]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawQuality {
    pub(super) quarantine: Text,
    pub(super) quarantine_time: Text,
    pub(super) max_bad_ratio: Field<f64>,
    pub(super) max_bad_rows: Field<u64>,
    pub(super) min_rows: Field<u64>,
}

/// `[pipeline.<name>.reference.<table>]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawReference {
    pub(super) path: Text,
    pub(super) on_change: Text,
}

/// `[[pipeline.<name>.step]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawStep {
    pub(super) name: Text,
    pub(super) sql: Text,
    pub(super) sql_file: Text,
}

/// `[[pipeline.<name>.check]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawCheck {
    pub(super) name: Text,
    pub(super) sql: Text,
    pub(super) sql_file: Text,
    pub(super) severity: Text,
}

/// `[pipeline.<name>.output.<step>]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawOutput {
    pub(super) path: Text,
    pub(super) compression: Text,
    pub(super) compression_level: Field<u64>,
    pub(super) sort_by: Option<Vec<Spanned<String>>>,
    pub(super) success_file: Field<bool>,
    pub(super) delta: Unread,
}
