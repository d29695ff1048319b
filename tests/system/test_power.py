"""Power cuts: what the agent said it stored is there after the next start, and arrives once."""

import os
import random
import sqlite3
import time

import pytest

from car import DATA, Car
from conftest import DEVICE, VEHICLE
from helpers import history
from stack import free_port
from vm import Machine, make_disk
from volatile_disk import VolatileDisk

ROUNDS = 5
# What is live is on disk when it counts as stored; bulk may be synced later, and writes less.
CLASSES = ["live", "bulk", "bulk", "live", "live"]
WRITES = {"live": (10, 120), "bulk": (3, 20)}
ROUND_STEP = 1000000  # frames of round r count from r times this
RATE = 500


@pytest.fixture
def disk(tmp_path):
    seed = int(os.environ.get("TOWLINE_SEED", time.time_ns() % 1000000))
    path = tmp_path / "disk.img"
    make_disk(path)
    d = VolatileDisk(path, random.Random(seed))
    d.seed = seed
    yield d
    d.close()


def arrived(stack):
    """Of each round, the frame numbers that are at the relay, each as often as it is there."""
    rounds = [[] for _ in range(ROUNDS)]
    for i in range(8):
        for p in history(stack, f"vcan0.Burst{i}.Count")["points"]:
            rounds[int(p["value"]) // ROUND_STEP].append(int(p["value"]) % ROUND_STEP)
    return [sorted(r) for r in rounds]


def relay_log(stack):
    """[(epoch, class, seqs with a batch, seqs in gaps, samples of the gaps)] of the relay's log."""
    with sqlite3.connect(f"file:{stack.folder}/relay/stream.db?mode=ro", uri=True) as db:
        found = {}
        for epoch, klass, seq in db.execute("SELECT epoch, class, seq FROM batch"):
            found.setdefault((epoch, klass), ([], set(), []))[0].append(seq)
        for epoch, klass, low, high, samples in db.execute(
                "SELECT epoch, class, from_seq, through_seq, samples FROM gap WHERE reason <> 0"):
            lane = found.setdefault((epoch, klass), ([], set(), []))
            lane[1].update(range(low, high + 1))
            lane[2].append(samples)
        return [(*key, seqs, gaps, sum(samples)) for key, (seqs, gaps, samples) in found.items()]


def assert_seqs(stack):
    """Every seq from 1 to the last of its epoch and class has a batch, once, or is in a gap."""
    lanes = relay_log(stack)
    assert lanes
    for epoch, klass, seqs, gaps, _ in lanes:
        assert len(seqs) == len(set(seqs)), (epoch, klass, "a seq is there twice")
        missing = set(range(1, max(seqs) + 1)) - set(seqs) - gaps
        assert not missing, (epoch, klass, sorted(missing)[:10])
    return lanes


def run_until_cut(image, folder, stack, disk, number, reachable):
    """Boots, drives, and pulls the plug; returns what the agent had said of its store."""
    writes = disk.random.randint(*WRITES[CLASSES[number]])
    with Machine(image, folder, disk=disk.url) as machine:
        car = Car(stack, machine, "power")
        car.catalog = stack.catalog
        car.up("vcan0")
        port = {} if reachable else {"uri": f"mqtt://10.0.2.2:{free_port()}"}
        collect = {"all": {"signals": "*", "mode": "every", "class": CLASSES[number]}}
        agent = car.conf({"vcan0": {}}, collect, name=f"round{number}", mqtt=port,
                         agent={"data_dir": "/data/agent"},
                         # Batches to spare: a disk that is slow is no matter of this test.
                         batch={"max_age_ms": 150, "queue": 8}).start()
        agent.wait_log("source_open")
        car.start(f"exec can_burst vcan0 {RATE} 100000 {number * ROUND_STEP}")
        agent.wait("a stored batch", lambda s: s["batches_stored"] > 0)
        disk.stop_after(writes)
        assert disk.stopped.wait(60), f"not {writes} writes in 60 s"
        machine.kill()
        disk.cut()
        assert "corrupt" not in agent.log, agent.tail()
        return agent.status


def test_power_cut(image, stack, disk, tmp_path, note):
    """Power cuts at random moments: nothing that was stored is lost, nothing comes twice."""
    note(f"seed {disk.seed}")
    stack.start_broker()
    stack.start_relay()
    stack.catalog = stack.build_catalog("car", {"vcan0": DATA / "burst.dbc"})
    stack.add_vehicle(VEHICLE, DEVICE, stack.catalog)
    folder = tmp_path / "machine"
    folder.mkdir()
    reachable = [i % 2 == 1 for i in range(ROUNDS)]  # half the rounds only fill the outbox
    stored = [run_until_cut(image, folder, stack, disk, i, reachable[i])["samples_accepted"]
              for i in range(ROUNDS)]
    with Machine(image, folder, disk=disk.url) as machine:
        car = Car(stack, machine, "power")
        car.catalog = stack.catalog
        agent = car.conf({}, name="last", agent={"data_dir": "/data/agent",
                                                 "exit_when_drained": True}).start()
        assert agent.command.wait(60).code == 0, agent.tail()
        status = agent.status
    assert "corrupt" not in agent.log, agent.tail()
    rounds = arrived(stack)
    lost = sum(max(frames, default=-1) + 1 - len(set(frames)) for frames in rounds)
    twice = sum(len(frames) - len(set(frames)) for frames in rounds)
    for number, (frames, said) in enumerate(zip(rounds, stored)):
        assert frames == list(range(len(frames))), f"round {number}: {2 * lost} samples lost, " \
                                                   f"{2 * twice} twice"
        assert CLASSES[number] == "bulk" or 2 * len(frames) >= said, \
            f"round {number}: {said} samples were said to be stored"
    total = 2 * sum(map(len, rounds))
    assert total == stack.metric("towline_relay_samples_total")
    lanes = assert_seqs(stack)
    assert len({epoch for epoch, *_ in lanes}) == 1
    gaps = sum(samples for *_, samples in lanes)
    assert status["lifetime_samples_accepted"] <= total + gaps
    assert status["outbox_samples"] == 0
    assert disk.lost > 0, "no cut came between a write and its flush: the disk was of no use"
    note(f"faults: injected={ROUNDS} accepted={total + gaps} delivered={total} gaps={gaps} "
         f"lost={2 * lost} duplicated={2 * twice}; {disk.flushes} flushes, {disk.lost} of "
         f"{disk.lost + disk.kept} sectors in the cache lost")
