#!/usr/bin/env python3
"""Runs a command where the kernel runs aarch64 programs by qemu-aarch64, without touching the machine's own settings.

    ci/foreign.py COMMAND ARGUMENTS...

In a user namespace of its own, with the users that this one has, binfmt_misc is mounted, and qemu is registered there (Linux 6.7
and newer keep that apart for each user namespace). Where that does not work, install `qemu-user-binfmt`, which tells the whole machine.
"""
import ctypes
import os
import sys

CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
QEMU = "/usr/bin/qemu-aarch64"
# An ELF file of 64 bits, little-endian, executable or shared, for machine 183.
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        sys.exit(f"foreign: {name}: {os.strerror(ctypes.get_errno())}")


def give_users(pid):
    """The same numbers inside as outside, where this process may say so; else its own alone, as root."""
    wide = "0 0 65536" if os.geteuid() == 0 else None
    for kind, own in (("uid", os.geteuid()), ("gid", os.getegid())):
        if not wide and kind == "gid":
            with open(f"/proc/{pid}/setgroups", "w") as file:
                file.write("deny")
        with open(f"/proc/{pid}/{kind}_map", "w") as file:
            file.write(wide or f"0 {own} 1")


def main():
    asked, ask = os.pipe()
    answered, answer = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        # The helper stays outside, and says who is who inside.
        os.read(asked, 1)
        give_users(parent)
        os.write(answer, b"x")
        os._exit(0)
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    os.write(ask, b"x")
    if os.read(answered, 1) != b"x" or os.waitpid(child, 0)[1] != 0:
        sys.exit("foreign: no users in the namespace")
    call("mount", b"none", b"/proc/sys/fs/binfmt_misc", b"binfmt_misc", 0, None)
    with open("/proc/sys/fs/binfmt_misc/register", "w") as file:
        file.write(f":partywall-aarch64:M::{MAGIC}:{MASK}:{QEMU}:")
    os.execvp(sys.argv[1], sys.argv[1:])


main()
