#!/usr/bin/env python3
"""Golden images: channels whose owner was killed, kept as text, and read again by every target's build.

    ci/golden.py check [--wine] PROGRAM ...     each program must find in each image what is written there
    ci/golden.py make PROGRAM [PATTERN ...]     makes the images anew; only for a new ABI version

An image is what lies in ci/golden/PATTERN.txt: the files of a channel's directory, every row of 16 bytes that is not zero,
and what a program says of it: the fields of `partywall info --json` that do not depend on the clock, and
what it receives. The layout is the promise, so an image is never made anew because a program reads it differently.
"""
import json, os, pathlib, select, signal, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent / "golden"
PLACE = "/dev/shm"
# Ages and the state of the machine, not of the image.
VARIABLE = {"heartbeat_age_ns", "last_update_age_ns", "bytes_reserved", "owner", "state", "name"}
RECORDS = b"".join(b"record %d of the golden image\n" % n for n in range(5))

# Who writes, with what on its input, until it is killed; and who reads what is there, and what of the output counts.
PATTERNS = {
    "ring": (["send", "{c}", "--lines"], ["recv", "{c}", "--name", "archive", "--json"]),
    "snapshot": (["put", "{c}", "a golden value"], ["get", "{c}"]),
    "broadcast": (["pub", "{c}", "--slots", "8", "--checksums"], ["sub", "{c}", "--from", "oldest", "--count", "5"]),
    "frames": (["frames", "publish", "{c}", "--size", "30", "--keep", "--seats", "1", "--no-subscriber", "discard"], ["frames", "recv", "{c}", "--history", "2", "--count", "2"]),
    "mpsc": (["send", "{c}", "--to-collector", "--lines"], ["collect", "{c}", "--lane", "4K", "--seats", "1"]),
    "guarded": (["lock", "{c}", "--value", "a guarded value", "--size", "64"], ["get", "{c}"]),
    # Flags, a clean end, and a checksum.
    "protected": (["put", "{c}", "a golden secret", "--checksums", "--confidential"], ["get", "{c}"]),
    # What no command makes: the example `images` does, built as cargo does it for development.
    "typed": (None, ["recv", "{c}", "--name", "archive", "--json"]),
    "grown": (None, ["recv", "{c}", "--name", "archive", "--json"]),
}
IMAGES = HERE.parent.parent / "target" / "debug" / "examples" / "images"


class Program:
    def __init__(self, path, wine):
        self.command = (["wine"] if wine else []) + path.split()

    def run(self, directory, arguments, **options):
        words = [word.format(c="golden") for word in arguments]
        return subprocess.run(self.command + ["--dir", str(directory)] + words, capture_output=True, timeout=120, **options)


def stable(info):
    """What `info` says that is the same whenever it is asked."""
    if isinstance(info, dict):
        return {key: stable(value) for key, value in info.items() if key not in VARIABLE}
    return [stable(value) for value in info] if isinstance(info, list) else info


