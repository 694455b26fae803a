#!/usr/bin/env python3
"""Holds `bindings/csharp/ReadSnapshot.cs`, which was written from PROTOCOL.md alone, against live snapshots and golden images.

    ci/csharp.py PROGRAM ...

Each PROGRAM (a build of the command for some target) writes long values without pause while the C# program reads; a value that
is torn, out of order, or of another version than it says fails. Then images at rest, and damaged ones, which it must refuse.
"""
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from golden import HERE, restore

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "bindings" / "csharp" / "ReadSnapshot.cs"
PLACE = "/dev/shm"
# Values that are seen of each writer, of how many bytes each.
COUNT, LENGTH = 500, 6000
DAMAGED, NOTHING_NEW, GONE = 7, 3, 5


def read(reader, channel, *arguments, expect=0):
    told = subprocess.run([*reader, str(channel), *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert told.returncode == expect, (channel, told.returncode, told.stderr)
    return told.stdout.splitlines()


def value(number):
    """A line that says its number all over, so that two halves of different ones are seen."""
    word = f"{number} "
    return (word * (LENGTH // len(word) + 1))[:LENGTH - 1] + "."


def live(reader, program, checksums):
    with tempfile.TemporaryDirectory(dir=PLACE, prefix="csharp-") as place:
        command = [program, "--dir", place, "put", "s", "--lines", "--size", "8K", *(["--checksums"] if checksums else [])]
        writer = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
        stop = threading.Event()

        def feed():
            number = 0
            while not stop.is_set():
                number += 1
                writer.stdin.write(value(number) + "\n")
            writer.stdin.close()

        feeding = threading.Thread(target=feed)
        feeding.start()
        try:
            while not (pathlib.Path(place) / "s" / "1.owner").exists():
                time.sleep(0.01)
            lines = read(reader, pathlib.Path(place) / "s", COUNT, 60)
        finally:
            stop.set()
            feeding.join()
        assert writer.wait(60) == 0
        last = 0
        for line in lines:
            version, text = line.split(" ", 1)
            assert int(version) > last, (version, last)
            last = int(version)
            assert text == value(last), (version, text[:80])
        assert len(lines) == COUNT
        # At rest now: the last value stays, and nothing new comes.
        again = read(reader, pathlib.Path(place) / "s")
        assert int(again[0].split(" ", 1)[0]) >= last
        read(reader, pathlib.Path(place) / "s", 2, 0.1, expect=NOTHING_NEW)
    print(f"{program}: {COUNT} values of {LENGTH} bytes, versions up to {last}, {'with' if checksums else 'without'} checksums")


def at_rest(reader):
    for pattern, text in (("snapshot", "a golden value"), ("guarded", "a guarded value")):
        with tempfile.TemporaryDirectory(dir=PLACE, prefix="csharp-") as place:
            directory = pathlib.Path(place)
            restore((HERE / f"{pattern}.txt").read_text(), directory)
            lines = read(reader, directory / "golden")
            assert lines == [f"1 {text}"], lines
            # A byte of the header, the mark of the slot, the version: each is looked at.
            for file, at, bad in (("1.owner", 0, b"X"), ("1.owner", 4096, b"\x07"), ("1.owner", 256, b"\x09"), ("root", 8, b"\x02")):
                whole = (directory / "golden" / file).read_bytes()
                (directory / "golden" / file).write_bytes(whole[:at] + bad + whole[at + 1:])
                read(reader, directory / "golden", expect=DAMAGED)
                (directory / "golden" / file).write_bytes(whole)
            read(reader, directory / "golden", 2, 0.1, expect=NOTHING_NEW)
            read(reader, directory / "none", expect=GONE)
    print("golden images: as they say, and damaged ones refused")


def wrong_checksum(reader, program):
    with tempfile.TemporaryDirectory(dir=PLACE, prefix="csharp-") as place:
        subprocess.run([program, "--dir", place, "put", "s", "a value", "--checksums"], check=True)
        path = pathlib.Path(place) / "s" / "1.owner"
        whole = path.read_bytes()
        at = whole.index(b"a value")
        path.write_bytes(whole[:at] + b"b" + whole[at + 1:])
        read(reader, pathlib.Path(place) / "s", expect=DAMAGED)
    print("a wrong checksum is seen")


def main():
    programs = sys.argv[1:]
    assert programs, __doc__
    with tempfile.TemporaryDirectory() as made:
        executable = pathlib.Path(made) / "ReadSnapshot.exe"
        subprocess.run(["mcs", "-unsafe", "-warnaserror", f"-out:{executable}", str(SOURCE)], check=True)
        reader = ["mono", str(executable)]
        at_rest(reader)
        wrong_checksum(reader, programs[0])
        for program in programs:
            for checksums in (True, False):
                live(reader, program, checksums)


main()
