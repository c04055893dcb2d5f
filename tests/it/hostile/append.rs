//! One entry is appended to the log, by the real publisher, while the store does its worst.

use std::sync::Arc;

use highwater::clock::Clock;
use highwater::commit::Identity;
use highwater::error::Code::{OutcomeUnknown, PermissionDenied, SourceMissing};
use highwater::error::{Code, Result};
use highwater::id::{PipelineName, RunId, Seq};
use highwater::log::StateLog;
use highwater::publish::Publisher;
use highwater::state::{Body, ClaimReason, Who};
use highwater::store::Store;

use super::s3::Lie;
use super::server::Act::{
    Answer, Close, DoneThen, DoneThenClose, DoneThenHalfALine, DoneThenHang, DoneThenReset,
    HalfABody, Hang, Raw, Serve, StallInBody,
};
use super::server::{ALWAYS, DENIED, ELSEWHERE, FALSE_SUCCESS, NO_BUCKET, Rule, SLOW_DOWN, Server};
use super::{connected, store, store_for, told};
use crate::support::{block_on, each};

const PUT: &str = "PUT lake/state/log/00000000000000000001";
const GET: &str = "GET lake/state/log/00000000000000000001";
const ANY: &str = "";

/// Most cases only wait.
const AT_ONCE: usize = 48;

/// What happens to an append: what the store does, what it ends with, whether the entry is there.
type Case = (&'static str, &'static [Rule], Result<(), Code>, bool);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("nothing happens", &[], Ok(()), true),
    // The table of lost answers.
    ("done, 500", &[Rule(PUT, 1, DoneThen(500))], Ok(()), true),
    ("done, 503", &[Rule(PUT, 1, DoneThen(503))], Ok(()), true),
    ("done, closed", &[Rule(PUT, 1, DoneThenClose)], Ok(()), true),
    ("done, half a line", &[Rule(PUT, 1, DoneThenHalfALine)], Ok(()), true),
    ("done, reset", &[Rule(PUT, 1, DoneThenReset)], Ok(()), true),
    ("done, silence", &[Rule(PUT, 1, DoneThenHang)], Ok(()), true),
    ("done, 409", &[Rule(PUT, 1, DoneThen(409))], Ok(()), true),
    ("409 and nothing stored",
        &[Rule(PUT, 1, Answer(409, "ConditionalRequestConflict"))], Ok(()), true),
    ("412 and nothing stored", &[Rule(PUT, 1, Answer(412, "PreconditionFailed"))], Ok(()), true),
    ("304 and nothing stored", &[Rule(PUT, 1, Answer(304, ""))], Ok(()), true),
    // Nothing is done at first.
    ("500 thrice", &[Rule(PUT, 3, Answer(500, "InternalError"))], Ok(()), true),
    ("a storm of 503", &[Rule(PUT, 4, SLOW_DOWN)], Ok(()), true),
    ("a storm of 429", &[Rule(PUT, 4, Answer(429, "TooManyRequests"))], Ok(()), true),
    ("closed twice", &[Rule(PUT, 2, Close)], Ok(()), true),
    ("silence once", &[Rule(PUT, 1, Hang)], Ok(()), true),
    ("a success that is an error", &[Rule(PUT, 1, FALSE_SUCCESS)], Ok(()), true),
    ("no HTTP", &[Rule(PUT, 1, Raw("220 mail.example ready\r\n"))], Ok(()), true),
    // The answer is lost, and reading back fails as well.
    ("done, 500, unreadable for a while",
        &[Rule(PUT, 1, DoneThen(500)), Rule(GET, 3, SLOW_DOWN)], Ok(()), true),
    ("done, closed, half of it read",
        &[Rule(PUT, 1, DoneThenClose), Rule(GET, 2, HalfABody)], Ok(()), true),
    ("done, closed, stalled while read",
        &[Rule(PUT, 1, DoneThenClose), Rule(GET, 1, StallInBody)], Ok(()), true),
    ("done, closed, read as an error",
        &[Rule(PUT, 1, DoneThenClose), Rule(GET, 1, FALSE_SUCCESS)], Ok(()), true),
    ("stored by an early try, seen by a late one",
        &[Rule(PUT, 1, Close), Rule(PUT, 1, DoneThenReset), Rule(PUT, 1, DoneThen(500)),
          Rule(GET, 2, Answer(404, "NoSuchKey"))], Ok(()), true),
    // Certainly not stored.
    ("403", &[Rule(PUT, ALWAYS, DENIED)], Err(PermissionDenied), false),
    ("403 for the key",
        &[Rule(PUT, ALWAYS, Answer(403, "InvalidAccessKeyId"))], Err(PermissionDenied), false),
    ("401", &[Rule(PUT, ALWAYS, Answer(401, ""))], Err(PermissionDenied), false),
    ("no bucket", &[Rule(PUT, ALWAYS, NO_BUCKET)], Err(SourceMissing), false),
    // Nobody can know, or wants to bet on it.
    ("done, 500, 403 ever after",
        &[Rule(PUT, 1, DoneThen(500)), Rule(ANY, ALWAYS, DENIED)],
        Err(OutcomeUnknown), true),
    ("closed, 403 ever after",
        &[Rule(PUT, 1, Close), Rule(PUT, ALWAYS, DENIED)],
        Err(OutcomeUnknown), false),
    ("expired credentials",
        &[Rule(ANY, ALWAYS, Answer(400, "ExpiredToken"))], Err(OutcomeUnknown), false),
    ("503 without end", &[Rule(PUT, ALWAYS, SLOW_DOWN)], Err(OutcomeUnknown), false),
    ("silence without end", &[Rule(PUT, ALWAYS, Hang)], Err(OutcomeUnknown), false),
    ("a proxy", &[Rule(PUT, ALWAYS, Answer(407, ""))], Err(OutcomeUnknown), false),
    ("another region", &[Rule(PUT, ALWAYS, ELSEWHERE)], Err(OutcomeUnknown), false),
    ("no conditional writes",
        &[Rule(PUT, ALWAYS, Answer(501, "NotImplemented"))], Err(OutcomeUnknown), false),
];

