//! The power fails at any instant: what was reported as stored is there, nothing else is torn, and
//! the next process goes on. And that a writer with a flaw does not get through this.

mod disk;
mod flawed;
mod history;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use flawed::Flaw;
use history::History;

/// Images of the disk that are looked at. More find more, in as much more time.
const IMAGES: usize = 5_000;

/// Histories that are lived at the same time.
const AT_ONCE: usize = 2;

/// The most images of one history.
const IMAGES_PER_HISTORY: usize = 50;

/// Histories in which a flaw must show.
const HISTORIES_OF_A_FLAW: u64 = 40;

#[test]
fn what_was_stored_survives_a_loss_of_power_and_nothing_is_torn() {
    let (images, next) = (AtomicUsize::new(0), AtomicU64::new(0));
    let live = || {
        while images.load(Ordering::SeqCst) < IMAGES {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            let lived = History::new(seed, None).live(IMAGES_PER_HISTORY);
            let lived = lived.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
            images.fetch_add(lived, Ordering::SeqCst);
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| _ = scope.spawn(live)));
    assert!(images.into_inner() >= IMAGES);
}

/// What is seen of a writer with this flaw.
fn violation(flaw: Flaw) -> String {
    let live = |seed| History::new(seed, Some(flaw)).live(IMAGES_PER_HISTORY).err();
    let seen = (0..HISTORIES_OF_A_FLAW).find_map(live);
    seen.unwrap_or_else(|| panic!("{flaw:?} was not seen"))
}

#[test]
fn a_writer_with_a_flaw_is_caught() {
    for flaw in Flaw::ALL {
        let said = violation(flaw);
        assert!(said.contains(flaw.shows_as()), "{flaw:?}: {said}");
    }
}
