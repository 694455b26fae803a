//! One owner of a channel at any time, proven by what the channel says of itself, where no `/proc` tells which one a process
//! has mapped.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Instant;

use partywall::inspect;

use crate::{Actor, HANG};

/// What keeps others from taking the same one, and who holds it.
pub(crate) struct Witness(Option<(File, PathBuf)>);

impl Witness {
    /// A lock on a file of that very channel, which is told from its successors of the same name by its random number.
    /// Nothing is proven if the channel of this name says another owner by now, for this one was removed; nor of guarded
    /// records, which say only who made them.
    pub(crate) fn of(actor: &Actor) -> Self {
        let found = inspect::inspect(&actor.namespace, &actor.channel).ok();
        let ours = found
            .filter(|info| info.owner_pid == std::process::id() && info.pattern != "guarded")
            .map(|info| actor.witnesses.join(info.instance.to_string()));
        Witness(ours.map(|path| take(&path)))
    }
}

fn take(path: &Path) -> (File, PathBuf) {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap();
    let note = path.with_extension("holder");
    let holder = || fs::read_to_string(&note).ok().filter(|who| !who.is_empty());
    let begun = Instant::now();
    let mut other = None;
    while file.try_lock().is_err() {
        // A process that is killed lets go of its files one after the other, and of the channel first perhaps.
        other = other.or_else(holder);
        assert!(begun.elapsed() < HANG);
        std::thread::yield_now();
    }
    // One that was not killed takes its name away before it lets go.
    assert!(
        other.is_none() || holder() == other,
        "two owners at once: {other:?}, {}",
        std::process::id()
    );
    fs::write(&note, std::process::id().to_string()).unwrap();
    (file, note)
}

impl Drop for Witness {
    fn drop(&mut self) {
        if let Some((_, note)) = &self.0 {
            fs::write(note, "").unwrap();
        }
    }
}
