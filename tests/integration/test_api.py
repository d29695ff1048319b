"""The HTTP API and the command line on top of it."""

import contextlib
import datetime
import http.client
import json
import signal
import socket
import subprocess
import urllib.parse

import pytest
from conftest import DEVICE, DRIVE_DBC, VEHICLE, decoded, drive_conf
from helpers import assert_all_stored, drain, history
from stack import free_port, wait_for

PROBLEM = "application/problem+json"


def refused(answer, status):
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"].startswith(PROBLEM)
    problem = answer.json()
    assert problem["status"] == status and problem["title"] and problem["type"]
    return problem


@pytest.fixture
def relay(stack):
    stack.start_broker()
    stack.start_relay(http={"max_body_bytes": 65536})
    return stack


def test_problem_details(relay):
    refused(relay.get("/nowhere"), 404)
    refused(relay.get("/v1/vehicles/none"), 404)
    refused(relay.get("/v1/vehicles/none/state"), 404)
    assert relay.request("PUT", "/v1/vehicles", {}).headers["Allow"]
    refused(relay.request("PUT", "/v1/vehicles", {}), 405)
    refused(relay.request("POST", "/v1/vehicles", b"{"), 400)
    refused(relay.request("POST", "/v1/vehicles", b"[]"), 400)
    assert "id" in refused(relay.request("POST", "/v1/vehicles", {"id": "a/b"}), 400)["detail"]
    assert "part" in refused(relay.request("POST", "/v1/vehicles", {"part": 99999}), 400)["detail"]
    assert "colour" in refused(relay.request("POST", "/v1/vehicles", {"colour": 1}), 400)["detail"]
    refused(relay.request("POST", "/v1/vehicles", b"{}", content_type="text/plain"), 415)
    refused(relay.request("POST", "/v1/catalogs", b"not a catalog",
                          content_type="application/octet-stream"), 400)
    refused(relay.request("POST", "/v1/vehicles", b" " * 100000), 413)
    assert relay.get("/healthz").status == 200


def test_vehicles(relay):
    assert relay.request("POST", "/v1/vehicles", {"id": VEHICLE, "devices": [DEVICE]}).status == 201
    refused(relay.request("POST", "/v1/vehicles", {"id": VEHICLE}), 409)
    refused(relay.request("POST", "/v1/vehicles", {"devices": [DEVICE]}), 409)
    minted = relay.request("POST", "/v1/vehicles", {"name": "unnamed"}).json()
    assert len(minted["id"]) == 36
    answer = relay.request("POST", f"/v1/vehicles/{VEHICLE}/devices", {"id": "tcu-9"})
    assert answer.status == 201
    devices = relay.get(f"/v1/vehicles/{VEHICLE}").json()["devices"]
    assert [d["id"] for d in devices] == [DEVICE, "tcu-9"]
    listed = [v["id"] for v in relay.get("/v1/vehicles").json()["vehicles"]]
    assert sorted(listed) == sorted([VEHICLE, minted["id"]])
    page = relay.get("/v1/vehicles?limit=1").json()
    assert len(page["vehicles"]) == 1 and page["next"]
    assert relay.get(f"/v1/vehicles?limit=1&after={page['next']}").json()["vehicles"]
    assert relay.request("DELETE", f"/v1/vehicles/{minted['id']}").status in (200, 204)
    refused(relay.get(f"/v1/vehicles/{minted['id']}"), 404)


def test_openapi_is_true(relay):
    """Every path of the document answers, and not with 'no such resource here'."""
    document = relay.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    for path, item in document["paths"].items():
        operations = {m for m in item if m in ("get", "post", "put", "delete", "patch")}
        concrete = path.replace("{", "").replace("}", "")
        allow = relay.request("PATCH", concrete).headers["Allow"]
        assert allow, path
        assert {m.lower() for m in allow.replace(" ", "").split(",")} - {"head"} == operations, path


def test_metrics_are_prometheus_text(relay):
    answer = relay.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    typed = set()
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            name = line.split("{")[0].split(" ")[0]
            base = name
            for suffix in ("_bucket", "_sum", "_count"):
                if base not in typed and base.endswith(suffix):
                    base = base[:-len(suffix)]
            assert base in typed, line
            float(line.rpartition(" ")[2])


def test_health_without_broker(stack):
    stack.start_relay(wait_broker=False)
    answer = stack.get("/healthz")
    assert answer.status == 503 and answer.json()["broker"] == "disconnected"


