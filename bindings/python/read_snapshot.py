#!/usr/bin/env python3
"""A reader of Partywall snapshots, guarded records and broadcasts in pure Python, from PROTOCOL.md's words.

    read_snapshot.py get DIR                     the latest value of a snapshot or a guarded record
    read_snapshot.py watch DIR [--count N]       each new latest value, until the writer closes the channel
    read_snapshot.py sub DIR [--from WHERE] [--count N]   every value of a broadcast; says what was lost

DIR is the channel's directory. `watch` and `sub` write one value after the other with nothing between; with --json one
object a line: {"sequence", "kind", "fields"} of a typed channel (section 22) and {"sequence", "kind", "hex"} of others, and in
`sub` {"lost", "next"} for an overrun. Section numbers are PROTOCOL.md's.
Nothing is stored and no lock is taken, so there can be any number of these. `read_ring.py`, beside this, says why its
accesses are right in CPython; mappings, headers and locks are from there.
"""

import argparse
import json
import os
import signal
import sys
import time
import zlib

import read_ring as base
import schema as schemas
from read_ring import Channel, Failure, Header, NotThere, damaged, order

PATTERN_SNAPSHOT, PATTERN_BROADCAST, PATTERN_GUARDED = 2, 3, 6
H_RECORD_SIZE = 56
FLAG_CHECKSUM = 1 << 1
LAST_VERSION = 1 << 62
# A slot, section 4.
MARK, INFO, TIME_NS, CHECKSUM, SLOT_HEADER = 0, 8, 16, 24, 32
TRIES = 64


class SlotsHeader(Header):
    """Section 16.1."""

    PATTERNS = {PATTERN_SNAPSHOT: "snapshot", PATTERN_BROADCAST: "broadcast", PATTERN_GUARDED: "guarded record"}

    def check_payload(self, segment):
        name = segment.name
        self.record_size = segment.load32(H_RECORD_SIZE)
        if not 1 <= self.record_size <= 1 << 30:
            raise damaged(f"{name}: record_size {self.record_size}")
        self.stride = (SLOT_HEADER + self.record_size + 63) & ~63
        self.slots = self.capacity // self.stride
        whole = self.capacity <= 1 << 40 and self.capacity % self.stride == 0
        if not whole or self.slots < 2 or self.slots & (self.slots - 1) != 0:
            raise damaged(f"{name}: payload_size {self.capacity}")
        if segment.load(base.H_PAYLOAD_OFFSET) != base.DATA or self.base_seq > LAST_VERSION:
            raise damaged(f"{name}: payload_offset or base_seq")
        return base.DATA + self.capacity + 4095 & ~4095


class SlotsChannel(Channel):
    HEADER = SlotsHeader


class Other(Exception):
    """The slot has another mark than was wanted (section 16.4)."""

    def __init__(self, mark):
        super().__init__()
        self.mark = mark


