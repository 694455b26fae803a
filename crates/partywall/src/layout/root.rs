//! The root: one page for the channel's lifetime, written by the owner alone.

use super::{LINE, PAGE, header};

block! {
    /// The words behind the root's header; offsets from the start of the page.
    ROOT, "root", SIZE;
    /// The generation that new peers join.
    CURRENT: [8; Owner] = header::SIZE;
    /// The oldest generation whose segments still have names.
    OLDEST: [8; Owner] = header::SIZE + 8;
    /// One of the two generations that were closed last; 0: none yet.
    CLOSED_0: [8; Owner] = header::SIZE + 16;
    /// Where that one ended.
    CLOSED_SEQ_0: [8; Owner] = header::SIZE + 24;
    /// The other one.
    CLOSED_1: [8; Owner] = header::SIZE + 32;
    /// Where that one ended.
    CLOSED_SEQ_1: [8; Owner] = header::SIZE + 40;
    /// Bumped whenever something above or the state changes; sleepers wait on it.
    ROOT_BELL: [4; Owner] = header::SIZE + LINE;
}

/// Bytes of the root segment.
pub(crate) const SIZE: u64 = PAGE;
/// The last generation there can be: so that each seat of each has a byte of its own to lock.
pub(crate) const LAST: u64 = (1 << 55) - 1;
