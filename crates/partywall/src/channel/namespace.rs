//! A namespace: a directory of channels, opened and checked once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, io};

use crate::error::OpenError;
use crate::os::{self, Directory};

/// A directory that holds channels. Clones share it.
///
/// The directory must belong to this user, must not be writable by others, must not be a symbolic link, and
/// must lie on a file system that lives in memory (tmpfs, ramfs or hugetlbfs): shared memory through a disk
/// or across a network is not shared memory. It is opened once; replacing its path later redirects nobody.
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
}

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
            _ => os::default_namespace(),
        }
    }

    /// Opens a directory as a namespace, making it with mode 0700 if it does not exist (its parent must).
    ///
    /// # Errors
    /// [`OpenError::Namespace`] if it is not one that can be trusted.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
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
        let directory = match Directory::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match Directory::create(path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    other => other.map_err(|error| system("make", error))?,
                }
                Directory::open(path)
            }
            other => other,
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
            .doubt()
            .map_err(|error| system("examine", error))?;
        if let Some(os::Doubt { problem, next }) = doubt {
            return Err(refuse(problem, next));
        }
        Ok(Namespace {
            path: path.to_owned(),
            directory: Arc::new(directory),
        })
    }

    /// The path by which it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
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
