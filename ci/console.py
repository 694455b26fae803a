#!/usr/bin/env python3
"""Types Ctrl-C at the Windows command, in a terminal of its own under Wine, and looks at what it leaves.

    ci/console.py target/.../partywall.exe

Wine's console turns what is typed into the terminal into CTRL_C_EVENT. What it does not do: CTRL_CLOSE_EVENT when the terminal goes,
and ending a write into a pipe of Unix that nobody reads (CancelSynchronousIo).
"""

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time

PROGRAM = sys.argv[1]
INTERRUPTED = 130
LONGEST = 60


def windows(path):
    return "Z:" + path.replace("/", "\\")


class Typed:
    """The command in a terminal."""

    def __init__(self, place, *arguments):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvp("wine", ["wine", PROGRAM, "--dir", windows(place), *arguments])
        os.set_blocking(self.terminal, False)

    def ends(self):
        """Types Ctrl-C, until the console has taken it; how the command ended."""
        end = time.monotonic() + LONGEST
        typed = 0
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.terminal)
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > typed + 2:
                os.write(self.terminal, b"\x03")
                typed = time.monotonic()
            try:
                os.read(self.terminal, 65536)
            except OSError:
                pass
            time.sleep(0.05)
        raise SystemExit("it does not end")


def wait_until(what, condition):
    end = time.monotonic() + LONGEST
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited in vain until {what}")
        time.sleep(0.05)


def info(place, channel):
    command = ["wine", PROGRAM, "--dir", windows(place), "info", channel, "--json"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def has_root(place, channel):
    return os.path.exists(os.path.join(place, channel, "root"))


def channels(place):
    return [name for name in os.listdir(place) if name != ".removed"]


def attached(place, channel):
    if not has_root(place, channel):
        return False
    return any(seat["holder"] == "alive" for seat in info(place, channel)["seats"])


def expect(what, found, expected):
    if found != expected:
        raise SystemExit(f"{what}: {found!r}, expected {expected!r}")
    print(f"console: {what}: {expected!r}", flush=True)


def main():
    place = tempfile.mkdtemp()
    os.chmod(place, 0o700)

    # Each sender waits for input from the console, and its channel goes with it.
    for options in [[], ["--page-file"]]:
        sender = Typed(place, "send", "c", *options)
        wait_until("there is a channel", lambda: has_root(place, "c"))
        expect(f"a sender {options} that waits for input", sender.ends(), INTERRUPTED)
        expect("channels that it leaves", channels(place), [])

    # Nothing to wait for but a channel.
    receiver = Typed(place, "recv", "c")
    time.sleep(2)
    expect("a receiver that waits for a channel", receiver.ends(), INTERRUPTED)

    # One that waits for records.
    command = ["wine", PROGRAM, "--dir", windows(place), "send", "d"]
    sender = subprocess.Popen(command, stdin=subprocess.PIPE)
    receiver = Typed(place, "recv", "d")
    wait_until("the receiver is there", lambda: attached(place, "d"))
    expect("a receiver that waits for records", receiver.ends(), INTERRUPTED)
    expect("seats that it leaves", attached(place, "d"), False)
    sender.stdin.close()
    sender.kill()
    sender.wait()
    shutil.rmtree(place)


main()
