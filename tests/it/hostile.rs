//! Object stores that fail, lie and stall, over real HTTP and through the real client: what is
//! appended stands once, what is read is what was asked for, and no error tells a secret.

mod append;
mod lies;
mod reads;
mod s3;
mod server;
mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use highwater::clock::Clock;
use highwater::error::Error;
use highwater::spec::Prefix;
use highwater::store::{Bounds, Clients, Environment, RemoteStore, RetrySpec, connect};
use highwater::time::Span;
use object_store::aws::AmazonS3Builder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use self::s3::Lie;
use self::server::{Rule, Server};

/// Credentials that no text may hold.
const KEY_ID: &str = "AKIDCANARYCANARY";
const SECRET: &str = "canary-of-the-secret-key";
const TOKEN: &str = "canary-of-the-session-token";

/// How long a client waits for an answer: longer than a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The same for a client that is not going to get one.
const HASTE: Duration = Duration::from_secs(1);

/// Tries of reads, and pauses between them, that end soon.
const RETRY: RetrySpec = RetrySpec { max_retries: 4, retry_timeout: Span::from_seconds(30) };

/// A client that waits so long for an answer.
fn client(server: &Server, waits_for: Duration, max_retries: usize) -> Arc<dyn ObjectStore> {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(5),
        max_backoff: Duration::from_millis(50),
        base: 2.0,
    };
    let options = ClientOptions::new().with_timeout(waits_for).with_allow_http(true);
    let builder = AmazonS3Builder::new()
        .with_client_options(options)
        .with_endpoint(server.url())
        .with_bucket_name("lake")
        .with_region("eu-test-1")
        .with_access_key_id(KEY_ID)
        .with_secret_access_key(SECRET)
        .with_token(TOKEN)
        .with_retry(RetryConfig { backoff, max_retries, retry_timeout: Duration::from_secs(30) });
    Arc::new(builder.build().unwrap())
}

/// What lies below `lake/state`.
fn store(server: &Server) -> RemoteStore {
    store_for(server, &[])
}

/// The same, for somebody who is not going to wait for what `script` keeps silent about.
fn store_for(server: &Server, script: &[Rule]) -> RemoteStore {
    let is_silent = script.iter().any(|Rule(_, _, act)| act.is_silent());
    let waits_for = if is_silent { HASTE } else { PATIENCE };
    let client = |max_retries| client(server, waits_for, max_retries);
    let clients = Clients { small: client(0), data: client(2) };
    let span = Span::from_seconds(60);
    let bounds = Bounds { small_for: span, data_for: span, retry: RETRY };
    RemoteStore::new(Prefix::parse("s3://lake/state").unwrap(), clients, bounds, Clock::system())
}

/// What `connect` makes of `url`, with credentials in the environment.
fn connected(server: &Server, url: &str) -> RemoteStore {
    let variables = [
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", TOKEN),
        ("AZURE_STORAGE_ACCOUNT_KEY", "Y2FuYXJ5LW9mLXRoZS1zZWNyZXQta2V5"),
    ];
    let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let environment = Environment::of(variables.map(text));
    assert_clean(&format!("{environment:?}"));
    let url = Prefix::parse(url).unwrap();
    let options = match url.scheme.as_str() {
        "az" => [
            ("azure_storage_endpoint", server.url()),
            ("azure_storage_account_name", "lake".to_owned()),
            ("azure_allow_http", "true".to_owned()),
        ],
        _ => [
            ("aws_endpoint", server.url()),
            ("aws_region", "eu-test-1".to_owned()),
            ("aws_allow_http", "true".to_owned()),
        ],
    };
    let options: BTreeMap<String, String> =
        options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    connect(&url, &options, &environment, RETRY, 1 << 20, Clock::system()).unwrap()
}

/// Fails the test if `text` holds a part of the credentials.
fn assert_clean(text: &str) {
    for secret in [KEY_ID, SECRET, TOKEN, "canary", "Y2FuYXJ5", "Authorization", "Signature="] {
        assert!(!text.contains(secret), "{secret} is told: {text}");
    }
}

/// The same for all that an error tells; its sentence.
fn told(error: &Error) -> String {
    assert_clean(&format!("{error:?} {error}"));
    format!("{error:?}")
}

#[test]
fn nothing_tells_the_credentials() {
    let server = Server::start(Lie::None);
    let store = connected(&server, "s3://lake/state");
    assert_eq!(format!("{store:?}"), "RemoteStore(s3://lake/state)");
    let clients = Clients { small: client(&server, HASTE, 0), data: client(&server, HASTE, 0) };
    assert_clean(&format!("{clients:?}"));
}
