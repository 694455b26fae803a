#!/usr/bin/env python3
"""A reader of Partywall rings in pure Python: proof that PROTOCOL.md is enough.

    read_ring.py peek DIR                     header, seats and cursors; takes no lock, disturbs nobody
    read_ring.py tail DIR [--batch BYTES]     a passive reader without a seat: may miss records, never tears one
    read_ring.py recv DIR [--kinds] [--wait S]  a full consumer: a seat, flow control, payloads to standard output
    read_ring.py recv DIR --json [--wait S]   the same of a typed channel: each record's fields as JSON, one a line
    read_ring.py schema DIR                   what a typed channel's records are made of (schema.py, beside this)

DIR is the channel's directory, such as /dev/shm/partywall-1000/cam0. Section numbers below are PROTOCOL.md's.
Python 3.9 or later on Linux, standard library only.

Why this is right in CPython on x86-64
--------------------------------------
- *One access a word.* `memoryview.cast("Q")[i]` reads and writes an item by a `memcpy` of exactly eight bytes between
  the item's address and a local variable, which compilers turn into one `mov`. A mapping begins at a page and the
  protocol aligns its words, so that `mov` is aligned, and an aligned `mov` of eight bytes is atomic. (The same goes
  for "I" and four bytes. `struct.unpack_from` would do for bytes at rest, but promises nothing about its accesses.)
- *The compiler's order.* Each access is a call of its own through the interpreter: the C compiler sees none of them
  next to another, and cannot exchange two.
- *The processor's order.* x86-64 has total store order: loads stay in order, stores stay in order, and no store
  passes an earlier load. So every load is an Acquire load and every store a Release store, and a fence Acquire is
  nothing.
- *The one exception* is a store followed by a load of another word, which x86-64 does exchange. It matters twice:
  in joining (JOINING before the look at write_seq) and in telling the producer (read_seq before the look at
  owner_parked). There a fence is needed, and Python has no instruction for it; but the kernel has: membarrier(2)
  with MEMBARRIER_CMD_GLOBAL_EXPEDITED begins and ends with a full barrier on the calling processor. Where it is
  missing, taking and releasing a lock will do, for that executes a locked instruction.

Elsewhere (64-bit ARM, RISC-V) words are still one access each, but loads and stores pass each other, and every
Acquire and Release needs a barrier of its own. `ORDERED` below is false there, and each of them becomes the same
system call: slow and, untested, no more than a beginning. On 32-bit machines a word of eight bytes is two accesses:
this program refuses them.
"""

import argparse
import ctypes
import errno
import fcntl
import json
import math
import mmap
import os
import platform
import signal
import stat
import struct
import sys
import threading
import time

import schema as schemas

# --- Section 4: where everything is -------------------------------------------------------------

MAGIC = int.from_bytes(b"PRTYWALL", "little")
ABI_VERSION, HEADER_SIZE, PATTERN_RING = 1, 256, 1
SIDE_OWNER, SIDE_PEERS, SIDE_ROOT = 1, 2, 3

# Segment header.
H_MAGIC, H_VERSIONS, H_STATE, H_FLAGS, H_PATTERN = 0, 8, 12, 16, 20
H_TOTAL_SIZE, H_GENERATION, H_PAYLOAD_OFFSET, H_PAYLOAD_SIZE = 24, 32, 40, 48
H_SEAT_COUNT, H_INCOMPATIBLE, H_BASE_SEQ, H_BASE_RECORDS, H_INSTANCE = 60, 64, 88, 96, 104
H_CREATED_NS, H_HEARTBEAT_NS, H_OWNER_EPOCH, H_OWNER_PID = 112, 128, 136, 144
H_SCHEMA_HASH, H_SCHEMA_SIZE = 80, 120
# Root.
R_CURRENT, R_OLDEST = 256, 264
# Owner side.
WRITE_SEQ, OWNER_BELL, OWNER_PARKED = 256, 384, 512
COUNTERS = {
    "dropped": 640, "discarded": 648, "blocked": 656, "blocked_ns": 664, "evictions": 672,
    "lies": 680, "adoptions": 688, "wakes": 696, "last_error": 712,
}
VERDICTS, VERDICT_SIZE, DATA = 1024, 32, 4096
# Peer side.
PARKED, SEATS, SEAT_SIZE = 256, 512, 512
S_STATE, S_PID, S_SINCE_NS, S_HEARTBEAT_NS, S_ABANDONED, S_START = 0, 8, 16, 24, 32, 48
S_SEAT_BELL, S_READ_SEQ, S_RECEIVED, S_UNREAD, S_ATTACHED, S_DETACHED = 64, 128, 256, 264, 272, 280
S_LAST_ERROR, S_NAME_LEN, S_NAME = 288, 384, 392

