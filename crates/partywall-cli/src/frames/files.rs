//! A directory that gets one file a frame, each whole, and none in place of another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure};
use crate::os;

/// Where the files go.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
}

impl Files {
    /// Makes the directory if it is not there.
    pub(super) fn into_directory(directory: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(directory).map_err(|error| {
            Failure::stream(&format!("make directory {}", directory.display()), &error)
        })?;
        Ok(Files {
            directory: directory.to_owned(),
        })
    }

    /// Makes a file. Its name is there once all of it is, whatever becomes of this process.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let path = self.directory.join(name);
        let part = self
            .directory
            .join(format!(".{name}.{}.part", std::process::id()));
        let written = write(&part, bytes).and_then(|()| os::rename_new(&part, &path));
        if let Err(error) = written {
            // It may never have been made.
            let _ = fs::remove_file(&part);
            return Err(if error.kind() == io::ErrorKind::AlreadyExists {
                let message = format!(
                    "{} exists already and is left as it is; give another directory",
                    path.display()
                );
                Failure::new(Exit::Failed, message)
            } else {
                Failure::stream(&format!("write {}", path.display()), &error)
            });
        }
        Ok(path)
    }
}

fn write(part: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(part)?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_overwritten_and_nothing_else_is_left() {
        let place = tempfile::tempdir().unwrap();
        let files = Files::into_directory(&place.path().join("a/b")).unwrap();
        let path = files.put("c-1.raw", b"first").unwrap();
        let refused = files.put("c-1.raw", b"second").unwrap_err();
        assert!(refused.message.contains("exists already"), "{refused:?}");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1);
    }
}
