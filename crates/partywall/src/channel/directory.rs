//! A channel's directory and the names in it.

use std::io;
use std::path::PathBuf;

use super::namespace::{Namespace, check_name};
use crate::error::OpenError;
use crate::os::{Directory, FileIdentity, LockFile};

/// The root page's file.
pub(crate) const ROOT: &str = "root";
/// The file of locks.
pub(crate) const LOCK: &str = "lock";
/// Behind the name of a file that is not complete yet. Only the holder of the owner lock makes such files,
/// so the next holder may remove whatever it finds.
pub(crate) const UNFINISHED: &str = ".new";

/// The file of a generation's owner side.
pub(crate) fn owner_file(generation: u64) -> String {
    format!("{generation}.owner")
}

/// The file of a generation's peer side.
pub(crate) fn peers_file(generation: u64) -> String {
    format!("{generation}.peers")
}

/// An opened channel directory.
#[derive(Debug)]
pub(crate) struct ChannelDirectory {
    namespace: Namespace,
    name: String,
    directory: Directory,
}

impl ChannelDirectory {
    /// Opens the directory of a channel; `None` if there is none and `create` is false.
    pub(crate) fn open(
        namespace: &Namespace,
        name: &str,
        create: bool,
    ) -> Result<Option<Self>, OpenError> {
        check_name(name)?;
        let parent = namespace.directory();
        let path = || namespace.path().join(name);
        let mut made = false;
        for _ in 0..64 {
            match parent.open_child(name) {
                Ok(directory) => {
                    return Ok(Some(ChannelDirectory {
                        namespace: namespace.clone(),
                        name: name.to_owned(),
                        directory,
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if !create {
                        return Ok(None);
                    }
                    match parent.create_child(name) {
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                            return Err(OpenError::system(
                                name,
                                "make the channel's directory",
                                path,
                                error,
                            ));
                        }
                        // Made, or somebody else made it; or it is removed again before we open it.
                        created => made = created.is_ok(),
                    }
                }
                Err(error) => {
                    if made {
                        let _ = parent.remove_child(name);
                    }
                    return Err(OpenError::system(
                        name,
                        "open the channel's directory",
                        path,
                        error,
                    ));
                }
            }
        }
        Err(OpenError::System {
            channel: name.to_owned(),
            operation: "make the channel's directory",
            source: io::Error::other("somebody keeps removing it"),
        })
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn files(&self) -> &Directory {
        &self.directory
    }

    /// Whether there is a root, complete or damaged; what cannot be seen may be there.
    pub(crate) fn has_root(&self) -> bool {
        !matches!(self.directory.identity_of(ROOT), Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Removes the directory, if nothing is in it; that it is gone already is as well.
    pub(crate) fn remove_if_empty(&self) {
        let _ = self.namespace.directory().remove_child(&self.name);
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.namespace.path().join(&self.name)
    }

    /// Opens the lock file anew: each handle needs locks of its own. `None` if there is
    /// none and `create` is false.
    pub(crate) fn open_lock(&self, create: bool) -> Result<Option<LockFile>, OpenError> {
        match self.directory.open_lock(LOCK, create) {
            Ok(lock) => Ok(Some(lock)),
            // Also when the directory was removed under us.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error("open the lock file", error)),
        }
    }

    /// Whether the names still mean the directory and the lock file that we hold: somebody may have removed
    /// them, and made new ones, between our opening and our locking.
    pub(crate) fn still_named(&self, lock: &LockFile) -> bool {
        let same = |held: io::Result<FileIdentity>, named: io::Result<FileIdentity>| matches!((held, named), (Ok(held), Ok(named)) if held == named);
        same(
            self.directory.identity(),
            self.namespace.directory().identity_of(&self.name),
        ) && same(lock.identity(), self.directory.identity_of(LOCK))
    }

    /// An error of the system about this channel.
    pub(crate) fn error(&self, operation: &'static str, error: io::Error) -> OpenError {
        OpenError::system(&self.name, operation, || self.path(), error)
    }
}
