//! Writes, names and lists: nothing is called refused that may be there, and every name comes back
//! as it was.

use std::path::PathBuf;

use bytes::Bytes;
use highwater::error::Code;
use highwater::store::{RemoteStore, Store, Written};
use tempfile::TempDir;

use super::s3::Lie;
use super::server::{ALWAYS, Act, Rule, Server};
use super::{connected, store, store_for, told};
use crate::support::{block_on, new_folder};

const PUT: &str = "PUT lake/state/data";
const DELETE: &str = "POST lake";

/// How a write ended, in a word.
fn word(written: &Written) -> &'static str {
    let (word, error) = match written {
        Written::Stored => return "stored",
        Written::Refused(error) => ("refused", error),
        Written::Untrusted(error) => ("untrusted", error),
        Written::Unclear(error) => ("unclear", error),
    };
    told(error);
    word
}

/// A file to be published.
fn staged(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("staged");
    std::fs::write(&path, text).unwrap();
    path
}

async fn mark(store: &RemoteStore) -> String {
    store.head("data").await.unwrap().unwrap().mark
}

#[test]
fn a_write_is_refused_only_if_it_is_certainly_not_there() {
    let deny = Rule(PUT, ALWAYS, Act::Answer(403, "AccessDenied"));
    let cases: &[(&str, &[Rule], &str, &str)] = &[
        ("nothing", &[], "stored", "stored"),
        ("403", &[deny], "refused", "refused"),
        ("409", &[Rule(PUT, 1, Act::Answer(409, ""))], "unclear", "stored"),
        ("412", &[Rule(PUT, 1, Act::Answer(412, ""))], "unclear", "unclear"),
        ("no bucket", &[Rule(PUT, 1, Act::Answer(404, "NoSuchBucket"))], "refused", "unclear"),
        ("done, closed", &[Rule(PUT, 1, Act::DoneThenClose)], "unclear", "unclear"),
        ("done, silence", &[Rule(PUT, 1, Act::DoneThenHang)], "unclear", "unclear"),
        // The client tries again by itself: that it is refused then says nothing of the first try.
        ("done, 500, 403", &[Rule(PUT, 1, Act::DoneThen(500)), deny], "unclear", "unclear"),
        ("closed, 403", &[Rule(PUT, 1, Act::DoneThenClose), deny], "unclear", "unclear"),
        ("501", &[Rule(PUT, ALWAYS, Act::Answer(501, ""))], "unclear", "unclear"),
    ];
    let folder = new_folder();
    for (name, script, created, replaced) in cases {
        block_on(async {
            let server = Server::start(Lie::None);
            let store = store_for(&server, script);
            server.follow(script);
            let file = staged(&folder, "first");
            let written = store.publish("data", &file, None).await;
            assert_eq!(word(&written), *created, "{name}: {written:?}");
            assert_eq!(file.exists(), *created != "stored", "{name}");

            server.s3().put("lake/state/data", b"old");
            let over = mark(&store).await;
            server.follow(script);
            let file = staged(&folder, "second");
            let written = store.publish("data", &file, Some(&over)).await;
            assert_eq!(word(&written), *replaced, "{name}: {written:?}");
        });
    }
}

#[test]
fn only_the_version_that_was_seen_is_replaced() {
    let server = Server::start(Lie::None);
    let (store, folder) = (store(&server), new_folder());
    block_on(async {
        assert_eq!(word(&store.create("data", Bytes::from("one")).await), "stored");
        assert_eq!(word(&store.create("data", Bytes::from("two")).await), "unclear");
        let seen = mark(&store).await;
        let publish = |text| {
            let (file, seen) = (staged(&folder, text), seen.clone());
            let store = &store;
            async move { store.publish("data", &file, Some(&seen)).await }
        };
        assert_eq!(word(&publish("two").await), "stored");
        assert_eq!(word(&publish("three").await), "unclear");
        assert_eq!(server.s3().objects()["lake/state/data"], b"two");
        let now = store.head("data").await.unwrap().unwrap();
        store.remove(&now).await.unwrap();
        assert_eq!(word(&publish("four").await), "unclear");
        assert!(server.s3().objects().is_empty());
        let unreadable = store.publish("data", folder.path(), None).await;
        assert_eq!(word(&unreadable), "refused");
    });
}

#[test]
fn only_the_version_that_was_seen_is_removed() {
    let server = Server::start(Lie::None);
    let store = store(&server);
    block_on(async {
        server.s3().put("lake/state/data", b"one");
        let seen = store.head("data").await.unwrap().unwrap();
        for act in [Act::NotDeleted, Act::Answer(403, "AccessDenied")] {
            server.follow(&[Rule(DELETE, 1, act)]);
            let error = store.remove(&seen).await.unwrap_err();
            assert_eq!(error.code(), Code::PermissionDenied, "{}", told(&error));
        }
        server.s3().put("lake/state/data", b"two");
        store.remove(&seen).await.unwrap();
        assert_eq!(server.s3().objects().len(), 1);
        store.remove(&store.head("data").await.unwrap().unwrap()).await.unwrap();
        assert!(server.s3().objects().is_empty());
        // Gone already.
        store.remove(&seen).await.unwrap();
    });
}

