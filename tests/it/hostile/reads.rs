//! Reads through a store that does its worst: either the bytes that were asked for, or an error.

use bytes::Bytes;
use highwater::error::Code::{
    InputChanged, PermissionDenied, SourceMissing, StorageFull, StoreFailed, StoreUnfit,
};
use highwater::error::{Code, Result};
use highwater::hash::Sha256;
use highwater::store::{ObjectMeta, Store};

use super::s3::Lie;
use super::server::Act::{
    Answer, Close, HalfABody, Hang, OtherRange, OtherTag, Raw, ShorterBody, StallInBody, WholeBody,
};
use super::server::{ALWAYS, DENIED, ELSEWHERE, FALSE_SUCCESS, NO_BUCKET, Rule, SLOW_DOWN, Server};
use super::{connected, store, store_for, told};
use crate::support::{block_on, each};

const GET: &str = "GET lake/state/data";
const HEAD: &str = "HEAD lake/state/data";
const LIST: &str = "GET lake";

const AT_ONCE: usize = 32;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Whole,
    Ranges,
    Hash,
    Look,
    List,
}
use Ask::{Hash, List, Look, Ranges, Whole};

type Case = (&'static str, Ask, &'static [Rule], Result<(), Code>);

const CHUNKS: &str = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel";

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("half a body", Whole, &[Rule(GET, 1, HalfABody)], Ok(())),
    ("half a body, ever", Whole, &[Rule(GET, ALWAYS, HalfABody)], Err(StoreFailed)),
    ("a stalled body", Whole, &[Rule(GET, 1, StallInBody)], Ok(())),
    ("chunks that end early", Whole, &[Rule(GET, 1, Raw(CHUNKS))], Ok(())),
    ("a storm of 503", Whole, &[Rule(GET, 3, SLOW_DOWN)], Ok(())),
    ("503, ever", Whole, &[Rule(GET, ALWAYS, SLOW_DOWN)], Err(StoreFailed)),
    ("a storm of 429", Whole, &[Rule(GET, 3, Answer(429, ""))], Ok(())),
    ("closed", Whole, &[Rule(GET, 2, Close)], Ok(())),
    ("silence", Whole, &[Rule(GET, 1, Hang)], Ok(())),
    ("a success that is an error", Whole, &[Rule(GET, 1, FALSE_SUCCESS)], Ok(())),
    ("a timeout told as 400", Whole, &[Rule(GET, 1, Answer(400, "RequestTimeout"))], Ok(())),
    ("403", Whole, &[Rule(GET, 1, DENIED)], Err(PermissionDenied)),
    ("expired", Whole, &[Rule(GET, 1, Answer(400, "ExpiredToken"))], Err(PermissionDenied)),
    ("no bucket", Whole, &[Rule(GET, 1, NO_BUCKET)], Err(SourceMissing)),
    ("another region", Whole, &[Rule(GET, ALWAYS, ELSEWHERE)], Err(StoreFailed)),
    ("another region, unnamed", Whole, &[Rule(GET, 1, Answer(307, ""))], Err(StoreFailed)),
    ("a proxy", Whole, &[Rule(GET, 1, Answer(407, ""))], Err(StoreFailed)),
    ("full", Whole, &[Rule(GET, ALWAYS, Answer(507, ""))], Err(StorageFull)),

    ("half a range", Ranges, &[Rule(GET, 1, HalfABody)], Ok(())),
    ("a stalled range", Ranges, &[Rule(GET, 1, StallInBody)], Ok(())),
    ("a shorter range", Ranges, &[Rule(GET, 1, ShorterBody)], Ok(())),
    ("a shorter range, ever", Ranges, &[Rule(GET, ALWAYS, ShorterBody)], Err(StoreFailed)),
    ("another range", Ranges, &[Rule(GET, 1, OtherRange)], Ok(())),
    ("all for a range", Ranges, &[Rule(GET, 1, WholeBody)], Ok(())),
    ("all for a range, ever", Ranges, &[Rule(GET, ALWAYS, WholeBody)], Err(StoreFailed)),
    ("another ETag", Ranges, &[Rule(GET, 1, OtherTag)], Err(InputChanged)),
    ("another version", Ranges, &[Rule(GET, 1, Answer(412, ""))], Err(InputChanged)),
    ("gone", Ranges, &[Rule(GET, 1, Answer(404, "NoSuchKey"))], Err(InputChanged)),
    ("shorter by now", Ranges, &[Rule(GET, 1, Answer(416, "InvalidRange"))], Err(InputChanged)),
    ("403 for a range", Ranges, &[Rule(GET, 1, DENIED)], Err(PermissionDenied)),

    ("half of what is hashed", Hash, &[Rule(GET, 1, HalfABody)], Ok(())),
    ("replaced while hashed", Hash, &[Rule(GET, 1, Answer(412, ""))], Ok(())),
    ("replaced, ever", Hash, &[Rule(GET, ALWAYS, Answer(412, ""))], Err(StoreFailed)),
    ("shorter than said", Hash, &[Rule(GET, ALWAYS, ShorterBody)], Err(StoreFailed)),

    ("503 for a look", Look, &[Rule(HEAD, 2, Answer(503, ""))], Ok(())),
    ("403 for a look", Look, &[Rule(HEAD, 1, Answer(403, ""))], Err(PermissionDenied)),
    ("no ETag", Look, &[Rule(HEAD, ALWAYS, Answer(200, ""))], Err(StoreUnfit)),

    ("503 for a list", List, &[Rule(LIST, 2, Answer(503, ""))], Ok(())),
    ("half a list", List, &[Rule(LIST, 1, HalfABody)], Ok(())),
    ("403 for a list", List, &[Rule(LIST, 1, DENIED)], Err(PermissionDenied)),
    ("no bucket to list", List, &[Rule(LIST, 1, NO_BUCKET)], Err(SourceMissing)),
    ("no XML", List, &[Rule(LIST, ALWAYS, Answer(200, ""))], Err(StoreFailed)),
];

