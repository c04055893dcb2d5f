//! One history: some processes, what befalls them, and what must be true afterwards.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use highwater::clock::Clock;
use highwater::commit::Identity;
use highwater::config::{ConfigInput, load};
use highwater::error::{Code, ErrorKind};
use highwater::id::RunId;
use highwater::log::Pace;
use highwater::report::{Observer, PipelineReport, RunEvent};
use highwater::run::{Asked, Depth, Extent, Project, Stop, run_pipeline, verify_pipeline};
use highwater::spec::ProjectSpec;
use highwater::state::{Request, Verb, Who};
use highwater::store::{Bounds, Clients, RemoteStore, RetrySpec};
use highwater::time::{EventTime, Span};
use tempfile::TempDir;
use tokio::task::LocalSet;

use super::bucket::{Bucket, STATE, hash, time};
use super::fault::{Fault, Faults, SOMETIMES};
use super::model::{Feed, HOURS};
use super::store::Client;
use super::world::{Idle, Next, Pid, ProcessTime, Standing, World};
use crate::support::{DAY_0, Dice, HOUR, TINY, new_folder};

/// The longest time between the first and the last deed of a history, in microseconds.
const DEEDS_WITHIN: u64 = 3_000_000;

/// The configuration of all histories: read once, for that takes longer than to plan its query.
static SPEC: LazyLock<ProjectSpec> = LazyLock::new(|| {
    let config = TINY
        .replace("root = \".\"", "root = \"s3://lake/w\"")
        .replace("SELECT event_time,", "SELECT CAST(event_time AS BIGINT) AS at,")
        .replace("\"event_time\", \"key\"", "\"at\", \"key\"");
    let spec = load(&ConfigInput {
        text: &config,
        origin: "config.toml",
        base: &std::env::temp_dir(),
        environment: &[],
        read_sql: &|path| fs::read_to_string(path),
    });
    let mut spec = spec.unwrap();
    spec.lease.patience = Span::from_micros(800_000).unwrap();
    spec.lease.heartbeat = Span::from_micros(100_000).unwrap();
    spec
});

/// What a real probe found of a store without faults: asked once, for it takes longer than a
/// history.
static FINDING: LazyLock<Bytes> = LazyLock::new(|| {
    let mut history = History::new(Dice(0), Bytes::new());
    history.feed_last();
    block_on(&history.idle.clone(), async {
        history.start(Asked::Run);
        history.go_on().await;
    });
    history.world.lock().bucket.get(&format!("{STATE}FORMAT.json")).unwrap().bytes.clone()
});

/// Something that befalls a history.
#[derive(Clone, Debug)]
enum Deed {
    Start(Asked),
    Feed,
    /// The process started as this one is killed.
    Kill(usize),
    /// It is not run for so long.
    Stop(usize, u64),
    /// Its clock jumps.
    Jump(usize, i64),
}

/// A process, as whoever started it sees it.
struct Started {
    time: &'static ProcessTime,
    asked: Asked,
    run: RunId,
    staging: PathBuf,
}

/// How a process ended.
type Ended = Vec<(Pid, PipelineReport, Vec<(u64, EventTime)>)>;

struct History {
    dice: Dice,
    world: Arc<World>,
    idle: Arc<Idle>,
    feed: Feed,
    started: Vec<Started>,
    ended: Arc<Mutex<Ended>>,
    deeds: Vec<Deed>,
    folder: TempDir,
}

/// Runs `work` on a runtime of one thread, which tells when it has nothing to do.
fn block_on<T>(idle: &Arc<Idle>, work: impl Future<Output = T>) -> T {
    let idle = idle.clone();
    tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .on_thread_park(move || idle.report())
        .build()
        .unwrap()
        .block_on(LocalSet::new().run_until(work))
}

/// Notes what a process was told is committed.
struct Witness(Mutex<Vec<(u64, EventTime)>>);

impl Observer for Witness {
    fn on(&self, event: RunEvent<'_>) {
        if let RunEvent::Committed { window, seq, .. } = event {
            self.0.lock().unwrap().push((seq.0, window.start));
        }
    }
}

impl History {
    fn new(dice: Dice, finding: Bytes) -> Self {
        let mut bucket = Bucket::default();
        if !finding.is_empty() {
            bucket.put(0, &format!("{STATE}FORMAT.json"), finding);
        }
        let idle = Arc::new(Idle::default());
        let world = World::new(dice.clone(), bucket, idle.clone());
        let (feed, folder) = (Feed::default(), new_folder());
        let (started, ended, deeds) = (Vec::new(), Arc::default(), Vec::new());
        Self { dice, world, idle, feed, started, ended, deeds, folder }
    }

