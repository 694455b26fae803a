//! The options that every pattern has, once: what they are, and the methods that set them.

use std::time::Duration;

use crate::channel::generation::Wanted;
use crate::channel::joining::Request;
use crate::channel::namespace::Namespace;
use crate::error::OpenError;
use crate::layout;
use crate::os::{self, Readers};
use crate::protocol::frames::seats::Wish;
use crate::record::Schema;
use crate::wait::{StopToken, WaitStrategy};

/// What the options of every pattern's owner have in common.
#[derive(Clone, Debug)]
pub(crate) struct OwnerSettings {
    pub(crate) namespace: Option<Namespace>,
    pub(crate) seats: u32,
    pub(crate) keep: bool,
    pub(crate) heartbeat: bool,
    pub(crate) schema: Option<Schema>,
    pub(crate) confidential: bool,
    pub(crate) lock_memory: bool,
    pub(crate) mode: Option<u32>,
    pub(crate) backing: Backing,
    pub(crate) global: Option<bool>,
}

/// Where a channel's memory comes from, where the system offers a choice: that is on Windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backing {
    /// Files, which outlive every process. On Linux they are in memory, on Windows in a directory of the user's own,
    /// and written to the disk only when memory is short.
    #[default]
    Files,
    /// On Windows, sections of the page file: no byte of a record is ever in a file, and all of it goes with the last process that
    /// has the channel open. Elsewhere the same as [`Self::Files`], which are in memory there anyway, and stay.
    PageFile,
}

impl Default for OwnerSettings {
    fn default() -> Self {
        OwnerSettings {
            namespace: None,
            seats: 8,
            keep: false,
            heartbeat: true,
            schema: None,
            confidential: false,
            lock_memory: false,
            mode: None,
            backing: Backing::default(),
            global: None,
        }
    }
}

impl OwnerSettings {
    pub(crate) fn namespace(&self) -> Result<Namespace, OpenError> {
        open_namespace(self.namespace.as_ref())
    }

    /// A generation as wanted, once the common options were checked.
    pub(crate) fn wanted(
        &self,
        payload_size: u64,
        record_size: u32,
        checksums: bool,
    ) -> Result<Wanted, OpenError> {
        if !(1..=layout::MAX_SEATS).contains(&self.seats) {
            return Err(invalid("seats", "1 to 64", self.seats));
        }
        let readers = self
            .mode
            .map(|mode| {
                let expected = "0600, 0640, 0604 or 0644: others may read, and never write";
                Readers::from_mode(mode)
                    .ok_or_else(|| invalid("mode", expected, format!("{mode:04o}")))
            })
            .transpose()?;
        let page_file = self.backing == Backing::PageFile;
        if page_file && self.keep {
            return Err(invalid(
                "the memory of a channel that stays when it was closed",
                "files: what is of the page file goes with the last process that has it",
                "Backing::PageFile (--page-file)",
            ));
        }
        Ok(Wanted {
            provision: os::provided(page_file, self.global),
            payload_size,
            record_size,
            seats: self.seats,
            keep: self.keep,
            checksums,
            confidential: self.confidential,
            lock_memory: self.lock_memory,
            readers,
            schema: self.schema.clone(),
            pool: None,
        })
    }
}

/// What the options of every pattern's peers have in common.
#[derive(Clone, Debug)]
pub(crate) struct PeerSettings {
    pub(crate) namespace: Option<Namespace>,
    pub(crate) attach_timeout: Option<Duration>,
    pub(crate) await_successor: bool,
    pub(crate) wait: WaitStrategy,
    pub(crate) heartbeat: bool,
    pub(crate) stop: Option<StopToken>,
    pub(crate) schema: Option<Schema>,
    pub(crate) lock_memory: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        PeerSettings {
            namespace: None,
            attach_timeout: Some(Duration::from_secs(5)),
            await_successor: false,
            wait: WaitStrategy::default(),
            heartbeat: true,
            stop: None,
            schema: None,
            lock_memory: false,
        }
    }
}

impl PeerSettings {
    pub(crate) fn namespace(&self) -> Result<Namespace, OpenError> {
        open_namespace(self.namespace.as_ref())
    }

    /// What to attach to.
    pub(crate) fn request<'a>(
        &'a self,
        namespace: &'a Namespace,
        channel: &'a str,
        durable: Option<&'a str>,
    ) -> Request<'a> {
        Request {
            namespace,
            channel,
            durable,
            wish: Wish::default(),
            timeout: self.attach_timeout,
            stop: self.stop.as_ref(),
            lock_memory: self.lock_memory,
            schema: self.schema.as_ref(),
            or_closed: false,
        }
    }
}

/// The namespace that was chosen, or the user's own.
fn open_namespace(chosen: Option<&Namespace>) -> Result<Namespace, OpenError> {
    chosen.map_or_else(Namespace::open_default, |namespace| Ok(namespace.clone()))
}

