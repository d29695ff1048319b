"""CAN FD on a controller of its own clock: what vcan cannot show. See guest/gs_usb_adapter.c."""

import pytest

from car import DATA
from stack import wait_for
from usb_adapter import plugged_in

SETTINGS = {"bitrate": 500000, "sample_point": "0.8", "fd": True, "dbitrate": 2000000,
            "dsample_point": "0.7", "restart_ms": 300}


@pytest.fixture
def adapter(car):
    """A CAN FD adapter on USB, as canfd0."""
    with plugged_in(car, "gs_usb", "canfd0") as command:
        yield command


def test_can_fd_bit_timing(car, adapter):
    """Bit timing of both phases reaches a CAN FD controller, once; after bus-off it has it."""
    car.register({"canfd0": DATA / "fd.dbc"})
    agent = car.conf({"canfd0": {}}, **{"can canfd0": SETTINGS}).start()
    agent.wait_open("canfd0")
    timing = ["bittiming 500000 800", "data_bittiming 2000000 700", "mode start 0x100"]
    assert adapter.out.splitlines() == timing
    details = car.details("canfd0")
    assert "bitrate 500000 sample-point 0.800" in details
    assert "dbitrate 2000000 dsample-point 0.700" in details and "can <FD>" in details
    assert "restart_by=agent" in agent.log  # its driver cannot

    assert agent.stop()[0] == 0
    agent.start()
    agent.wait_log("link_kept interface=canfd0")
    assert adapter.out.splitlines() == timing  # the bus was not interrupted

    agent.wait("the first look", lambda s: s["connected"] == 1 and s["uptime_ms"] > 1500)
    car.run("echo bus-off >/run/test/gs_usb")
    agent.wait("the restart", lambda s: s["bus_restarts"] == 1, timeout_s=30)
    assert agent.status["bus_off"] == 1
    assert car.state("canfd0") == "ERROR-ACTIVE"
    assert adapter.out.splitlines() == [*timing, "mode reset 0x0", *timing]
    car.run("cansend canfd0 123##1" + "11" * 64)
    wait_for("a frame on the bus", lambda: "frame 123 15 0x6" in adapter.out)
    assert agent.stop()[0] == 0


@pytest.mark.parametrize("wrong, told", [
    ({"dbitrate": 9450000}, "clock of 80000000 Hz; nearest is 10000000"),
    ({"loopback": True}, "the gs_usb cannot do loopback"),
])
def test_can_fd_refused(car, adapter, wrong, told):
    """What a CAN FD controller cannot do is named, and it is left as it was."""
    car.register({"canfd0": DATA / "fd.dbc"})
    agent = car.conf({}, **{"can canfd0": {**SETTINGS, **wrong}}).start()
    agent.wait_log("link_failed interface=canfd0")
    assert told in agent.log, agent.tail()
    assert adapter.out == ""
    assert agent.stop()[0] == 0
