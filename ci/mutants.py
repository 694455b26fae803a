#!/usr/bin/env python3
"""Breaks the protocols on purpose, one way at a time, and expects the models to notice.

Each mutation of `mutants.toml` is applied to a copy of the workspace, compiled, and tested. It is *caught* if
a test fails. One that survives is a hole in the tests and makes this script fail, and so does one
that no longer applies or compiles: then `mutants.toml` has fallen behind the code. Two are tried at a time, each
in a copy of its own: a compiler has little to do for a second core.

    ci/mutants.py             all of them
    ci/mutants.py join fence  those with one of these words in the name
    ci/mutants.py --part 2/3  the second third: together with the others that is all of them
    ci/mutants.py --list      names and reasons

Those that are said to change nothing, with the reason, are tried only when they are named: to see all tests pass takes minutes.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

WORKSPACE = Path(__file__).resolve().parent.parent
PLACE = WORKSPACE / "target" / "mutants"
WORKERS = 2
# However slow the machine is, one test fails by then, or all come to an end.
TEST_SECONDS = 900
BUILD_SECONDS = 600


class Stale(Exception):
    """The mutation does not fit the code any more."""


def mutate(path: Path, mutation: dict) -> str:
    """Applies a mutation; the file's text from before."""
    original = path.read_text()
    text = original
    for edit in mutation.get("edits") or [mutation]:
        count = text.count(edit["search"])
        if count != 1:
            raise Stale(f"stands {count} times in {mutation['file']}:\n{edit['search']}")
        text = text.replace(edit["search"], edit["replace"])
    path.write_text(text)
    return original


class Workshop:
    """A copy of the workspace, and what was built of it."""

    def __init__(self, number: int):
        self.copy = PLACE / f"workspace-{number}"
        self.build = PLACE / f"build-{number}"
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(
            WORKSPACE, self.copy, symlinks=True, ignore=shutil.ignore_patterns("target", ".git")
        )

    def cargo(self, *arguments: str, seconds: int) -> tuple[int | None, str]:
        """Runs cargo on the copy until a test fails; `None` if it took too long. Ends whatever it started."""
        environment = dict(os.environ, CARGO_TARGET_DIR=str(self.build), RUST_BACKTRACE="0")
        # Most of the time goes into compiling, of which optimising is three quarters.
        for profile in ("DEV", "TEST"):
            environment[f"CARGO_PROFILE_{profile}_OPT_LEVEL"] = "0"
            environment[f"CARGO_PROFILE_{profile}_DEBUG"] = "0"
        process = subprocess.Popen(
            ["cargo", *arguments],
            cwd=self.copy,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        with RUNNING_LOCK:
            RUNNING.add(process)
        ended = threading.Event()

        def end_late() -> None:
            if not ended.wait(seconds):
                late.append(True)
                os.killpg(process.pid, signal.SIGKILL)

        late: list[bool] = []
        watch = threading.Thread(target=end_late)
        watch.start()
        lines = []
        failed = False
        try:
            for line in process.stdout:
                lines.append(line)
                if line.startswith("test ") and line.endswith("FAILED\n"):
                    # One is enough; the others may take minutes.
                    failed = True
                    os.killpg(process.pid, signal.SIGKILL)
                    break
            code = process.wait()
        finally:
            ended.set()
            watch.join()
            with RUNNING_LOCK:
                RUNNING.discard(process)
        if late and not failed:
            return None, "".join(lines)
        return 1 if failed else code, "".join(lines)


# What has to end when this script is told to.
RUNNING: set[subprocess.Popen] = set()
RUNNING_LOCK = threading.Lock()


def end_everything() -> None:
    with RUNNING_LOCK:
        for process in RUNNING:
            os.killpg(process.pid, signal.SIGKILL)


def failed_test(output: str) -> str:
    for line in output.splitlines():
        if line.startswith("test ") and line.endswith("FAILED"):
            return line.split()[1].rsplit("::", 1)[-1]
    return "a test"


def run(workshop: Workshop, mutation: dict) -> tuple[bool, str]:
    """Whether all is well, and what happened."""
    path = workshop.copy / mutation["file"]
    try:
        original = mutate(path, mutation)
    except Stale as stale:
        return False, f"STALE: {stale}"
    try:
        test = ["test", "--quiet", "-p", "partywall", "--lib"]
        code, output = workshop.cargo(*test, "--no-run", seconds=BUILD_SECONDS)
        if code != 0:
            return False, f"DOES NOT COMPILE:\n{output}"
        test.remove("--quiet")
        code, output = workshop.cargo(*test, "--", mutation["test"], seconds=TEST_SECONDS)
    finally:
        path.write_text(original)
    equivalent = mutation.get("equivalent")
    if code is None:
        return False, "DOES NOT END: no test fails, and one never ends"
    if code != 0:
        caught = f"caught by {failed_test(output)}"
    elif equivalent:
        return True, f"survives, as it must: {equivalent}"
    else:
        return False, "SURVIVES"
    if equivalent:
        return False, f"{caught}, but is said to be equivalent"
    return True, caught


def outcomes(mutations: list[dict]) -> Iterator[tuple[dict, bool, str, float]]:
    """Tries them all; each with whether all is well, what happened and the seconds it took."""
    own = threading.local()
    numbers = iter(range(WORKERS))

    def attempt(mutation: dict) -> tuple[dict, bool, str, float]:
        if not hasattr(own, "workshop"):
            own.workshop = Workshop(next(numbers))
        began = time.monotonic()
        good, what = run(own.workshop, mutation)
        return mutation, good, what, time.monotonic() - began

    with ThreadPoolExecutor(WORKERS) as workers:
        try:
            yield from workers.map(attempt, mutations)
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            end_everything()
            raise


def main() -> int:
    # So that nothing it started goes on without it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    mutations = tomllib.loads((WORKSPACE / "ci" / "mutants.toml").read_text())["mutation"]
    words = sys.argv[1:]
    if words == ["--list"]:
        for mutation in mutations:
            print(f"{mutation['name']}: {mutation['why']}")
        return 0
    if not words or words[0] == "--part":
        mutations = [one for one in mutations if not one.get("equivalent")]
        if words:
            part, parts = map(int, words[1].split("/"))
            # Not one file after the other, which take differently long.
            mutations = mutations[part % parts :: parts]
    else:
        mutations = [one for one in mutations if any(word in one["name"] for word in words)]
        if not mutations:
            print("no mutation has such a name", file=sys.stderr)
            return 2
    bad = 0
    for mutation, good, what, seconds in outcomes(mutations):
        bad += not good
        print(f"{mutation['name']}: {what} ({seconds:.0f} s)", flush=True)
    print(f"{len(mutations) - bad} of {len(mutations)} as they should be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
