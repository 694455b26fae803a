#!/usr/bin/env python3
"""Runs the test programs that cargo built for a target, every file of the suite, and counts what they did.

    ci/suites.py TARGET MESSAGES [--runner PROGRAM] [NAME ...]
    ci/suites.py --where NAME MESSAGES             the program of one file

MESSAGES is what `cargo test --no-run --message-format=json` wrote. With NAMEs only these files are run, and nothing is
counted. What each target leaves out and why, how deep the long tests go there, and how many tests must have run, stands in
`suites.toml`. A file of the suite of which nothing runs and that is not named there is a failure, and so is one that is named
and does run; and PLATFORM.md must name each.
"""
import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor

WORKSPACE = pathlib.Path(__file__).resolve().parent.parent
CRATES = ["partywall", "partywall-cli"]
# At a time: much of what a test does is waiting.
WORKERS = 2
# No file needs so long on the slowest of these targets, on a busy machine: it hangs.
SECONDS = 900
# What the harness says at the end of a program, and what the programs without it say.
COUNTS = [re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed", re.M), re.compile(r"^(\d+) passed, (\d+) failed", re.M)]
POINTS = re.compile(r"^(\d+) points were visited", re.M)
speaking = threading.Lock()


def say(*words):
    with speaking:
        print(*words, flush=True)


def files_of_the_suite():
    """Every test file by its crate and name, as cargo finds them."""
    for crate in CRATES:
        for path in (WORKSPACE / "crates" / crate / "tests").iterdir():
            if path.suffix == ".rs":
                yield f"{crate}/{path.stem}"
            elif (path / "main.rs").exists():
                yield f"{crate}/{path.name}"


def programs(messages):
    """Where cargo put each: (name, program, directory of its crate)."""
    found = {}
    for line in messages.read_text().splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("reason") != "compiler-artifact" or not message.get("executable") or not message["profile"]["test"]:
            continue
        crate = pathlib.Path(message["manifest_path"]).parent
        kind = message["target"]["kind"][0]
        name = message["target"]["name"] if kind == "test" else f"src ({kind})"
        found[f"{crate.name}/{name}"] = (message["executable"], crate)
    return found


def is_a_model(test):
    """Models that loom explores say the same on every machine. What only uses its memory, forged or at random, is run."""
    modules = test.split("::")[:-1]
    return "models" in modules and not any("properties" in name or "forged" in name for name in modules)


class Suite:
    def __init__(self, target, settings, runner):
        self.target, self.settings = target, settings
        self.runner = runner.split() if runner else []
        # Who asks for another depth gets it.
        self.environment = {**settings.get("environment", {}), **os.environ}
        self.tests = self.points = 0
        self.failures, self.empty, self.stale = [], [], []

    def run(self, name, program, crate):
        command = [*self.runner, program]
        begun = time.monotonic()
        if name == "partywall/src (lib)":
            listed = self.output([*command, "--list", "--format", "terse"], crate)[1]
            tests = [line.removesuffix(": test") for line in listed.splitlines() if line.endswith(": test")]
            self.stale += [test for test in self.skipped(name) if test not in tests]
            command += ["--exact", *(test for test in tests if not is_a_model(test) and test not in self.skipped(name))]
        elif self.skipped(name):
            command += [word for test in self.skipped(name) for word in ("--skip", test)]
        code, text = self.output(command, crate)
        for words, why in self.settings.get("again", {}).items():
            if code != 0 and words in text:
                say(f"{text}\n{self.target} {name}: {why} ({words}); it is run again")
                code, text = self.output(command, crate)
                break
        counted = [match for pattern in COUNTS for match in pattern.findall(text)]
        passed, failed = (sum(int(match[at]) for match in counted) for at in (0, 1))
        with speaking:
            self.tests += passed
            self.points += sum(map(int, POINTS.findall(text)))
            if code != 0 or failed or not counted:
                self.failures.append(name)
                print(text)
            elif passed == 0:
                self.empty.append(name)
            word = "FAILED" if name in self.failures else f"{passed:4} tests"
            print(f"{self.target} {name:36} {word} {time.monotonic() - begun:7.1f} s", flush=True)

    def skipped(self, name):
        """Single tests of a file that are not for this target."""
        return [test.removeprefix(name + "::") for test in self.settings.get("skipped", {}) if test.startswith(name + "::")]

    def output(self, command, crate):
        # Into a file: who holds the end of a pipe open after its parent has gone would be waited for without end.
        with tempfile.TemporaryFile() as said:
            running = subprocess.Popen(command, cwd=crate, env=self.environment, stdin=subprocess.DEVNULL,
                                       stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
            late = ""
            try:
                running.wait(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
                late = f"\n{command[0]} did not end in {SECONDS} s"
            said.seek(0)
            text = said.read().decode(errors="replace").replace("\r\n", "\n")
        return (-1 if late else running.returncode), text + late

    def named(self, table):
        return {f"partywall/{name}" if "/" not in name else name for name in self.settings.get(table, {})}

    def judge(self, built):
        problems = [f"{name} failed" for name in self.failures]
        absent, left_out = self.named("absent"), self.named("left_out")
        problems += [f"{name} was not built" for name in sorted(set(files_of_the_suite()) - set(built))]
        problems += [f"{name} ran nothing, and suites.toml does not say why" for name in self.empty if name not in absent]
        problems += [f"suites.toml says that {name} runs nothing, and it does" for name in absent if name not in self.empty]
        problems += [f"suites.toml skips {test}, which there is not" for test in self.stale]
        document = (WORKSPACE / "PLATFORM.md").read_text()
        for name in absent | left_out:
            if f"`{name.split('/')[1]}" not in document:
                problems.append(f"PLATFORM.md does not name {name}")
        for what, count in (("tests", self.tests), ("points", self.points)):
            least = self.settings[what]
            print(f"{self.target}: {count} {what}, at least {least}")
            if count < least:
                problems.append(f"{count} {what}, there were {least}")
        return problems


def main():
    if sys.argv[1:2] == ["--where"]:
        print(next(program for name, (program, _) in programs(pathlib.Path(sys.argv[3])).items() if name.endswith("/" + sys.argv[2])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("messages", type=pathlib.Path)
    parser.add_argument("--runner")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_intermixed_args()
    settings = tomllib.loads((WORKSPACE / "ci" / "suites.toml").read_text())[arguments.target]
    suite = Suite(arguments.target, settings, arguments.runner)
    built = programs(arguments.messages)
    left_out = suite.named("left_out")
    chosen = {name: what for name, what in built.items() if (name.split("/")[1] in arguments.names if arguments.names else name not in left_out)}
    # The longest first, so that nobody waits for one in the end.
    order = settings.get("longest", [])
    names = sorted(chosen, key=lambda name: (order.index(name) if name in order else len(order), name))
    with ThreadPoolExecutor(WORKERS) as pool:
        for running in [pool.submit(suite.run, name, *chosen[name]) for name in names]:
            running.result()
    problems = [f"{name} failed" for name in suite.failures] if arguments.names else suite.judge(built)
    for problem in problems:
        print(f"{arguments.target}: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
