//! One history of a disk: processes append to a log, publish, adopt, overwrite and remove; some are
//! killed, some meet a sync that fails; and at every step the power may fail.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use highwater::clock::Clock;
use highwater::store::{Fs, LocalStore, ObjectMeta, Store, Written};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::disk::{CrashFs, Image};
use super::flawed::{Flaw, FlawedFs};
use crate::support::{Dice, files_below, new_folder};

/// Images that are taken after each step.
const IMAGES_PER_STEP: usize = 5;

/// Where the state lies, and what is staged in it.
const STATE: &str = "state/of/p";
const STAGING: &str = "state/of/p/tmp";

/// How the names of files begin that somebody else put there.
const FOREIGN: &str = "foreign-";

/// What may be at a path after a loss of power: nothing, or one of these files.
type Allowed = Vec<Option<Vec<u8>>>;

/// A disk, who works on it, and what was promised of it.
pub(crate) struct History {
    folder: TempDir,
    fs: Arc<CrashFs>,
    flaw: Option<Flaw>,
    dice: Dice,
    runtime: Runtime,
    process: Process,
    /// What may be found at each path that was ever written.
    promised: BTreeMap<String, Allowed>,
    /// Makes all contents different.
    contents: u64,
}

/// The stores of one process.
#[derive(Clone, Debug)]
struct Process {
    state: LocalStore,
    outputs: LocalStore,
}

impl Process {
    fn start(top: &Path) -> Self {
        let staging = top.join(STAGING);
        let state = LocalStore::new(top.join(STATE), &staging, "state", Clock::system());
        let outputs = LocalStore::new(top, &staging, "", Clock::system());
        Self { state: state.private(), outputs }
    }

    fn on(self, fs: &Arc<dyn Fs>) -> Self {
        let Self { state, outputs } = self;
        Self { state: state.with_fs(fs.clone()), outputs: outputs.with_fs(fs.clone()) }
    }
}

/// What a process does.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Append,
    Publish,
    Adopt,
    Hint,
    Remove,
}

const DEEDS: [Deed; 8] = [
    Deed::Append,
    Deed::Append,
    Deed::Append,
    Deed::Publish,
    Deed::Publish,
    Deed::Adopt,
    Deed::Hint,
    Deed::Remove,
];

fn entry(place: usize) -> String {
    format!("log/{place:03}.json")
}

impl History {
    pub(crate) fn new(seed: u64, flaw: Option<Flaw>) -> Self {
        let folder = new_folder();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut history = Self {
            fs: Arc::new(CrashFs::new(folder.path())),
            process: Process::start(folder.path()),
            folder,
            flaw,
            dice: Dice(seed),
            runtime,
            promised: BTreeMap::new(),
            contents: 0,
        };
        history.restart();
        history
    }

    /// A new process takes over what the last one left.
    fn restart(&mut self) {
        self.fs.kill_after(None);
        self.fs.fail_sync(None);
        let fs: Arc<dyn Fs> = match self.flaw {
            Some(flaw) => Arc::new(FlawedFs::new(self.fs.clone(), flaw)),
            None => self.fs.clone(),
        };
        self.process = Process::start(self.folder.path()).on(&fs);
    }

