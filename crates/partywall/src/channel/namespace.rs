//! A namespace: a directory of channels, opened and checked once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, io};

use crate::error::OpenError;
use crate::os::{self, Directory, Readers};

/// A directory that holds channels. Clones share it.
///
/// The directory must belong to this user, must not be writable by others, must not be a symbolic link, and
/// must lie on a file system that lives in memory (tmpfs, ramfs or hugetlbfs): shared memory through a disk
/// or across a network is not shared memory. It is opened once; replacing its path later redirects nobody.
///
/// What another user shares is read in *that* user's namespace, which is opened by [`Self::of_user`] or
/// [`Self::open_of`]: with the user's number, so that nobody else can pass for him.
///
/// ```
/// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
/// let namespace = partywall::Namespace::open(place.path().join("line-3"))?; // made with mode 0700
/// assert!(namespace.path().ends_with("line-3"));
/// # Ok::<(), partywall::OpenError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Namespace {
    path: PathBuf,
    directory: Arc<Directory>,
    /// It is another user's: for reading only.
    foreign: bool,
}

/// Modes that a namespace can be made with: the owner may do everything, and others search it or list it.
const MODES: [u32; 9] = [
    0o700, 0o710, 0o750, 0o701, 0o711, 0o751, 0o705, 0o715, 0o755,
];

impl Namespace {
    /// Opens `$PARTYWALL_DIR`, or `/dev/shm/partywall-<uid>` if that is not set; makes it if need be.
    ///
    /// # Errors
    /// [`OpenError::Namespace`] if it is not one that can be trusted.
    pub fn open_default() -> Result<Self, OpenError> {
        Self::open(Self::default_path())
    }

    /// Where [`Self::open_default`] looks.
    #[must_use]
    pub fn default_path() -> PathBuf {
        match env::var_os("PARTYWALL_DIR") {
            Some(path) if !path.is_empty() => PathBuf::from(path),
            _ => os::namespace_of(os::user_id()),
        }
    }

    /// Opens a directory as a namespace, making it with mode 0700 if it does not exist (its parent must).
    ///
    /// # Errors
    /// [`OpenError::Namespace`] if it is not one that can be trusted.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with_mode(path, 0o700)
    }

    /// [`Self::open`] for a namespace in which channels will be shared with other users: if it does not exist it is made
    /// with this mode, whatever the umask: 0711 lets everybody look up a channel that he knows by name, 0755 list them as
    /// well; 0710 and 0750 the members of its group. One that exists keeps the mode that it has.
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`] for a mode that lets others write, or its owner not; and as [`Self::open`].
    pub fn open_with_mode(path: impl AsRef<Path>, mode: u32) -> Result<Self, OpenError> {
        if !MODES.contains(&mode) {
            return Err(OpenError::InvalidOption {
                option: "a namespace's mode",
                expected: "0700, 0711 or 0755 (for a group 0710 or 0750): others may search it or list it, and never write",
                found: format!("{mode:04o}"),
            });
        }
        if mode != 0o700 && !os::SHARES_WITH_OTHERS {
            return Err(OpenError::InvalidOption {
                option: "a namespace's mode on Windows",
                expected: "0700: its owner and SYSTEM have access, and sharing channels with other users is not offered here",
                found: format!("{mode:04o}"),
            });
        }
        Self::find(path.as_ref(), Some(mode), os::user_id())
    }

    /// Opens the default namespace of a user, `/dev/shm/partywall-<uid>`, to read what is shared there.
    ///
    /// # Errors
    /// As [`Self::open_of`].
    pub fn of_user(user: u32) -> Result<Self, OpenError> {
        Self::open_of(os::namespace_of(user), user)
    }

    /// Opens a namespace of another user, by his number, to read what he shares: snapshots and broadcasts that were
    /// opened with a [mode](crate::snapshot::WriterOptions::mode) for it. Everything else in it gives
    /// [`OpenError::NotPermitted`], to the superuser too.
    ///
    /// # Errors
    /// [`OpenError::Namespace`] if it does not exist, belongs to somebody else than this user, or lets others write.
    pub fn open_of(path: impl AsRef<Path>, user: u32) -> Result<Self, OpenError> {
        Self::find(path.as_ref(), None, user)
    }

    /// Opens the namespace of a user; `make`: with this mode, if there is none.
    fn find(path: &Path, make: Option<u32>, user: u32) -> Result<Self, OpenError> {
        let foreign = user != os::user_id();
        let open = || match foreign {
            true => Directory::open_to_search(path),
            false => Directory::open(path),
        };
        let refuse = |problem: String, next: &'static str| OpenError::Namespace {
            path: path.to_owned(),
            problem,
            next,
        };
        let system = |action: &str, error: io::Error| {
            refuse(
                format!("cannot {action} it: {error}"),
                "choose another directory with PARTYWALL_DIR",
            )
        };
        let directory = match (open(), make) {
            (Err(error), Some(mode)) if error.kind() == io::ErrorKind::NotFound => {
                match Directory::create(path, mode) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    other => other.map_err(|error| system("make", error))?,
                }
                open()
            }
            (other, _) => other,
        }
        .map_err(|error| {
            if path.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
                refuse(
                    "is a symbolic link".into(),
                    "name the directory itself, so that nobody can redirect it",
                )
            } else {
                system("open", error)
            }
        })?;

        let doubt = directory
            .doubt(user)
            .map_err(|error| system("examine", error))?;
        if let Some(os::Doubt { problem, next }) = doubt {
            return Err(refuse(problem, next));
        }
        Ok(Namespace {
            path: path.to_owned(),
            directory: Arc::new(directory),
            foreign,
        })
    }

    /// The path by which it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is another user's, for reading only.
    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// Whether these can come to what lies here.
    pub(crate) fn lets_in(&self, channel: &str, readers: Readers) -> Result<(), OpenError> {
        let needed = readers.directory_mode() & 0o011;
        match self.directory.owner_and_mode() {
            Ok((_, mode)) if mode & needed != needed => Err(OpenError::Namespace {
                path: self.path.clone(),
                problem: format!(
                    "keeps out those with whom channel {channel} is to be shared (mode {mode:04o})"
                ),
                next: "run `chmod g+x` or `chmod go+x` on it: they can look up channels then, and read only those that are shared with them",
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }
}

/// Checks a name: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
pub(crate) fn check_name(name: &str) -> Result<(), OpenError> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > 64 {
        "is too long"
    } else if !name.as_bytes()[0].is_ascii_alphanumeric() {
        "begins with a character that is not allowed there"
    } else if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    {
        "has a character that is not allowed"
    } else {
        return Ok(());
    };
    Err(OpenError::InvalidName {
        name: name.to_owned(),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let longest = "x".repeat(64);
        for good in ["a", "0", "cam0", "a.b_c-d", longest.as_str()] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
        let too_long = "x".repeat(65);
        for bad in [
            "",
            ".",
            "..",
            ".a",
            "-a",
            "_a",
            "a/b",
            "a b",
            "ä",
            "a\0",
            too_long.as_str(),
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
