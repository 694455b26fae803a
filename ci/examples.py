"""Runs the examples, built in release mode, and looks at what they print. Standard library only."""

import os
import re
import subprocess
import tempfile

EXAMPLES = os.path.join("target", "release", "examples")


def run(name, *arguments, **options):
    return subprocess.Popen(
        [os.path.join(EXAMPLES, name), *arguments], stdout=subprocess.PIPE, text=True, **options
    )


def finish(process):
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0, (process.args, process.returncode, text)
    return text


with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
    environment = {**os.environ, "PARTYWALL_DIR": place}
    inspector = run("inspector", env=environment)
    camera = run("camera", "50", env=environment)
    assert "sent 50 frames" in finish(camera)
    assert "got 50 frames, all of them whole" in finish(inspector)
    text = finish(run("durable", env=environment))
    assert text.split() == "resumed: true got first got second got third".split(), text
    watcher = run("watch_depth", env=environment)
    assert "put 300000 updates" in finish(run("depth", "300000", env=environment))
    assert re.fullmatch(r"saw [1-9]\d* of 300000 updates, each of them whole\n", finish(watcher))
    viewer = run("frames", "view", env=environment)
    assert "drew 100 images" in finish(run("frames", "100", env=environment))
    assert finish(viewer) == "saw 100 images, all of them whole\n"
    text = finish(run("workers", env=environment))
    finished, died = "a worker finished after 1000 results", "a worker died after 500 results"
    assert sorted(text.splitlines()) == [died] + [finished] * 3, text
    text = finish(run("quotes", "100", env=environment))
    assert "fields `Quote.ask` and `bid` are swapped" in text, text
    assert "100 quotes, spreads 25 in all" in text, text
    listener = run("listen", env=environment)
    assert "sent 300000 samples" in finish(run("samples", "300000", env=environment))
    heard = re.fullmatch(r"(\d+) received and (\d+) lost of 300000 samples\n", finish(listener))
    assert heard and int(heard[1]) > 0, heard
    counters = [run("count", "2000", env=environment) for _ in range(3)]
    counts = [int(re.fullmatch(r"made 2000 steps, the last was number (\d+)\n", finish(one))[1]) for one in counters]
    assert max(counts) == 6000, counts
    # The record stays; there is nothing else.
    assert os.listdir(place) == ["counter"], os.listdir(place)
print("the examples do as they should")
