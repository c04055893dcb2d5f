//! A disk that forgets what was not synced.
//!
//! Everything is done on real files too, so that a store reads what it wrote: that is what the
//! kernel has in memory. Beside them stands what the disk may hold after a loss of power: any of
//! the names that a folder had since it was synced, and of a file that was not, anything.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use highwater::store::{Disk, Fs};

use crate::support::Dice;

/// The files of a disk after a loss of power, by path.
pub(crate) type Image = BTreeMap<PathBuf, Vec<u8>>;

/// A disk that forgets.
#[derive(Debug)]
pub(crate) struct CrashFs {
    top: PathBuf,
    model: Mutex<Model>,
}

#[derive(Debug)]
struct Model {
    nodes: Vec<Node>,
    /// Operations that are still done before the process is killed.
    lives_for: Option<u64>,
    /// The sync that fails, counted from 1.
    fails_at: Option<u64>,
    syncs: u64,
    /// Whether a sync failed.
    failed: bool,
}

#[derive(Debug)]
enum Node {
    File { bytes: Vec<u8>, on_disk: OnDisk },
    Folder(BTreeMap<String, Name>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum OnDisk {
    Maybe,
    Surely,
    /// Its sync failed: the kernel dropped the bytes, and a later sync writes nothing.
    Dropped,
}

/// What a name stood for since its folder was synced; the last is what it stands for now.
#[derive(Debug)]
struct Name {
    states: Vec<Option<usize>>,
    /// So many of them were dropped by a sync that failed: a later one does not write them.
    dropped: usize,
}

const TOP: usize = 0;

impl CrashFs {
    /// An empty disk, whose files are kept in the empty folder `top` meanwhile.
    pub(crate) fn new(top: &Path) -> Self {
        let model = Model {
            nodes: vec![Node::Folder(BTreeMap::new())],
            lives_for: None,
            fails_at: None,
            syncs: 0,
            failed: false,
        };
        Self { top: top.to_owned(), model: Mutex::new(model) }
    }

    /// The process that works on it is killed after `operations`; never, if `None`.
    pub(crate) fn kill_after(&self, operations: Option<u64>) {
        self.model().lives_for = operations;
    }

    /// Sync number `nth` from here on fails, once; none, if `None`.
    pub(crate) fn fail_sync(&self, nth: Option<u64>) {
        let mut model = self.model();
        (model.fails_at, model.syncs, model.failed) = (nth, 0, false);
    }

    /// Whether the sync that was to fail has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.model().failed
    }

    /// Whether the process that works on it is dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.model().lives_for == Some(0)
    }

    /// What may be left after a loss of power at this instant.
    pub(crate) fn image(&self, dice: &mut Dice) -> Image {
        let mut image = Image::new();
        self.model().lose(TOP, &PathBuf::new(), dice, &mut image);
        image
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    /// The path below the top; `None` for what lies above: that is never lost.
    fn inside<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(&self.top).ok()
    }

    /// Does `real`, then notes it by `noted`, unless the process is dead.
    fn act<T>(
        &self,
        real: impl FnOnce() -> io::Result<T>,
        noted: impl FnOnce(&mut Model),
    ) -> io::Result<T> {
        let mut model = self.model();
        match &mut model.lives_for {
            Some(0) => return Err(io::Error::other("killed")),
            Some(left) => *left -= 1,
            None => {}
        }
        let done = real()?;
        noted(&mut model);
        Ok(done)
    }
}

impl Fs for CrashFs {
    fn make_folder(&self, folder: &Path, mode: u32) -> io::Result<()> {
        let make = |model: &mut Model| {
            let node = model.add(Node::Folder(BTreeMap::new()));
            model.put(self.inside(folder).unwrap(), Some(node));
        };
        self.act(|| Disk.make_folder(folder, mode), make)
    }