def agrees(expected, found):
    """Whether everything that is expected is there; later versions may say more."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(key in found and agrees(value, found[key]) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(expected) == len(found) and all(map(agrees, expected, found))
    return expected == found


def dump(directory, expected):
    lines = ["# " + line for line in json.dumps(expected, indent=1, sort_keys=True).splitlines()]
    for path in sorted((directory / "golden").iterdir()):
        data = path.read_bytes()
        lines.append(f"file {path.name} {len(data)}")
        for at in range(0, len(data), 16):
            row = data[at:at + 16]
            if any(row):
                lines.append(f"{at:08x} {row.hex(' ', 4)}")
    return "\n".join(lines) + "\n"


def restore(text, directory):
    """Writes the files; gives what is expected of them."""
    channel = directory / "golden"
    channel.mkdir(mode=0o700)
    expected, name, data = [], None, bytearray()

    def close():
        if name:
            path = channel / name
            path.write_bytes(data)
            path.chmod(0o600)

    for line in text.splitlines():
        if line.startswith("# "):
            expected.append(line[2:])
        elif line.startswith("file "):
            close()
            _, name, size = line.split()
            data = bytearray(int(size))
        else:
            at, row = line.split(" ", 1)
            at, row = int(at, 16), bytes.fromhex(row)
            data[at:at + len(row)] = row
    close()
    return json.loads("\n".join(expected))


def read(program, text, pattern):
    with tempfile.TemporaryDirectory(dir=PLACE, prefix="golden-") as place:
        directory = pathlib.Path(place)
        expected = restore(text, directory)
        said = program.run(directory, ["info", "{c}", "--json"])
        assert said.returncode == 0, (pattern, said)
        info = stable(json.loads(said.stdout))
        output = receive(program, directory, pattern, len(expected.get("received", "")))
        return expected, {"info": info, "received": output}


def receive(program, directory, pattern, enough):
    """What the reader writes until it has `enough` characters; it is ended then, for the owner is dead and more may come."""
    words = [word.format(c="golden") for word in PATTERNS[pattern][1]]
    reader = subprocess.Popen(program.command + ["--dir", str(directory)] + words, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, deadline = b"", time.monotonic() + (60 if enough else 5)
    while time.monotonic() < deadline:
        ready, _, _ = select.select([reader.stdout], [], [], 0.2)
        more = os.read(reader.stdout.fileno(), 65536) if ready else b""
        out += more
        if (ready and not more) or (enough and len(text_of(out)) >= enough):
            break
    reader.kill()
    rest, err = reader.communicate()
    assert out, (pattern, reader.returncode, err)
    return text_of(out + rest)


def text_of(output):
    return output.decode().replace("\r\n", "\n")


def make(program, names):
    HERE.mkdir(exist_ok=True)
    for pattern, (writer, _) in PATTERNS.items():
        if names and pattern not in names:
            continue
        with tempfile.TemporaryDirectory(dir=PLACE, prefix="golden-") as place:
            directory = pathlib.Path(place)
            if writer:
                write(program, directory, pattern, writer)
            else:
                subprocess.run([IMAGES, pattern], env={**os.environ, "PARTYWALL_DIR": place}, check=True)
            text = dump(directory, {})
        _, found = read(program, text, pattern)
        with tempfile.TemporaryDirectory(dir=PLACE, prefix="golden-") as place:
            directory = pathlib.Path(place)
            restore(text, directory)
            (HERE / f"{pattern}.txt").write_text(dump(directory, found))
        print(pattern, repr(found["received"][:60]))


def write(program, directory, pattern, writer):
    base = program.command + ["--dir", str(directory)]
    words = [word.format(c="golden") for word in writer]
    helpers = []
    if pattern == "ring":
        # A durable consumer that has been there: its seat keeps what it has not read.
        helpers.append(subprocess.Popen(base + ["recv", "golden", "--name", "archive"], stdout=subprocess.DEVNULL))
    if pattern == "mpsc":
        helpers.append(subprocess.Popen(base + ["collect", "golden", "--lane", "4K", "--seats", "1"], stdout=subprocess.DEVNULL))
        time.sleep(0.5)
    running = subprocess.Popen(base + words, stdin=subprocess.PIPE)
    if pattern == "ring":
        running.stdin.write(b"before\n")
        running.stdin.flush()
        time.sleep(0.5)
    for helper in helpers:
        if pattern == "mpsc":
            helper.send_signal(signal.SIGSTOP)
        else:
            helper.kill()
    try:
        running.stdin.write(RECORDS)
        running.stdin.flush()
    except BrokenPipeError:
        pass
    time.sleep(0.5)
    running.kill()
    running.wait()
    for helper in helpers:
        helper.kill()
        helper.wait()


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["make"]:
        make(Program(arguments[1], False), arguments[2:])
        return
    assert arguments.pop(0) == "check", __doc__
    wine = "--wine" in arguments
    bad = 0
    for path in [argument for argument in arguments if argument != "--wine"]:
        for pattern in PATTERNS:
            text = (HERE / f"{pattern}.txt").read_text()
            expected, found = read(Program(path, wine), text, pattern)
            if not agrees(expected, found):
                bad += 1
                print(f"{path}: {pattern} is not what the golden image says")
                print(" expected", json.dumps(expected, sort_keys=True))
                print(" found   ", json.dumps(found, sort_keys=True))
            else:
                print(f"{path}: {pattern} ok")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
