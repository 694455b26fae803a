//! What a liar would write, and where: every word of every file, by what an honest one says there.

use std::fs::{self, OpenOptions};
use std::path::Path;

use crate::common::system::At;

/// The files of a channel with one generation.
pub(crate) const FILES: [&str; 4] = ["root", "lock", "1.owner", "1.peers"];

/// What the files of one channel hold, in the order of [`FILES`].
#[derive(Clone, Debug)]
pub(crate) struct Contents(pub(crate) [Vec<u8>; 4]);

impl Contents {
    pub(crate) fn read(directory: &Path) -> Self {
        Contents(FILES.map(|name| fs::read(directory.join(name)).unwrap()))
    }

    /// Makes the directory what it was, whatever became of it.
    pub(crate) fn restore(&self, directory: &Path) {
        let _ = fs::remove_dir_all(directory);
        fs::create_dir_all(directory).unwrap();
        for (name, bytes) in FILES.iter().zip(&self.0) {
            fs::write(directory.join(name), bytes).unwrap();
        }
    }

    fn word(&self, file: usize, at: usize) -> u64 {
        let bytes = self.0[file].get(at..at + 8);
        bytes.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
    }
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Shrink(u64),
    Halve,
    Grow,
    Remove,
    Directory,
    Empty,
    #[cfg(unix)]
    Of(unix::Change),
}

pub(crate) const CHANGES: &[Change] = &[
    Change::Shrink(0),
    Change::Shrink(8),
    Change::Shrink(4096),
    Change::Halve,
    Change::Grow,
    Change::Remove,
    Change::Directory,
    Change::Empty,
    #[cfg(unix)]
    Change::Of(unix::Change::NoPermissions),
    #[cfg(unix)]
    Change::Of(unix::Change::Link),
    #[cfg(unix)]
    Change::Of(unix::Change::DanglingLink),
    #[cfg(unix)]
    Change::Of(unix::Change::Pipe),
];

/// What else may become of a file on these systems.
#[cfg(unix)]
pub(crate) mod unix {
    use std::fs::{self, Permissions};
    use std::io;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Change {
        NoPermissions,
        /// A symbolic link to the file that it was.
        Link,
        /// A symbolic link to nothing.
        DanglingLink,
        Pipe,
    }

    impl Change {
        pub(super) fn make(self, path: &Path) -> io::Result<()> {
            if self == Change::NoPermissions {
                return fs::set_permissions(path, Permissions::from_mode(0o000));
            }
            if self == Change::Link {
                let aside = path.with_extension("aside");
                fs::rename(path, &aside)?;
                return symlink(&aside, path);
            }
            fs::remove_file(path)?;
            if self == Change::DanglingLink {
                return symlink("/nonexistent/place", path);
            }
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0)?;
            Ok(())
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// A word says something else.
    Word {
        file: usize,
        at: u64,
        value: u64,
    },
    /// Every word from here on says the same: chains without an end.
    Fill {
        file: usize,
        from: u64,
        value: u64,
    },
    /// The file is what another one was: see [`Stage`].
    Replay {
        file: usize,
        of: usize,
    },
    File {
        file: usize,
        change: Change,
    },
}

/// What lies are made of.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) honest: Contents,
    /// The same channel before; another channel of the same pattern; one of another pattern.
    pub(crate) others: Vec<Contents>,
    /// Bytes of a ring, a lane, the slots.
    pub(crate) capacity: u64,
}

/// The words that a structure of the layout lies in; of all others it is enough that they do no harm.
fn is_structure(pattern: &str, file: usize, at: u64) -> bool {
    let any = |ranges: &[(u64, u64)]| {
        ranges
            .iter()
            .any(|&(from, len)| (from..from + len).contains(&at))
    };
    match (FILES[file], pattern) {
        // Headers, generations, cursors, counters and verdicts.
        ("root", _) => at < 400,
        ("1.owner", "frames") => any(&[(0, 1152), (3072, 16), (4096, 64), (8192, 384)]),
        ("1.owner", "ring") => any(&[(0, 1152), (4096, 400)]),
        ("1.owner", "mpsc") => any(&[(0, 1152), (4096, 256)]),
        ("1.owner", _) => any(&[(0, 1152), (3072, 64), (4096, 320)]),
        // The header, parked words, the seats, notices; the lanes' beginnings.
        ("1.peers", "mpsc") => any(&[(0, 264), (512, 1040), (65_536, 96), (131_072, 1600)]),
        ("1.peers", _) => any(&[(0, 264), (512, 1024)]),
        _ => false,
    }
}

/// Every word that the heads of the files have, and what follows them as far as it is used.
fn is_looked_at(file: usize, at: u64, honest: u64) -> bool {
    match FILES[file] {
        "root" => true,
        "1.owner" => at < 4096 || honest != 0,
        _ => at < 2048 || honest != 0,
    }
}