/// An option that is out of its range.
pub(crate) fn invalid(
    option: &'static str,
    expected: &'static str,
    found: impl ToString,
) -> OpenError {
    OpenError::InvalidOption {
        option,
        expected,
        found: found.to_string(),
    }
}

/// How any options begin: their field `settings` has a field `namespace`.
macro_rules! place_options {
    ($options:ident) => {
        impl $options {
            /// The defaults, as each method tells them.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            /// Where the channel is; default
            /// [`Namespace::open_default`](crate::Namespace::open_default).
            #[must_use]
            pub fn namespace(mut self, namespace: crate::Namespace) -> Self {
                self.settings.namespace = Some(namespace);
                self
            }
        }
    };
}

/// The methods of an owner's options that set its [`OwnerSettings`], which are its field `settings`.
macro_rules! owner_options {
    ($options:ident) => {
        crate::handle::options::place_options!($options);

        impl $options {
            /// How many peers can sit here, 1 to 64; default 8. Where readers need no seat, it is how many can
            /// be woken; others look by themselves.
            #[must_use]
            pub fn seats(mut self, seats: u32) -> Self {
                self.settings.seats = seats;
                self
            }

            /// What the records are made of: it is written into the channel, for others to compare and to read.
            /// Opening with a type does this by itself. Default: none, records are bytes.
            #[must_use]
            pub fn schema(mut self, schema: crate::record::Schema) -> Self {
                self.settings.schema = Some(schema);
                self
            }

            /// Whether the channel stays when it was closed or abandoned and the last peer has left, for
            /// `partywall rm` to remove; default no. It is said of a generation when that is made: who takes over
            /// what another made leaves it as it was made.
            #[must_use]
            pub fn keep_when_closed(mut self, keep: bool) -> Self {
                self.settings.keep = keep;
                self
            }

            /// Whether what is in the channel is confidential; default no. Then no process's core dump has it, and whoever
            /// removes the channel, or an old generation of it, overwrites it before. It stays so with whoever opens
            /// the channel next. What a program copies out of the channel is its own to look after.
            #[must_use]
            pub fn confidential(mut self, confidential: bool) -> Self {
                self.settings.confidential = confidential;
                self
            }

            /// Whether this process keeps the channel's memory out of swap for as long as it has it open (mlock(2));
            /// default no. What does not fit into `RLIMIT_MEMLOCK` is
            /// [`OpenError::NotLockable`](crate::OpenError::NotLockable).
            #[must_use]
            pub fn locked_in_memory(mut self, locked: bool) -> Self {
                self.settings.lock_memory = locked;
                self
            }

            /// Who may read the channel, as a file's mode: 0600 its owner alone; 0640 also the group of its files
            /// (that of the process that makes them, or that of a namespace with the set-group-id bit); 0644 everybody.
            /// Nobody else ever writes: the kernel keeps others from it. It can be changed whenever the channel is
            /// opened, though whoever has it open then keeps what he has mapped; unless it is said, a
            /// channel keeps the mode that it has, and a new one is 0600. Only snapshots and broadcasts
            /// can be shared; in other patterns anything but 0600 is [`OpenError::InvalidOption`](crate::OpenError::InvalidOption).
            /// The namespace must let the others search it: see
            /// [`Namespace::open_with_mode`](crate::Namespace::open_with_mode); they open it by
            /// [`Namespace::open_of`](crate::Namespace::open_of). On Windows it is 0600, which is the user himself and SYSTEM;
            /// anything else is [`OpenError::InvalidOption`](crate::OpenError::InvalidOption).
            #[must_use]
            pub fn mode(mut self, mode: u32) -> Self {
                self.settings.mode = Some(mode);
                self
            }

            /// Where the channel's memory comes from; default [`Backing::Files`](crate::Backing::Files). It counts where memory is
            /// made: who adopts a dead owner's channel takes it as it is, and what a channel grows into, or
            /// goes on in while a durable consumer is expected back, is files.
            ///
            /// With [`Backing::PageFile`](crate::Backing::PageFile) on Windows a channel is adopted like any other as
            /// long as some process has it open. Once all of them are gone, its next owner begins anew: what was not
            /// received is lost, and nobody can say how much that was. So such a channel has no durable consumers
            /// and cannot be [kept when closed](Self::keep_when_closed), both of which are [`OpenError::InvalidOption`](crate::OpenError::InvalidOption).
            #[must_use]
            pub fn backing(mut self, backing: crate::Backing) -> Self {
                self.settings.backing = backing;
                self
            }

            /// Whether, on Windows, processes of every log-on session find the channel's named objects (`Global\`), and not
            /// those of the owner's alone (`Local\`): for a channel between a service and a desktop.
            /// Default no, unless `PARTYWALL_GLOBAL=1`. Peers need not say it, and it stays so with later owners.
            /// Together with [`Backing::PageFile`](crate::Backing::PageFile) it takes `SeCreateGlobalPrivilege`:
            /// without it, [`OpenError::NoGlobalRight`](crate::OpenError::NoGlobalRight). Elsewhere nothing depends on it.
            #[must_use]
            pub fn global(mut self, global: bool) -> Self {
                self.settings.global = Some(global);
                self
            }

            /// Whether a background thread (one a process) stamps signs of life, by which tools tell a stuck
            /// owner from a live one; default yes.
            #[must_use]
            pub fn heartbeat(mut self, heartbeat: bool) -> Self {
                self.settings.heartbeat = heartbeat;
                self
            }
        }
    };
}