def test_cli_vehicle(relay):
    relay.towline("vehicle", "add", "--id", VEHICLE, "--name", "blue van", "--device", DEVICE)
    out = relay.towline("vehicle", "list").stdout
    assert VEHICLE in out and "blue van" in out and "\033" not in out
    shown = json.loads(relay.towline("vehicle", "show", VEHICLE, "--json").stdout)
    assert shown["devices"][0]["id"] == DEVICE
    assert DEVICE in relay.towline("vehicle", "show", VEHICLE).stdout
    r = relay.towline("vehicle", "add", "--id", VEHICLE, check=False)
    assert r.returncode == 1 and VEHICLE in r.stderr


@pytest.mark.parametrize("argv, code", [
    (["vehicle", "show", "none"], 3),
    (["state", "none"], 3),
    (["state"], 2),
    (["vehicle", "fly"], 2),
    (["fly"], 2),
    (["history", "none", "a.b.c"], 3),
    (["history", "none", "a.b.c", "--from", "yesterdayish"], 2),
    (["tail", "none"], 3),
    (["delivery", "none", "none"], 3),
    (["delivery", "none"], 2),
    (["--help"], 0),
    (["tail", "--help"], 0),
])
def test_cli_exit_codes(relay, argv, code):
    r = relay.towline(*argv, check=False)
    assert r.returncode == code, r.stderr
    assert (r.stderr != "") == (code != 0)


def test_cli_without_relay(stack):
    r = stack.towline("vehicle", "list", "--relay", f"http://127.0.0.1:{stack.broker_port}",
                      check=False)
    assert r.returncode == 4 and str(stack.broker_port) in r.stderr


def test_what_is_no_utf8_is_refused_in_utf8(relay):
    refused(relay.get("/v1/vehicles/%ff%fe"), 404)
    refused(relay.get("/v1/vehicles/" + "%c3%a4" * 400), 404)
    refused(relay.get("/%80"), 404)
    refused(relay.request("POST", "/v1/vehicles", b'{"name": "\xff"}'), 400)
    answer = relay.request("POST", "/v1/vehicles", {"name": "\u00e4" * 128})
    assert answer.status == 201 and answer.json()["name"] == "\u00e4" * 128
    refused(relay.request("POST", "/v1/vehicles", {"name": "\u00e4" * 129}), 400)


def test_limits_are_those_of_the_document(relay):
    """What openapi.json says of max_points and limit, at the edges."""
    document = relay.get("/openapi.json").json()
    relay.request("POST", "/v1/vehicles", {"id": VEHICLE})
    signal_path = "/v1/vehicles/{vehicle}/signals/{signal}/history"
    for path, name in (("/v1/vehicles", "limit"), (signal_path, "max_points")):
        schema = next(p["schema"] for p in document["paths"][path]["get"]["parameters"]
                      if p.get("name") == name)
        concrete = path.replace("{vehicle}", VEHICLE).replace("{signal}", "a.b.c")
        for value in (schema["minimum"], schema["maximum"]):
            assert relay.get(f"{concrete}?{name}={value}").status != 400
        for value in (schema["minimum"] - 1, schema["maximum"] + 1):
            assert name in refused(relay.get(f"{concrete}?{name}={value}"), 400)["detail"]


def to_us(text):
    t = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round((t - datetime.datetime.fromtimestamp(0, datetime.timezone.utc))
                 / datetime.timedelta(microseconds=1))


def test_microseconds_come_through(car, drive_log):
    """With time_unit_us=1 a sample has the time that the log has."""
    lines = [x for x in drive_log.read_text().splitlines(keepends=True) if " can0 " in x]
    log = car.folder / "micro.log"
    log.write_text("".join(f"({1700000000 + i}.{(123457 * (i + 1)) % 1000000:06d})"
                           + x[x.index(")") + 1:] for i, x in enumerate(lines[:300])))
    expected = decoded(car, log)
    drain(car, car.start_agent(drive_conf(car, log, batch={"time_unit_us": 1})))
    path = max(expected, key=lambda p: len(expected[p]))
    got = [p["time"] for p in history(car, path)["points"]]
    logged = {1000000 * (1700000000 + i) + (123457 * (i + 1)) % 1000000 for i in range(300)}
    assert len(got) == len(expected[path]) > 5
    assert all(any(to_us(t) + off in logged for off in (-1, 0, 1)) for t in got), got
    assert sum(len(t) == len("2023-11-14T22:13:20.123457Z") for t in got) > len(got) / 2
    state = car.get(f"/v1/vehicles/{VEHICLE}/state?prefix=" + urllib.parse.quote(path)).json()
    newest = next(x["time"] for x in state["signals"] if x["signal"] == path)
    assert newest == got[-1]


