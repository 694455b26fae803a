#!/usr/bin/env python3
"""Types Ctrl-C at the Windows command, in a terminal of its own under Wine, and looks at what it leaves.

    ci/console.py target/.../partywall.exe

Wine's console turns what is typed into the terminal into CTRL_C_EVENT. What it does not do is CTRL_CLOSE_EVENT when the terminal
goes: that was never tried.
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

    def __init__(self, place, *arguments, output=None):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            if output is not None:
                os.dup2(output, 1)
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

    # One that waits for records, and one that waits for whoever should read its output.
    data = os.path.join(place, "data")
    with open(data, "wb") as file:
        file.write(bytes(16 << 20))
    for full in [False, True]:
        with open(data, "rb") as file:
            source = file if full else subprocess.PIPE
            command = ["wine", PROGRAM, "--dir", windows(place), "send", "d", "--capacity", "64k"]
            sender = subprocess.Popen(command, stdin=source)
        unread, output = os.pipe()
        receiver = Typed(place, "recv", "d", output=output)
        os.close(output)
        wait_until("the receiver is there", lambda: attached(place, "d"))
        if full:
            # Until nothing moves any more.
            counts = [0, -1]
            while counts[-1] != counts[-2] or counts[-1] == 0:
                time.sleep(1)
                counts.append(info(place, "d")["records"])
        expect(f"a receiver (its reader stands still: {full})", receiver.ends(), INTERRUPTED)
        expect("seats that it leaves", attached(place, "d"), False)
        sender.kill()
        sender.wait()
        os.close(unread)
        subprocess.run(
            ["wine", PROGRAM, "--dir", windows(place), "rm", "--force", "d"], check=True
        )
    shutil.rmtree(place)


main()