#[test]
fn a_hint_is_written_again_until_it_is_there() {
    let server = Server::start(Lie::None);
    let store = store(&server);
    block_on(async {
        store.overwrite("data", Bytes::from("one")).await.unwrap();
        server.follow(&[Rule(PUT, 2, Act::Answer(503, "SlowDown"))]);
        store.overwrite("data", Bytes::from("two")).await.unwrap();
        assert_eq!(server.s3().objects()["lake/state/data"], b"two");
        server.follow(&[Rule(PUT, 1, Act::Answer(403, "AccessDenied"))]);
        let error = store.overwrite("data", Bytes::from("three")).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied);
    });
}

#[test]
fn odd_names_come_back_as_they_were() {
    let names = [
        "a b.parquet",
        "a#b.parquet",
        "a%b.parquet",
        "100%25.parquet",
        "dt=2026-01-01/hour=05/x.parquet",
        "größe/ü.parquet",
        "a+b&c<d>e\"f'g.parquet",
        "q?x=1&y=2.parquet",
        "[a]{b}*~^|.parquet",
        "日本.parquet",
    ];
    for url in ["s3://lake/an odd+place/ü%20", "s3://lake"] {
        let server = Server::start(Lie::None);
        let store = connected(&server, url);
        block_on(async {
            for name in names {
                let written = store.create(name, Bytes::from(name)).await;
                assert_eq!(word(&written), "stored", "{name}: {written:?}");
            }
            let root = url.strip_prefix("s3://").unwrap();
            let mut expected = names.map(str::to_owned);
            expected.sort();
            let there = server.s3().objects().into_keys().collect::<Vec<_>>();
            assert_eq!(there, expected.clone().map(|name| format!("{root}/{name}")));

            let listed = store.list("").await.unwrap();
            assert_eq!(
                listed.iter().map(|meta| &meta.key).collect::<Vec<_>>(),
                expected.iter().collect::<Vec<_>>()
            );
            for meta in &listed {
                let whole = 0..meta.size;
                let read = store.read_ranges(meta, std::slice::from_ref(&whole)).await.unwrap();
                assert_eq!(read, [Bytes::from(meta.key.clone())]);
                assert_eq!(store.head(&meta.key).await.unwrap().as_ref(), Some(meta));
                store.remove(meta).await.unwrap();
            }
            assert!(server.s3().objects().is_empty());
        });
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    let server = Server::start(Lie::None);
    let store = store(&server);
    block_on(async {
        for key in ["a//b", "../a", "a/./b", "a/", "/a", "a\nb"] {
            assert_eq!(word(&store.create(key, Bytes::from("x")).await), "refused", "{key}");
            assert!(store.read(key).await.is_err(), "{key}");
        }
        assert!(server.s3().objects().is_empty());
    });
}

#[test]
fn lists_hold_objects_and_neither_scratch_nor_marks_of_folders() {
    let server = Server::start(Lie::None);
    let store = store(&server);
    let s3 = server.s3();
    let seen = ["a/1", "a/2", "a/b/3", "a/b/4", "b", "empty"];
    for name in seen.iter().chain(&["_x", ".x", "a/_y/1", "a/.y", "a/b/_SUCCESS"]) {
        s3.put(&format!("lake/state/{name}"), if *name == "empty" { b"" } else { b"x" });
    }
    s3.put("lake/state-too/a", b"x");
    s3.put("lake/other", b"x");
    for folder in ["lake/state", "lake/state/a", "lake/state/nothing", "lake/state/a/b"] {
        s3.mark_folder(folder);
    }
    let list = |folder| {
        let listed = block_on(store.list(folder)).unwrap();
        listed.into_iter().map(|meta| meta.key).collect::<Vec<_>>()
    };
    assert_eq!(list(""), seen);
    assert_eq!(list("a/"), seen[..4]);
    assert_eq!(list("a/b/"), seen[2..4]);
    // A folder that is named itself is not hidden.
    assert_eq!(list("a/_y/"), ["a/_y/1"]);
    assert_eq!(list("nothing/"), [""; 0]);
    assert!(server.seen("GET lake") > 5, "it has pages");
}

#[test]
fn a_redirected_creation_is_not_taken_for_one() {
    let server = Server::start(Lie::None);
    let store = store(&server);
    block_on(async {
        server.s3().put("lake/state/data", b"other");
        let place: &'static str = Box::leak(format!("{}/lake/state/data", server.url()).into());
        for status in [301, 302, 303, 307, 308] {
            server.follow(&[Rule(PUT, 1, Act::Answer(status, place))]);
            let written = store.create("data", Bytes::from("mine")).await;
            assert_eq!(word(&written), "unclear", "{status}");
        }
    });
}