INITIALIZING, READY, BROKEN, RETIRED, DELETED, CLOSED = 0, 1, 2, 3, 4, 0x103
STATES = {0: "initializing", 1: "ready", 2: "broken", 3: "retired", 4: "deleted", 0x103: "closed"}
FREE, JOINING, ACTIVE, ABSENT, LEFT = range(5)
CLAIMS = ("free", "joining", "active", "absent", "left")
DURABLE = 0x100
COMMITTED, PADDING = 1 << 48, 1 << 49
WORD = (1 << 64) - 1

# Section 3: bytes of the lock file.
OWNER_BYTE = 0
F_OFD_GETLK, F_OFD_SETLK = 36, 37

# Section 14.
KIND_LINE, KIND_END = 1, 4

SLICE = 0.1

EXIT_CLOSED, EXIT_ERROR, EXIT_OWNER_DIED, EXIT_EVICTED, EXIT_DAMAGED = 0, 1, 3, 4, 5
EXIT_DELETED, EXIT_SUPERSEDED, EXIT_NO_CHANNEL, EXIT_NO_SEAT = 6, 7, 8, 9


class Failure(Exception):
    """What ends the program, and with which exit status."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class NotThere(Exception):
    """No channel, or none that can be joined now."""


def damaged(what):
    return Failure(EXIT_DAMAGED, f"damaged: {what}")


# --- Fences and futexes --------------------------------------------------------------------------

_MACHINE = platform.machine()
ORDERED = _MACHINE in ("x86_64", "AMD64")  # total store order
if sys.byteorder != "little" or ctypes.sizeof(ctypes.c_void_p) != 8:
    sys.exit("read_ring: needs a little-endian 64-bit machine")

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYS_MEMBARRIER, _SYS_FUTEX = (324, 202) if ORDERED else (283, 98)
_MEMBARRIER_QUERY, _MEMBARRIER_GLOBAL_EXPEDITED = 0, 2
_FUTEX_WAKE = 1


def _has_membarrier():
    offered = _LIBC.syscall(ctypes.c_long(_SYS_MEMBARRIER), ctypes.c_long(_MEMBARRIER_QUERY), ctypes.c_long(0))
    return offered > 0 and offered & _MEMBARRIER_GLOBAL_EXPEDITED != 0


_MEMBARRIER = _has_membarrier()
_LOCK = threading.Lock()


def full_fence():
    """Everything before it before everything behind it, stores and loads alike (SeqCst)."""
    if _MEMBARRIER:
        _LIBC.syscall(
            ctypes.c_long(_SYS_MEMBARRIER), ctypes.c_long(_MEMBARRIER_GLOBAL_EXPEDITED), ctypes.c_long(0)
        )
    else:
        # On x86-64 the locked instructions in here are full fences. (Elsewhere they need not be.)
        with _LOCK:
            pass


def order():
    """The barrier behind an Acquire load and before a Release store."""
    if not ORDERED:
        full_fence()


# --- Mapped files --------------------------------------------------------------------------------


class Segment:
    """A mapped file. All loads are Acquire, all stores Release."""

    def __init__(self, directory, name, writable=False):
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(name, flags, dir_fd=directory)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size < 4096 or status.st_size % 8 != 0:
                raise damaged(f"{name} is not a segment")
            access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
            # Its size was read once, from the descriptor that is mapped.
            self.map = mmap.mmap(descriptor, status.st_size, mmap.MAP_SHARED, access)
            # Section 24: before the header was read, nobody knows whether a core dump may have it.
            self.map.madvise(mmap.MADV_DONTDUMP)
        finally:
            os.close(descriptor)
        self.name = name
        self.size = status.st_size
        self.bytes = memoryview(self.map)
        self.words = self.bytes.cast("Q")
        self.halves = self.bytes.cast("I")
        if self.load32(16) & 4 == 0:
            self.map.madvise(mmap.MADV_DODUMP)

    def load(self, at):
        value = self.words[at >> 3]
        order()
        return value

    def load32(self, at):
        value = self.halves[at >> 2]
        order()
        return value

    def store(self, at, value):
        order()
        self.words[at >> 3] = value & WORD

    def store32(self, at, value):
        order()
        self.halves[at >> 2] = value & 0xFFFFFFFF

    def count(self, at, by):
        self.store(at, self.load(at) + by)

    def copy(self, at, length):
        return bytes(self.bytes[at : at + length])

    def wake(self, at):
        address = ctypes.addressof(ctypes.c_uint32.from_buffer(self.map, at))
        _LIBC.syscall(
            ctypes.c_long(_SYS_FUTEX), ctypes.c_void_p(address), ctypes.c_long(_FUTEX_WAKE),
            ctypes.c_long(0x7FFFFFFF), ctypes.c_void_p(None), ctypes.c_void_p(None), ctypes.c_long(0),
        )

    def counted(self, at):
        """Section 5.3: a position, and the count that belongs to it (None: its writer was faster)."""
        for _ in range(8):
            word = self.load(at)
            records = self.load(at + 8 + 8 * (word & 1))
            if self.load(at) == word:
                return word & ~7, records
        return self.load(at) & ~7, None

    def publish(self, at, position, records):
        """Section 5.3: moves a counted position of our own."""
        selector = (self.words[at >> 3] & 1) ^ 1
        self.store(at + 8 + 8 * selector, records)
        self.store(at, position | selector)


class Header:
    """A header, read once and checked: section 7."""

    # Other patterns have others: see read_snapshot.py.
    PATTERNS = {PATTERN_RING: "ring"}

    def __init__(self, segment, side):
        name = segment.name
        self.state = segment.load32(H_STATE)
        magic = segment.load(H_MAGIC)
        if magic == 0 and self.state == INITIALIZING:
            raise NotThere(f"{name} is not complete")
        if magic != MAGIC:
            raise damaged(f"{name} is of another program (magic {magic:#x})")
        versions = segment.load32(H_VERSIONS)
        if versions & 0xFFFF != ABI_VERSION:
            raise Failure(EXIT_ERROR, f"{name} has abi version {versions & 0xFFFF}, this program knows {ABI_VERSION}")
        if segment.load(H_INCOMPATIBLE) != 0:
            raise Failure(EXIT_ERROR, f"{name} has features that this program does not know")
        if versions >> 16 != HEADER_SIZE:
            raise damaged(f"{name}: header_size {versions >> 16}")
        if self.state == INITIALIZING:
            raise NotThere(f"{name} is not complete")
        if self.state not in STATES:
            raise damaged(f"{name}: state {self.state:#x}")
        kinds = segment.load32(H_PATTERN)
        self.pattern = kinds & 0xFFFF
        if self.pattern not in self.PATTERNS:
            raise Failure(EXIT_ERROR, f"{name} is no {' or '.join(self.PATTERNS.values())} (pattern {self.pattern})")
        if kinds >> 16 != side:
            raise damaged(f"{name}: side {kinds >> 16}")
        self.flags = segment.load32(H_FLAGS)
        self.generation = segment.load(H_GENERATION)
        self.capacity = segment.load(H_PAYLOAD_SIZE)
        self.seats = segment.load32(H_SEAT_COUNT)
        self.base_seq = segment.load(H_BASE_SEQ)
        self.base_records = segment.load(H_BASE_RECORDS)
        self.instance = segment.load(H_INSTANCE)
        self.created_ns = segment.load(H_CREATED_NS)
        self.schema_hash = segment.load(H_SCHEMA_HASH)
        self.schema_size = segment.load32(H_SCHEMA_SIZE)
        size = 4096
        if side != SIDE_ROOT and not 1 <= self.seats <= 64:
            raise damaged(f"{name}: seat_count {self.seats}")
        if side == SIDE_PEERS:
            size = (SEATS + self.seats * SEAT_SIZE + 4095) & ~4095
        elif side == SIDE_OWNER:
            if self.schema_size > schemas.LONGEST:
                raise damaged(f"{name}: schema_size {self.schema_size}")
            size = self.check_payload(segment) + (self.schema_size + 4095 & ~4095)
        if not segment.load(H_TOTAL_SIZE) == segment.size == size:
            raise damaged(f"{name}: {segment.size} bytes, expected {size}")


    def check_payload(self, segment):
        """What the pattern says of the payload; bytes of the file, without a schema."""
        capacity = self.capacity
        if not 4096 <= capacity <= 1 << 40 or capacity & (capacity - 1) != 0:
            raise damaged(f"{segment.name}: payload_size {capacity}")
        if segment.load(H_PAYLOAD_OFFSET) != DATA or self.base_seq & 7 != 0:
            raise damaged(f"{segment.name}: payload_offset or base_seq")
        return DATA + capacity


class LockFile:
    """Section 3. A descriptor of its own for each handle; Python closes it at exec."""

    # struct flock on 64-bit Linux: short l_type, l_whence; off_t l_start, l_len; pid_t l_pid.
    _FLOCK = struct.Struct("hhqqi4x")

    def __init__(self, directory, writable):
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        self.descriptor = os.open("lock", flags, dir_fd=directory)

    def _control(self, command, kind, byte):
        request = self._FLOCK.pack(kind, os.SEEK_SET, byte & (1 << 63) - 1, 1, 0)
        return self._FLOCK.unpack(fcntl.fcntl(self.descriptor, command, request))

    def try_lock(self, byte):
        try:
            self._control(F_OFD_SETLK, fcntl.F_WRLCK, byte)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def unlock(self, byte):
        self._control(F_OFD_SETLK, fcntl.F_UNLCK, byte)

    def is_locked(self, byte):
        """Whether somebody else holds it; takes no lock."""
        return self._control(F_OFD_GETLK, fcntl.F_WRLCK, byte)[0] != fcntl.F_UNLCK


class Channel:
    """An opened channel: directory, lock file, root."""

    HEADER = Header

    def __init__(self, path, writable):
        self.path = path
        self.directory = self.lock = None
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            self.directory = os.open(path, flags)
            self.lock = LockFile(self.directory, writable)
            self._open_root()
        except FileNotFoundError as error:
            self.close()
            raise NotThere(f"no channel at {path}") from error
        except NotThere:
            self.close()
            raise

    def _open_root(self):
        self.root = Segment(self.directory, "root")
        root = self.HEADER(self.root, SIDE_ROOT)
        if root.state == DELETED:
            raise NotThere("the channel is being removed")
        self.instance = root.instance
        while True:
            # `current` first, then `oldest`.
            self.current = self.root.load(R_CURRENT)
            self.oldest = self.root.load(R_OLDEST)
            if self.oldest <= self.current or self.root.load(R_CURRENT) == self.current:
                break
        if self.current == 0 or self.oldest == 0 or (self.current - self.oldest) & WORD > 1 << 16:
            raise damaged(f"root: generations {self.oldest} to {self.current}")

    def generation(self, number, writable=False):
        """Both sides of a generation, checked against each other and the root."""
        try:
            owner = Segment(self.directory, f"{number}.owner")
            peers = Segment(self.directory, f"{number}.peers", writable)
            header, other = self.HEADER(owner, SIDE_OWNER), self.HEADER(peers, SIDE_PEERS)
        except FileNotFoundError as error:
            raise NotThere(f"generation {number} has gone") from error
        for side in (header, other):
            if (side.generation, side.instance, side.seats) != (number, self.instance, header.seats):
                raise damaged(f"generation {number}: its two sides and the root do not belong together")
        return header, owner, peers

    def deleted(self):
        return self.root.load32(H_STATE) == DELETED

    def still_named(self):
        """Whether the names still mean the files that we opened (section 3)."""

        def same(left, right):
            return (left.st_dev, left.st_ino) == (right.st_dev, right.st_ino)

        try:
            return same(os.fstat(self.directory), os.stat(self.path, follow_symlinks=False)) and same(
                os.fstat(self.lock.descriptor),
                os.stat("lock", dir_fd=self.directory, follow_symlinks=False),
            )
        except FileNotFoundError:
            return False

    def close(self):
        """Also gives up every lock."""
        if self.lock is not None:
            os.close(self.lock.descriptor)
        if self.directory is not None:
            os.close(self.directory)


# --- The ring ------------------------------------------------------------------------------------


def seat_byte(generation, seat):
    return 256 * generation + seat


def next_epoch(epoch):
    return ((epoch + 1) & ((1 << 48) - 1)) or 1


def claim_of(state):
    """The claim in a seat word; None for a word that no holder writes."""
    claim = state & 0xFF
    return claim if state & 0xFE00 == 0 and claim <= LEFT else None


def behind(position, other):
    """How far `position` is behind `other`, wrapped and signed."""
    difference = (other - position) & WORD
    return difference - (1 << 64) if difference >> 63 else difference


def schema_text(header, owner):
    """Section 22.1: the schema's text, checked against its hash; None if records are bytes."""
    size, told = header.schema_size, header.schema_hash
    if size == 0 and told == 0:
        return None
    text = owner.copy(owner.size - (size + 4095 & ~4095), size)
    if size == 0 or told == 0 or schemas.fnv_1a(text) != told:
        raise damaged("the schema's text is not the one of its hash")
    return text


