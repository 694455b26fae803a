//! What several tests share.
#![allow(dead_code, reason = "each test uses some of it")]

pub(crate) mod system;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;

use partywall::Namespace;
use partywall::ring::{ConsumerOptions, ProducerOptions};

/// A namespace of the test's own, gone when it ends.
pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = system::directory();
        Place {
            namespace: Namespace::open(directory.path()).unwrap(),
            directory,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A small ring, so that laps are short.
    pub(crate) fn producer(&self) -> ProducerOptions {
        ProducerOptions::new()
            .namespace(self.namespace.clone())
            .capacity(4096)
    }

    pub(crate) fn consumer(&self) -> ConsumerOptions {
        ConsumerOptions::new().namespace(self.namespace.clone())
    }

    /// Everything in the namespace.
    pub(crate) fn files(&self) -> Vec<String> {
        system::names(self.path())
    }
}

/// Numbers that can be had again: the seed is printed, and taken from `PARTYWALL_SEED` if that is set.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn from_environment() -> Self {
        let seed = std::env::var("PARTYWALL_SEED").map_or_else(
            |_| RandomState::new().build_hasher().finish(),
            |seed| seed.parse().expect("a number"),
        );
        println!("PARTYWALL_SEED={seed}");
        Self::from_seed(seed)
    }

    pub(crate) fn from_seed(seed: u64) -> Self {
        Random(seed | 1)
    }

    /// Less than `end`. xorshift64 (Marsaglia 2003).
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A file of the channel `c`, to write to.
pub(crate) fn file(place: &Place, name: &str) -> std::fs::File {
    let path: std::path::PathBuf = place.path().join("c").join(name);
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap()
}

/// The values that a liar would choose.
pub(crate) fn lies(honest: u64) -> Vec<u64> {
    let mut values = vec![
        0,
        1,
        7,
        8,
        u64::MAX,
        1 << 63,
        i64::MAX as u64,
        1 << 32,
        0xffff_ffff,
    ];
    values.extend((0..64).step_by(7).map(|bit| honest ^ 1 << bit));
    values.extend([
        honest.wrapping_add(8),
        honest.wrapping_sub(8),
        honest << 16,
        honest >> 8,
    ]);
    values
}
