//! Reading a channel without a seat: any number of readers, and nothing of theirs in shared memory.

use super::directory::{ChannelDirectory, owner_file};
use super::generation;
use super::joining::{AN_OWNER, Attempt, Request, THE_CHANNEL, enter, until_attached};
use super::liveness::Witness;
use super::root;
use super::schema;
use super::segment::Header;
use crate::error::OpenError;
use crate::layout::header::{Pattern, State};
use crate::memory::{ReadOnly, Region, Writable};
use crate::protocol::Lie;

/// A channel that was opened for reading.
#[derive(Debug)]
pub(crate) struct Visited {
    pub(crate) channel: ChannelDirectory,
    pub(crate) lock: Witness,
    pub(crate) root: Region<ReadOnly>,
    pub(crate) header: Header,
    pub(crate) owner: Region<ReadOnly>,
    /// Kept, so that a successor finds both sides where memory goes with the last process that has it.
    pub(crate) peers: Option<Region<ReadOnly>>,
}

/// What the root said when a channel was opened.
#[derive(Debug)]
pub(crate) struct Moment {
    root: Region<ReadOnly>,
    current: u64,
}

impl Moment {
    /// Whether it says the same yet: if not, a file that is missing is no damage.
    pub(crate) fn is_now(&self) -> bool {
        root::state(&self.root) == State::READY
            && root::generations(&self.root).map_or(true, |now| now.current == self.current)
    }
}

impl Visited {
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            root: self.root.clone(),
            current: self.header.generation,
        }
    }

    /// The same owner side, writable: for who will write it when it is its turn.
    pub(crate) fn open_writable(&self) -> Result<Region<Writable>, OpenError> {
        let (number, instance) = (self.header.generation, self.header.instance);
        generation::open_for_owner(&self.channel, number, instance).map(|(_, owner, _)| owner)
    }

    /// The error of an owner side that claims the impossible.
    pub(crate) fn damaged(&self, lie: Lie) -> OpenError {
        OpenError::Damaged {
            channel: self.channel.name().to_owned(),
            file: owner_file(self.header.generation),
            lie,
        }
    }
}

/// Opens the owner side of the current generation, waiting for the channel if need be.
pub(crate) fn visit(request: &Request<'_>, patterns: &[Pattern]) -> Result<Visited, OpenError> {
    until_attached(request, || attempt(request, patterns))
}

fn attempt(request: &Request<'_>, patterns: &[Pattern]) -> Result<Attempt<Visited>, OpenError> {
    let entrance = match enter(request, patterns)? {
        Ok(entrance) => entrance,
        Err(awaited) => return Ok(Attempt::Wait(awaited)),
    };
    let Some(lock) = entrance.channel.open_witness()? else {
        return Ok(Attempt::Wait(THE_CHANNEL));
    };
    let current = entrance.generations.current;
    let instance = entrance.root_header.instance;
    let (header, owner) = match generation::open_owner_side(&entrance.channel, current, instance) {
        Ok(opened) => opened,
        // It may have been going away while we looked.
        Err(error) => {
            return match root::generations(&entrance.root) {
                Ok(now) if now != entrance.generations => Ok(Attempt::Again),
                _ if root::state(&entrance.root) != State::READY => Ok(Attempt::Again),
                _ => Err(error),
            };
        }
    };
    match header.state {
        state if state == State::READY || state == State::CLOSED && request.or_closed => {
            let peers = match header.provision().page_file {
                true => Some(generation::open_for_reading(&entrance.channel, current, instance)?.2),
                false => None,
            };
            schema::expect(&entrance.channel, &header, &owner, request.schema)?;
            Ok(Attempt::Attached(Visited {
                channel: entrance.channel,
                lock,
                root: entrance.root,
                header,
                owner,
                peers,
            }))
        }
        State::BROKEN => Err(super::owner::broken(request.channel, current)),
        _ => Ok(Attempt::Wait(AN_OWNER)),
    }
}