    /// Lives until so many images were looked at, or a sync failed. How many images that were, or
    /// what is wrong in one.
    pub(crate) fn live(mut self, images: usize) -> Result<usize, String> {
        for seen in (0..images).step_by(IMAGES_PER_STEP) {
            let fate = self.dice.roll(8);
            match fate {
                0 | 1 => self.fs.kill_after(Some(self.dice.roll(10))),
                2 => self.fs.fail_sync(Some(1 + self.dice.roll(4))),
                _ => {}
            }
            let deed = *self.dice.pick(&DEEDS);
            let is_done = self.perform(deed);
            let at = format!("{deed:?} with fate {fate}, {seen} images in");
            for _ in 0..IMAGES_PER_STEP {
                let image = self.fs.image(&mut self.dice);
                self.check(&image).map_err(|why| format!("after {at}: {why}"))?;
            }
            if self.fs.has_failed() {
                let again = if matches!(deed, Deed::Publish) { deed } else { Deed::Append };
                if is_done || self.perform(again) {
                    return Err(format!("after {at}: stored although a sync failed"));
                }
                // Nobody goes on but after a restart of the machine.
                return Ok(seen + IMAGES_PER_STEP);
            }
            if !is_done || self.fs.is_dead() || self.dice.roll(6) == 0 {
                self.restart();
            } else {
                self.fs.kill_after(None);
                self.fs.fail_sync(None);
            }
        }
        Ok(images)
    }

    /// Does one thing, and notes what that promises. Whether it was reported as done.
    fn perform(&mut self, deed: Deed) -> bool {
        match deed {
            Deed::Append => self.append(),
            Deed::Publish => self.publish(),
            Deed::Adopt => self.adopt(),
            Deed::Hint => {
                let bytes = self.content();
                self.may_be("state/of/p/ckpt/LATEST", Some(bytes.clone()));
                let store = self.process.state.clone();
                let done = self.runtime.block_on(store.overwrite("ckpt/LATEST", bytes.into()));
                self.done(done.is_ok(), "state/of/p/ckpt/LATEST")
            }
            Deed::Remove => self.remove(),
        }
    }

    /// Appends behind what is in the log, as whoever reads it to its end does.
    fn append(&mut self) -> bool {
        let place = self.log_len();
        let path = format!("{STATE}/{}", entry(place));
        let bytes = self.content();
        self.may_be(&path, Some(bytes.clone()));
        let store = self.process.state.clone();
        let written = self.runtime.block_on(store.create(&entry(place), bytes.into()));
        let is_done = self.written(&written, &path);
        if is_done {
            // Whatever it was built on must stand as well.
            (0..place).for_each(|before| self.is_sure(&format!("{STATE}/{}", entry(before))));
        }
        is_done
    }

    fn publish(&mut self) -> bool {
        let key = format!("out/day={}/data.parquet", self.dice.roll(3));
        let staged = self.folder.path().join(STAGING).join(format!("staged-{}", self.contents));
        let bytes = self.content();
        if !staged.parent().unwrap().is_dir() || self.fs.create(&staged, 0o644, &bytes).is_err() {
            return false;
        }
        let seen = self.head(&key).map(|meta| meta.mark);
        self.may_be(&key, Some(bytes));
        let store = self.process.outputs.clone();
        let written = self.runtime.block_on(store.publish(&key, &staged, seen.as_deref()));
        self.written(&written, &key)
    }

    /// Keeps the object that stands, or a file that somebody put there and did not sync.
    fn adopt(&mut self) -> bool {
        let mut key = format!("out/day={}/data.parquet", self.dice.roll(3));
        if self.dice.roll(2) == 0 {
            key = format!("{FOREIGN}{}", self.contents);
            let bytes = self.content();
            _ = self.fs.create(&self.folder.path().join(&key), 0o644, &bytes);
        }
        let Some(seen) = self.head(&key) else { return true };
        let (kept, bytes) = (format!("hist/{}", self.contents), self.content_of(&key));
        self.contents += 1;
        let path = format!("{STATE}/{kept}");
        self.may_be(&path, Some(bytes));
        let Process { state, outputs } = self.process.clone();
        let written = self.runtime.block_on(state.adopt(&kept, &outputs, &seen));
        self.written(&written, &path)
    }

    fn remove(&mut self) -> bool {
        let kept = files_below(self.folder.path().join(STATE).join("hist"));
        let Some(name) = kept.first() else { return true };
        let store = self.process.state.clone();
        let seen = self.runtime.block_on(store.head(&format!("hist/{name}"))).unwrap().unwrap();
        self.may_be(&format!("{STATE}/hist/{name}"), None);
        self.runtime.block_on(store.remove(&seen)).is_ok()
    }

