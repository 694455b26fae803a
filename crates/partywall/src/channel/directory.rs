//! A channel's directory and the names in it.

use std::io;
use std::path::PathBuf;

use super::liveness::Witness;
use super::namespace::{Namespace, check_name};
use super::segment;
use crate::error::{Denied, OpenError};
use crate::layout::header;
use crate::os::{self, Directory, FileIdentity, FileKind, LockFile, LockView, OpenMode, Readers};

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
    /// Who may read the files that are made here. Its owner says so.
    pub(crate) readers: Readers,
    /// What is mapped here is kept out of swap.
    pub(crate) lock_memory: bool,
    /// What is opened here for reading is looked at once, and then let go of.
    pub(crate) glance: bool,
    /// The lock file under which files are made here.
    claim: Option<FileIdentity>,
}

/// An error of the system about one channel, as the error that fits it best.
fn system(
    namespace: &Namespace,
    channel: &str,
    denied: Denied,
    place: &Place<'_>,
    operation: &'static str,
    source: io::Error,
) -> OpenError {
    let channel = channel.to_owned();
    if source.kind() == io::ErrorKind::StorageFull
        && let Some(files) = namespace.directory().most_files()
    {
        return OpenError::NoInodes { channel, files };
    }
    // First: Windows calls it a lack of rights.
    if let Some((path, found, expected)) = place.misplaced(namespace, &channel) {
        return OpenError::Misplaced {
            channel,
            path,
            found: found.name(),
            expected: expected.name(),
        };
    }
    if source.kind() != io::ErrorKind::PermissionDenied {
        return OpenError::System {
            channel,
            operation,
            source,
        };
    }
    let (path, found) = match place {
        Place::Namespace => (
            namespace.path().to_owned(),
            namespace.directory().owner_and_mode(),
        ),
        Place::Channel => (
            namespace.path().join(&channel),
            namespace.directory().owner_and_mode_of(&channel),
        ),
        Place::File(directory, file) => (
            namespace.path().join(&channel).join(file),
            directory.owner_and_mode_of(file),
        ),
    };
    let found = found.ok();
    OpenError::NotPermitted {
        channel,
        denied,
        path,
        user: os::user_id(),
        owner: found.map(|(owner, _)| owner),
        mode: found.map(|(_, mode)| mode),
    }
}

/// Where the system refused something.
enum Place<'a> {
    Namespace,
    Channel,
    File(&'a Directory, &'a str),
}

