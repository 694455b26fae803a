//! What the handles of every pattern stand on: options, waiting, signs of life, the end of a stream, errors.

pub(crate) mod accessors;
pub(crate) mod batch;
pub(crate) mod options;
pub(crate) mod owner;
pub(crate) mod peer;
pub(crate) mod records;
pub(crate) mod reservation;
pub(crate) mod slots;

pub(crate) use options::{OwnerSettings, PeerSettings};
pub(crate) use owner::OwnerHandle;
pub(crate) use peer::PeerHandle;