/// What an honest word may become: extremes, neighbours, an earlier value, half of it gone, each single bit.
pub(crate) fn values(honest: u64, earlier: u64, capacity: u64) -> Vec<u64> {
    let mut values = vec![
        0,
        1,
        7,
        8,
        u64::MAX,
        u64::MAX - 7,
        i64::MAX as u64,
        1 << 31,
        (1 << 31) - 1,
        1 << 32,
        u32::MAX.into(),
        1 << 62,
        1 << 63,
        capacity,
        capacity.wrapping_add(8),
        capacity.wrapping_sub(8),
        honest.wrapping_add(1),
        honest.wrapping_sub(1),
        honest.wrapping_add(8),
        honest.wrapping_sub(8),
        honest.wrapping_add(capacity),
        honest.wrapping_add(capacity).wrapping_add(8),
        honest.wrapping_sub(capacity),
        honest << 16,
        honest >> 8,
        honest | u64::from(u32::MAX),
        honest & u64::from(u32::MAX),
        honest | !u64::from(u32::MAX),
        honest.rotate_left(32),
        earlier,
    ];
    values.extend((0..64).map(|bit| honest ^ 1 << bit));
    values.retain(|&value| value != honest);
    values.sort_unstable();
    values.dedup();
    values
}

/// Every lie about a channel at rest. One of `thin` is told of what may be said of each word, others of each next
/// one; so all kinds are told everywhere, if not each of each word.
pub(crate) fn all(pattern: &str, stage: &Stage, thin: usize) -> Vec<Lie> {
    let mut lies = Vec::new();
    for file in 0..FILES.len() {
        for &change in CHANGES {
            lies.push(Lie::File { file, change });
        }
        for of in 0..stage.others.len() {
            lies.push(Lie::Replay { file, of });
        }
        let len = stage.honest.0[file].len() as u64;
        for (index, at) in (0..len / 8).map(|word| word * 8).enumerate() {
            let honest = stage.honest.word(file, at as usize);
            let structure = is_structure(pattern, file, at);
            if structure {
                let earlier = stage.others[0].word(file, at as usize);
                let values = values(honest, earlier, stage.capacity);
                let some = values.into_iter().skip(index % thin).step_by(thin);
                lies.extend(some.map(|value| Lie::Word { file, at, value }));
            } else if is_looked_at(file, at, honest) && (thin == 1 || index % 4 == 0) {
                let value = u64::MAX;
                lies.push(Lie::Word { file, at, value });
            }
        }
        for &from in fills(pattern, file) {
            for value in [0, u64::MAX, endless(stage, file, from), 1 << 48, 1 << 63, 8] {
                lies.push(Lie::Fill { file, from, value });
            }
        }
    }
    lies
}

/// Where what is filled begins: seats, tables, payloads.
fn fills(pattern: &str, file: usize) -> &'static [u64] {
    match (FILES[file], pattern) {
        ("root", _) => &[0, 256],
        ("1.owner", "frames") => &[256, 4096, 8192],
        ("1.owner", _) => &[256, 4096],
        ("1.peers", "mpsc") => &[256, 512, 65_536, 131_072],
        ("1.peers", _) => &[256, 512],
        _ => &[],
    }
}

/// The first word there with a length of nothing: a record that takes its header alone, over and over.
fn endless(stage: &Stage, file: usize, from: u64) -> u64 {
    stage.honest.word(file, from as usize) & !u64::from(u32::MAX)
}

impl Lie {
    /// Tells it; `false` if what it is about is not there to be lied about.
    pub(crate) fn tell(&self, stage: &Stage, directory: &Path) -> bool {
        let open = |file: usize| {
            let path = directory.join(FILES[file]);
            let regular = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
            let opened = OpenOptions::new().read(true).write(true).open(path);
            opened.ok().filter(|_| regular)
        };
        match *self {
            Lie::Word { file, at, value } => open(file).is_some_and(|opened| {
                let long = opened.metadata().is_ok_and(|found| at + 8 <= found.len());
                long && crate::mapped::store(&opened, at, value)
            }),
            Lie::Fill { file, from, value } => open(file).is_some_and(|opened| {
                let len = opened.metadata().map_or(0, |found| found.len());
                let words = (len.saturating_sub(from) / 8) as usize;
                let bytes = value.to_le_bytes().repeat(words);
                opened.write_all_at(&bytes, from).is_ok()
            }),
            Lie::Replay { file, of } => open(file).is_some_and(|opened| {
                let bytes = &stage.others[of].0[file];
                let written = opened.write_all_at(bytes, 0);
                written.is_ok() && opened.set_len(bytes.len() as u64).is_ok()
            }),
            Lie::File { file, change } => change.make(&directory.join(FILES[file])),
        }
    }
}

impl Change {
    fn make(self, path: &Path) -> bool {
        let Ok(found) = fs::symlink_metadata(path) else {
            return false;
        };
        if !found.is_file() {
            return false;
        }
        let resize = |len| {
            OpenOptions::new()
                .write(true)
                .open(path)
                .and_then(|file| file.set_len(len))
        };
        let done = match self {
            Change::Shrink(len) => resize(len.min(found.len())),
            Change::Halve => resize(found.len() / 2),
            Change::Grow => resize(found.len() + 4096),
            Change::Remove => fs::remove_file(path),
            Change::Empty => fs::remove_file(path).and_then(|()| fs::write(path, [])),
            Change::Directory => fs::remove_file(path).and_then(|()| fs::create_dir(path)),
            #[cfg(unix)]
            Change::Of(change) => change.make(path),
        };
        done.is_ok()
    }
}
