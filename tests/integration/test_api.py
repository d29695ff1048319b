"""The HTTP API and the command line on top of it."""

import json

import pytest
from conftest import DEVICE, VEHICLE

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
