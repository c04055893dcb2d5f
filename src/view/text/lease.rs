//! Who holds which lease, as text.

use std::fmt::Write;

use super::{ago, counted, lines, number, table};
use crate::report::{Held, LeaseReport, Signs};
use crate::time::ProcessingTime;

/// The leases of pipelines, at `now`.
#[must_use]
pub fn lease(leases: &[LeaseReport], now: ProcessingTime) -> String {
    let mut table = table(&["PIPELINE", "HOLDER", "SINCE", "LAST BEAT", "PROGRESS", "PROCESS"]);
    for lease in leases {
        let name = lease.pipeline.to_string();
        match &lease.held {
            None => table.add_row([name.as_str(), "nobody", "–", "–", "–", "–"]),
            Some(held) => table.add_row([
                name,
                format!("{}, pid {}", held.who.host, held.who.pid),
                ago(now, held.since),
                held.beat_at.map_or_else(|| "–".to_owned(), |at| ago(now, at)),
                progress(held),
                process(held.signs).to_owned(),
            ]),
        };
    }
    let mut text = lines(&table);
    for lease in leases.iter().filter(|lease| lease.left > 0) {
        let requests = counted(number(lease.left), "request");
        let _ = writeln!(text, "{}: {requests} left for the next look", lease.pipeline);
    }
    text
}

fn progress(held: &Held) -> String {
    match held.windows {
        Some((done, planned)) if planned > 0 => format!("window {done} of {planned}"),
        _ => "–".to_owned(),
    }
}

fn process(signs: Signs) -> &'static str {
    match signs {
        Signs::Locked => "alive, holds the lock",
        Signs::Gone => "gone: the next run takes over",
        Signs::There => "there, working or stopped",
        Signs::Unknown => "on another host",
    }
}