def test_a_wide_range_keeps_its_detail(car, drive_log):
    drain(car, car.start_agent(drive_conf(car, drive_log)))
    expected = decoded(car, drive_log)
    path = max(expected, key=lambda p: len(expected[p]))
    answer = history(car, path, max_points=20)  # from 1970 to 2255
    assert answer["from"].startswith("1970") and answer["to"].startswith("2255")
    assert answer["bucket_ms"] <= 1000 and len(answer["points"]) > 10
    assert sum(p["count"] for p in answer["points"]) == answer["samples"] == len(expected[path])


@contextlib.contextmanager
def events(stack, path="/v1/events"):
    """Lines of an event stream as they come."""
    url = urllib.parse.urlsplit(stack.relay_url)
    conn = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    conn.request("GET", path)
    answer = conn.getresponse()
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/event-stream"
    assert answer.readline() == b": hello\n"
    yield answer
    conn.close()


def until(stream, wanted):
    """Reads up to a line that begins so; an end of the stream, or 10 s of silence, is a failure."""
    while True:
        line = stream.readline().decode()
        assert line, f"the stream ended before {wanted!r}"
        if line.startswith(wanted):
            return line


def test_event_streams_show_that_they_live(stack):
    stack.start_broker()
    stack.start_relay(http={"heartbeat_s": 1})
    stack.request("POST", "/v1/vehicles", {"id": VEHICLE})
    with events(stack) as of_all, events(stack, f"/v1/vehicles/{VEHICLE}/events") as of_one:
        until(of_all, ": alive")
        until(of_one, ": alive")
        until(of_one, ": alive")
        assert stack.metric("towline_relay_sse_clients") == 2
        stack.request("DELETE", f"/v1/vehicles/{VEHICLE}")
        assert not [x for x in of_one if x.strip() not in (b"", b": alive")]  # and it ends
        until(of_all, ": alive")
    wait_for("both to be gone", lambda: stack.metric("towline_relay_sse_clients") == 0)


def test_reload(stack, drive_log):
    """What --print-config marks is taken while it runs; the rest is named."""
    stack.start_broker()
    slow = {"ingest": {"unknown_retry_s": 86400, "receipt_interval_ms": 10000},
            "http": {"heartbeat_s": 3600}}
    relay = stack.start_relay(**slow)
    with events(stack) as stream:
        stack.relay_conf(ingest={"unknown_retry_s": 1, "receipt_interval_ms": 50},
                         http={"heartbeat_s": 1, "threads": 2})
        relay.send_signal(signal.SIGHUP)
        until(stream, ": alive")
    log = relay.log_text()
    assert "config_reloaded section=ingest key=unknown_retry_s" in log
    assert "config_needs_restart section=http key=threads" in log
    stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
    stack.towline("catalog", "push", stack.catalog)
    agent = stack.start_agent(drive_conf(stack, drive_log, publish={"receipt_timeout_s": 1}))
    wait_for("the refusal", lambda: stack.metric("towline_relay_batches_total",
                                                 result="unknown_device") > 0, process=agent)
    stack.add_vehicle(VEHICLE, DEVICE)
    drain(stack, agent, 30)
    assert_all_stored(stack, decoded(stack, drive_log))


def test_reload_of_nonsense_changes_nothing(relay):
    conf = relay.relay_conf()
    conf.write_text(conf.read_text() + "\n[ingest]\ngroup_commit_ms = soon\n")
    relay.relay.send_signal(signal.SIGHUP)
    wait_for("the refusal", lambda: "config_refused" in relay.relay.log_text())
    assert relay.get("/healthz").status == 200


def test_port_of_a_killed_relay_is_forgotten(relay):
    port_file = relay.folder / "relay" / "http.port"
    relay.relay.kill()
    relay.relay.wait()
    assert port_file.exists()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        conf = relay.relay_conf(http={"port": taken.getsockname()[1]})
        r = subprocess.run([relay.bin / "towline-relay", "-c", conf], capture_output=True,
                           text=True, timeout=20)
    assert r.returncode == 1 and "in use" in r.stderr
    assert not port_file.exists()
    relay.start_relay()


