//! The demo's own namespace: a private directory that is gone afterwards, even if the conductor
//! of an earlier demo was killed and could not tidy up.

use crate::os::{self, DirectoryLock};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// A directory without a lock is one that nobody will tidy up any more.
    _lock: DirectoryLock,
}

impl Scratch {
    /// `what` tells the directories of different commands apart: `partywall-WHAT-...`.
    pub(crate) fn create(what: &str) -> Result<Scratch, String> {
        let prefix = format!("partywall-{what}-");
        sweep(&prefix);
        for _ in 0..16 {
            let path = os::scratch_parent().join(format!("{prefix}{:08x}", random() as u32));
            match os::create_private(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => {
                    return Err(format!(
                        "cannot create {}: {error}; choose a directory by --dir",
                        path.display()
                    ));
                }
            }
            // Another command's sweep may have come between; then the name is gone.
            if let Some(lock) = DirectoryLock::take(&path) {
                return Ok(Scratch { path, _lock: lock });
            }
        }
        Err(format!(
            "cannot create a directory of our own in {}; choose one by --dir",
            os::scratch_parent().display()
        ))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the directory is, for a thread that must tidy up and exit.
    pub(crate) fn remove_at(path: &Path) {
        let _ = std::fs::remove_dir_all(path);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        Scratch::remove_at(&self.path);
    }
}

/// Removes what conductors left that were killed.
fn sweep(prefix: &str) {
    let Ok(entries) = std::fs::read_dir(os::scratch_parent()) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(prefix)
            && entry
                .metadata()
                .is_ok_and(|found| found.is_dir() && os::is_ours(&found));
        if ours && DirectoryLock::take(&entry.path()).is_some() {
            Scratch::remove_at(&entry.path());
        }
    }
}

/// Not a secret: the directory is created anew or not at all.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    hasher.write_u128(now.as_nanos());
    hasher.finish()
}
