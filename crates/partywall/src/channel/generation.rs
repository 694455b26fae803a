//! A ring's generation: its two segments, made and opened as a pair.

use super::directory::{ChannelDirectory, owner_file, peers_file};
use super::segment::{self, Header};
use crate::error::OpenError;
use crate::layout::header::{Side, State};
use crate::layout::{peers, ring};
use crate::memory::{ReadOnly, Region, Writable};
use crate::os;
use crate::protocol::Lie;
use crate::protocol::ring::producer::RingProducer;

/// The producer's types over mapped segments.
pub(crate) type Producer = RingProducer<Region<Writable>, Region<ReadOnly>>;

/// What a new generation is to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Bytes, a power of two.
    pub(crate) capacity: u64,
    pub(crate) seats: u32,
    /// The channel stays when it was closed and nobody holds a seat.
    pub(crate) keep: bool,
}

/// Set in the header's flags where a closed channel is to stay.
pub(crate) const FLAG_KEEP: u32 = 1;

/// Where a new generation goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Base {
    pub(crate) position: u64,
    pub(crate) records: u64,
}

/// Makes a generation's segments, complete and named; nobody looks at them before the root says so.
pub(crate) fn create(
    channel: &ChannelDirectory,
    generation: u64,
    instance: u64,
    wanted: Wanted,
    base: Base,
) -> Result<(Header, Producer), OpenError> {
    let header = Header {
        side: Side::Owner,
        state: State::READY,
        flags: if wanted.keep { FLAG_KEEP } else { 0 },
        total_size: ring::owner_size(wanted.capacity),
        generation,
        payload_offset: ring::PAYLOAD_OFFSET,
        payload_size: wanted.capacity,
        record_size: 0,
        seat_count: wanted.seats,
        schema_hash: 0,
        base_seq: base.position,
        base_records: base.records,
        instance,
        created_ns: os::wall_ns(),
    };
    let peers_header = Header {
        side: Side::Peers,
        total_size: peers::size(wanted.seats),
        payload_offset: peers::SEATS,
        payload_size: u64::from(wanted.seats) * crate::layout::seat::SIZE,
        ..header
    };
    let peers_name = peers_file(generation);
    // The owner writes this one header and then maps the peer side read-only like everybody else's bytes.
    drop(segment::create(
        channel,
        &peers_name,
        &peers_header,
        |_| {},
    )?);
    let peers = segment::open_read_only(channel, &peers_name, Side::Peers)?
        .expect_segment(channel, &peers_name)?
        .0;
    let mut producer = None;
    segment::create(channel, &owner_file(generation), &header, |owner| {
        producer = Some(RingProducer::create(
            owner.clone(),
            peers,
            header.shape(),
            base.records,
        ));
    })?;
    Ok((header, producer.expect("segment::create calls fill")))
}

/// Opens the two sides of a generation for its owner.
pub(crate) fn open_for_owner(
    channel: &ChannelDirectory,
    generation: u64,
    instance: u64,
) -> Result<(Header, Region<Writable>, Region<ReadOnly>), OpenError> {
    let owner_name = owner_file(generation);
    let peers_name = peers_file(generation);
    let (owner, header) = segment::open_writable(channel, &owner_name, Side::Owner)?
        .expect_segment(channel, &owner_name)?;
    let (peers, peers_header) = segment::open_read_only(channel, &peers_name, Side::Peers)?
        .expect_segment(channel, &peers_name)?;
    check_pair(channel, generation, instance, &header, &peers_header)?;
    Ok((header, owner, peers))
}

/// Opens the two sides of a generation for a consumer: the owner's read-only, the seats writable.
pub(crate) fn open_for_peer(
    channel: &ChannelDirectory,
    generation: u64,
    instance: u64,
) -> Result<(Header, Region<ReadOnly>, Region<Writable>), OpenError> {
    let owner_name = owner_file(generation);
    let peers_name = peers_file(generation);
    let (owner, header) = segment::open_read_only(channel, &owner_name, Side::Owner)?
        .expect_segment(channel, &owner_name)?;
    let (peers, peers_header) = segment::open_writable(channel, &peers_name, Side::Peers)?
        .expect_segment(channel, &peers_name)?;
    check_pair(channel, generation, instance, &header, &peers_header)?;
    Ok((header, owner, peers))
}

/// Opens the two sides for looking only.
pub(crate) fn open_for_reading(
    channel: &ChannelDirectory,
    generation: u64,
    instance: u64,
) -> Result<(Header, Region<ReadOnly>, Region<ReadOnly>), OpenError> {
    let owner_name = owner_file(generation);
    let peers_name = peers_file(generation);
    let (owner, header) = segment::open_read_only(channel, &owner_name, Side::Owner)?
        .expect_segment(channel, &owner_name)?;
    let (peers, peers_header) = segment::open_read_only(channel, &peers_name, Side::Peers)?
        .expect_segment(channel, &peers_name)?;
    check_pair(channel, generation, instance, &header, &peers_header)?;
    Ok((header, owner, peers))
}

/// Both sides must belong to this channel, this generation and each other: a file copied from elsewhere has
/// a valid header too.
fn check_pair(
    channel: &ChannelDirectory,
    generation: u64,
    instance: u64,
    owner: &Header,
    peers: &Header,
) -> Result<(), OpenError> {
    for (side, header) in [("owner", owner), ("peers", peers)] {
        let claims = [
            ("generation", header.generation, generation),
            ("instance", header.instance, instance),
            (
                "seat_count",
                header.seat_count.into(),
                owner.seat_count.into(),
            ),
        ];
        for (word, found, expected) in claims {
            if found != expected {
                return Err(OpenError::Damaged {
                    channel: channel.name().to_owned(),
                    file: format!("{generation}.{side}"),
                    lie: Lie {
                        word,
                        place: expected,
                        expected: "the same as in the root and on the other side",
                        found,
                    },
                });
            }
        }
    }
    Ok(())
}