fn body() -> Vec<u8> {
    (0..10_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// Asks `store` for the object at `data` and what is beside it; fails on anything but the truth.
async fn ask(store: &dyn Store, seen: &ObjectMeta, what: Ask) -> Result<()> {
    let body = body();
    match what {
        Whole => assert!(store.read("data").await?.unwrap() == body),
        Ranges => {
            let pieces = store.read_ranges(seen, &[4..40, 39_000..40_000, 40..40, 0..8]).await?;
            let expected = [&body[4..40], &body[39_000..], &[], &body[..8]];
            assert_eq!(pieces, expected.map(Bytes::copy_from_slice));
        }
        Hash => assert_eq!(store.sha256("data").await?.unwrap(), Sha256::of(&body)),
        Look => assert_eq!(store.head("data").await?.unwrap(), *seen),
        List => assert_eq!(store.list("").await?, std::slice::from_ref(seen)),
    }
    Ok(())
}

#[test]
fn what_is_read_is_what_was_asked_for() {
    each(
        AT_ONCE,
        CASES,
        |case| case.0.to_owned(),
        |(_, what, script, expected)| {
            let server = Server::start(Lie::None);
            let (patient, store) = (store(&server), store_for(&server, script));
            server.s3().put("lake/state/data", &body());
            block_on(async {
                let seen = patient.head("data").await.unwrap().unwrap();
                server.follow(script);
                let asked = ask(&store, &seen, *what).await;
                assert_eq!(server.waits_for(), 0, "not all of the script happened");
                let code = asked.as_ref().map_err(|error| {
                    told(error);
                    assert!(error.message().contains("s3://lake/state"), "{error}");
                    error.code()
                });
                assert_eq!(code.copied(), *expected, "{asked:?}");
            });
        },
    );
}

#[test]
fn pieces_of_two_versions_are_never_mixed() {
    for lie in [Lie::None, Lie::IgnoresIfMatch] {
        let server = Server::start(lie);
        let store = store(&server);
        server.s3().put("lake/state/data", &body());
        block_on(async {
            let seen = store.head("data").await.unwrap().unwrap();
            let other: Vec<u8> = body().into_iter().rev().collect();
            server.s3().put("lake/state/data", &other);
            let error = ask(&store, &seen, Ranges).await.unwrap_err();
            assert_eq!(error.code(), Code::InputChanged, "{lie:?}");
            assert_eq!(server.seen("GET lake/state/data if-match"), server.seen(GET));
            let beyond =
                store.read_ranges(&seen, std::slice::from_ref(&(0..40_001))).await.unwrap_err();
            assert_eq!(beyond.code(), Code::CorruptInput);
        });
    }
}

#[test]
fn what_does_not_exist_is_no_error() {
    let server = Server::start(Lie::None);
    let store = store(&server);
    block_on(async {
        assert!(store.read("none").await.unwrap().is_none());
        assert!(store.head("none").await.unwrap().is_none());
        assert!(store.sha256("none").await.unwrap().is_none());
        assert_eq!(store.list("none/").await.unwrap(), []);
    });
}

#[test]
fn a_large_object_is_read_by_the_patient_client() {
    let server = Server::start(Lie::None);
    let store = store(&server);
    let large = vec![7; (8 << 20) + 1];
    server.s3().put("lake/state/data", &large);
    let read = block_on(store.read("data")).unwrap().unwrap();
    assert!(read == large);
    assert_eq!(server.seen(GET), 2);
}

/// A refusal that repeats what it was sent.
const ECHO: &str = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n\
    <Error><Code>InvalidToken</Code><Message>canary-of-the-session-token is bad</Message>\
    <AWSAccessKeyId>AKIDCANARYCANARY</AWSAccessKeyId><Token-0>canary</Token-0></Error>";

#[test]
fn what_the_store_says_of_credentials_is_not_repeated() {
    let server = Server::start(Lie::None);
    let store = connected(&server, "s3://lake/state");
    server.follow(&[Rule(GET, 1, Raw(ECHO))]);
    let error = block_on(store.read("data")).unwrap_err();
    let told = told(&error);
    assert_eq!(error.code(), Code::PermissionDenied, "{told}");
    assert!(told.contains("403 InvalidToken: … is bad"), "{told}");
}