fn name(case: &Case) -> String {
    case.0.to_owned()
}

fn who() -> Who {
    let word = |text: &str| text.to_owned();
    Who { host: word("here"), pid: 1, boot: word("b"), start: word("s"), ver: word("0") }
}

fn claim() -> Body {
    Body::Claim { takes: None, reason: ClaimReason::Released }
}

/// A log with its first entry, and a publisher on top of it.
async fn begin(store: Arc<dyn Store>) -> (StateLog, Publisher) {
    let (clock, run) = (Clock::system(), RunId(Clock::system().new_id()));
    let log = StateLog::new(Arc::clone(&store), PipelineName::new("tiny").unwrap());
    let mut created = log.open_or_create(&who(), run, &clock).await;
    // On a busy machine an answer may be late before anything is to be tried.
    for _ in 0..5 {
        if created.is_err() {
            created = log.open_or_create(&who(), run, &clock).await;
        }
    }
    let state = created.unwrap().state;
    let publisher = Publisher::new(log.clone(), store, clock, Identity { who: who(), run }, state);
    (log, publisher)
}

fn entries(server: &Server) -> usize {
    server.s3().objects().keys().filter(|path| path.contains("/log/")).count()
}

/// Appends one entry while `server` follows `script`; then the log must be whole, with as many
/// entries as were stored.
fn append(server: &Server, store: Arc<dyn Store>, case: &Case) {
    let (_, script, expected, is_stored) = case;
    block_on(async {
        let (log, mut publisher) = begin(store).await;
        server.follow(script);
        let appended = publisher.append(claim()).await;
        assert_eq!(server.waits_for(), 0, "not all of the script happened");
        match (&appended, expected) {
            (Ok(seq), Ok(())) => assert_eq!(*seq, Seq(1)),
            (Err(error), Err(code)) => assert_eq!(error.code(), *code, "{}", told(error)),
            _ => panic!("{appended:?}"),
        }
        server.follow(&[]);
        let state = log.read().await.unwrap().unwrap();
        assert_eq!(state.next_seq(), Some(Seq(1 + u64::from(*is_stored))));
        assert_eq!(entries(server), 1 + usize::from(*is_stored));
        if let Err(error) = appended {
            told(&error);
        } else {
            // And it goes on from there.
            assert_eq!(publisher.append(Body::Release).await.unwrap(), Seq(2));
        }
    });
}

#[test]
fn an_entry_is_appended_once_or_not_at_all_and_its_writer_knows() {
    std::thread::scope(|scope| {
        scope.spawn(lose_the_store);
        each(AT_ONCE, CASES, name, |case| {
            let server = Server::start(Lie::None);
            append(&server, Arc::new(store_for(&server, case.1)), case);
        });
    });
}

#[test]
fn azure_says_that_a_condition_failed_where_a_key_exists() {
    let lost: Vec<&Case> = CASES.iter().filter(|case| case.2.is_ok()).take(10).collect();
    each(
        AT_ONCE,
        &lost,
        |case| name(case),
        |case| {
            let server = Server::start(Lie::None);
            let store = connected(&server, "az://lake/state");
            // Its client waits as long as a real one: what hangs is left to the others.
            if !case.0.contains("silence") {
                append(&server, Arc::new(store), case);
            }
        },
    );
}

/// A store that is gone leaves the outcome unknown.
fn lose_the_store() {
    let server = Server::start(Lie::None);
    let store = store(&server);
    block_on(async {
        let (_, mut publisher) = begin(Arc::new(store)).await;
        drop(server);
        let error = publisher.append(claim()).await.unwrap_err();
        assert_eq!(error.code(), Code::OutcomeUnknown, "{}", told(&error));
    });
}

#[test]
fn of_two_writers_one_appends() {
    for act in [Serve, DoneThen(500), DoneThenClose] {
        let server = Server::start(Lie::None);
        block_on(async {
            let (_, mut first) = begin(Arc::new(store(&server))).await;
            let (_, mut second) = begin(Arc::new(store(&server))).await;
            first.append(claim()).await.unwrap();
            server.follow(&[Rule(PUT, 1, act)]);
            let error = second.append(claim()).await.unwrap_err();
            assert_eq!(error.code(), Code::LeaseHeld, "{}", told(&error));
            // Nothing of the second is there.
            assert_eq!(first.append(Body::Release).await.unwrap(), Seq(2));
            assert_eq!(entries(&server), 3);
        });
    }
}