    fn put(&self, (key, bytes): (String, Bytes)) {
        let mut inner = self.world.lock();
        let now = inner.now;
        inner.bucket.put(now, &key, bytes);
    }

    fn feed(&mut self) {
        let fed = self.feed.change(&mut self.dice);
        self.put(fed);
    }

    fn feed_last(&mut self) {
        let fed = self.feed.close();
        self.put(fed);
    }

    /// The project as process `pid` opens it.
    fn project(&mut self, pid: Pid) -> (Project, &'static ProcessTime) {
        let skew = i64::try_from(self.dice.roll(7_200_000_000)).unwrap() - 3_600_000_000;
        let ids = Dice(self.dice.roll(u64::MAX));
        let time = ProcessTime::leak(&self.world, pid, skew, ids);
        let clock: Clock = time.clock();
        let who = Who {
            host: format!("host-{pid}"),
            pid: u32::try_from(pid).unwrap(),
            boot: "boot".to_owned(),
            start: "1".to_owned(),
            ver: "0".to_owned(),
        };
        let identity = Identity { who, run: RunId(clock.new_id()) };
        let mut spec = SPEC.clone();
        spec.engine.temp_directory = self.folder.path().join(format!("host-{pid}"));
        fs::create_dir_all(&spec.engine.temp_directory).unwrap();
        let client = Arc::new(Client { world: self.world.clone(), pid });
        let bounds = Bounds {
            small_for: Span::from_seconds(2),
            data_for: Span::from_seconds(4),
            retry: RetrySpec { max_retries: 3, retry_timeout: Span::from_seconds(60) },
        };
        let project = Project::connected(spec, clock, identity, &mut |prefix| {
            let clients = Clients { small: client.clone(), data: client.clone() };
            Ok(RemoteStore::new(prefix.clone(), clients, bounds, clock))
        });
        (project.unwrap().with_pace(Pace { entries: 5, windows: 3 }), time)
    }

    /// Starts a process.
    fn start(&mut self, asked: Asked) {
        let pid = self.started.len();
        let (project, time) = self.project(pid);
        let name = &project.spec.pipelines[0].name;
        let (run, staging) = (project.identity.run, project.staging(name));
        self.started.push(Started { time, asked: asked.clone(), run, staging });
        self.world.lock().processes.push(Standing::Running);
        let (world, ended) = (self.world.clone(), self.ended.clone());
        tokio::task::spawn_local(async move {
            let (stop, witness) = (Stop::default(), Witness(Mutex::default()));
            let spec = &project.spec.pipelines[0];
            let report = run_pipeline(&project, spec, &asked, &stop, &witness).await;
            let told = witness.0.into_inner().unwrap();
            let mut inner = world.lock();
            let text = match report.errors.first() {
                Some(why) => format!("{} {}", why.code(), why.message()),
                None => format!("{:?} {:?}", report.kind(), report.entries),
            };
            let now = self::time(inner.now);
            inner.bucket.trace.push(format!("{now} p{pid} ended: {text}"));
            let is_fenced = report.errors.iter().any(|why| why.kind() == ErrorKind::Fenced);
            let watcher = &mut inner.bucket.watcher;
            if is_fenced && !watcher.is_superseded(pid) {
                watcher.violations.push(format!("p{pid} was not fenced: {:?}", report.errors));
            }
            if let Some(standing) = inner.processes.get_mut(pid) {
                *standing = Standing::Done;
            }
            ended.lock().unwrap().push((pid, report, told));
        });
    }

    /// Goes on until no process lives and no deed is left.
    async fn go_on(&mut self) {
        let mut left = self.deeds.len();
        loop {
            let next = self.world.step().await;
            if let Next::Deed(deed) = next {
                left -= 1;
                let deed = self.deeds[deed].clone();
                self.carry_out(deed);
            }
            let inner = self.world.lock();
            assert!(inner.bucket.watcher.violations.is_empty(), "a promise is broken");
            let is_over = |standing| matches!(standing, Standing::Dead | Standing::Done);
            if left == 0 && inner.processes.iter().copied().all(is_over) {
                self.deeds.clear();
                return;
            }
            assert_ne!(next, Next::Nothing, "somebody waits for nothing");
        }
    }

