//! A generation: its two segments, made and opened as a pair.

use super::directory::{ChannelDirectory, owner_file, peers_file};
use super::owner::OwnerRole;
use super::schema;
use super::segment::{self, Header};
use crate::error::OpenError;
use crate::layout::frames::Pool;
use crate::layout::header::{
    FLAG_CHECKSUM, FLAG_CONFIDENTIAL, FLAG_GLOBAL, FLAG_KEEP, FLAG_PAGE_FILE, Pattern, Side, State,
};
use crate::memory::{ReadOnly, Region, Writable};
use crate::os::{self, Provision, Readers};
use crate::protocol::Lie;
use crate::record::{self, Schema};

/// What a new generation is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Bytes of payload, as the pattern wants them.
    pub(crate) payload_size: u64,
    /// The largest record or value, in bytes; 0 where records vary in length within the payload.
    pub(crate) record_size: u32,
    pub(crate) seats: u32,
    /// The channel stays when it was closed and nobody holds a seat.
    pub(crate) keep: bool,
    /// Every value has a checksum.
    pub(crate) checksums: bool,
    /// It is kept out of core dumps, and overwritten before it is freed.
    pub(crate) confidential: bool,
    /// This process keeps what it maps out of swap.
    pub(crate) lock_memory: bool,
    /// Where its memory is to come from, and who is to find it.
    pub(crate) provision: Provision,
    /// Who besides the owner may read it; `None`: as before, and nobody at first.
    pub(crate) readers: Option<Readers>,
    /// What the records are made of; `None`: bytes.
    pub(crate) schema: Option<Schema>,
    /// Of frames: who may keep how many slots.
    pub(crate) pool: Option<Pool>,
}

impl Wanted {
    /// The flags of its headers.
    fn flags(&self) -> u32 {
        [
            (self.keep, FLAG_KEEP),
            (self.checksums, FLAG_CHECKSUM),
            (self.confidential, FLAG_CONFIDENTIAL),
            (self.provision.page_file, FLAG_PAGE_FILE),
            (self.provision.global, FLAG_GLOBAL),
        ]
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .fold(0, |flags, (_, flag)| flags | flag)
    }
}

/// Where a new generation goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Base {
    pub(crate) position: u64,
    pub(crate) records: u64,
}

/// Makes a generation's segments, complete and named; nobody looks at them before the root says so.
pub(crate) fn create<R: OwnerRole>(
    channel: &ChannelDirectory,
    generation: u64,
    instance: u64,
    wanted: &Wanted,
    base: Base,
) -> Result<(Header, R), OpenError> {
    let schema = wanted.schema.as_ref().map(Schema::to_text);
    let schema = schema.unwrap_or_default();
    let mut header = Header {
        pattern: R::PATTERN,
        side: Side::Owner,
        state: State::READY,
        flags: wanted.flags(),
        total_size: 0,
        generation,
        payload_offset: 0,
        payload_size: wanted.payload_size,
        record_size: wanted.record_size,
        seat_count: wanted.seats,
        // One that is too long for 32 bits is too long.
        schema_size: u32::try_from(schema.len()).unwrap_or(u32::MAX),
        schema_hash: if schema.is_empty() {
            0
        } else {
            record::hash(schema.as_bytes())
        },
        base_seq: base.position,
        base_records: base.records,
        instance,
        created_ns: os::wall_ns(),
    };
    let peers_header = sized(channel, header, Side::Peers)?;
    header = sized(channel, header, Side::Owner)?;
    let peers_name = peers_file(generation);
    // The owner writes this one header and then maps the peer side read-only like everybody else's bytes. Memory that goes
    // with the last who has it must not be let go of in between.
    let written = segment::create(channel, &peers_name, &peers_header, |_| {})?;
    let peers = segment::open_read_only(channel, &peers_name, Side::Peers)?
        .expect_segment(channel, &peers_name)?
        .0;
    drop(written);
    let mut role = None;
    segment::create(channel, &owner_file(generation), &header, |owner| {
        schema::write(owner, &header, &schema);
        role = Some(R::create(owner.clone(), peers, &header, wanted));
    })?;
    Ok((header, role.expect("segment::create calls fill")))
}

/// The header of one side, with the sizes that follow from the others.
fn sized(channel: &ChannelDirectory, header: Header, side: Side) -> Result<Header, OpenError> {
    let geometry = header
        .geometry(side)
        .map_err(|(option, _, expected, found)| OpenError::InvalidOption {
            option,
            expected,
            found: format!("{found} (channel {})", channel.name()),
        })?;
    Ok(Header {
        side,
        total_size: geometry.total_size,
        payload_offset: geometry.payload_offset,
        payload_size: geometry.payload_size,
        ..header
    })
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

/// Opens the owner side alone, for looking only.
pub(crate) fn open_owner_side(
    channel: &ChannelDirectory,
    generation: u64,
    instance: u64,
) -> Result<(Header, Region<ReadOnly>), OpenError> {
    let name = owner_file(generation);
    let (owner, header) =
        segment::open_read_only(channel, &name, Side::Owner)?.expect_segment(channel, &name)?;
    check_side(channel, generation, instance, &header)?;
    Ok((header, owner))
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
    check_side(channel, generation, instance, owner)?;
    check_side(channel, generation, instance, peers)?;
    let of = |header: &Header| {
        // Both sides of an mpsc channel say how long a lane is.
        let lane = (owner.pattern == Pattern::Mpsc).then_some(header.payload_size);
        [
            ("pattern", header.pattern.number().into()),
            ("seat_count", header.seat_count.into()),
            ("payload_size", lane.unwrap_or(0)),
        ]
    };
    for ((word, expected), (_, found)) in of(owner).into_iter().zip(of(peers)) {
        check_claim(channel, generation, Side::Peers, word, expected, found)?;
    }
    Ok(())
}

fn check_side(
    channel: &ChannelDirectory,
    generation: u64,
    instance: u64,
    header: &Header,
) -> Result<(), OpenError> {
    let claim = |word, expected, found| {
        check_claim(channel, generation, header.side, word, expected, found)
    };
    claim("generation", generation, header.generation)?;
    claim("instance", instance, header.instance)
}

fn check_claim(
    channel: &ChannelDirectory,
    generation: u64,
    side: Side,
    word: &'static str,
    expected: u64,
    found: u64,
) -> Result<(), OpenError> {
    if found == expected {
        return Ok(());
    }
    Err(OpenError::Damaged {
        channel: channel.name().to_owned(),
        file: match side {
            Side::Peers => peers_file(generation),
            _ => owner_file(generation),
        },
        lie: Lie {
            word,
            place: expected,
            expected: "the same as in the root and on the other side",
            found,
        },
    })
}