def schema_of(header, owner):
    """What records are made of; None if they are bytes. Nothing of the text is used before it was parsed as a whole."""
    text = schema_text(header, owner)
    if text is None:
        return None
    try:
        return schemas.parse(text)
    except schemas.SchemaError as error:
        raise damaged(f"the schema: {error}") from error


class Ring:
    """The two sides of a generation, as a consumer reads them."""

    def __init__(self, header, owner, peers):
        self.header, self.owner, self.peers = header, owner, peers
        self.capacity = header.capacity

    def state(self):
        return self.owner.load32(H_STATE)

    def schema_text(self):
        return schema_text(self.header, self.owner)

    def schema(self):
        schema = schema_of(self.header, self.owner)
        if schema is None:
            raise Failure(EXIT_ERROR, "no schema: the channel's records are bytes")
        return schema

    def header_at(self, position):
        """(total, kind, length, padding) of the record at `position`; None if none is committed. Section 7."""
        at = position & (self.capacity - 1)
        word = self.owner.load(DATA + at)
        if word == 0:
            return None
        length, kind, padding = word & 0xFFFFFFFF, word >> 32 & 0xFFFF, word & PADDING != 0
        total, to_end = 8 + (length + 7 & ~7), self.capacity - at
        if padding:
            fits = total == to_end < self.capacity and length % 8 == 0
        else:
            fits = total <= to_end and total <= self.capacity // 2
        if not fits or word & COMMITTED == 0 or word >> 50 != 0:
            raise damaged(f"record header {word:#x} at {position}")
        return total, kind, length, padding

    def walk(self, position):
        """Over committed records to the first zero header: where that is, and how many records."""
        end, records = position, 0
        while True:
            found = self.header_at(end)
            if found is None:
                return end, records
            end, records = (end + found[0]) & WORD, records + (not found[3])
            if (end - position) & WORD >= self.capacity:
                raise damaged(f"no zero header within a lap of {position}")

    def evicted(self, seat, state):
        verdict = self.owner.load(VERDICTS + VERDICT_SIZE * seat)
        return verdict >> 16 != 0 and verdict >> 16 == state >> 16

    def resume_position(self, seat, state):
        """Section 10.3: where the holder of that state stood, and how many records are before it."""
        at, parity = SEATS + SEAT_SIZE * seat, state >> 16 & 1
        position, records = self.peers.counted(at + S_READ_SEQ)
        start = self.peers.load(at + S_START + 8 * parity)
        if start == 0 or behind(position, start) <= 0:
            return position, records or 0
        walked = self.peers.load(at + S_ABANDONED + 8 * parity) - self.peers.load(at + S_ABANDONED + 8 * (1 - parity))
        return start, (records or 0) + walked & WORD

    def possible(self, position):
        """Section 10.3: whether an honest consumer can stand there."""
        written = self.owner.load(WRITE_SEQ) & ~7
        lag = behind(position, written)
        if position & 7 != 0 or abs(lag) > self.capacity:
            return False
        if lag >= 0:
            return True
        try:
            if behind(position, self.walk(written)[0]) >= 0:
                return True
        except Failure:
            pass
        # The producer may have gone on, and round, while we walked.
        return 0 <= behind(position, self.owner.load(WRITE_SEQ) & ~7) <= self.capacity


