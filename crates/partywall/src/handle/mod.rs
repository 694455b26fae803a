//! What the handles of every pattern stand on: waiting, signs of life, the end of a stream, errors.

pub(crate) mod owner;
pub(crate) mod peer;

pub(crate) use owner::OwnerHandle;
pub(crate) use peer::{PeerHandle, PeerSettings};

use crate::channel::namespace::Namespace;
use crate::error::OpenError;

/// The namespace that was chosen, or the user's own.
pub(crate) fn open_namespace(chosen: Option<&Namespace>) -> Result<Namespace, OpenError> {
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
