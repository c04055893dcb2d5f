//! Builds the clients of a store from options and the environment.
//!
//! Credentials come from the environment only, by the names that the tools of each cloud know. An
//! option that holds one is refused, and no error repeats a value that may.

mod builder;

use std::collections::BTreeMap;
use std::fmt;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, RetryConfig};

use self::builder::{Builder, Role};
use super::failure::{Secrets, without_url_secrets};
use super::{Bounds, Clients, RemoteStore, RetrySpec, duration};
use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::spec::{Prefix, Scheme};
use crate::time::Span;

/// How long one request for a small object may take.
const SMALL_REQUEST_FOR: Span = Span::from_seconds(10);

/// How long one call of the client of small objects may take: a request, and what it takes to get
/// credentials first.
const SMALL_FOR: Span = Span::from_seconds(25);

/// How long one request for data may take at least.
const DATA_REQUEST_FOR: Span = Span::from_seconds(30);

/// The slowest connection that the largest object is expected to go through.
const BYTES_PER_SECOND_MIN: u64 = 4_000_000;

/// How long a client of data may pause before it tries again, and get credentials, on top of its
/// requests.
const DATA_REST_FOR: Span = Span::from_seconds(30);

/// How like a known option an unknown one must be to be taken for it, and how many are named.
const LIKENESS_MIN: f64 = 0.8;
const NEAR_MAX: usize = 3;

/// Variables that hold, or lead to, credentials and settings of stores.
#[derive(Clone, Default)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// The variables of this process that the clients know.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::of(std::env::vars_os().filter_map(text))
    }

    /// Those of `variables` that the clients know.
    #[must_use]
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let is_known = |name: &str| {
            ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|family| name.starts_with(family))
                || ["IDENTITY_ENDPOINT", "SERVICE_ACCOUNT"].contains(&name)
        };
        Self(variables.into_iter().filter(|(name, _)| is_known(name)).collect())
    }

    /// The words in it that nobody may read.
    fn secrets(&self) -> Secrets {
        let secret = self.0.iter().filter(|(name, _)| holds_secret(&name.to_ascii_lowercase()));
        Secrets::new(secret.flat_map(|(_, value)| {
            let fields: BTreeMap<String, serde_json::Value> =
                serde_json::from_str(value).unwrap_or_default();
            let keys = fields.into_iter().filter(|(name, _)| name.contains("key"));
            let keys = keys.filter_map(|(_, field)| field.as_str().map(str::to_owned));
            keys.chain([value.clone()]).collect::<Vec<_>>()
        }))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// The store of everything below `prefix`. Nothing is asked of it yet.
///
/// `options` are the client's own keys, such as `aws_region`; they go before `environment`. Objects
/// have at most `max_object_bytes`: with it grows how long a request for data may take.
///
/// # Errors
/// If an option is unknown, holds a credential, or contradicts the promises of [`RemoteStore`]; if
/// an endpoint is not encrypted and that was not asked for; if no client can be built.
pub fn connect(
    prefix: &Prefix,
    options: &BTreeMap<String, String>,
    environment: &Environment,
    retry: RetrySpec,
    max_object_bytes: u64,
    clock: Clock,
) -> Result<RemoteStore> {
    let request_for = data_request_for(max_object_bytes);
    let build = match prefix.scheme {
        Scheme::S3 => clients::<AmazonS3Builder>,
        Scheme::Gs => clients::<GoogleCloudStorageBuilder>,
        Scheme::Az => clients::<MicrosoftAzureBuilder>,
    };
    let clients = build(prefix, options, environment, retry, request_for)?;
    let data_for = [request_for, retry.retry_timeout, DATA_REST_FOR];
    let data_for = data_for.iter().fold(0_i64, |sum, span| sum.saturating_add(span.micros()));
    let data_for = Span::from_micros(data_for).unwrap_or(request_for);
    let bounds = Bounds { small_for: SMALL_FOR, data_for, retry };
    let store = RemoteStore::new(prefix.clone(), clients, bounds, clock);
    Ok(store.keeping(environment.secrets()))
}

fn data_request_for(max_object_bytes: u64) -> Span {
    let seconds = max_object_bytes.div_ceil(BYTES_PER_SECOND_MIN);
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    Span::from_seconds(seconds).max(DATA_REQUEST_FOR)
}

/// One setting, and what to call it in messages.
struct Setting<'a, K> {
    name: &'a str,
    key: K,
    value: &'a str,
    code: Code,
}

fn clients<B: Builder>(
    prefix: &Prefix,
    options: &BTreeMap<String, String>,
    environment: &Environment,
    retry: RetrySpec,
    request_for: Span,
) -> Result<Clients> {
    let client = |max_retries: u32, timeout: Span| {
        let mut builder = B::default();
        for setting in settings::<B>(options, environment)? {
            builder = builder.set(setting.key, setting.value);
        }
        builder = builder.set(B::timeout(), &format!("{}us", timeout.micros()));
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: usize::try_from(max_retries).unwrap_or(usize::MAX),
            retry_timeout: duration(retry.retry_timeout),
        };
        builder.build(&prefix.bucket, retry).map_err(|why| unusable(prefix, environment, &why))
    };
    allow(&settings::<B>(options, environment)?, B::role)?;
    Ok(Clients {
        // Whoever writes a small object looks for it before it is written again.
        small: client(0, SMALL_REQUEST_FOR)?,
        data: client(retry.max_retries, request_for)?,
    })
}