    fn head(&self, key: &str) -> Option<ObjectMeta> {
        self.runtime.block_on(self.process.outputs.head(key)).unwrap()
    }

    fn content_of(&self, path: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(path)).unwrap()
    }

    /// Bytes that no other file has.
    fn content(&mut self) -> Vec<u8> {
        self.contents += 1;
        let len = usize::try_from(8 + self.dice.roll(200)).unwrap();
        format!("{:08}", self.contents).into_bytes().into_iter().cycle().take(len).collect()
    }

    fn log_len(&self) -> usize {
        let log = self.folder.path().join(STATE);
        (0..1000).find(|place| !log.join(entry(*place)).exists()).unwrap()
    }

    fn may_be(&mut self, path: &str, content: Option<Vec<u8>>) {
        self.promised.entry(path.to_owned()).or_insert_with(|| vec![None]).push(content);
    }

    /// What was written to `path` last, and can be seen there, must stay.
    fn is_sure(&mut self, path: &str) {
        let now = self.content_of(path);
        self.promised.insert(path.to_owned(), vec![Some(now)]);
    }

    fn written(&mut self, written: &Written, path: &str) -> bool {
        self.done(matches!(written, Written::Stored), path)
    }

    fn done(&mut self, is_done: bool, path: &str) -> bool {
        if is_done {
            self.is_sure(path);
        }
        is_done
    }

    /// What is wrong with an image, or with how it goes on from there.
    fn check(&self, image: &Image) -> Result<(), String> {
        let name = |path: &Path| path.to_str().unwrap().to_owned();
        let found: BTreeMap<String, &Vec<u8>> =
            image.iter().map(|(path, bytes)| (name(path), bytes)).collect();
        for (path, allowed) in &self.promised {
            let here = found.get(path).copied();
            if !allowed.iter().any(|allowed| allowed.as_ref() == here) {
                return Err(match here {
                    Some(bytes) => format!("{path} is torn or wrong: {bytes:?}"),
                    None => format!("{path} is lost"),
                });
            }
        }
        let is_known = |path: &&String| {
            path.starts_with(STAGING)
                || path.starts_with(FOREIGN)
                || self.promised.contains_key(*path)
        };
        if let Some(path) = found.keys().find(|path| !is_known(path)) {
            return Err(format!("{path} is there, and nobody wrote it"));
        }
        let entries = found.keys().filter(|path| path.starts_with("state/of/p/log/")).count();
        let has = |place: usize| found.contains_key(&format!("{STATE}/{}", entry(place)));
        if let Some(hole) = (0..entries).find(|place| !has(*place)) {
            return Err(format!("entry {hole} of {entries} is missing"));
        }
        self.go_on(image, entries)
    }

    /// Whether a new process goes on from `image`, whose log has so many entries.
    fn go_on(&self, image: &Image, entries: usize) -> Result<(), String> {
        let folder = new_folder();
        for (path, bytes) in image {
            let path: PathBuf = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let Process { state, outputs } = Process::start(folder.path());
        let staged = folder.path().join("staged");
        fs::write(&staged, "new").unwrap();
        let key = "out/day=0/data.parquet";
        self.runtime.block_on(async {
            let written = state.create(&entry(entries), Bytes::from("next")).await;
            let read = state.read(&entry(entries)).await;
            if !matches!(written, Written::Stored) || read.unwrap() != Some(Bytes::from("next")) {
                return Err(format!("the log does not go on: {written:?}"));
            }
            let seen = outputs.head(key).await.unwrap().map(|meta| meta.mark);
            match outputs.publish(key, &staged, seen.as_deref()).await {
                Written::Stored => Ok(()),
                other => Err(format!("nothing can be published: {other:?}")),
            }
        })
    }
}