impl Place<'_> {
    /// Something of another kind is in this place: where, what it is, and what it should be.
    fn misplaced(
        &self,
        namespace: &Namespace,
        channel: &str,
    ) -> Option<(PathBuf, FileKind, FileKind)> {
        let path = namespace.path().join(channel);
        let (path, found, expected) = match *self {
            Place::Namespace => return None,
            Place::Channel => {
                let found = namespace.directory().kind_of(channel);
                (path, found, FileKind::Directory)
            }
            Place::File(directory, file) => {
                (path.join(file), directory.kind_of(file), FileKind::File)
            }
        };
        let found = found.ok().filter(|&found| found != expected)?;
        Some((path, found, expected))
    }
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
        let refused = |denied, place: &Place<'_>, operation, error| {
            system(namespace, name, denied, place, operation, error)
        };
        let mut made = false;
        for _ in 0..64 {
            match parent.open_child(name) {
                Ok(directory) => {
                    return Ok(Some(ChannelDirectory {
                        namespace: namespace.clone(),
                        name: name.to_owned(),
                        directory,
                        readers: Readers::default(),
                        lock_memory: false,
                        glance: false,
                        claim: None,
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if !create {
                        return Ok(None);
                    }
                    match parent.create_child(name) {
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                            return Err(refused(
                                Denied::Make,
                                &Place::Namespace,
                                "make the channel's directory",
                                error,
                            ));
                        }
                        // Made, or somebody else made it; or it is removed again before we open it.
                        created => made = created.is_ok(),
                    }
                }
                // Somebody is just making it, or died there.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && parent.mend_owner_rights(name).unwrap_or(false) => {}
                Err(error) => {
                    // A name that can be looked up is in a namespace that can be searched.
                    let (denied, place) = match parent.owner_and_mode_of(name) {
                        Ok(_) => (Denied::Open, Place::Channel),
                        Err(_) => (Denied::See, Place::Namespace),
                    };
                    if made {
                        let _ = parent.remove_child(name);
                    }
                    let operation = "open the channel's directory";
                    return Err(refused(denied, &place, operation, error));
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

    /// Opens the lock file anew: each handle needs locks of its own. `None` if there is
    /// none and `create` is false.
    pub(crate) fn open_lock(&self, create: bool) -> Result<Option<LockFile>, OpenError> {
        match self.directory.open_lock(LOCK, create) {
            Ok(lock) => Ok(Some(lock)),
            // Also when the directory was removed under us.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if create && self.directory.owner_and_mode_of(LOCK).is_err() => {
                Err(self.error(Denied::Make, "make the lock file", error))
            }
            Err(error) => Err(self.error_at(LOCK, Denied::Lock, "open the lock file", error)),
        }
    }

    /// How to learn whether the owner lives: by the lock file, or, where this user may not open it, by the kernel's
    /// list of locks. `None` if there is no lock file.
    pub(crate) fn open_witness(&self) -> Result<Option<Witness>, OpenError> {
        match self.open_lock(false) {
            Ok(lock) => Ok(lock.map(Witness::Lock)),
            Err(OpenError::NotPermitted { .. }) => match self.directory.identity_of(LOCK) {
                Ok(identity) => Ok(Some(Witness::View(LockView::new(identity)))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => {
                    Err(self.error_at(LOCK, Denied::Open, "look up the lock file", error))
                }
            },
            Err(error) => Err(error),
        }
    }

    /// Removes a file. What is confidential, or too damaged to say that it is not, is overwritten before: freed memory
    /// keeps its bytes until somebody else gets it.
    pub(crate) fn discard(&self, name: &str) -> io::Result<()> {
        if let Ok(file) = self.directory.open_file(name, OpenMode::ReadWrite)
            && segment::may_be_confidential(&file)
        {
            // The header stays, for those who look for what became of the channel. What cannot be overwritten goes all
            // the same.
            let _ = file.overwrite(header::SIZE);
        }
        self.directory.remove_file(name)
    }

    /// Only the user whose namespace it is may do more than read.
    pub(crate) fn expect_own(&self, denied: Denied) -> Result<(), OpenError> {
        if self.namespace.is_foreign() {
            let (error, operation) = (
                io::ErrorKind::PermissionDenied.into(),
                "change another user's channel",
            );
            return Err(match denied {
                Denied::Lock => self.error_at(LOCK, denied, operation, error),
                _ => self.error(denied, operation, error),
            });
        }
        Ok(())
    }

    /// Whether the names still mean the directory and the lock file that we hold: somebody may have removed
    /// them, and made new ones, between our opening and our locking.
    pub(crate) fn still_named(&self, lock: &LockFile) -> bool {
        self.still_names(lock.identity())
    }

    /// The same of a lock file that is known by its identity.
    pub(crate) fn still_names(&self, lock: io::Result<FileIdentity>) -> bool {
        let same = |held: io::Result<FileIdentity>, named: io::Result<FileIdentity>| matches!((held, named), (Ok(held), Ok(named)) if held == named);
        same(
            self.directory.identity(),
            self.namespace.directory().identity_of(&self.name),
        ) && same(lock, self.directory.identity_of(LOCK))
    }

    /// Files are made here under this lock from now on, as long as it has its name.
    pub(crate) fn claim_by(&mut self, lock: &LockFile) {
        self.claim = lock.identity().ok();
    }

    /// Whoever was stopped in the middle of making files until the channel was removed by force must not go on where another
    /// makes it anew: nothing gets a name, or loses one, under a lock that has lost its own.
    ///
    /// # Errors
    /// As if the directory was gone.
    pub(crate) fn expect_the_claim_to_stand(&self) -> io::Result<()> {
        match self.claim {
            Some(lock) if !self.still_names(Ok(lock)) => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(()),
        }
    }

    /// An error of the system about this channel: about its directory, if it is one of permissions.
    pub(crate) fn error(
        &self,
        denied: Denied,
        operation: &'static str,
        error: io::Error,
    ) -> OpenError {
        let place = Place::Channel;
        system(
            &self.namespace,
            &self.name,
            denied,
            &place,
            operation,
            error,
        )
    }

    /// An error of the system about a file of this channel.
    pub(crate) fn error_at(
        &self,
        file: &str,
        denied: Denied,
        operation: &'static str,
        error: io::Error,
    ) -> OpenError {
        let place = Place::File(&self.directory, file);
        system(
            &self.namespace,
            &self.name,
            denied,
            &place,
            operation,
            error,
        )
    }
}
