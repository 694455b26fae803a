//! Sharing a channel, and removing one that is confidential: half-done nothing may be readable by the wrong ones, or
//! freed as it was.

use std::fs::{self, File};
use std::path::Path;

use partywall::snapshot::WriterOptions;
use partywall::{Namespace, manage};

use crate::stopped::nobody_is_robbed;
use crate::system::{self, At};
use crate::world::CHANNEL;
use crate::{Located, Swept};

/// What must be nowhere in the end.
const SECRET: &[u8; 64] = b"nobody is to find this in memory that was freed, or in any file.";

/// A snapshot, and its files held open, to look at when their names have gone.
pub(crate) struct ProtectedWorld {
    directory: tempfile::TempDir,
    namespace: Namespace,
    files: Vec<File>,
}

impl Located for ProtectedWorld {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn meanwhile(&mut self) {
        nobody_is_robbed(&self.namespace, || options(&self.namespace).open(CHANNEL));
    }
}

fn options(namespace: &Namespace) -> WriterOptions {
    WriterOptions::new()
        .namespace(namespace.clone())
        .value_size(64)
        .seats(1)
        .keep_when_closed(true)
        .heartbeat(false)
}

impl ProtectedWorld {
    fn with_a_secret(confidential: bool) -> Self {
        let directory = system::directory();
        #[cfg(unix)]
        modes::set(directory.path(), 0o711);
        let namespace = Namespace::open(directory.path()).unwrap();
        let options = options(&namespace).confidential(confidential);
        let mut writer = options.open(CHANNEL).unwrap();
        writer.put(SECRET).unwrap();
        writer.abandon();
        let files = fs::read_dir(directory.path().join(CHANNEL))
            .unwrap()
            .map(|entry| File::open(entry.unwrap().path()).unwrap())
            .collect();
        ProtectedWorld {
            directory,
            namespace,
            files,
        }
    }

    /// Whoever removes the rest finds all of it, and the secret is in none of the files.
    fn nothing_is_left_of_the_secret(self) {
        if self.path().join(CHANNEL).exists() {
            manage::remove(&self.namespace, CHANNEL, false).unwrap();
        }
        for file in &self.files {
            let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            let held = bytes.windows(SECRET.len()).any(|part| part == SECRET);
            assert!(!held, "it was freed as it was");
        }
        assert_eq!(system::names(self.path()).len(), 0);
    }
}

/// Files have modes on these systems alone.
#[cfg(unix)]
mod modes {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{ProtectedWorld, options};
    use crate::world::CHANNEL;
    use crate::{Located, Swept};

    pub(super) fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A successor that says nothing of a mode gives all files the same: that which its predecessor began to give, or the
    /// one before.
    fn all_are_one(world: ProtectedWorld) {
        options(&world.namespace).open(CHANNEL).unwrap().abandon();
        let channel = world.path().join(CHANNEL);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let root = mode(&channel.join("root"));
        assert!([0o600, 0o644].contains(&root), "{root:o}");
        for file in ["1.owner", "1.peers"] {
            assert_eq!(mode(&channel.join(file)), root, "{file}");
        }
        assert_eq!(mode(&channel), root | (root & 0o444) >> 2 | 0o100);
        assert_eq!(mode(&channel.join("lock")), 0o600);
    }

    pub(super) fn operation() -> Swept<ProtectedWorld> {
        Swept {
            name: "share_a_channel",
            least_points: 18,
            prepare: || ProtectedWorld::with_a_secret(false),
            act: |stage| {
                stage.armed();
                let options = options(&stage.namespace).mode(0o644);
                options.open(CHANNEL).unwrap().abandon();
                stage.disarmed();
            },
            check: |world, _| all_are_one(world),
        }
    }
}

pub(crate) fn operations() -> impl Iterator<Item = Swept<ProtectedWorld>> {
    [
        #[cfg(unix)]
        modes::operation(),
        Swept {
            name: "remove_what_is_confidential",
            least_points: 20,
            prepare: || ProtectedWorld::with_a_secret(true),
            act: |stage| {
                stage.armed();
                manage::remove(&stage.namespace, CHANNEL, false).unwrap();
                stage.disarmed();
            },
            check: |world, _| world.nothing_is_left_of_the_secret(),
        },
        Swept {
            name: "replace_what_is_confidential",
            least_points: 80,
            prepare: || ProtectedWorld::with_a_secret(true),
            act: |stage| {
                stage.armed();
                let options = options(&stage.namespace).value_size(5000);
                options.open(CHANNEL).unwrap().abandon();
                stage.disarmed();
            },
            check: |world, _| world.nothing_is_left_of_the_secret(),
        },
    ]
    .into_iter()
}
