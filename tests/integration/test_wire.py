"""Batches read by batch_reader.py, which knows only proto/README.md, hold what was put in."""

import collections
import hashlib
import struct
import subprocess

import pytest
from batch_reader import WORD, read_batch, read_catalog
from conftest import ROOT, decoded, drive_conf
from helpers import assert_same, drain
from stack import wait_for

GOLDEN = ROOT / "tests" / "data" / "golden"
GOLDEN_WALL_MS, GOLDEN_MONO_MS = 1700000000000, 5000


def golden_rows():
    """{(message, signal): [(wall ms, raw)]} in the order of time, as rows.txt has them."""
    columns = collections.defaultdict(list)
    for line in (GOLDEN / "rows.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        ms, message, *samples = line.split()
        for signal, raw in (s.split("=") for s in samples):
            columns[int(message), int(signal)].append(
                (int(ms) - GOLDEN_MONO_MS + GOLDEN_WALL_MS, int(raw) & WORD))
    return {key: sorted(column, key=lambda s: s[0]) for key, column in columns.items()}


@pytest.mark.parametrize("name", ["batch", "batch1", "batch1_dictionary"])
def test_the_golden_batch_is_what_the_readme_says(name):
    catalog = read_catalog((GOLDEN / "catalog.bin").read_bytes())
    header, samples = read_batch((GOLDEN / f"{name}.bin").read_bytes(), catalog,
                                 (GOLDEN / "dictionary.bin").read_bytes())
    assert header["catalog"] == hashlib.sha256((GOLDEN / "catalog.bin").read_bytes()).digest()[:8]
    assert (header["epoch"], header["seq"]) == (0x1122334455667788, 300)
    columns = collections.defaultdict(list)
    for message, signal, wall_ns, raw in samples:
        columns[message, signal].append((wall_ns // 1000000, raw))
    assert columns == golden_rows()


def rows_of(path):
    """{(message, signal): [(wall ns, raw)]}"""
    columns = collections.defaultdict(list)
    for line in path.read_text().splitlines():
        message, signal, wall_ns, raw = map(int, line.split())
        columns[message, signal].append((wall_ns, raw))
    return columns


def test_random_batches_are_what_the_readme_says(bin_dir, tmp_path):
    """Of random catalogs, with and without random dictionaries: both readers read the same."""
    program = bin_dir / "test_batch_random"
    assert program.exists(), f"{program} is not there: build the unit tests first"
    subprocess.run([program], env={"TOWLINE_BATCH_CASES": tmp_path}, cwd=tmp_path, check=True)
    samples, with_dictionary = 0, 0
    for path in sorted(tmp_path.glob("*.envelope")):
        dictionary = path.with_suffix(".dictionary")
        with_dictionary += dictionary.exists()
        header, got = read_batch(path.read_bytes(),
                                 read_catalog(path.with_suffix(".catalog").read_bytes()),
                                 dictionary.read_bytes() if dictionary.exists() else None)
        columns = collections.defaultdict(list)
        for message, signal, wall_ns, raw in got:
            columns[message, signal].append((wall_ns, raw))
        assert columns == rows_of(path.with_suffix(".rows")), path.name
        samples += header["samples"]
    assert samples > 3000 and with_dictionary > 20


@pytest.fixture
def published(car):
    """The payloads of all batches, taken from the broker next to the relay."""
    path = car.folder / "published.txt"
    with open(path, "w") as out:
        process = car.spawn("mosquitto_sub", ["mosquitto_sub", "-h", "127.0.0.1", "-p",
                                              car.broker_port, "-q", "1", "-t", "tl/1/up/#",
                                              "-F", "%x"], stdout=out)
    wait_for("a subscription",
             lambda: subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(car.broker_port),
                                     "-t", "tl/1/up/probe", "-m", "probe"], check=True)
             and path.read_text(), process=process)
    return lambda: [bytes.fromhex(line) for line in path.read_text().split()
                    if bytes.fromhex(line) != b"probe"]


def unscaled(signal, raw):
    _, _, kind, factor, offset = signal
    if kind < 2:
        value = raw - (1 << 64) if kind == 1 and raw >> 63 else raw
    else:
        value = struct.unpack("<f" if kind == 2 else "<d", raw.to_bytes(8, "little")[:4 * kind - 4])[0]
    return value * factor + offset


def test_what_an_agent_publishes_is_what_the_readme_says(car, drive_log, published):
    expected = decoded(car, drive_log)
    catalog = read_catalog(car.catalog.read_bytes())
    status = drain(car, car.start_agent(drive_conf(car, drive_log)))
    wait_for("all batches", lambda: len(published()) >= status["batches_closed"])
    got, seen = collections.defaultdict(list), set()
    for payload in published():
        header, samples = read_batch(payload, catalog)
        if (header["epoch"], header["seq"]) in seen:
            continue
        seen.add((header["epoch"], header["seq"]))
        for message, signal, wall_ns, raw in samples:
            bus, name, signals = catalog[message]
            got[f"{bus}.{name}.{signals[signal][0]}"].append(
                (wall_ns // 1000000, unscaled(signals[signal], raw)))
    assert got.keys() == expected.keys()
    for path, series in expected.items():
        assert_same(sorted(got[path], key=lambda s: s[0]), series, path)
