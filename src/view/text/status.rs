//! How pipelines stand, as text.

use std::fmt::{self, Write};

use uuid::Uuid;

use super::history::whole;
use super::{ago, counted, grouped, instant, lag, lines, number, right, table};
use crate::id::RequestId;
use crate::report::Orphan;
use crate::spec::PipelineSpec;
use crate::state::Request;
use crate::time::ProcessingTime;
use crate::view::StatusView;

/// Gaps that are named.
const GAPS_MAX: usize = 2;

/// All pipelines and how they stand. `more` counts what is done too.
#[must_use]
pub fn status(rows: &[(&PipelineSpec, StatusView)], more: bool, now: ProcessingTime) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = table(&[
        "PIPELINE",
        "STATE",
        "WATERMARK",
        "LAG",
        "OPEN",
        "PENDING",
        "STALE",
        "FAILED",
        "LAST RUN",
    ]);
    right(&mut table, 3..=7);
    for (spec, view) in rows {
        let windows = view.windows;
        table.add_row([
            spec.name.to_string(),
            view.state.as_str().to_owned(),
            instant(spec, view.watermark),
            view.lag.map_or_else(|| "–".to_owned(), lag),
            grouped(windows.open),
            grouped(windows.pending),
            grouped(windows.stale),
            grouped(windows.failed),
            view.last_run.map_or_else(|| "never".to_owned(), |(_, at)| ago(now, at)),
        ]);
    }
    let mut text = lines(&table);
    for (spec, view) in rows {
        let mut notes = view.notes.clone();
        notes.extend(gaps(spec, view));
        if more {
            notes.extend(done(spec, view));
        }
        if !notes.is_empty() {
            text.push('\n');
        }
        for note in notes {
            let _ = writeln!(text, "{}  {note}", spec.name);
        }
    }
    text
}

/// States that no pipeline of the configuration belongs to.
#[must_use]
pub fn orphans(orphans: &[Orphan]) -> String {
    let mut text = String::new();
    for Orphan { pipeline, windows } in orphans {
        let windows = counted(*windows, "window");
        let _ = writeln!(text, "{pipeline}  is not in the configuration and has {windows}:");
        let _ = writeln!(text, "  `highwater retire {pipeline}` removes what it has published");
    }
    text
}

/// Which holes hold the watermark: the first few by name.
fn gaps(spec: &PipelineSpec, view: &StatusView) -> Option<String> {
    if view.gaps.is_empty() {
        return None;
    }
    let named: Vec<String> = view.gaps.iter().take(GAPS_MAX).map(|gap| whole(spec, *gap)).collect();
    let more = view.gaps_total.saturating_sub(number(named.len()));
    let more = if more == 0 { String::new() } else { format!(" and {} more", grouped(more)) };
    let gaps = counted(view.gaps_total, "gap");
    Some(format!("{gaps} before committed windows: {}{more}", named.join(", ")))
}

fn done(spec: &PipelineSpec, view: &StatusView) -> Vec<String> {
    let windows = view.windows;
    let committed = counted(windows.committed, "window");
    let (empty, skipped) = (grouped(windows.empty), grouped(windows.skipped));
    let (input, out) = (counted(view.rows.input, "row"), grouped(view.rows.out));
    let closes = view.next_close.map(|at| format!("next closes {}", instant(spec, Some(at))));
    let windows =
        format!("{committed} computed, {empty} empty, {skipped} skipped; {input} in, {out} out");
    [windows].into_iter().chain(closes).collect()
}

fn what(request: &Request) -> String {
    let outdated = if request.only_outdated { " --outdated" } else { "" };
    format!("{}{outdated}", request.verb.as_str())
}

/// A request that is not done.
#[derive(Debug)]
pub struct RequestLine<'a> {
    /// The pipeline.
    pub spec: &'a PipelineSpec,
    /// Its id.
    pub id: RequestName,
    /// What it asks for.
    pub request: Request,
}

/// What a request is called, as `requests --cancel` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestName {
    /// The log has it.
    Pending(RequestId),
    /// It was left for the run that holds the lease, and no log has it yet.
    Left(Uuid),
}

impl RequestName {
    /// The word for where it is in JSON and on the screen.
    #[must_use]
    pub fn state(self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Left(_) => "left",
        }
    }
}

impl fmt::Display for RequestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending(id) => id.fmt(f),
            Self::Left(id) => id.fmt(f),
        }
    }
}

/// Requests that are not done.
#[must_use]
pub fn requests(requests: &[RequestLine<'_>]) -> String {
    if requests.is_empty() {
        return "no requests are waiting\n".to_owned();
    }
    let mut table = table(&["PIPELINE", "REQUEST", "STATE", "WHAT", "FROM", "TO", "WHY"]);
    for RequestLine { spec, id, request } in requests {
        table.add_row([
            spec.name.to_string(),
            id.to_string(),
            id.state().to_owned(),
            what(request),
            instant(spec, Some(request.start)),
            instant(spec, Some(request.end)),
            request.why.clone().unwrap_or_default(),
        ]);
    }
    let table = lines(&table);
    format!(
        "{table}\n`highwater run` finishes them; `requests PIPELINE --cancel ID` withdraws one\n"
    )
}
