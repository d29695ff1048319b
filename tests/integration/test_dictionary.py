"""Batches written with a dictionary: read by the README alone, and by a relay that gets it late."""

import collections

from batch_reader import read_batch, read_catalog
from conftest import DRIVE_DBC, decoded, drive_conf
from helpers import assert_history, assert_same, drain
from stack import wait_for
from test_wire import published, unscaled  # noqa: F401 (a fixture)


def build(car, log, *options):
    path = car.folder / "drive.dictionary"
    car.towline("dictionary", "build", "--catalog", car.catalog, "-o", path, *options, log)
    return path


def dictionary_conf(car, log, path):
    conf = drive_conf(car, log)
    text = conf.read_text()
    assert text.count("[catalog]\n") == 1
    conf.write_text(text.replace("[catalog]\n", f"[catalog]\ndictionary = {path}\n"))
    return conf


def test_batches_wait_for_their_dictionary(car, drive_log):
    path = build(car, drive_log, "--batch", "1")
    status = drain(car, car.start_agent(dictionary_conf(car, drive_log, path)))
    assert status["batches_closed"] > 0
    assert car.get("/v1/dictionaries").json() == {"dictionaries": []}
    car.towline("dictionary", "push", path)
    known = car.get("/v1/dictionaries").json()["dictionaries"]
    assert [d["bytes"] for d in known] == [path.stat().st_size]
    got = car.get(f"/v1/dictionaries/{known[0]['id']}")
    assert got.body == path.read_bytes()
    wait_for("all batches to be decoded", lambda: status["batches_closed"]
             == car.metric("towline_relay_batches_resolved_total"))
    assert_history(car, decoded(car, drive_log))


def test_what_an_agent_writes_with_it_is_what_the_readme_says(car, drive_log, published):  # noqa: F811
    path = build(car, drive_log, "--batch", "1")
    expected, catalog = decoded(car, drive_log), read_catalog(car.catalog.read_bytes())
    status = drain(car, car.start_agent(dictionary_conf(car, drive_log, path)))
    wait_for("all batches", lambda: len(published()) >= status["batches_closed"])
    got, seen = collections.defaultdict(list), set()
    for payload in published():
        header, samples = read_batch(payload, catalog, path.read_bytes())
        if (header["epoch"], header["seq"]) in seen:
            continue
        seen.add((header["epoch"], header["seq"]))
        for message, signal, wall_ns, raw in samples:
            bus, name, signals = catalog[message]
            got[f"{bus}.{name}.{signals[signal][0]}"].append(
                (wall_ns // 1000000, unscaled(signals[signal], raw)))
    for name, series in expected.items():
        assert_same(sorted(got[name], key=lambda s: s[0]), series, name)


def test_a_dictionary_without_its_catalog_is_refused(car, drive_log, tmp_path):
    other = car.build_catalog("one", {"can0": DRIVE_DBC["can0"]})
    path = tmp_path / "other.dictionary"
    car.towline("dictionary", "build", "--catalog", other, "-o", path, drive_log)
    answer = car.request("POST", "/v1/dictionaries", path.read_bytes(),
                         content_type="application/octet-stream")
    assert answer.status == 409 and "not registered" in answer.json()["detail"]
    conf = dictionary_conf(car, drive_log, path)
    agent = car.start_agent(conf)
    assert agent.wait(30) != 0
    assert "dictionary: is of catalog" in agent.log_tail()
