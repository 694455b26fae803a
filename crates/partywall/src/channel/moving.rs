//! Going over from a generation that is over to the one after it, seat and all.

use super::directory::{ChannelDirectory, owner_file};
use super::liveness::{lock_patiently, seat_byte};
use super::root;
use super::schema;
use super::segment::Header;
use super::{attach, generation};
use crate::error::{Denied, OpenError};
use crate::layout::header::{self, State};
use crate::memory::{ReadOnly, Region};
use crate::os::LockFile;
use crate::protocol::{Lie, park};
use crate::record::Schema;
use attach::{NotTaken, Opened, PeerRole};

/// A peer on its way.
#[derive(Debug)]
pub(crate) struct Move<'a> {
    pub(crate) channel: &'a ChannelDirectory,
    /// Holds the byte of the old seat.
    pub(crate) lock: &'a LockFile,
    pub(crate) root: &'a Region<ReadOnly>,
    /// The generation that is over.
    pub(crate) from: &'a Header,
    /// What the records must be made of; `None`: bytes, whatever they are.
    pub(crate) schema: Option<&'a Schema>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Moved<P> {
    /// It sits in the next generation.
    Here(Box<(Header, P)>),
    /// There is none to go to, or not any more: the root knows.
    Nowhere,
    /// Somebody else sits at this peer's index there.
    Taken,
}

impl Move<'_> {
    /// Takes the seat of the same index in the next generation, and only then gives up the one that `held` is. Always
    /// one generation at a time. The caller has found the generation over, and after that nothing more in it.
    ///
    /// # Errors
    /// [`OpenError::SchemaMismatch`] if that generation's records are others; [`OpenError::Damaged`]; and what the
    /// system says. Then the old seat is still held.
    pub(crate) fn go<P: PeerRole>(&self, held: &mut P) -> Result<Moved<P>, OpenError> {
        let number = self.from.generation;
        let current = root::generations(self.root).map_err(|lie| self.damaged(0, lie))?;
        if root::state(self.root) != State::READY || current.current <= number {
            return Ok(Moved::Nowhere);
        }
        let number = number.wrapping_add(1);
        let opened = generation::open_for_peer(self.channel, number, self.from.instance);
        let (header, owner, peers) = match opened {
            Ok(opened) => opened,
            Err(_) if root::state(self.root) != State::READY => return Ok(Moved::Nowhere),
            Err(error) => return Err(error),
        };
        let next = Opened {
            channel: self.channel,
            lock: self.lock,
            root: self.root,
            header,
            owner,
            peers,
        };
        held.may_leave_for(&next.header)
            .map_err(|lie| self.damaged(number, lie))?;
        let seat = held.seat();
        if seat >= next.header.seat_count {
            return Err(self.damaged(
                number,
                Lie {
                    word: "seat_count",
                    place: header::SEAT_COUNT,
                    expected: "no smaller than in the generation before",
                    found: next.header.seat_count.into(),
                },
            ));
        }
        schema::expect(self.channel, &next.header, &next.owner, self.schema)?;
        let (old, new) = (
            seat_byte(self.from.generation, seat),
            seat_byte(number, seat),
        );
        let system = |error| self.channel.error(Denied::Lock, "lock a seat", error);
        if !lock_patiently(self.lock, new).map_err(system)? {
            return Ok(Moved::Taken);
        }
        let moved = match held.move_in(&next) {
            Ok(moved) => moved,
            Err(refused) => {
                let _ = self.lock.unlock(new);
                return match refused {
                    NotTaken::NotReady => Ok(Moved::Nowhere),
                    NotTaken::Unusable => Ok(Moved::Taken),
                    NotTaken::Damaged(lie) => Err(self.damaged(number, lie)),
                    NotTaken::Failed(error) => Err(error),
                };
            }
        };
        if !held.keeps_its_seat() {
            let _ = self.lock.unlock(old);
        }
        // An owner that waits for room waits for who stood at the base.
        park::wake_owner(moved.owner(), moved.peers(), seat);
        Ok(Moved::Here(Box::new((next.header, moved))))
    }

    fn damaged(&self, generation: u64, lie: Lie) -> OpenError {
        OpenError::Damaged {
            channel: self.channel.name().to_owned(),
            file: match generation {
                0 => super::directory::ROOT.to_owned(),
                number => owner_file(number),
            },
            lie,
        }
    }
}
