//! The probe refuses every store that breaks a promise, says which, and is patient with the others.

use std::sync::Arc;

use highwater::clock::Clock;
use highwater::error::{Code, Result};
use highwater::spec::Prefix;
use highwater::store::{Bounds, Clients, Probed, RemoteStore, Store, probe};
use highwater::time::Span;
use object_store::memory::InMemory;

use super::s3::Lie;
use super::server::{ALWAYS, Act, Rule, Server};
use super::{RETRY, store, store_for, told};
use crate::support::{block_on, each, new_folder};

const PROBE: &str = "PUT lake/state/probe";

fn probed(store: &dyn Store, rounds: u32) -> Result<Probed> {
    let folder = new_folder();
    let probed = block_on(probe(store, folder.path(), rounds, Clock::system()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "staged files are left");
    probed
}

#[test]
fn a_store_that_lies_is_refused_and_told_how() {
    let lies = [
        (Lie::IgnoresIfNoneMatch, "accepted a second creation of the same key"),
        (Lie::RefusesAndStores, "accepted a second creation of the same key"),
        (Lie::TwoEndpoints, "accepted a second creation of the same key"),
        (Lie::InvertsIfNoneMatch, "refused the creation of a key that does not exist"),
        (Lie::ChecksThenWrites, "racing creations won"),
        (Lie::IgnoresIfMatch, "not the version it was asked to"),
        (Lie::OneTagForAll, "the same mark"),
        (Lie::WeakTags, "no ETag"),
        (Lie::NoTags, "no ETag"),
        (Lie::ShowsWhatIsGone, "shows what was removed"),
        (Lie::HidesWhatIsNew, "cannot be read back"),
        (Lie::KeepsOtherBytes, "other bytes"),
    ];
    each(
        lies.len(),
        &lies,
        |lie| format!("{:?}", lie.0),
        |(lie, why)| {
            let server = Server::start(*lie);
            let error = probed(&store(&server), 3).unwrap_err();
            let told = told(&error);
            assert_eq!(error.code(), Code::StoreUnfit, "{told}");
            assert!(told.contains(why), "{told}");
        },
    );
}

#[test]
fn a_store_that_keeps_its_promises_is_fit_however_flaky() {
    let scripts: &[&[Rule]] = &[
        &[],
        &[Rule(PROBE, 5, Act::Answer(503, "SlowDown"))],
        &[Rule(PROBE, 1, Act::DoneThen(500)), Rule(PROBE, 2, Act::Close)],
        &[Rule(PROBE, 3, Act::DoneThenClose)],
        &[Rule(PROBE, 3, Act::Serve), Rule(PROBE, 8, Act::DoneThenReset)],
        &[Rule(PROBE, 3, Act::Serve), Rule(PROBE, 8, Act::Answer(409, ""))],
        &[Rule(PROBE, 12, Act::Serve), Rule(PROBE, 4, Act::DoneThen(500))],
        // Who writes need not be permitted to remove.
        &[Rule("POST", ALWAYS, Act::Answer(403, "AccessDenied"))],
        &[Rule("POST", ALWAYS, Act::NotDeleted)],
    ];
    each(
        scripts.len(),
        scripts,
        |script| format!("{script:?}"),
        |script| {
            let server = Server::start(Lie::None);
            server.follow(script);
            let probed = probed(&store_for(&server, script), 2).unwrap();
            assert_eq!(probed.store_at.to_string(), "2026-01-01T00:00:00Z");
            assert_eq!(probed.rounds, 2);
            assert_eq!(server.waits_for(), 0, "not all of the script happened");
            let may_remove = !script.iter().any(|Rule(on, ..)| *on == "POST");
            assert_eq!(server.s3().objects().is_empty(), may_remove, "{:?}", server.s3().objects());
        },
    );
}

#[test]
fn a_store_that_does_not_answer_is_not_called_a_liar() {
    let cases: &[(&[Rule], Code)] = &[
        (&[Rule("PUT", ALWAYS, Act::Answer(503, "SlowDown"))], Code::StoreFailed),
        (&[Rule("PUT", ALWAYS, Act::Hang)], Code::StoreFailed),
        (&[Rule("GET", ALWAYS, Act::Answer(503, "SlowDown"))], Code::StoreFailed),
        (&[Rule("PUT", ALWAYS, Act::Answer(403, "AccessDenied"))], Code::PermissionDenied),
        (&[Rule("PUT", ALWAYS, Act::Answer(404, "NoSuchBucket"))], Code::SourceMissing),
        (&[Rule("", ALWAYS, Act::Answer(400, "ExpiredToken"))], Code::PermissionDenied),
    ];
    each(
        cases.len(),
        cases,
        |case| format!("{case:?}"),
        |(script, code)| {
            let server = Server::start(Lie::None);
            server.follow(script);
            let error = probed(&store_for(&server, script), 2).unwrap_err();
            assert_eq!(error.code(), *code, "{}", told(&error));
        },
    );
}

#[test]
fn objects_in_memory_keep_every_promise() {
    let client = Arc::new(InMemory::new());
    let clients = Clients { small: Arc::clone(&client) as _, data: client };
    let span = Span::from_seconds(5);
    let bounds = Bounds { small_for: span, data_for: span, retry: RETRY };
    let prefix = Prefix::parse("s3://lake/in memory").unwrap();
    let store = RemoteStore::new(prefix, clients, bounds, Clock::system());
    assert_eq!(probed(&store, 20).unwrap().rounds, 20);
    assert_eq!(block_on(store.list("")).unwrap(), []);
}
