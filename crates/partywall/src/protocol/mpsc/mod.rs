//! Many senders, one receiver: each sender has a seat and a lane, which it alone writes; the receiver owns the channel.
//!
//! # In words
//!
//! A lane is a [buffer](super::buffer) with one writer: what a record is, and from when it is safe to read, stands
//! there. No word has two writers, so no sender can hold another up, by dying or otherwise, and each sends without
//! waiting for anybody while its lane has room.
//!
//! **A byte is safe to overwrite once the receiver's cursor on the lane has passed it.** The receiver stores it
//! Release after it has handed the record out and got the caller back, the sender loads it Acquire when its limit
//! is used up (label `lane-release`). A record needs sixteen bytes more than it takes: eight for the header that it
//! zeroes, and eight so that BYE always fits, for closing must not wait.
//!
//! **Notice.** Behind each commit the sender stores its position, in 32 bits, by Release; the notices of all lanes
//! lie together. The receiver loads each by Acquire, compares it with its private copy, *updates the copy, and then*
//! reads the lane until a header is zero (label `notice`). What is committed after that look changes the notice
//! again. A sender that dies between header and notice is found by the sweep: at least once in each slice, and when a
//! receiver takes office, every lane that was ever claimed is read.
//!
//! **Who is there, in band.** A holder's first record is HELLO with its epoch, its last one BYE. So an end is told
//! exactly where it happened: BYE closed; HELLO of a later epoch, while one is open, means that the one before died
//! here; and if the header is zero and one is open, the receiver tries the seat's lock, and *looks at the header
//! again* under it: still zero, so the holder has died and everything of it was read (label `lane-end`). Epochs may
//! skip: a holder that found no room for HELLO has nothing to be told of.
//!
//! **Death.** A sender's successor takes the seat's lock and with it the view of the dead, walks from the receiver's
//! cursor to the first zero header and goes on there: what was committed stays, what was not was never visible. A
//! receiver's successor begins at the cursors. They are stored after their records were handed out, so records come
//! again rather than get lost; around a control record they are stored at once: before it, and, behind the lane's
//! state word, past it. So the state word is always the one that belongs to what follows the cursor, or to the
//! control record that stands there.
//!
//! **Growth.** The receiver owns the channel, the senders own the data: so each lane goes on in the next
//! [generation](super::growth) by itself, at the position at which it ended. RETIRED, which the receiver stores behind
//! the root, tells a sender that there is one: it says in its old seat where its lane ends, behind its last commit (label
//! `lane-moved`), and goes on in the new one; its room there does not depend on what is unread in the old one. Whoever
//! claims a seat meanwhile takes the lock of the old one too, and ends the lane for its dead holder where the first
//! header is zero. The receiver leaves an old lane only where it has read everything: where its sender says that it ends,
//! and the header *behind that look* is zero; or, where nobody said so, under the seat's lock, after another look. What
//! it then stores on its own side, behind its cursor and the lane's state word in the new generation, is the one commit
//! point (label `lane-left`): before it, the receiver or its successor goes on in the old lane, behind it in the new one.
//! A claimant believes that word before the sender's, for the sender's may be changed later. Where neither is there, the
//! receiver's cursor in the new generation may stand before the lane's beginning, and tells nothing; so a claimant walks
//! from the later of the two. The end of a lane changes its notice, and while the receiver is in both generations, it
//! sleeps on the bells of both. One growth at a time.
//!
//! **Lies.** A lane in which something impossible stands is cut off: the state word says CUT and the epoch of the
//! seat. Nobody reads it any more until the seat has a holder of a later epoch, who makes the header at the cursor
//! zero before it takes the seat (label `lane-anew`). The other lanes go on.

pub(crate) mod receiver;
pub(crate) mod sender;

use super::buffer::Buffer;
use crate::layout::mpsc;

/// A generation's geometry: read once from a header that was checked, and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes of a lane, a power of two.
    pub(crate) lane: u64,
    /// Seats, and so lanes.
    pub(crate) seats: u32,
}

/// Where a lane lies in what a process has mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    offset: u64,
    capacity: u64,
}

impl Shape {
    /// The lane of a seat, in a mapping of the whole peer side.
    pub(crate) fn lane_of(self, seat: u32) -> Lane {
        Lane {
            offset: mpsc::lane_at(self.lane, seat),
            capacity: self.lane,
        }
    }

    /// A lane in a mapping of nothing but it.
    pub(crate) fn lane_alone(self) -> Lane {
        Lane {
            offset: 0,
            capacity: self.lane,
        }
    }
}

impl Buffer for Lane {
    #[inline(always)]
    fn offset(self) -> u64 {
        self.offset
    }

    #[inline(always)]
    fn capacity(self) -> u64 {
        self.capacity
    }
}

/// Whether an epoch comes after another: they count modulo 2^48.
fn is_later(epoch: u64, than: u64) -> bool {
    (epoch.wrapping_sub(than) << 16) as i64 > 0
}
