"""What the integration tests share. TOWLINE_BIN_DIR says which build they try."""

import collections
import csv
import io
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "stack"))

from stack import SHARED_DATA, Stack  # noqa: E402

VEHICLE = "3f2b8c52-6d0f-4b7e-9a51-000000000001"
DEVICE = "tcu-1"
DRIVE_DBC = {bus: ROOT / "tools" / "drive" / f"drive_{bus}.dbc" for bus in ("can0", "can1")}


@pytest.fixture(scope="session")
def bin_dir():
    path = pathlib.Path(os.environ.get("TOWLINE_BIN_DIR", ROOT / "build" / "dev" / "bin"))
    assert (path / "towline").exists(), f"{path} has no towline: build first, or set TOWLINE_BIN_DIR"
    return path.resolve()


@pytest.fixture(scope="session")
def shared_data():
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{SHARED_DATA} is not there: no real bus logs to hold against")
    return SHARED_DATA


@pytest.fixture
def stack(bin_dir, tmp_path):
    with Stack(bin_dir, tmp_path) as s:
        yield s


@pytest.fixture(scope="session")
def drive_log(bin_dir, tmp_path_factory):
    """Ten seconds of a simulated car on two buses, about 15,000 frames."""
    path = tmp_path_factory.mktemp("drive") / "drive.log"
    subprocess.run([bin_dir / "towline-drive", "--seconds", "10", "--speed", "max", "--seed", "7",
                    "--start", "1700000000", "--out", path], check=True)
    return path


@pytest.fixture
def car(stack):
    """A broker, a relay, and a registered vehicle with the simulator's catalog."""
    stack.start_broker()
    stack.start_relay()
    stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
    stack.add_vehicle(VEHICLE, DEVICE, stack.catalog)
    return stack


def replay(path, **more):
    return {"type": "replay", "path": path, "speed": "max", "timestamps": "log", **more}


def drive_conf(stack, path, agent=None, source=None, **sections):
    """An agent that replays path to its end, drains, and exits."""
    return stack.agent_conf(VEHICLE, DEVICE, stack.catalog, replay(path, **(source or {})),
                            agent={"exit_when_drained": True, **(agent or {})},
                            batch={"max_age_ms": 1000, **sections.pop("batch", {})}, **sections)


def decoded(stack, path, *options):
    """{signal: [(milliseconds, value)]} by the command line's own decoder."""
    out = stack.towline("decode", "-q", "--catalog", stack.catalog, *options, path).stdout
    series = collections.defaultdict(list)
    for row in csv.DictReader(io.StringIO(out)):
        seconds, micros = row["timestamp"].split(".")
        ms = (int(seconds) * 1000000 + int(micros) + 500) // 1000
        series[f"{row['bus']}.{row['message']}.{row['signal']}"].append((ms, float(row["value"])))
    return series