class Consumer:
    """A seat in the current generation: sections 10.1 to 10.4, 10.7 to 10.9."""

    def __init__(self, channel):
        self.channel = channel
        header, owner, peers = channel.generation(channel.current, writable=True)
        if header.state == BROKEN:
            raise damaged("an owner found the generation broken")
        if header.state != READY:
            raise NotThere("no owner yet: the stream was closed")
        self.ring = Ring(header, owner, peers)
        self.seat = self._choose()
        at = self.at = SEATS + SEAT_SIZE * self.seat
        # A producer may be waiting for somebody to come.
        self.tell_producer()
        if channel.deleted() or not channel.still_named():
            self._leave_seat()
            raise NotThere("the channel was removed meanwhile")
        peers.store(at + S_PID, os.getpid())
        peers.store(at + S_SINCE_NS, self._now())
        peers.store(at + S_HEARTBEAT_NS, self._now())
        peers.count(at + S_ATTACHED, 1)
        peers.store32(PARKED + 4 * self.seat, 0)
        self.next, self.records = self.published, self.published_records
        self.looked = time.monotonic()

    @staticmethod
    def _now():
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    # Section 10.2.
    def _choose(self):
        promised = set()
        for number in range(self.channel.oldest, self.channel.current):
            header, _, peers = self.channel.generation(number)
            for seat in range(header.seats):
                state = peers.load(SEATS + SEAT_SIZE * seat + S_STATE)
                if state & DURABLE and claim_of(state) in (ACTIVE, ABSENT):
                    promised.add(seat)
        end = time.monotonic() + 0.05
        while True:
            for dead_ones in (False, True):
                for seat in range(self.ring.header.seats):
                    if seat in promised or not self._usable(seat, dead_ones):
                        continue
                    byte = seat_byte(self.ring.header.generation, seat)
                    if not self.channel.lock.try_lock(byte):
                        continue
                    # Under the lock nobody else changes it any more.
                    if self._usable(seat, dead_ones):
                        try:
                            self._take(seat)
                        except BaseException:
                            self.channel.lock.unlock(byte)
                            raise
                        return seat
                    self.channel.lock.unlock(byte)
            if time.monotonic() >= end:
                raise Failure(EXIT_NO_SEAT, f"no free seat among {self.ring.header.seats}")
            time.sleep(0.0002)

    def _usable(self, seat, dead_ones):
        state = self.ring.peers.load(SEATS + SEAT_SIZE * seat + S_STATE)
        claim = claim_of(state)
        if self.ring.evicted(seat, state) or claim == FREE:
            return True
        if claim == ACTIVE:
            return dead_ones and not state & DURABLE
        return dead_ones and claim in (JOINING, None)

    def _take(self, seat):
        ring, at = self.ring, SEATS + SEAT_SIZE * seat
        state = ring.peers.load(at + S_STATE)
        if claim_of(state) == ACTIVE and not state & DURABLE and not ring.evicted(seat, state):
            if ring.state() != READY:
                raise NotThere("the generation was retired meanwhile")
            try:
                position, records = ring.resume_position(seat, state)
                if ring.possible(position):
                    # First of all: only `start` and `abandoned` may tell where it stood, and they are overwritten.
                    self._stand_at(at, position, records)
                    end, left = ring.walk(position)
                    self._take_over(at, state, end, left, records + left)
                    return
            except Failure:
                pass  # nothing there that could be counted
        self._join(at, state)

    # Section 10.3.
    def _join(self, at, state):
        ring, peers = self.ring, self.ring.peers
        epoch, old = next_epoch(state >> 16), state >> 16
        peers.store(at + S_ABANDONED + 8 * (epoch & 1), peers.load(at + S_ABANDONED + 8 * (old & 1)))
        peers.store(at + S_START + 8 * (epoch & 1), 0)
        peers.store(at + S_STATE, epoch << 16 | JOINING)
        # Without this fence the processor may look at write_seq before anybody can see JOINING, the producer may
        # look at our seat in between, and write over what we are going to read.
        full_fence()
        if ring.state() != READY:
            peers.store(at + S_STATE, epoch << 16 | FREE)
            raise NotThere("the generation was retired meanwhile")
        position, records = ring.owner.counted(WRITE_SEQ)
        peers.store(at + S_NAME_LEN, 0)
        self._stand_at(at, position, records or 0)
        self._activate(at, epoch)

    # Section 10.4.
    def _take_over(self, at, state, end, left, records):
        peers = self.ring.peers
        epoch, old = next_epoch(state >> 16), state >> 16
        abandoned = peers.load(at + S_ABANDONED + 8 * (old & 1))
        peers.store(at + S_ABANDONED + 8 * (epoch & 1), abandoned + left)
        peers.store(at + S_START + 8 * (epoch & 1), end)
        self._activate(at, epoch)  # commits count, start and holder at once
        self._stand_at(at, end, records)

    def _activate(self, at, epoch):
        self.word = epoch << 16 | ACTIVE
        self.ring.peers.store(at + S_STATE, self.word)

    def _stand_at(self, at, position, records):
        self.ring.peers.publish(at + S_READ_SEQ, position, records)
        self.published, self.published_records = position, records

    # Section 11.2. We are not registered with membarrier, so we fence for ourselves.
    def tell_producer(self):
        full_fence()
        if self.ring.owner.load32(OWNER_PARKED) != 0:
            bell = SEATS + SEAT_SIZE * self.seat + S_SEAT_BELL
            self.ring.peers.store32(bell, self.ring.peers.load32(bell) + 1)
            self.ring.peers.wake(bell)

    def publish(self):
        if self.next != self.published:
            peers = self.ring.peers
            peers.count(self.at + S_RECEIVED, self.records - self.published_records)
            self._stand_at(self.at, self.next, self.records)
            self.tell_producer()

    def receive(self):
        """The next record as (kind, payload), or None if nothing is there now. Section 10.7."""
        if (self.next - self.published) & WORD >= self.ring.capacity // 8:
            self.publish()
        while True:
            found = self.ring.header_at(self.next)
            if found is None:
                return None
            total, kind, length, padding = found
            payload = None
            if not padding:
                payload = self.ring.owner.copy(DATA + (self.next & (self.ring.capacity - 1)) + 8, length)
                self.records += 1
            self.next = (self.next + total) & WORD
            if not padding:
                return kind, payload

    def check_end(self):
        """Nothing was there. Returns if there may be more; raises `Failure` with how it ended. Section 10.8."""
        state = self.ring.state()
        if state != READY:
            # The last record may have come between our look at its header and our look at the state.
            if self.ring.header_at(self.next) is not None:
                return
            if state == CLOSED:
                raise Failure(EXIT_CLOSED, "the end of the stream")
            if state == RETIRED:
                raise Failure(EXIT_SUPERSEDED, "superseded: the channel goes on in a new generation")
            raise damaged(f"state {state:#x}")
        now = time.monotonic()
        if now - self.looked < SLICE:
            return
        self.looked = now
        self.ring.peers.store(self.at + S_HEARTBEAT_NS, self._now())
        if self.channel.deleted():
            if self.ring.header_at(self.next) is None:
                raise Failure(EXIT_DELETED, "the channel was removed")
            return
        if self.ring.peers.load(self.at + S_STATE) != self.word:
            raise damaged("somebody wrote to our seat")
        if self.ring.evicted(self.seat, self.word):
            raise Failure(EXIT_EVICTED, "evicted")
        if not self.channel.lock.is_locked(OWNER_BYTE):
            # It may have closed, or committed, just before it let go: state again, header again.
            if self.ring.state() == READY and self.ring.header_at(self.next) is None:
                raise Failure(EXIT_OWNER_DIED, "the owner died")

    # Section 10.9. Removing a closed channel is left to the next.
    def leave(self):
        if not self.ring.evicted(self.seat, self.word):
            self.publish()
            written = self.ring.owner.counted(WRITE_SEQ)[1]
            if written is not None and written > self.records:
                self.ring.peers.count(self.at + S_UNREAD, written - self.records)
            self.ring.peers.count(self.at + S_DETACHED, 1)
        self._leave_seat()

    def _leave_seat(self):
        at = SEATS + SEAT_SIZE * self.seat
        self.ring.peers.store(at + S_STATE, self.word & ~0xFFFF | FREE)
        self.tell_producer()
        self.channel.lock.unlock(seat_byte(self.ring.header.generation, self.seat))


