//! Simulated time: whatever any process waits for is an event in one queue, and the history goes
//! from one to the next while nobody runs.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use highwater::clock::{Clock, TimeSource};
use highwater::time::ProcessingTime;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::bucket::{Bucket, Delivery};
use crate::support::{DAY_0, Dice};

/// A process of a history, by its number.
pub(crate) type Pid = usize;

/// Rounds of work off the thread that can follow each other while no process waits for the store.
const ROUNDS: usize = 6;

/// A history that takes more steps than this will not end.
const STEPS_MAX: u64 = 50_000;

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Running,
    /// Nothing of it happens before this time.
    StoppedUntil(u64),
    /// Nothing of it happens any more.
    Dead,
    /// It has come to its end.
    Done,
}

/// What happens at a time.
enum Event {
    /// Somebody waited for this. The number is random, for whatever they do next.
    Wake(oneshot::Sender<u64>),
    /// What was sent long ago arrives.
    Land(Delivery),
    /// The history itself goes on.
    Deed(usize),
}

/// Ordered by time, then process, then what for: no order in which threads get there shows.
type Key = (u64, Pid, String, u64);

/// What is due, for the history to carry out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Processes go on.
    Woken,
    Deed(usize),
    /// Nothing waits for anything.
    Nothing,
}

/// All that there is.
pub(crate) struct World {
    inner: Mutex<Inner>,
    idle: Arc<Idle>,
}

pub(crate) struct Inner {
    /// In microseconds since the history began.
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) bucket: Bucket,
    pub(crate) processes: Vec<Standing>,
    /// The longest time that an answer takes, in microseconds.
    pub(crate) latency_max: u64,
    queue: BTreeMap<Key, Event>,
    /// What the dead wait for.
    frozen: Vec<oneshot::Sender<u64>>,
    events: u64,
    steps: u64,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl World {
    pub(crate) fn new(dice: Dice, bucket: Bucket, idle: Arc<Idle>) -> Arc<Self> {
        let inner = Inner {
            now: 0,
            dice,
            bucket,
            processes: Vec::new(),
            latency_max: 10_000,
            queue: BTreeMap::new(),
            frozen: Vec::new(),
            events: 0,
            steps: 0,
        };
        Arc::new(Self { inner: Mutex::new(inner), idle })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A history that broke off still has a trace.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `micros`, as process `pid`; a random number.
    pub(crate) async fn wait(&self, pid: Pid, micros: u64, label: String) -> u64 {
        let answer = {
            let (sender, answer) = oneshot::channel();
            let mut inner = self.lock();
            let at = inner.now.saturating_add(micros);
            inner.push(at, pid, label, Event::Wake(sender));
            answer
        };
        match answer.await {
            Ok(random) => random,
            // The history is over.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits for a call of process `pid` to reach the store. Calls that it makes at once arrive at
    /// once.
    pub(crate) async fn arrive(&self, pid: Pid, label: String) -> u64 {
        let micros = {
            let inner = self.lock();
            let mut dice = Dice(inner.dice.0 ^ inner.steps.rotate_left(32) ^ pid as u64);
            1 + dice.roll(inner.latency_max)
        };
        self.wait(pid, micros, label).await
    }

    /// Lets everybody run until all wait, then makes the next thing happen.
    pub(crate) async fn step(&self) -> Next {
        for _ in 0..ROUNDS {
            self.idle.wait().await;
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        }
        self.idle.wait().await;
        self.lock().next()
    }
}

impl Inner {
    fn push(&mut self, at: u64, pid: Pid, label: String, event: Event) {
        self.events += 1;
        self.queue.insert((at, pid, label, self.events), event);
    }

    /// A deed of the history is due `micros` from now.
    pub(crate) fn plan(&mut self, micros: u64, deed: usize) {
        self.push(self.now + micros, Pid::MAX, String::new(), Event::Deed(deed));
    }

    /// What was sent arrives `micros` from now, whatever becomes of its sender.
    pub(crate) fn land_later(&mut self, micros: u64, delivery: Delivery) {
        self.push(self.now + micros, delivery.pid, "late".to_owned(), Event::Land(delivery));
    }

    /// Whatever is under way arrives now.
    pub(crate) fn land_all(&mut self) {
        let late = self.queue.iter().filter(|(_, event)| matches!(event, Event::Land(_)));
        let late: Vec<Key> = late.map(|(key, _)| key.clone()).collect();
        for key in late {
            if let Some(Event::Land(delivery)) = self.queue.remove(&key) {
                self.bucket.land(self.now, &delivery);
            }
        }
    }

    /// Makes one thing happen. One and no more: were two tasks woken at once, the order in which
    /// threads come to them would show, in who takes the next id or meets the next fault.
    fn next(&mut self) -> Next {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "the history does not end");
        while let Some(first) = self.queue.first_entry() {
            let ((at, pid, label, number), event) = first.remove_entry();
            let sender = match event {
                Event::Deed(deed) => {
                    self.now = self.now.max(at);
                    return Next::Deed(deed);
                }
                Event::Land(delivery) => {
                    self.now = self.now.max(at);
                    self.bucket.land(self.now, &delivery);
                    continue;
                }
                Event::Wake(sender) if sender.is_closed() => continue,
                Event::Wake(sender) => sender,
            };
            match self.processes.get_mut(pid) {
                Some(Standing::Dead) => self.frozen.push(sender),
                Some(Standing::StoppedUntil(until)) if *until > at => {
                    self.queue.insert((*until, pid, label, number), Event::Wake(sender));
                }
                standing => {
                    if let Some(standing @ Standing::StoppedUntil(_)) = standing {
                        *standing = Standing::Running;
                    }
                    self.now = self.now.max(at);
                    let _ = sender.send(self.dice.roll(u64::MAX));
                    return Next::Woken;
                }
            }
        }
        Next::Nothing
    }
}

/// Tells when a runtime of one thread has nothing to run.
#[derive(Debug, Default)]
pub(crate) struct Idle(Mutex<Option<Waker>>);

impl Idle {
    /// To be called whenever the thread is about to sleep.
    pub(crate) fn report(&self) {
        let waiting = self.0.lock().unwrap().take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    fn wait(&self) -> UntilIdle<'_> {
        UntilIdle { idle: self, is_waiting: false }
    }
}

struct UntilIdle<'a> {
    idle: &'a Idle,
    is_waiting: bool,
}

impl Future for UntilIdle<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.idle.0.lock().unwrap();
        if self.is_waiting && waiting.is_none() {
            return Poll::Ready(());
        }
        *waiting = Some(context.waker().clone());
        drop(waiting);
        self.is_waiting = true;
        Poll::Pending
    }
}

