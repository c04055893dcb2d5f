//! The worked example and the README: what they say is what happens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use highwater::config::{ConfigInput, load};
use highwater::error::Error;
use highwater::spec::ProjectSpec;

use crate::support::{batches_of, code, document, files_below, flights};

/// Everything that is written for people.
const PAGES: [&str; 5] =
    ["README.md", "docs/config.md", "docs/failures.md", "docs/json.md", "docs/state.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

fn parse(text: &str) -> Result<ProjectSpec, Vec<Error>> {
    load(&ConfigInput {
        text,
        origin: "config.toml",
        base: root(),
        environment: &[],
        read_sql: &|path| fs::read_to_string(path),
    })
}

/// The blocks of `text` that are fenced as `kind`.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("\n```{kind}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// The project as a newcomer has it, with outputs in a folder of its own.
struct Example(tempfile::TempDir);

impl Example {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(root().join("config.toml"), folder.path().join("config.toml")).unwrap();
        let to = folder.path().join("fixtures/flights");
        for name in files_below(flights()) {
            let target = to.join(&name);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(flights().join(&name), target).unwrap();
        }
        Self(folder)
    }

    fn run(&self, args: &[&str]) -> Output {
        let ended = self.command(args).output().unwrap();
        assert_eq!(code(&ended), 0, "{ended:?}");
        ended
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HIGHWATER") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.0.path()).args(args);
        command
    }

    fn prints(&self, args: &[&str]) -> String {
        String::from_utf8(self.run(args).stdout).unwrap()
    }

    fn data(&self, name: &str) -> PathBuf {
        self.0.path().join("data").join(name)
    }

    /// The sum of a column over all objects of an output.
    fn total(&self, output: &str, column: &str) -> i64 {
        let files = files_below(self.data(output)).into_iter();
        let files = files.filter(|name| name.ends_with(".parquet"));
        let batches = files.flat_map(|name| batches_of(&self.data(output).join(name)));
        let sums = batches.map(|batch| {
            let values = batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().clone();
            values.iter().flatten().sum::<i64>()
        });
        sums.sum()
    }
}

/// `text` with every length of time that ends a line as `0.00s`.
fn without_durations(text: &str) -> String {
    let line = |line: &str| match line.rsplit_once("    ") {
        Some((before, last))
            if last.ends_with('s') && last.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            format!("{before}    0.00s\n")
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn the_example_prints_what_the_readme_says() {
    let readme = read("README.md");
    let blocks = blocks(&readme, "console");
    let [first, second, back, damaged] = blocks[..] else {
        panic!("{} console blocks", blocks.len())
    };
    let said = |block: &str| without_durations(block.strip_prefix("$ highwater run\n").unwrap());
    let example = Example::new();

    assert_eq!(without_durations(&example.prints(&["run"])), said(first));
    assert_eq!(without_durations(&example.prints(&["run"])), said(second));
    assert!(second.contains("nothing to do"));
    let verified = document(&example.run(&["verify", "--format", "json"]));
    assert_eq!((&verified["ok"], &verified["checked"]["objects"]), (&true.into(), &1795.into()));

    // Each report is in the hour and the day that it belongs to, but for those still open.
    assert_eq!(example.total("departures_hourly", "flights"), 80_479);
    assert_eq!(example.total("departures_hourly", "cancelled"), 2_643);
    let flown = example.total("carriers_daily", "flights");
    let hours = example.total("departures_hourly", "departed");
    assert!(flown < hours && hours - flown < 600, "{flown} {hours}");
    for session in back.split("$ highwater ").skip(1) {
        let (args, said) = session.split_once('\n').unwrap();
        let args: Vec<_> = args.split(' ').collect();
        assert_eq!(without_durations(&example.prints(&args)), without_durations(said));
    }
    // January and February are closed, and are the sums of their days.
    let flown_by =
        |month: &str| example.total(&format!("carriers_monthly/month={month}"), "flights");
    assert_eq!(flown_by("2013-01") + flown_by("2013-02"), 50_173);

    fs::remove_file(example.data("carriers_daily/day=2013-01-05/data.parquet")).unwrap();
    fs::write(example.data("carriers_daily/day=2013-01-09/data.parquet"), "PAR1").unwrap();
    let verify = ["verify", "carriers_daily"];
    let mend = ["reprocess", "carriers_daily", "--damaged", "--yes"];
    let [found, mended] = [(&verify[..], 1), (&mend[..], 0)].map(|(args, expected)| {
        let ended = example.command(args).output().unwrap();
        assert_eq!(code(&ended), expected, "{ended:?}");
        format!("$ highwater {}\n{}", args.join(" "), String::from_utf8(ended.stdout).unwrap())
    });
    assert_eq!(without_durations(&(found + &mended)), without_durations(damaged));
    example.run(&verify);
}

#[test]
fn the_example_and_every_configuration_in_the_docs_can_be_read() {
    let example = parse(&read("config.toml")).unwrap();
    assert_eq!(example.pipelines.len(), 3);
    for page in PAGES {
        let text = read(page);
        for block in blocks(&text, "toml").iter().filter(|block| block.contains("version = 1")) {
            parse(block).unwrap_or_else(|why| panic!("{page}: {why:?}\n{block}"));
        }
    }
    assert_eq!(blocks(&read("README.md"), "toml").len(), 2);
}

#[test]
fn every_key_is_in_the_docs() {
    let page = read("docs/config.md");
    let raw = read("src/config/raw.rs");
    let keys = raw.lines().filter_map(|line| {
        let field = line.trim().strip_prefix("pub(super) ")?;
        let (key, _) = field.split_once(": ")?;
        key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_').then_some(key)
    });
    let missing: Vec<&str> = keys.filter(|key| !page.contains(&format!("`{key}`"))).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn links_and_tests_named_in_the_docs_exist() {
    for page in PAGES {
        let text = read(page);
        let folder = root().join(page);
        let folder = folder.parent().unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            assert!(link.starts_with("http") || folder.join(link).exists(), "{page}: {link}");
        }
        let named = text.split('`').skip(1).step_by(2);
        for path in named.filter(|word| word.starts_with("tests/") || word.starts_with("src/")) {
            assert!(root().join(path).exists(), "{page}: {path}");
        }
    }
}

#[test]
fn every_error_and_exit_code_of_the_docs_exists() {
    let page = read("docs/json.md");
    for code in highwater::error::Code::ALL {
        assert!(page.contains(&code.to_string()), "{code} is not in docs/json.md");
    }
}