    fn carry_out(&mut self, deed: Deed) {
        let mut inner = self.world.lock();
        let now = inner.now;
        inner.bucket.trace.push(format!("{} {deed:?}", time(now)));
        match deed {
            Deed::Start(asked) => {
                drop(inner);
                self.start(asked);
            }
            Deed::Feed => {
                drop(inner);
                self.feed();
            }
            Deed::Kill(pid) => {
                let Some(standing) = inner.processes.get_mut(pid) else { return };
                if *standing != Standing::Done {
                    *standing = Standing::Dead;
                    SOMETIMES.note("kill");
                    if self.dice.roll(2) == 0 {
                        let _ = fs::remove_dir_all(&self.started[pid].staging);
                    }
                }
            }
            Deed::Stop(pid, micros) => {
                let until = inner.now + micros;
                if let Some(standing @ Standing::Running) = inner.processes.get_mut(pid) {
                    *standing = Standing::StoppedUntil(until);
                    SOMETIMES.note("stop");
                }
            }
            Deed::Jump(pid, micros) => {
                if let Some(started) = self.started.get(pid) {
                    drop(inner);
                    started.time.jump(micros);
                }
            }
        }
    }

    /// Makes up what will happen.
    fn make_up(&mut self) {
        let dice = &mut self.dice;
        let starts = 2 + dice.roll(4);
        let mut deeds: Vec<Deed> = (0..starts).map(|_| Deed::Start(asked(dice))).collect();
        deeds.extend((0..dice.roll(4)).map(|_| Deed::Feed));
        let someone = |dice: &mut Dice| usize::try_from(dice.roll(starts)).unwrap();
        deeds.extend((0..dice.roll(3)).map(|_| Deed::Kill(someone(dice))));
        deeds.extend((0..dice.roll(3)).map(|_| {
            let micros = 500_000 + dice.roll(10_000_000);
            Deed::Stop(someone(dice), micros)
        }));
        deeds.extend((0..dice.roll(2)).map(|_| {
            let micros = i64::try_from(dice.roll(200_000_000)).unwrap() - 100_000_000;
            Deed::Jump(someone(dice), micros)
        }));
        let within = *dice.pick(&[100_000, DEEDS_WITHIN, DEEDS_WITHIN]);
        let mut inner = self.world.lock();
        inner.latency_max = *dice.pick(&[2_000, 20_000, 60_000]);
        for (place, deed) in deeds.iter().enumerate() {
            let at =
                if matches!(deed, Deed::Start(_)) && place == 0 { 0 } else { dice.roll(within) };
            inner.plan(at, place);
        }
        inner.bucket.faults = Some(Faults::random(dice));
        drop(inner);
        self.deeds = deeds;
    }

    /// What processes said of themselves must be so.
    fn check_reports(&self, faults: &Faults) -> Vec<String> {
        let mut wrong = Vec::new();
        let inner = self.world.lock();
        let entries = &inner.bucket.watcher.entries;
        for (pid, report, told) in self.ended.lock().unwrap().iter() {
            let started = &self.started[*pid];
            for (seq, start) in told {
                let entry = entries.get(usize::try_from(*seq).unwrap());
                let windows = entry.and_then(|(entry, _)| entry["windows"].as_array());
                let start = start.to_string();
                let has = windows.is_some_and(|all| all.iter().any(|w| w["start"] == *start));
                if !has || entry.is_none_or(|(entry, _)| entry["kind"] != "commit") {
                    wrong.push(format!("p{pid} was told that {start} is committed by {seq}"));
                }
            }
            if let Some((_, last)) = report.entries {
                let entry = entries.get(usize::try_from(last.0).unwrap());
                let is_own = entry.is_some_and(|(entry, _)| {
                    entry["kind"] == "release" && entry["run"] == *started.run.to_string()
                });
                if !is_own {
                    wrong.push(format!("p{pid} was told that it released with {last}"));
                }
            }
            if let Some(id) = report.left {
                SOMETIMES.note("left in the inbox");
                let id = id.to_string();
                if !entries.iter().any(|(entry, _)| entry["inbox"] == *id) {
                    wrong.push(format!("p{pid} left {id}, and nobody took it in"));
                }
            }
            if let (Asked::Request(_), None, None) = (&started.asked, report.kind(), report.left)
                && report.request.is_none()
            {
                wrong.push(format!("p{pid} said that all is well, and its request is nowhere"));
            }
            for why in &report.errors {
                SOMETIMES.note(format!("exit {}", why.kind().exit_code()));
                let is_odd = match why.kind() {
                    ErrorKind::Corrupt => !faults.has(Fault::Flip),
                    ErrorKind::Config => true,
                    _ => matches!(why.code(), Code::Bug | Code::StoreUnfit),
                };
                if is_odd {
                    wrong.push(format!("p{pid} said: {why:?}"));
                }
            }
        }
        wrong
    }