/// The time as one process sees it.
#[derive(Debug)]
pub(crate) struct ProcessTime {
    world: Weak<World>,
    pid: Pid,
    inner: Mutex<(i64, Dice)>,
}

impl ProcessTime {
    /// A clock that is off by `skew` microseconds. It is never freed, for a clock is copied freely;
    /// the world is.
    pub(crate) fn leak(world: &Arc<World>, pid: Pid, skew: i64, dice: Dice) -> &'static Self {
        let world = Arc::downgrade(world);
        Box::leak(Box::new(Self { world, pid, inner: Mutex::new((skew, dice)) }))
    }

    /// The clock jumps.
    pub(crate) fn jump(&self, micros: i64) {
        self.inner.lock().unwrap().0 += micros;
    }

    pub(crate) fn clock(&'static self) -> Clock {
        Clock::simulated(self)
    }

    fn micros(&self) -> i64 {
        let now = self.world.upgrade().map_or(0, |world| world.lock().now);
        DAY_0 + i64::try_from(now).unwrap() + self.inner.lock().unwrap().0
    }
}

impl TimeSource for ProcessTime {
    fn now(&self) -> ProcessingTime {
        ProcessingTime::from_micros(self.micros())
    }

    fn new_id(&self) -> Uuid {
        let millis = u128::from(self.micros().unsigned_abs() / 1_000);
        let mut inner = self.inner.lock().unwrap();
        let (high, low) = (inner.1.roll(1 << 12), inner.1.roll(1 << 62));
        let bits = millis << 80 | 7 << 76 | u128::from(high) << 64 | 2 << 62 | u128::from(low);
        Uuid::from_u128(bits)
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (world, pid) = (self.world.clone(), self.pid);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Box::pin(async move {
            let Some(world) = world.upgrade() else { return std::future::pending().await };
            _ = world.wait(pid, micros.max(1), "sleep".to_owned()).await;
        })
    }
}