/// The methods of the options of a peer that reads: what it does when the owner dies is its choice.
macro_rules! peer_options {
    ($options:ident) => {
        crate::handle::options::attach_options!($options);

        impl $options {
            /// Whether a wait goes on when the owner died, until a new one adopts the channel. Default no:
            /// [`RecvError::OwnerDied`](crate::RecvError::OwnerDied), after everything committed was read.
            #[must_use]
            pub fn await_successor(mut self, wait: bool) -> Self {
                self.settings.await_successor = wait;
                self
            }
        }
    };
}

/// The methods of a peer's options that set its [`PeerSettings`], which are its field `settings`.
macro_rules! attach_options {
    ($options:ident) => {
        crate::handle::options::place_options!($options);

        impl $options {
            /// What the channel's records must be made of: if they are not,
            /// [`OpenError::SchemaMismatch`](crate::OpenError::SchemaMismatch) says in what they differ.
            /// Opening with a type does this by itself. Default: anything, records are bytes.
            #[must_use]
            pub fn schema(mut self, schema: crate::record::Schema) -> Self {
                self.settings.schema = Some(schema);
                self
            }

            /// How long to wait for the channel and its owner; default 5 s; `None`: for ever; zero: not at
            /// all.
            #[must_use]
            pub fn attach_timeout(mut self, timeout: Option<std::time::Duration>) -> Self {
                self.settings.attach_timeout = timeout;
                self
            }

            /// See [`WaitStrategy`](crate::WaitStrategy).
            #[must_use]
            pub fn wait(mut self, wait: crate::WaitStrategy) -> Self {
                self.settings.wait = wait;
                self
            }

            /// Whether a background thread (one a process) stamps signs of life, by which tools tell a stuck
            /// peer from a live one; default yes.
            #[must_use]
            pub fn heartbeat(mut self, heartbeat: bool) -> Self {
                self.settings.heartbeat = heartbeat;
                self
            }

            /// Whether this process keeps the channel's memory out of swap for as long as it has it open (mlock(2));
            /// default no. What does not fit into `RLIMIT_MEMLOCK` is
            /// [`OpenError::NotLockable`](crate::OpenError::NotLockable).
            #[must_use]
            pub fn locked_in_memory(mut self, locked: bool) -> Self {
                self.settings.lock_memory = locked;
                self
            }

            /// A token that ends every wait of the handle.
            #[must_use]
            pub fn stop_token(mut self, token: crate::StopToken) -> Self {
                self.settings.stop = Some(token);
                self
            }
        }
    };
}

/// The methods of options whose owner waits, which has the fields `wait` and `stop`.
macro_rules! wait_options {
    ($options:ident) => {
        impl $options {
            /// How to wait. See [`WaitStrategy`](crate::WaitStrategy).
            #[must_use]
            pub fn wait(mut self, wait: crate::WaitStrategy) -> Self {
                self.wait = wait;
                self
            }

            /// A token that ends every wait of the handle.
            #[must_use]
            pub fn stop_token(mut self, token: crate::StopToken) -> Self {
                self.stop = Some(token);
                self
            }
        }
    };
}

/// The methods of options of whoever may find no room, which have the fields `overflow` and `block_timeout`.
macro_rules! overflow_options {
    ($options:ident) => {
        impl $options {
            /// What to do when there is no room because the other side is behind. See [`Overflow`].
            #[must_use]
            pub fn overflow(mut self, overflow: Overflow) -> Self {
                self.overflow = overflow;
                self
            }

            /// How long [`Overflow::Block`] waits before it fails with
            /// [`SendError::TimedOut`](crate::SendError::TimedOut); default `None`: for ever.
            #[must_use]
            pub fn block_timeout(mut self, timeout: Option<std::time::Duration>) -> Self {
                self.block_timeout = timeout;
                self
            }
        }
    };
}

pub(crate) use {
    attach_options, overflow_options, owner_options, peer_options, place_options, wait_options,
};