    /// What is left to be done, without faults. What does not hold then.
    async fn conclude(&mut self) -> Vec<String> {
        let faults = self.world.lock().bucket.faults.replace(Faults::NONE);
        self.feed_last();
        let mut wrong = Vec::new();
        let mut left = 2;
        while left > 0 {
            let landed = self.world.lock().bucket.landed;
            self.start(Asked::Run);
            self.go_on().await;
            let has_landed = self.world.lock().bucket.landed > landed;
            let ended = self.ended.lock().unwrap();
            let (pid, report, _) = ended.last().unwrap();
            // What a dead process had sent looks like a sign of life when it lands.
            let is_held = report.kind() == Some(ErrorKind::LeaseHeld) && has_landed;
            if *pid + 1 != self.started.len() || (report.kind().is_some() && !is_held) {
                wrong.push(format!("a run without faults failed: {report:?}"));
            }
            drop(ended);
            if is_held {
                SOMETIMES.note("held by what landed late");
                continue;
            }
            left -= 1;
            self.world.lock().land_all();
        }
        wrong.extend(self.check_reports(&faults.unwrap_or(Faults::NONE)));
        wrong.extend(self.verify().await);
        let mut inner = self.world.lock();
        let bucket = &mut inner.bucket;
        wrong.extend(self.feed.differences(bucket));
        let left = bucket.below(&format!("{STATE}inbox/"));
        wrong.extend(left.iter().map(|(key, _)| format!("{key} is left")));
        bucket.watcher.at_the_end();
        bucket.watcher.check_appends(&bucket.appends);
        wrong.append(&mut bucket.watcher.violations);
        wrong
    }

    async fn verify(&mut self) -> Vec<String> {
        let pid = self.started.len();
        let (project, _) = self.project(pid);
        self.world.lock().processes.push(Standing::Running);
        let found = Arc::new(Mutex::new(None));
        let verified = found.clone();
        tokio::task::spawn_local(async move {
            let spec = &project.spec.pipelines[0];
            let result = verify_pipeline(&project, spec, &Extent::all(Depth::Full)).await;
            *verified.lock().unwrap() = Some(result);
        });
        while found.lock().unwrap().is_none() {
            self.world.step().await;
        }
        match found.lock().unwrap().take() {
            Some(Ok(verified)) => {
                verified.problems.iter().map(|problem| format!("{problem:?}")).collect()
            }
            other => vec![format!("{other:?}")],
        }
    }
}

/// What somebody asks of the pipeline.
fn asked(dice: &mut Dice) -> Asked {
    let verb = match dice.roll(4) {
        0 => Verb::Backfill,
        1 => Verb::Reprocess,
        _ => return Asked::Run,
    };
    let first = DAY_0 + i64::try_from(dice.roll(HOURS)).unwrap() * HOUR;
    let (start, end) = (EventTime::from_micros(first), EventTime::from_micros(first + 2 * HOUR));
    Asked::Request(Request::new(verb, start, end))
}

/// What there is to say of a history.
pub(crate) struct Told {
    /// What is wrong.
    pub(crate) wrong: Vec<String>,
    pub(crate) trace: Vec<String>,
    /// Names the trace.
    pub(crate) hash: String,
}

/// The history of `seed`.
pub(crate) fn history(seed: u64) -> Told {
    let finding = FINDING.clone();
    let mut history = History::new(Dice(seed), finding);
    let wrong = block_on(&history.idle.clone(), async {
        let work = std::panic::AssertUnwindSafe(async {
            history.feed();
            history.make_up();
            history.go_on().await;
            history.conclude().await
        });
        match futures::FutureExt::catch_unwind(work).await {
            Ok(wrong) => wrong,
            Err(_) => vec!["it broke off, see above".to_owned()],
        }
    });
    let mut inner = history.world.lock();
    let mut wrong = wrong;
    wrong.append(&mut inner.bucket.watcher.violations);
    let trace = std::mem::take(&mut inner.bucket.trace);
    let hash = hash(trace.join("\n").as_bytes());
    Told { wrong, trace, hash }
}