def test_second_relay_leaves_the_first_alone(relay):
    conf = relay.relay_conf(http={"port": free_port()})
    r = subprocess.run([relay.bin / "towline-relay", "-c", conf], capture_output=True, text=True,
                       timeout=20)
    assert r.returncode == 1 and "another relay" in r.stderr
    assert (relay.folder / "relay" / "http.port").exists()
    assert relay.get("/healthz").status == 200


def test_without_standard_files(stack):
    """A log line must not reach what got the number of a closed stderr."""
    stack.start_broker()
    conf = stack.relay_conf()
    port_file = stack.folder / "relay" / "http.port"
    p = subprocess.Popen(["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-',
                          str(stack.bin / "towline-relay"), str(conf)])
    try:
        wait_for("the port", port_file.exists)
        stack.relay_url = f"http://127.0.0.1:{int(port_file.read_text())}"
        wait_for("health", lambda: stack.get("/healthz").status == 200)
        for fd in range(3):
            link = subprocess.run(["readlink", f"/proc/{p.pid}/fd/{fd}"], capture_output=True,
                                  text=True).stdout.strip()
            assert link == "/dev/null"
    finally:
        p.terminate()
        assert p.wait(10) == 0


def test_delivery(car, drive_log):
    where = f"/v1/vehicles/{VEHICLE}/devices/{DEVICE}/delivery"
    empty = car.get(where).json()
    assert empty["last_seen"] is None and empty["lanes"] == empty["gaps"] == []
    refused(car.get(f"/v1/vehicles/none/devices/{DEVICE}/delivery"), 404)
    assert "tcu-9" in refused(car.get(where.replace(DEVICE, "tcu-9")), 404)["detail"]

    drain(car, car.start_agent(drive_conf(car, drive_log)))
    told = car.get(where).json()
    device = car.get(f"/v1/vehicles/{VEHICLE}").json()["devices"][0]
    assert told["last_seen"] == device["last_seen"] and told["last_receipt"] >= told["last_seen"]
    assert set(told["in_flight"].values()) == {0}
    assert sum(lane["batches"] for lane in told["lanes"]) == device["batches"] > 0
    assert sum(lane["samples"] for lane in told["lanes"]) == device["samples"]
    for lane in told["lanes"]:
        assert lane["epoch"] == device["epoch"] and lane["stored_through"] >= lane["batches"]
        assert lane["awaited"] == {"seqs": 0, "holes": 0, "ranges": []} and lane["gaps"] == []
    table = car.towline("delivery", VEHICLE, DEVICE).stdout
    assert device["epoch"] in table and "DUPLICATES" in table and told["last_receipt"] in table
    assert json.loads(car.towline("delivery", VEHICLE, DEVICE, "--json").stdout) == told


def test_delivery_of_an_outbox_that_is_gone(car):
    """An open-ended gap is shown without an end, and counts only what must have been there."""
    gap = bytes.fromhex("08ffffffffffff3f1003")  # through 2^48 - 1, corrupt
    named = b"\x09" + (7).to_bytes(8, "little") + b"\x10\x05\x18\x02"
    envelope = named + b"\x22" + bytes([len(gap)]) + gap
    subprocess.run(["mosquitto_pub", "-V", "5", "-q", "1", "-p", str(car.broker_port), "-s",
                    "-t", f"tl/1/up/0/{VEHICLE}/{DEVICE}/bulk"], input=envelope, check=True)
    where = f"/v1/vehicles/{VEHICLE}/devices/{DEVICE}/delivery"
    wait_for("the gap", lambda: car.get(where).json()["gaps"])
    told = car.get(where).json()
    assert told["gaps"][0]["through"] is None and told["gaps"][0]["seqs"] == 0
    assert told["lanes"][0]["awaited"]["seqs"] == 4
    table = car.towline("delivery", VEHICLE, DEVICE).stdout
    assert "5-  " in table and "281474976710655" not in table


def test_relay_db_is_lost(car, drive_log):
    """What stream.db has of a vehicle is nobody else's, whatever is registered anew."""
    drain(car, car.start_agent(drive_conf(car, drive_log)))
    assert car.get(f"/v1/vehicles/{VEHICLE}/state").json()["signals"]
    car.relay.stop()
    for path in (car.folder / "relay").glob("relay.db*"):
        path.unlink()
    car.start_relay()
    car.towline("catalog", "push", car.catalog)
    car.request("POST", "/v1/vehicles", {"id": "other", "devices": ["tcu-9"]})
    told = car.get("/v1/vehicles/other/devices/tcu-9/delivery").json()
    assert told["lanes"] == [] and told["last_seen"] is None
    assert not car.get("/v1/vehicles/other/state").json().get("signals")
