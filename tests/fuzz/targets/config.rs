//! Configuration: a whole file with an environment, and single values in a file that is right.

use std::io;
use std::path::Path;

use highwater::config::{ConfigInput, load};
use highwater::error::Error;
use highwater::spec::ProjectSpec;

/// More mistakes than this are too many to read, let alone to find in bounded time.
const MISTAKES_MAX: usize = 1_000;

/// A file. Its lines `#env NAME=value` are the environment.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let variables = text.lines().filter_map(|line| line.strip_prefix("#env ")?.split_once('='));
    let environment: Vec<_> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    check(text, &environment);
}

/// One key and its value in a file that is otherwise right: a line each. The value is also tried as
/// it comes from the environment.
pub(crate) fn value(bytes: &[u8]) {
    let lines = super::lines(bytes);
    let [key, value, ..] = lines.as_slice() else { return };
    let place = match *key {
        "size" | "timezone" | "week_start" | "lookback" | "lookahead" => "window",
        "path" | "glob" | "watermark_delay" | "idle_timeout" | "max_future"
        | "allowed_lateness" | "settle" | "event_timezone" | "event_time" | "on_null_time" => {
            "source"
        }
        "root" | "state" | "endpoint" => "storage",
        "memory_limit" | "temp_directory" | "max_object_bytes" => "engine",
        "sort_by" | "compression" => "output",
        _ => return,
    };
    let quoted: String = value
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    let line = format!("{key} = \"{quoted}\"\n");
    let at = |wanted: &str| if place == wanted { line.as_str() } else { "" };
    let other = |own: &str, line: &str| if *key == own { String::new() } else { line.to_owned() };
    let text = format!(
        "version = 1\nname = \"shop\"\n[storage]\n{}{}[engine]\n{}[pipeline.a.window]\n{}{}\
         [pipeline.a.source.events]\n{}{}{}[[pipeline.a.step]]\nname = \"o\"\nsql = \"SELECT 1\"\n\
         [pipeline.a.output.o]\n{}path = \"out/dt={{start:%Y-%m-%d}}/h={{start:%H-%M}}\"\n",
        other("root", "root = \".\"\n"),
        at("storage"),
        at("engine"),
        other("size", "size = \"1h\"\n"),
        at("window"),
        other("path", "path = \"in\"\n"),
        other("event_time", "event_time = \"at\"\n"),
        at("source"),
        at("output"),
    );
    check(&text, &[]);
    let name = match place {
        "storage" | "engine" => format!("HIGHWATER_{place}_{key}").to_uppercase(),
        _ => return,
    };
    check(&text, &[(name, (*value).to_owned())]);
}

fn check(text: &str, environment: &[(String, String)]) {
    match read(text, environment) {
        Ok(spec) => {
            assert!(!spec.pipelines.iter().any(|pipeline| pipeline.outputs.is_empty()));
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "it is refused without a reason");
            assert!(mistakes.len() <= MISTAKES_MAX, "{} mistakes", mistakes.len());
            mistakes.iter().for_each(check_mistake);
        }
    }
}

fn read(text: &str, environment: &[(String, String)]) -> Result<ProjectSpec, Vec<Error>> {
    load(&ConfigInput {
        text,
        origin: "config.toml",
        base: Path::new("/project"),
        environment,
        read_sql: &|path| match path.extension() {
            Some(end) if end == "sql" => Ok("SELECT * FROM events".to_owned()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        },
    })
}

/// A mistake says something, and its place lies in the text that it shows.
fn check_mistake(mistake: &Error) {
    assert!(!mistake.message().trim().is_empty());
    if let Some(excerpt) = mistake.excerpt() {
        let shown = excerpt.text.get(excerpt.span.clone());
        assert!(shown.is_some(), "{mistake:?} lies at {:?}", excerpt.span);
    }
}