class Slots:
    """The owner side of one generation: section 16."""

    def __init__(self, channel):
        self.channel = channel
        self.header, self.owner, _ = channel.generation(channel.current)
        self.base = self.header.base_seq
        self.schema = base.schema_of(self.header, self.owner)

    def slot(self, version):
        return base.DATA + ((version - 1) & (self.header.slots - 1)) * self.header.stride

    # Section 16.4.
    def copy(self, version):
        """(kind, time, bytes) of this version; raises `Other` if another mark is in its slot."""
        at, owner = self.slot(version), self.owner
        mark = owner.load(at + MARK)
        if mark != 2 * version:
            raise Other(mark)
        info, when, checksum = owner.load(at + INFO), owner.load(at + TIME_NS), owner.load(at + CHECKSUM)
        length = info & 0xFFFFFFFF
        value = owner.copy(at + SLOT_HEADER, length) if length <= self.header.record_size else None
        order()  # fence Acquire
        mark = owner.load(at + MARK)
        if mark != 2 * version:
            raise Other(mark)
        if value is None:
            raise damaged(f"value {version} has {length} bytes")
        if self.header.flags & FLAG_CHECKSUM and checksum != zlib.crc32(value):
            raise damaged(f"value {version} has the wrong checksum")
        return info >> 32 & 0xFFFF, when, value

    def latest(self, least):
        """`write_seq`, which is no less than it was."""
        version = self.owner.load(base.WRITE_SEQ)
        if not least <= version <= LAST_VERSION:
            raise damaged(f"write_seq {version}, expected {least} or more")
        return version

    def latest_there(self):
        """The same as section 16.5 wants it, for a version that is there, or was."""
        version = self.latest(self.base)
        if version != self.base and self.owner.load(self.slot(version)) < 2 * version:
            raise damaged(f"write_seq {version}, which was not written")
        return version

    # Section 16.5.
    def newest(self, version, mark):
        """The newest known version, if `mark` says that `version` is gone; None if it is still to come."""
        belongs = mark == 0 or self.slot((mark + 1) // 2) == self.slot(version)
        if mark > 2 * version:
            order()
            written = self.latest_there()
            if belongs and mark // 2 <= written + 1:
                return max(written, mark // 2)
        elif belongs:
            return None
        raise damaged(f"mark {mark} in the slot of value {version}")

    # As in section 10.8, with what is there again for "the header again".
    def ended(self):
        """Whether nothing more comes: the state, then deletion, then the lock. The caller looks once more."""
        state = self.owner.load32(base.H_STATE)
        if state == base.CLOSED:
            return Failure(base.EXIT_CLOSED, "closed")
        if state == base.RETIRED:
            return Failure(base.EXIT_SUPERSEDED, "superseded: the channel goes on in a new generation")
        if state != base.READY:
            return damaged(f"state {state:#x}")
        if self.channel.deleted():
            return Failure(base.EXIT_DELETED, "the channel was removed")
        # A guarded record that nobody has locked is at rest.
        if self.header.pattern != PATTERN_GUARDED and not self.channel.lock.is_locked(base.OWNER_BYTE):
            # It may have closed just before it let go.
            if self.owner.load32(base.H_STATE) == base.READY:
                return Failure(base.EXIT_OWNER_DIED, "the owner died, or left")
            return self.ended()
        return None


class Latest:
    """A reader of the latest value: section 17."""

    def __init__(self, slots):
        self.slots = slots
        self.seen = slots.base

    def read(self):
        """(version, kind, time, bytes), or None if there is no value yet."""
        for _ in range(TRIES):
            version = self.slots.latest(self.seen)
            if version == self.slots.base:
                return None
            try:
                found = self.slots.copy(version)
            except Other as other:
                if self.slots.newest(version, other.mark) is None:
                    raise damaged(f"write_seq {version}, which was not written") from other
                continue
            self.seen = version
            return (version, *found)
        raise BlockingIOError("the writer is too fast")

    def next(self):
        """The same, if it was not read yet."""
        if self.slots.latest(self.seen) == self.seen:
            return None
        try:
            return self.read()
        except BlockingIOError:
            return None


class Every:
    """A reader of every value: section 18."""

    def __init__(self, slots, start):
        self.slots = slots
        written = slots.latest_there()
        self.version = {
            "oldest": self.oldest(written),
            "newest": max(written, slots.base + 1),
            "next": written + 1,
        }.get(start) or min(max(int(start), 1), LAST_VERSION)

    def oldest(self, written):
        slots = self.slots.header.slots
        return written + 1 - min(slots - max(slots // 4, 1), written - self.slots.base)

    def next(self):
        """(version, kind, time, bytes), how many were lost, or None if nothing is there yet."""
        version = self.version
        if version <= self.slots.base:
            newest = self.slots.latest_there()
        else:
            try:
                found = self.slots.copy(version)
                self.version += 1
                return (version, *found)
            except Other as other:
                newest = self.slots.newest(version, other.mark)
                if newest is None:
                    return None
        self.version = self.oldest(newest)
        return self.version - version


def follow(slots, reader, count, as_json):
    out = sys.stdout.buffer
    looked = 0.0
    while count != 0:
        found = reader.next()
        if found is None:
            out.flush()
            # We poll, and look around once in a while.
            now = time.monotonic()
            if now - looked < base.SLICE:
                time.sleep(0.0005)
                continue
            looked = now
            end = slots.ended()
            if end is None:
                continue
            found = reader.next()
            if found is None:
                raise end
        if isinstance(found, int):
            if as_json:
                out.write(json.dumps({"lost": found, "next": reader.version}).encode() + b"\n")
            else:
                print(f"read_snapshot: {found} lost", file=sys.stderr)
            continue
        write(out, found, as_json, slots.schema)
        count -= 1
    out.flush()


def write(out, found, as_json, schema):
    version, kind, _, value = found
    if as_json:
        try:
            content = {"hex": value.hex()} if schema is None else {"fields": schema.decode(value)}
        except schemas.SchemaError as error:
            raise damaged(f"value {version}: {error}") from error
        value = json.dumps({"sequence": version, "kind": kind, **content}).encode() + b"\n"
    out.write(value)


def main():
    parser = argparse.ArgumentParser(prog="read_snapshot.py", description="Reads snapshots, guarded records, broadcasts.")
    parser.add_argument("command", choices=["get", "watch", "sub"])
    parser.add_argument("directory", metavar="DIR", help="the channel's directory")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--count", type=int, default=-1, metavar="N", help="end after so many values")
    parser.add_argument(
        "--from", dest="start", default="newest", metavar="WHERE", help="sub: oldest, newest, next or a sequence"
    )
    arguments = parser.parse_args()

    def stop(number, _frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        slots = Slots(SlotsChannel(os.path.abspath(arguments.directory), writable=False))
        if (slots.header.pattern == PATTERN_BROADCAST) != (arguments.command == "sub"):
            raise Failure(base.EXIT_ERROR, f"this is a {slots.header.PATTERNS[slots.header.pattern]}")
        if arguments.command == "get":
            found = Latest(slots).read()
            if found is None:
                raise Failure(base.EXIT_NO_CHANNEL, "no value was put yet")
            write(sys.stdout.buffer, found, arguments.json, slots.schema)
            sys.stdout.buffer.flush()
        else:
            reader = Latest(slots) if arguments.command == "watch" else Every(slots, arguments.start)
            print("read_snapshot: following", file=sys.stderr, flush=True)
            follow(slots, reader, arguments.count, arguments.json)
    except Failure as failure:
        sys.stdout.flush()
        if failure.status != base.EXIT_CLOSED:
            print(f"read_snapshot: {failure}", file=sys.stderr)
        return failure.status
    except NotThere as reason:
        print(f"read_snapshot: {reason}", file=sys.stderr)
        return base.EXIT_NO_CHANNEL
    except BlockingIOError as reason:
        print(f"read_snapshot: {reason}", file=sys.stderr)
        return base.EXIT_ERROR
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
