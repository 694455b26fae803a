//! What every handle tells of its channel, once.

/// The methods of a peer's handle that tell which channel it is of. What the owner's number means is each pattern's own:
/// see [`peer_accessors`].
macro_rules! channel_accessors {
    ($handle:ident, $this:ident => $peer:expr) => {
        impl $handle {
            /// What the channel's records are made of; `None` if they are bytes without a schema.
            ///
            /// # Errors
            /// [`OpenError::Damaged`](crate::OpenError::Damaged) if what stands there is no schema.
            pub fn schema(&$this) -> Result<Option<crate::record::Schema>, crate::OpenError> {
                $peer.schema()
            }

            /// The channel's name.
            #[must_use]
            pub fn channel(&$this) -> &str {
                $peer.channel()
            }

            /// Counts the channel's generations from 1.
            #[must_use]
            pub fn generation(&$this) -> u64 {
                $peer.header().generation
            }
        }
    };
}

/// The same, and the owner's number, for peers of one owner at a time. `$peer` is the [`PeerHandle`](super::PeerHandle).
macro_rules! peer_accessors {
    ($handle:ident, $this:ident => $peer:expr) => {
        crate::handle::accessors::channel_accessors!($handle, $this => $peer);

        impl $handle {
            /// Counts the owners of this generation from 1: changes when a new one adopts the channel.
            #[must_use]
            pub fn owner_epoch(&$this) -> u64 {
                $peer.owner_epoch()
            }
        }
    };
}

/// The same of an owner, whose `$owner` is the [`OwnerHandle`](super::OwnerHandle).
macro_rules! owner_accessors {
    ($handle:ident, $this:ident => $owner:expr) => {
        impl $handle {
            /// The channel's name.
            #[must_use]
            pub fn channel(&$this) -> &str {
                $owner.channel()
            }

            /// Counts the channel's generations from 1.
            #[must_use]
            pub fn generation(&$this) -> u64 {
                $owner.owned.header.generation
            }

            /// Counts the owners of this generation from 1.
            #[must_use]
            pub fn owner_epoch(&$this) -> u64 {
                $owner.owned.epoch
            }
        }
    };
}

pub(crate) use {channel_accessors, owner_accessors, peer_accessors};