    fn create(&self, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<File> {
        let create = |model: &mut Model| {
            let node = model.add(Node::File { bytes: bytes.to_vec(), on_disk: OnDisk::Maybe });
            model.put(self.inside(path).unwrap(), Some(node));
        };
        self.act(|| Disk.create(path, mode, bytes), create)
    }

    fn sync(&self, path: &Path, _: &File) -> io::Result<()> {
        let Some(path) = self.inside(path) else { return Ok(()) };
        let mut fails = false;
        self.act(|| Ok(()), |model| fails = model.sync(path))?;
        if fails { Err(io::Error::other("Input/output error")) } else { Ok(()) }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let link = |model: &mut Model| {
            let node = model.find(self.inside(from).unwrap());
            model.put(self.inside(to).unwrap(), node);
        };
        self.act(|| Disk.link(from, to), link)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let rename = |model: &mut Model| {
            let from = self.inside(from).unwrap();
            let node = model.find(from);
            model.put(from, None);
            model.put(self.inside(to).unwrap(), node);
        };
        self.act(|| Disk.rename(from, to), rename)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let remove = |model: &mut Model| model.put(self.inside(path).unwrap(), None);
        self.act(|| Disk.remove(path), remove)
    }
}

impl Model {
    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// What `path` stands for now.
    fn find(&self, path: &Path) -> Option<usize> {
        path.iter().try_fold(TOP, |at, name| match &self.nodes[at] {
            Node::Folder(names) => *names.get(name.to_str().unwrap())?.states.last().unwrap(),
            Node::File { .. } => None,
        })
    }

    /// Lets `path` stand for `node` from now on.
    fn put(&mut self, path: &Path, node: Option<usize>) {
        let folder = self.find(path.parent().unwrap()).unwrap();
        let Node::Folder(names) = &mut self.nodes[folder] else { panic!("no folder") };
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let absent = || Name { states: vec![None], dropped: 0 };
        names.entry(name).or_insert_with(absent).states.push(node);
    }

    /// Syncs what `path` stands for. Whether that fails.
    fn sync(&mut self, path: &Path) -> bool {
        self.syncs += 1;
        let fails = self.fails_at == Some(self.syncs);
        self.failed |= fails;
        let node = self.find(path).unwrap_or_else(|| panic!("{} is not there", path.display()));
        match &mut self.nodes[node] {
            Node::File { on_disk, .. } if *on_disk == OnDisk::Maybe => {
                *on_disk = if fails { OnDisk::Dropped } else { OnDisk::Surely };
            }
            Node::File { .. } => {}
            Node::Folder(names) => names.values_mut().for_each(|name| name.sync(fails)),
        }
        fails
    }

    /// Adds to `image` what is left of `node`, whose path is `path`.
    fn lose(&self, node: usize, path: &Path, dice: &mut Dice, image: &mut Image) {
        match &self.nodes[node] {
            Node::File { bytes, on_disk: OnDisk::Surely } => {
                image.insert(path.to_owned(), bytes.clone());
            }
            Node::File { bytes, .. } => _ = image.insert(path.to_owned(), torn(bytes, dice)),
            Node::Folder(names) => {
                // In the order in which they were made: some names are of chance.
                let mut names: Vec<_> = names.iter().collect();
                names.sort_by_key(|(_, name)| name.states.iter().flatten().min().copied());
                for (name, stood_for) in names {
                    if let Some(node) = dice.pick(&stood_for.states) {
                        self.lose(*node, &path.join(name), dice, image);
                    }
                }
            }
        }
    }
}

impl Name {
    fn sync(&mut self, fails: bool) {
        if fails {
            self.dropped = self.states.len();
        } else if self.states.len() > self.dropped {
            self.states.drain(..self.states.len() - 1);
            self.dropped = 0;
        }
    }
}

/// What the disk may hold of a file that was not synced.
fn torn(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let half = bytes.len() / 2;
    match dice.roll(5) {
        0 => Vec::new(),
        1 => vec![0; bytes.len()],
        2 => bytes[..half].to_vec(),
        3 => [vec![0; half], bytes[half..].to_vec()].concat(),
        _ => bytes.to_vec(),
    }
}
