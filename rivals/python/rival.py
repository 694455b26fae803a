#!/usr/bin/env python3
"""Python's multiprocessing.Queue, and its shared_memory with nothing but a counter, as rivals that speak the harness's
protocol (see partywall-bench, contest.rs): what many users have today."""

import argparse
import json
import os
import struct
import sys
import time

RIVALS = [
    {"name": "python queue", "does": ["latency", "stream"], "at_most": 65536, "followers": 0},
    {"name": "python shared_memory", "does": ["latency"], "at_most": 65536, "followers": 0},
]


def payloads(size):
    """The same as the harness's own."""
    count = 251 if size <= 1024 else 61 if size <= 8192 else 7
    mask = (1 << 64) - 1
    made = []
    for number in range(count):
        word, step, out = number + 1, 0x9E3779B97F4A7C15 + (number << 1), b""
        for _ in range(0, size, 8):
            out += struct.pack("<Q", word & mask)
            word += step
        made.append(out[:size])
    return made


class Payloads:
    def __init__(self, size):
        self.all, self.next = payloads(size), 0

    def turn(self, amount):
        for _ in range(amount):
            yield self.all[self.next]
            self.next = (self.next + 1) % len(self.all)


def check(expected, found):
    if expected != found:
        raise ValueError(f"a record begins with {found[:16].hex()}, expected {expected[:16].hex()}")


class Queues:
    """multiprocessing.Queue, both ways."""

    def __init__(self, context, _):
        self.there, self.back = context.Queue(), context.Queue()

    def send(self, leads, payload):
        (self.there if leads else self.back).put(payload)

    def receive(self, leads):
        return (self.back if leads else self.there).get()

    def close(self):
        pass


class Memory:
    """multiprocessing.shared_memory: a counter and a payload each way. Nothing in it orders the two but the processor."""

    def __init__(self, _, size):
        from multiprocessing import shared_memory

        self.size = size
        self.memory = shared_memory.SharedMemory(create=True, size=2 * (128 + size))
        self.at = {True: 0, False: 128 + size}
        self.sent = {True: 0, False: 0}
        self.got = {True: 0, False: 0}

    def send(self, leads, payload):
        at = self.at[leads]
        self.memory.buf[at + 128 : at + 128 + self.size] = payload
        self.sent[leads] += 1
        struct.pack_into("<Q", self.memory.buf, at, self.sent[leads])

    def receive(self, leads):
        at = self.at[not leads]
        self.got[leads] += 1
        while struct.unpack_from("<Q", self.memory.buf, at)[0] != self.got[leads]:
            pass
        return bytes(self.memory.buf[at + 128 : at + 128 + self.size])

    def close(self):
        self.memory.close()
        self.memory.unlink()


def exchange(way, leads, made, amount, answered, latencies=None):
    for payload in made.turn(amount):
        started = time.perf_counter_ns()
        if leads:
            way.send(True, payload)
            if answered:
                check(payload, way.receive(True))
        else:
            check(payload, way.receive(False))
            if answered:
                way.send(False, payload)
        if latencies is not None:
            taken = (time.perf_counter_ns() - started) // 2
            latencies[taken] = latencies.get(taken, 0) + 1


def follow(way, seat, orders, answers):
    """The other process: it is a child of the leader, as multiprocessing has it."""
    core(seat, 1)
    made = Payloads(seat.size)
    while True:
        try:
            amount = orders.recv()
        except EOFError:
            return
        answers.send("ready")
        try:
            exchange(way, False, made, amount, seat.what != "stream")
            answers.send("done")
        except ValueError as error:
            answers.send(str(error))


def core(seat, index):
    cores = [int(core) for core in seat.cores.split(",") if core]
    if cores:
        os.sched_setaffinity(0, {cores[0] if index == 0 or len(cores) == 1 else cores[1 + (index - 1) % (len(cores) - 1)]})


def serve(seat):
    import multiprocessing

    context = multiprocessing.get_context("fork")
    way = (Queues if seat.who == "python queue" else Memory)(context, seat.size)
    their_orders, orders = context.Pipe(duplex=False)
    answers, their_answers = context.Pipe(duplex=False)
    child = context.Process(target=follow_only, args=(way, seat, their_orders, their_answers, orders, answers), daemon=True)
    child.start()
    their_orders.close()
    their_answers.close()
    core(seat, 0)
    made, answered, latencies = Payloads(seat.size), seat.what != "stream", {}

    def turn(amount, sampled=False):
        orders.send(amount)
        answers.recv()
        started = time.perf_counter_ns()
        exchange(way, True, made, amount, answered, latencies if sampled else None)
        said = answers.recv()
        if said != "done":
            raise ValueError(said)
        return time.perf_counter_ns() - started, 2 * amount if answered else amount

    try:
        print("up", flush=True)
        for line in sys.stdin:
            command, *numbers = line.split()
            if command == "meet":
                print("met", flush=True)
            elif command == "turn":
                turn(int(numbers[0]))
                print("turn %d %d" % turn(int(numbers[1])), flush=True)
            elif command == "sample":
                print("turn 0 %d" % turn(int(numbers[0]), True)[1], flush=True)
            elif command == "end":
                faults = {"lost": 0, "torn": 0, "reordered": 0}
                print("end", json.dumps({"faults": faults, "latencies": sorted(latencies.items())}), flush=True)
                break
    finally:
        orders.close()
        child.terminate()
        child.join()
        way.close()


def follow_only(way, seat, orders, answers, *others):
    sys.stdin.close()
    for other in others:
        other.close()
    follow(way, seat, orders, answers)


def main():
    if sys.argv[1:] == ["list"]:
        for rival in RIVALS:
            print(json.dumps(rival))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["seat"])
    for option in ["who", "what", "contest", "place", "cores"]:
        parser.add_argument("--" + option)
    for option in ["size", "followers", "index"]:
        parser.add_argument("--" + option, type=int)
    seat = parser.parse_args()
    try:
        serve(seat)
    except (ValueError, OSError) as error:
        print("failed", str(error).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
