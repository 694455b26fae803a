//! Where things lie in a segment, told by its header; and whether the header's numbers can be true.

use super::header::{self, Pattern, Side};
use super::{PAGE, frames, mpsc, peers, ring, root, round_up, seat, slots};

/// The numbers of a header that decide the geometry, as read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) pattern: Pattern,
    pub(crate) payload_size: u64,
    pub(crate) record_size: u32,
    pub(crate) seats: u32,
    pub(crate) schema_size: u32,
}

/// What follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) payload_offset: u64,
    pub(crate) payload_size: u64,
    pub(crate) total_size: u64,
    /// Bytes from the start whose memory is reserved when the segment is made; what follows is reserved when
    /// somebody takes it.
    pub(crate) reserved: u64,
}

/// A number that no owner writes: the word, its offset, what could be there, what is.
pub(crate) type Impossible = (&'static str, u64, &'static str, u64);

/// The longest schema, in bytes.
pub(crate) const MAX_SCHEMA: u32 = 64 << 10;

impl Sizes {
    /// The geometry of one side, or what is impossible in it.
    pub(crate) fn of(self, side: Side) -> Result<Geometry, Impossible> {
        match side {
            Side::Root => Ok(Geometry {
                payload_offset: 0,
                payload_size: 0,
                total_size: root::SIZE,
                reserved: root::SIZE,
            }),
            Side::Owner => self.owner(),
            Side::Peers if self.pattern == Pattern::Mpsc => {
                mpsc::peer_side(self.payload_size, self.seats)
            }
            Side::Peers => Ok(Geometry {
                payload_offset: peers::SEATS,
                payload_size: u64::from(self.seats) * seat::SIZE,
                total_size: peers::size(self.seats),
                reserved: peers::size(self.seats),
            }),
        }
    }

    /// Without the schema.
    fn payload(self) -> Result<Geometry, Impossible> {
        let payload_offset = match self.pattern {
            Pattern::Ring => ring::check(self.payload_size)?,
            Pattern::Snapshot | Pattern::Broadcast | Pattern::Guarded => {
                slots::check(self.payload_size, self.record_size)?
            }
            Pattern::Frames => frames::check(self.payload_size, self.record_size)?,
            Pattern::Mpsc => return mpsc::owner_side(self.payload_size, self.seats),
        };
        let total_size = round_up(payload_offset + self.payload_size, PAGE);
        Ok(Geometry {
            payload_offset,
            payload_size: self.payload_size,
            total_size,
            reserved: total_size,
        })
    }

    fn owner(self) -> Result<Geometry, Impossible> {
        let payload = self.payload()?;
        if self.schema_size > MAX_SCHEMA {
            let found = u64::from(self.schema_size);
            return Err(("schema_size", header::SCHEMA_SIZE, "at most 64 KiB", found));
        }
        let schema = round_up(u64::from(self.schema_size), PAGE);
        let total_size = payload.total_size + schema;
        Ok(Geometry {
            total_size,
            reserved: total_size,
            ..payload
        })
    }
}
