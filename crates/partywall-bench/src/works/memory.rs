//! W9: what memory channels take, beyond what they carry.

use super::Work;
use crate::conductor::Run;
use crate::statistics::Sample;
use crate::{Outcome, os};
use partywall::{Namespace, broadcast, frames, guarded, mpsc, ring, snapshot};
use std::path::Path;

pub(super) const WEIGHT: f64 = 0.2;

/// Bytes of memory that the files of a channel take.
fn taken(place: &Path, channel: &str) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(place.join(channel))? {
        bytes += os::allocated(&entry?.metadata()?);
    }
    Ok(bytes)
}

pub(super) fn measure(run: &mut Run<'_>) -> Outcome<()> {
    let place = run.place().to_owned();
    let namespace = Namespace::open(&place)?;
    let mut found: Vec<(&str, u64, u64, u64)> = Vec::new();
    // Each with the default options; what it carries, what the channel takes, and what one peer more.
    {
        let name = "memory-ring";
        let owner = ring::ProducerOptions::new()
            .namespace(namespace.clone())
            .open(name)?;
        let before = taken(&place, name)?;
        let _peer = ring::ConsumerOptions::new()
            .namespace(namespace.clone())
            .attach(name)?;
        found.push((
            "ring",
            owner.capacity(),
            before,
            taken(&place, name)? - before,
        ));
    }
    {
        let name = "memory-snapshot";
        let mut owner = snapshot::WriterOptions::new()
            .namespace(namespace.clone())
            .open(name)?;
        owner.put(b"value")?;
        let before = taken(&place, name)?;
        let mut peer = snapshot::ReaderOptions::new()
            .namespace(namespace.clone())
            .attach(name)?;
        peer.get()?;
        let value = peer.max_value() as u64;
        found.push((
            "snapshot",
            owner.slots() * value,
            before,
            taken(&place, name)? - before,
        ));
    }
    {
        let name = "memory-broadcast";
        let owner = broadcast::SenderOptions::new()
            .namespace(namespace.clone())
            .open(name)?;
        let before = taken(&place, name)?;
        let peer = broadcast::ReceiverOptions::new()
            .namespace(namespace.clone())
            .attach(name)?;
        let value = peer.max_value() as u64;
        found.push((
            "broadcast",
            owner.slots() * value,
            before,
            taken(&place, name)? - before,
        ));
    }
    {
        let name = "memory-frames";
        let owner = frames::PublisherOptions::new()
            .namespace(namespace.clone())
            .open(name)?;
        let before = taken(&place, name)?;
        let _peer = frames::SubscriberOptions::new()
            .namespace(namespace.clone())
            .attach(name)?;
        let payload = (owner.slots() * owner.max_frame()) as u64;
        found.push(("frames", payload, before, taken(&place, name)? - before));
    }
    {
        let name = "memory-mpsc";
        let owner = mpsc::ReceiverOptions::new()
            .namespace(namespace.clone())
            .open(name)?;
        let before = taken(&place, name)?;
        let _peer = mpsc::SenderOptions::new()
            .namespace(namespace.clone())
            .attach(name)?;
        // A lane is reserved with the first sender that takes it: without one there is nothing to carry.
        let lane = taken(&place, name)? - before;
        found.push(("mpsc", owner.lane_capacity(), before + lane, lane));
    }
    {
        let name = "memory-guarded";
        let owner = guarded::RecordOptions::new()
            .namespace(namespace.clone())
            .open(name)?;
        let before = taken(&place, name)?;
        let _peer = guarded::RecordOptions::new()
            .namespace(namespace.clone())
            .open(name)?;
        let value = owner.max_value() as u64;
        found.push(("guarded", value, before, taken(&place, name)? - before));
    }
    for (pattern, payload, channel, seat) in found {
        for (what, bytes, limit, unit) in [
            ("a channel", channel, payload, "bytes per channel"),
            ("one peer more", seat, payload, "bytes per seat"),
        ] {
            let mut sample = Sample::default();
            sample.push(bytes as f64, limit as f64, limit as f64);
            let mut row = sample.row(Work::W9, &format!("{pattern}, {what}"), "what it carries");
            row.size = payload as usize;
            unit.clone_into(&mut row.unit);
            run.report(row);
        }
    }
    Ok(())
}
