"""The outbox is encrypted at rest: nothing of it is plain on disk, and all of it arrives."""

import contextlib
import os
import re
import sqlite3
import subprocess

import pytest
from conftest import DEVICE, DRIVE_DBC, VEHICLE, decoded, drive_conf
from helpers import assert_all_stored, drain, empty_log
from stack import wait_for

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "1234"
TOKEN = "towline test"
EXIT_FAILED = 1


@pytest.fixture
def away(stack, drive_log):
    """An agent's world without broker and relay."""
    stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
    stack.drive_log = drive_log
    stack.expected = decoded(stack, drive_log)
    return stack


def key_file(folder, name):
    path = folder / name
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    return path


def data_dir(stack, name):
    path = stack.folder / name
    path.mkdir(exist_ok=True)
    return path


def store(stack, folder, log=None, total=None, **outbox):
    """Stores a log in folder, until it has so many samples; the broker is not there."""
    agent = stack.start_agent(drive_conf(stack, log or stack.drive_log,
                                         agent={"data_dir": folder}, outbox=outbox))
    total = total or sum(map(len, stack.expected.values()))
    wait_for("all to be stored",
             lambda: stack.agent_status(DEVICE).get("outbox_samples") == total, process=agent)
    assert agent.stop() == 0
    stack.folder.joinpath(f"agent-{DEVICE}.json").unlink()


def deliver(stack, folder, **outbox):
    stack.start_broker()
    stack.start_relay()
    stack.add_vehicle(VEHICLE, DEVICE, stack.catalog)
    drain(stack, stack.start_agent(drive_conf(stack, empty_log(stack), agent={"data_dir": folder},
                                              outbox=outbox)))
    assert_all_stored(stack, stack.expected)


def must_refuse(stack, folder, **outbox):
    """Starts an agent that must not start; returns what it says of it."""
    before = bodies(folder)
    agent = stack.start_agent(drive_conf(stack, empty_log(stack), agent={"data_dir": folder},
                                         outbox=outbox))
    assert agent.wait(20) == EXIT_FAILED, agent.log_tail()
    assert bodies(folder) == before
    assert not list(folder.glob("*corrupt*"))
    return agent.log_text().splitlines()[-1]


