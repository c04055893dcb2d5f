//! The real binary on a real S3 interface: kills, takeovers, and readers that look all the time.
//!
//! `tests/servers.py` starts the servers and names their endpoints in `HIGHWATER_TEST_S3`,
//! `HIGHWATER_TEST_AZURE` and `HIGHWATER_TEST_S3_LIAR`; without them these tests say that they were
//! skipped.

mod kills;
mod others;
mod takeover;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use highwater::clock::Clock;
use highwater::spec::Prefix;
use highwater::store::{Environment, RemoteStore, RetrySpec, Store, Written, connect};
use highwater::time::Span;
use tempfile::TempDir;

use crate::support::{Outputs, Row, block_on, code, document, new_folder, rows_of, write_rows};

/// The bucket that the server has.
const BUCKET: &str = "highwater-test";

/// A secret that nothing may ever show.
const CANARY: &str = "canary-8f3a1c";

/// One hourly pipeline with two outputs, and a lease that is lost soon.
const CONFIG: &str = r#"
version = 1
name = "tiny"

[storage]
root = "ROOT"

[storage.options]
OPTIONS
[lease]
patience = "2500ms"
heartbeat = "250ms"

[pipeline.tiny.window]
size = "1h"

[pipeline.tiny.source.events]
path = "in"
event_time = "event_time"

[[pipeline.tiny.step]]
name = "totals"
sql = "SELECT key, count(*) AS n, sum(value) AS total FROM events GROUP BY key"

[[pipeline.tiny.step]]
name = "large"
sql = "SELECT event_time, key, value FROM events WHERE value >= 50"

[pipeline.tiny.output.totals]
path = "out/totals/dt={start:%Y-%m-%d}/hour={start:%H}"
sort_by = ["key"]

[pipeline.tiny.output.large]
path = "out/large/dt={start:%Y-%m-%d}/hour={start:%H}"
sort_by = ["event_time", "key"]
"#;

/// The one that keeps all versions of its objects.
const VERSIONED: &str = "highwater-versions";

/// A bucket of a server, and how it is reached.
struct Server {
    scheme: &'static str,
    bucket: &'static str,
    options: Vec<(&'static str, String)>,
    environment: Vec<(&'static str, String)>,
}

impl Server {
    /// The faithful S3 interface; `None` where there is none.
    fn s3() -> Option<Self> {
        Self::s3_at("HIGHWATER_TEST_S3")
    }

    /// A bucket of it that keeps all versions.
    fn versioned() -> Option<Self> {
        Self::s3().map(|server| Self { bucket: VERSIONED, ..server })
    }

    /// The one that looks before it writes.
    fn liar() -> Option<Self> {
        Self::s3_at("HIGHWATER_TEST_S3_LIAR")
    }

    fn s3_at(variable: &str) -> Option<Self> {
        let options = vec![
            ("aws_region", "us-east-1".to_owned()),
            ("aws_endpoint", endpoint(variable)?),
            ("aws_allow_http", "true".to_owned()),
        ];
        let environment = vec![
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", CANARY.to_owned()),
        ];
        Some(Self { scheme: "s3", bucket: BUCKET, options, environment })
    }

    /// The Blob interface.
    fn azure() -> Option<Self> {
        let endpoint = endpoint("HIGHWATER_TEST_AZURE")?;
        let options = vec![
            ("azure_storage_endpoint", format!("{endpoint}/{AZURE_ACCOUNT}")),
            ("allow_http", "true".to_owned()),
        ];
        let environment = vec![
            ("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY.to_owned()),
        ];
        Some(Self { scheme: "az", bucket: BUCKET, options, environment })
    }
}

/// The account of every emulator of the Blob interface, published by its makers.
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn endpoint(variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok();
    if found.is_none() {
        println!("skipped: {variable} names no server");
    }
    found
}

/// A project whose data and state lie on a server.
struct Lake {
    folder: TempDir,
    store: Arc<RemoteStore>,
    server: Server,
}

impl Lake {
    /// A project on the faithful S3 interface; `None` where there is none.
    fn new() -> Option<Self> {
        Server::s3().map(Self::on)
    }

    /// A project that nothing was fed to yet.
    fn on(server: Server) -> Self {
        let root = format!("{}://{}/{}", server.scheme, server.bucket, Clock::system().new_id());
        let folder = new_folder();
        let options = server.options.iter().map(|(key, value)| format!("{key} = \"{value}\"\n"));
        let config = CONFIG.replace("ROOT", &root).replace("OPTIONS", &options.collect::<String>());
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        let options = server.options.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let keys = server.environment.iter();
        let keys = keys.map(|(name, value)| ((*name).to_owned(), value.clone()));
        let retry = RetrySpec { max_retries: 3, retry_timeout: Span::from_seconds(20) };
        let (prefix, clock) = (Prefix::parse(&root).unwrap(), Clock::system());
        let environment = Environment::of(keys);
        let store = connect(&prefix, &options.collect(), &environment, retry, 1 << 24, clock);
        Self { folder, store: Arc::new(store.unwrap()), server }
    }

    /// Writes `rows` as the new input file `name`.
    fn feed(&self, name: &str, rows: &[Row]) {
        let staged = self.folder.path().join("staged.parquet");
        write_rows(&staged, rows);
        let bytes = Bytes::from(std::fs::read(&staged).unwrap());
        let written = block_on(self.store.create(&format!("in/{name}"), bytes));
        assert!(matches!(written, Written::Stored), "{written:?}");
    }

    /// The real binary.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["HIGHWATER", "AWS_", "AZURE_"].iter().any(|family| name.starts_with(family)) {
                command.env_remove(name);
            }
        }
        command.current_dir(self.folder.path()).args(args).env("NO_COLOR", "1");
        command.envs(self.server.environment.iter().map(|(name, value)| (name, value)));
        command.env("TMPDIR", self.folder.path()).env("HIGHWATER_PACE", "5:3");
        command
    }

    /// Starts `run` with something more in its environment.
    fn start(&self, name: &str, value: &str) -> Child {
        let mut command = self.command(&["run"]);
        command.env(name, value).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs the pipeline to its end; it must go well.
    fn run_well(&self) {
        let ended = self.command(&["run", "--format", "json"]).output().unwrap();
        assert_eq!(code(&ended), 0, "{ended:?}");
    }

    /// Every object of the outputs, read whole.
    fn outputs(&self) -> Outputs {
        block_on(self.outputs_now()).unwrap()
    }

    async fn outputs_now(&self) -> highwater::error::Result<Outputs> {
        let mut outputs = Outputs::new();
        for meta in self.store.list("out/").await? {
            let Some(bytes) = self.store.read(&meta.key).await? else { continue };
            let file = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            outputs.insert(meta.key, rows_of(file.path()));
        }
        Ok(outputs)
    }

    /// That the log folds, every object is what it says, and nothing else lies among them.
    fn assert_sound(&self) {
        let ended = self.command(&["verify", "--format", "json"]).output().unwrap();
        assert_eq!(code(&ended), 0, "{}", document(&ended));
        let names = block_on(self.store.list("out/")).unwrap();
        let strays = names.iter().filter(|meta| !meta.key.ends_with("/data.parquet"));
        assert_eq!(strays.count(), 0, "{names:?}");
    }
}