class Passive:
    """A reader without a seat, which nobody waits for: section 12."""

    def __init__(self, ring, batch):
        self.ring = ring
        # The most that the producer writes between two stores of write_seq, and the header behind it.
        self.ahead = (ring.capacity // 2 if batch is None else batch) + 8
        self.next = self.written()
        self.overruns = 0

    def written(self):
        return self.ring.owner.load(WRITE_SEQ) & ~7

    def overrun(self):
        self.overruns += 1
        self.next = self.written()

    def receive(self):
        """The next payload, or None if nothing is there now."""
        ring = self.ring
        while True:
            try:
                found = ring.header_at(self.next)
                if found is None and behind(self.next, self.written()) > 0:
                    # It came between the two looks, or it came and went.
                    found = ring.header_at(self.next)
                    if found is None:
                        self.overrun()
                        continue
            except Failure:
                self.overrun()  # not a header any more
                continue
            if found is None:
                return None
            total, _, length, padding = found
            payload = ring.owner.copy(DATA + (self.next & (ring.capacity - 1)) + 8, length)
            # Only now is it known whether that was a record. (A fence Acquire stands here: see `order`.)
            order()
            if behind(self.next, self.written()) + self.ahead > ring.capacity:
                self.overrun()
                continue
            self.next = (self.next + total) & WORD
            if not padding:
                return payload


# --- Commands ------------------------------------------------------------------------------------


def attach(path, wait):
    """Waits for the channel and takes a seat."""
    end = time.monotonic() + wait
    while True:
        channel = None
        try:
            channel = Channel(path, writable=True)
            return Consumer(channel)
        except NotThere as reason:
            if channel is not None:
                channel.close()
            if time.monotonic() >= end:
                raise Failure(EXIT_NO_CHANNEL, str(reason)) from reason
        time.sleep(0.01)


class Output:
    """Standard output; small records are gathered."""

    def __init__(self, kinds, schema=None):
        self.kinds = kinds
        self.schema = schema
        self.gathered = bytearray()

    def put(self, kind, payload):
        if self.schema is not None:
            try:
                fields = self.schema.decode(payload)
            except schemas.SchemaError as error:
                raise damaged(error) from error
            payload = json.dumps(finite(fields)).encode() + b"\n"
        self.gathered += payload
        if self.kinds and kind in (KIND_LINE, KIND_END):
            self.gathered += b"\n"
        if len(self.gathered) >= 1 << 18:
            self.flush()

    def flush(self):
        rest = memoryview(bytes(self.gathered))
        self.gathered.clear()
        while rest:
            rest = rest[os.write(1, rest) :]


def finite(value):
    """JSON has no word for what is no number, or infinite: None."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def recv(path, kinds, wait, fields):
    consumer = attach(path, wait)
    idle = 0
    try:
        output = Output(kinds, consumer.ring.schema() if fields else None)
        while True:
            record = consumer.receive()
            if record is not None:
                output.put(*record)
                idle = 0
                continue
            output.flush()
            consumer.publish()
            try:
                consumer.check_end()
            except Failure:
                output.flush()
                raise
            # We poll: no parked word is set, so nobody need wake us (section 11).
            idle += 1
            if idle > 100:
                time.sleep(0.001 if idle > 1000 else 0.0001)
    finally:
        consumer.leave()


def tail(path, batch):
    channel = Channel(path, writable=False)
    ring = Ring(*channel.generation(channel.current))
    reader = Passive(ring, batch)
    output = Output(False)
    print("read_ring: following", file=sys.stderr, flush=True)
    try:
        while True:
            payload = reader.receive()
            if payload is not None:
                output.put(0, payload)
                continue
            output.flush()
            alive = channel.lock.is_locked(OWNER_BYTE)
            # State and lock first, then the header again.
            if (ring.state() != READY or not alive or channel.deleted()) and ring.header_at(reader.next) is None:
                return
            time.sleep(0.0001)
    finally:
        output.flush()
        print(f"read_ring: overrun {reader.overruns} times", file=sys.stderr)


def show_schema(path):
    channel = Channel(path, writable=False)
    ring = Ring(*channel.generation(channel.current))
    ring.schema()
    sys.stdout.write(ring.schema_text().decode())


def peek(path):
    channel = Channel(path, writable=False)
    owned = channel.lock.is_locked(OWNER_BYTE)
    print(f"channel {path}: generations {channel.oldest} to {channel.current}, instance {channel.instance:#018x}")
    header, owner, peers = channel.generation(channel.current)
    ring = Ring(header, owner, peers)
    written, records = owner.counted(WRITE_SEQ)
    print(
        f"generation {header.generation}: {STATES[header.state]}, capacity {header.capacity}, "
        f"seats {header.seats}, begins at {header.base_seq} ({header.base_records} records)"
    )
    print(
        f"owner: {'alive' if owned else 'none'}, epoch {owner.load(H_OWNER_EPOCH)}, pid {owner.load(H_OWNER_PID)}, "
        f"{'asleep' if owner.load32(OWNER_PARKED) else 'awake'}"
    )
    print(f"write_seq {written}, records {records}")
    print(", ".join(f"{name} {owner.load(at)}" for name, at in COUNTERS.items()))
    for seat in range(header.seats):
        at = SEATS + SEAT_SIZE * seat
        state = peers.load(at + S_STATE)
        if state == 0:
            continue
        claim = claim_of(state)
        read, taken = peers.counted(at + S_READ_SEQ)
        held = channel.lock.is_locked(seat_byte(header.generation, seat))
        length = peers.load(at + S_NAME_LEN)
        named = claim in (ACTIVE, ABSENT) and 1 <= length <= 64
        name = peers.copy(at + S_NAME, length).decode("utf-8", "replace") if named else ""
        print(
            f"seat {seat}: {CLAIMS[claim] if claim is not None else 'impossible'}"
            f"{' durable ' + repr(name) if state & DURABLE else ''}, epoch {state >> 16}, "
            f"holder {'alive' if held else 'none'}, {'evicted, ' if ring.evicted(seat, state) else ''}"
            f"pid {peers.load(at + S_PID)}, read_seq {read}, records {taken}, "
            f"behind {behind(read, written)}, received {peers.load(at + S_RECEIVED)}, "
            f"unread {peers.load(at + S_UNREAD)}, "
            f"abandoned {peers.load(at + S_ABANDONED + 8 * (state >> 16 & 1))}"
        )


def main():
    parser = argparse.ArgumentParser(prog="read_ring.py", description="Reads a Partywall ring.")
    commands = parser.add_subparsers(dest="command", required=True)
    peeking = commands.add_parser("peek", help="print header, seats and cursors")
    tailing = commands.add_parser(
        "tail", help="follow without a seat: nobody waits, so records may be missed, but none is torn"
    )
    receiving = commands.add_parser(
        "recv",
        help="take a seat and write every record to standard output",
        epilog="exit status: 0 clean end, 3 owner died, 4 evicted, 5 damaged, 6 removed, 7 superseded, "
        "8 no channel, 9 no free seat, 1 anything else",
    )
    showing = commands.add_parser("schema", help="print what a typed channel's records are made of")
    for command in (peeking, tailing, receiving, showing):
        command.add_argument("directory", metavar="DIR", help="the channel's directory")
    tailing.add_argument(
        "--batch", type=int, metavar="BYTES", help="the producer's largest batch; without it, it must send no batches"
    )
    receiving.add_argument("--kinds", action="store_true", help="give lines of `partywall send --lines` their newlines")
    receiving.add_argument("--json", action="store_true", help="write the fields of a typed channel's records")
    receiving.add_argument("--wait", type=float, default=5.0, metavar="S", help="wait so long for the channel")
    arguments = parser.parse_args()

    def stop(number, _frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    path = os.path.abspath(arguments.directory)
    try:
        if arguments.command == "peek":
            peek(path)
        elif arguments.command == "tail":
            tail(path, arguments.batch)
        elif arguments.command == "schema":
            show_schema(path)
        else:
            recv(path, arguments.kinds, arguments.wait, arguments.json)
    except Failure as failure:
        if failure.status != EXIT_CLOSED:
            print(f"read_ring: {failure}", file=sys.stderr)
        return failure.status
    except NotThere as reason:
        print(f"read_ring: {reason}", file=sys.stderr)
        return EXIT_NO_CHANNEL
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