def query(folder, sql):
    with contextlib.closing(sqlite3.connect(f"file:{folder}/outbox.db?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


def bodies(folder):
    """Of batches; what tells of losses is never encrypted."""
    tables = ("event", "live", "bulk", "log", "status")
    return [b for t in tables
            for b, in query(folder, f"SELECT body FROM batch_{t} WHERE encoding <> 2")]


def raw(folder):
    return b"".join(p.read_bytes() for p in sorted(folder.glob("outbox.db*")))


def catalog_id(stack):
    """As it stands in each batch: 8 bytes, little-endian."""
    shown = stack.towline("catalog", "show", stack.catalog).stdout
    return int(re.search(r"\b[0-9a-f]{16}\b", shown)[0], 16).to_bytes(8, "little")


def test_nothing_is_plain_on_disk(away):
    plain, sealed = data_dir(away, "plain"), data_dir(away, "sealed")
    key = key_file(away.folder, "key")
    store(away, plain)
    store(away, sealed, key_file=key)

    seen, hidden = bodies(plain), bodies(sealed)
    assert len(seen) == len(hidden) > 0
    assert query(plain, "SELECT count(*) FROM batch WHERE key <> 0") == [(0,)]
    assert query(sealed, "SELECT count(*) FROM batch WHERE key = 0 AND encoding <> 2") == [(0,)]
    # Each batch begins with its catalog.
    name = catalog_id(away)
    assert raw(plain).count(name) == len(seen) and name not in raw(sealed)
    pieces = [b[i:i + 16] for b in seen for i in range(0, len(b) - 16, 64)]
    found = sum(piece in raw(plain) for piece in pieces)
    assert found > 0.9 * len(pieces)  # some lie across two pages
    assert sum(piece in raw(sealed) for piece in pieces) == 0
    assert key.read_bytes() not in raw(sealed)
    deliver(away, sealed, key_file=key)


def test_wrong_key_or_none_leaves_all_as_it_is(away):
    folder = data_dir(away, "sealed")
    key, other = key_file(away.folder, "key"), key_file(away.folder, "other")
    store(away, folder, key_file=key)
    rows = query(folder, "SELECT count(*) FROM batch WHERE key <> 0")[0][0]
    said = must_refuse(away, folder, key_file=other)
    assert re.search(rf"{rows} rows are encrypted with key [0-9a-f]{{16}}, and the one given is "
                     r"[0-9a-f]{16}", said), said
    said = must_refuse(away, folder)
    assert re.search(rf"{rows} rows are encrypted with key [0-9a-f]{{16}}, and no key", said), said
    deliver(away, folder, key_file=key)


def test_key_file_that_others_may_read(away):
    folder = data_dir(away, "sealed")
    key = key_file(away.folder, "key")
    key.chmod(0o640)
    conf = drive_conf(away, empty_log(away), agent={"data_dir": folder}, outbox={"key_file": key})
    r = subprocess.run([away.bin / "towline-agent", "-c", conf, "--check-config"],
                       capture_output=True, text=True)
    assert r.returncode == 2
    assert f"key file {key}: mode is 0640" in r.stderr
    agent = away.start_agent(conf)
    assert agent.wait(20) == EXIT_FAILED
    assert f"key file {key}: mode is 0640" in agent.log_text()
    assert not (folder / "outbox.db").exists()


def test_turned_on_rotated_and_turned_off(away):
    """Rows that are plain, of a key, of the next one, and plain again, in one outbox."""
    folder = data_dir(away, "mixed")
    old, new = key_file(away.folder, "old"), key_file(away.folder, "new")
    keys = [{}, {"key_file": old}, {"key_file": new, "previous_key_file": old},
            {"previous_key_file": new}]
    lines = away.drive_log.read_text().splitlines(keepends=True)
    total = 0
    for i, outbox in enumerate(keys):
        part = away.folder / f"part-{i}.log"
        part.write_text("".join(lines[len(lines) * i // 4:len(lines) * (i + 1) // 4]))
        total += sum(map(len, decoded(away, part).values()))
        store(away, folder, part, total, **outbox)
    assert total == sum(map(len, away.expected.values()))
    sealed = query(folder, "SELECT key <> 0, count(DISTINCT key) FROM batch"
                   " WHERE encoding <> 2 GROUP BY key <> 0 ORDER BY 1")
    assert sealed == [(0, 1), (1, 2)]
    assert len(query(folder, "SELECT DISTINCT kek FROM key")) == 1
    must_refuse(away, folder)
    must_refuse(away, folder, key_file=old)
    deliver(away, folder, previous_key_file=new)


def test_rotation_delivers_all(away):
    folder = data_dir(away, "sealed")
    old, new = key_file(away.folder, "old"), key_file(away.folder, "new")
    store(away, folder, key_file=old)
    before = query(folder, "SELECT DISTINCT kek FROM key")
    agent = away.start_agent(drive_conf(away, empty_log(away),
                                        agent={"data_dir": folder, "exit_when_drained": False},
                                        outbox={"key_file": new, "previous_key_file": old}))
    wait_for("the outbox", lambda: "outbox_rows" in away.agent_status(DEVICE), process=agent)
    assert agent.stop() == 0
    after = query(folder, "SELECT DISTINCT kek FROM key")
    assert len(after) == 1 and after != before
    must_refuse(away, folder, key_file=old)
    deliver(away, folder, key_file=new)


@pytest.fixture
def token(tmp_path, monkeypatch):
    """A token of SoftHSM with two AES keys; the environment of what is started has it."""
    assert os.path.exists(SOFTHSM), "softhsm2 is not installed: see tools/setup"
    (tmp_path / "tokens").mkdir()
    conf = tmp_path / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tmp_path}/tokens\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    tool = ["pkcs11-tool", "--module", SOFTHSM]
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", TOKEN,
                    "--so-pin", PIN, "--pin", PIN], check=True, capture_output=True)
    for label in ("kek-1", "kek-2"):
        subprocess.run(tool + ["--token-label", TOKEN, "--login", "--pin", PIN, "--keygen",
                               "--key-type", "AES:32", "--label", label, "--sensitive"],
                       check=True, capture_output=True)
    pin = tmp_path / "pin"
    pin.write_text(PIN + "\n")
    pin.chmod(0o600)
    return {"pkcs11_module": SOFTHSM, "pkcs11_token": TOKEN, "pkcs11_pin_file": pin,
            "pkcs11_key": "kek-1"}


def test_key_in_a_token(away, token):
    folder = data_dir(away, "sealed")
    store(away, folder, **token)
    assert query(folder, "SELECT count(*) FROM batch WHERE key = 0 AND encoding <> 2") == [(0,)]
    said = must_refuse(away, folder, **{**token, "pkcs11_key": "kek-2"})
    assert "rows are encrypted with key" in said
    said = must_refuse(away, folder, **{**token, "pkcs11_token": "another"})
    assert 'PKCS#11 token "another": no token of this label' in said
    deliver(away, folder, **{**token, "pkcs11_key": "kek-2", "pkcs11_previous_key": "kek-1"})


def test_wrong_pin_does_not_lock_the_token(away, token):
    """An agent that is started again and again tries a wrong PIN once."""
    folder = data_dir(away, "sealed")
    store(away, folder, **token)
    pin = token["pkcs11_pin_file"]
    pin.write_text("4321")
    assert "wrong PIN" in must_refuse(away, folder, **token)
    for _ in range(3):
        assert "a wrong PIN was given before" in must_refuse(away, folder, **token)
    subprocess.run(["pkcs11-tool", "--module", SOFTHSM, "--token-label", TOKEN, "--login", "--pin",
                    PIN, "--list-objects"], check=True, capture_output=True)
    pin.write_text(PIN)
    deliver(away, folder, **token)