/// What is set, in the order in which it is to be: options go before the environment.
fn settings<'a, B: Builder>(
    options: &'a BTreeMap<String, String>,
    environment: &'a Environment,
) -> Result<Vec<Setting<'a, B::Key>>> {
    let mut settings = Vec::new();
    for (name, value) in &environment.0 {
        let known = match name.as_str() {
            "IDENTITY_ENDPOINT" if B::FAMILY == "AZURE_" => "azure_identity_endpoint".parse(),
            "SERVICE_ACCOUNT" if B::FAMILY == "GOOGLE_" => "google_service_account".parse(),
            name if name.starts_with(B::FAMILY) => name.to_ascii_lowercase().parse(),
            _ => continue,
        };
        // Tools of the same cloud have variables that mean nothing to this client.
        let Ok(key) = known else { continue };
        if B::role(&key) != Role::Ours {
            settings.push(Setting { name, key, value, code: Code::BadEnvironment });
        }
    }
    for (name, value) in options {
        let key = option::<B>(name, value)?;
        settings.push(Setting { name, key, value, code: Code::BadValue });
    }
    Ok(settings)
}

/// The key of the option `name`, if it may be set to `value`.
fn option<B: Builder>(name: &str, value: &str) -> Result<B::Key> {
    if holds_secret(name) {
        let error = Error::new(Code::BadValue, format!("`{name}` holds a credential"));
        return Err(error
            .note("a configuration is read by many and kept in many places")
            .hint(format!("take it out, and set {}… in the environment", B::FAMILY)));
    }
    let key: B::Key = name.parse().map_err(|_| unknown(name, B::OPTIONS))?;
    if B::role(&key) == Role::Ours {
        return Err(Error::new(Code::BadValue, format!("`{name}` cannot be set"))
            .note("the bucket is named by the URL; conditional writes and timeouts are ours")
            .hint("take it out"));
    }
    let is_bare = without_url_secrets(value) == value && !value.trim_start().starts_with('{');
    if !is_bare {
        return Err(Error::new(Code::BadValue, format!("`{name}` holds a credential"))
            .hint("write the URL without a user, a query or a signature, or name a file"));
    }
    Ok(key)
}

/// Refuses an endpoint without encryption that was not asked for.
fn allow<K>(settings: &[Setting<'_, K>], role: impl Fn(&K) -> Role) -> Result<()> {
    let last = |wanted| settings.iter().rev().find(|setting| role(&setting.key) == wanted);
    let is_yes = |value: &str| {
        ["1", "true", "on", "yes", "y"].contains(&value.to_ascii_lowercase().as_str())
    };
    let is_allowed = last(Role::AllowHttp).is_some_and(|allowed| is_yes(allowed.value));
    match last(Role::Endpoint) {
        Some(Setting { name, value, code, .. }) if value.starts_with("http://") && !is_allowed => {
            Err(Error::new(*code, format!("`{name}` is not encrypted: {}", bare(value)))
                .hint("use https://, or set `aws_allow_http` (`allow_http`) to \"true\""))
        }
        _ => Ok(()),
    }
}

fn bare(text: &str) -> String {
    without_url_secrets(text)
}

fn unknown(name: &str, options: &[&str]) -> Error {
    let mut near: Vec<(f64, &str)> = options
        .iter()
        .map(|option| (strsim::jaro_winkler(name, option), *option))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .collect();
    near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let near: Vec<&str> = near.iter().take(NEAR_MAX).map(|(_, option)| *option).collect();
    let named = if near.is_empty() { options } else { near.as_slice() };
    let named = named.iter().map(|option| format!("`{option}`")).collect::<Vec<_>>().join(", ");
    let what = if near.is_empty() { "known are" } else { "did you mean" };
    Error::new(Code::UnknownKey, format!("`{name}` is no option of this kind of store"))
        .hint(format!("{what} {named}"))
}

fn unusable(prefix: &Prefix, environment: &Environment, why: &object_store::Error) -> Error {
    let why = environment.secrets().redact(&without_url_secrets(&why.to_string()));
    Error::new(Code::BadValue, format!("cannot use {prefix}: {why}"))
        .hint("look at the options of the store, and at the variables of its credentials")
}

/// Whether the option or variable `name` holds what nobody may read. Those that name a file or a
/// service do not.
fn holds_secret(name: &str) -> bool {
    let leads_elsewhere = name.ends_with("_file") || name.ends_with("_url");
    let parts = [
        "secret",
        "password",
        "token",
        "sas_",
        "access_key",
        "account_key",
        "master_key",
        "customer_key",
    ];
    !leads_elsewhere && parts.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests;
