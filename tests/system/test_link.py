"""CAN interfaces that the agent sets, and what becomes of their controllers. Emulated controllers
never have errors, so these buses are an slcan adapter's, which can say that it is bus-off."""

import re

from car import DATA
from stack import wait_for
from usb_adapter import plugged_in

BURST = DATA / "burst.dbc"
OFF, ACTIVE = 3, 0  # BusStatus.State


def test_bus_off_and_recovery(car, note):
    """Bus-off: told, counted and started again by the agent; the other bus does not notice."""
    car.register({"bus": BURST, "vcan0": BURST}, "--bus-status")
    car.up("vcan0")
    adapter = car.slcan("slcan0")
    agent = car.conf({"slcan0": {"bus": "bus", "status_period_ms": 100000}, "vcan0": {}},
                     collect={"burst": {"signals": "*.Burst*.*"},
                              "status": {"signals": "bus.BusStatus.*", "mode": "change"}},
                     **{"can slcan0": {"bitrate": 500000, "restart_ms": 3000}}).start()
    agent.wait_open("slcan0", "vcan0")
    assert adapter.heard()[-3:] == ["C", "S6", "O"]  # closed, 500 kbit/s, open
    other = car.start("exec can_burst vcan0 200 2000")
    adapter.say("t10080100000000000000")
    agent.wait_log("restart_by=agent")
    for says, told in (("sw098000", "bus_state interface=slcan0 state=error-warning"),
                       ("sp135000", "bus_state interface=slcan0 state=error-passive"),
                       ("sb256256", "bus_off interface=slcan0 times=1")):
        adapter.say(says)
        agent.wait_log(told)
    off = car.details("slcan0")
    assert "state BUS-OFF" in off and "LOWER_UP" not in off, off
    agent.wait("a restart", lambda s: s["bus_off"] == 1 and s["bus_restarts"] == 1)
    assert car.state("slcan0") == "ERROR-ACTIVE"
    assert adapter.opened() == 2
    adapter.say("t10080900000000000000")
    car.run("cansend slcan0 321#01")  # it sends again, too
    assert other.wait().out.split()[0] == "2000"
    status = agent.drain()
    assert adapter.heard()[-1] == "t321101"
    assert status["frames_received"] == 2002 and status["frames_dropped"] == 0
    assert status["frames_error"] == 3
    for line in ("bus_restart_planned interface=slcan0 in_ms=3000", "bus_restarted interface=slcan0"):
        assert line in agent.log, line
    assert car.values("bus.Burst0.Count") == [1, 9]
    states = car.values("bus.BusStatus.State")
    assert OFF in states and states[-1] == ACTIVE, states
    assert car.values("bus.BusStatus.BusOffs")[-1] == 1
    assert agent.stop()[0] == 0
    note("2000 of 2000 frames on the other bus")


def test_bus_that_stays_broken(car, note):
    """A bus that is broken for good: restarts ever rarer; none when none is wanted."""
    car.register({"bus": BURST})
    adapter = car.slcan("slcan0")
    agent = car.conf({"slcan0": {"bus": "bus"}},
                     **{"can slcan0": {"bitrate": 500000, "restart_ms": 200,
                                       "restart_max_ms": 6400}}).start()
    agent.wait_open("slcan0")
    for times in range(1, 5):
        adapter.say("sb256256")
        agent.wait("a restart", lambda s, n=times: adapter.opened() == n + 1)
    waits = [int(ms) for ms in re.findall(r"bus_restart_planned .*in_ms=(\d+)", agent.log)]
    assert waits == [200, 400, 800, 1600]
    assert agent.wait("4 restarts", lambda s: s["bus_restarts"] == 4)["bus_off"] == 4
    assert agent.stop()[0] == 0

    agent = car.conf({"slcan0": {"bus": "bus"}}, name="never",
                     **{"can slcan0": {"bitrate": 500000, "restart_ms": 0}}).start()
    agent.wait_open("slcan0")
    adapter.say("sb256256")
    agent.wait_log("bus_stays_off interface=slcan0")
    car.run("sleep 1")
    assert car.state("slcan0") == "BUS-OFF" and agent.status["bus_restarts"] == 0
    car.run("ip link set slcan0 down; ip link set slcan0 up")
    agent.wait("what a person did to it", lambda s: s["bus_restarts"] == 1)
    adapter.say("t10080100000000000000")
    agent.wait("a frame", lambda s: s["frames_received"] == 1)
    assert agent.stop()[0] == 0
    note(f"waits of {', '.join(map(str, waits))} ms")


def test_restart_of_what_others_set(car):
    """An interface that somebody else set is started again after bus-off where that is asked for."""
    car.register({"bus": BURST})
    adapter = car.slcan("slcan0")
    car.run("ip link set slcan0 type can bitrate 250000; ip link set slcan0 up")
    agent = car.conf({"slcan0": {"bus": "bus"}}, **{"can slcan0": {"restart_ms": 200}}).start()
    agent.wait_open("slcan0")
    assert adapter.opened() == 1
    adapter.say("sb256256")
    agent.wait_log("bus_restart_done interface=slcan0 way=down_up")
    agent.wait("the restart", lambda s: s["bus_restarts"] == 1)
    assert adapter.heard()[-3:] == ["C", "S5", "O"] and adapter.opened() == 2
    details = car.details("slcan0")
    assert "state ERROR-ACTIVE" in details and "bitrate 250000" in details, details
    adapter.say("t10080100000000000000")
    agent.wait("a frame", lambda s: s["frames_received"] == 1)
    assert "link_set" not in agent.log and "link_failed" not in agent.log
    assert "RTNETLINK" not in agent.log  # libsocketcan had nothing to say

    # What somebody takes down stays down.
    adapter.say("sb256256")
    car.run("ip link set slcan0 down")
    agent.wait_log("link_down interface=slcan0")
    opened = adapter.opened()
    car.run("sleep 2")
    assert adapter.opened() == opened
    assert agent.stop()[0] == 0


def test_restart_in_place(car):
    """Where the driver can restart but was not told when, the interface stays up meanwhile."""
    car.register({"usb0": BURST})
    # Unplugging spoils memory of the kernel: usb_8dev of Linux 6.1.
    with plugged_in(car, "usb_8dev", "usb0", for_good=True) as adapter:
        car.run("ip link set usb0 type can bitrate 250000; ip link set usb0 up")
        agent = car.conf({"usb0": {}}, **{"can usb0": {"restart_ms": 200}}).start()
        agent.wait_open("usb0")
        car.run("echo bus-off >/run/test/usb_8dev")
        agent.wait("the restart", lambda s: s["bus_restarts"] == 1)
        agent.wait_log("bus_restart_done interface=usb0 way=in_place")
        assert agent.status["bus_off"] == 1 and agent.status["links_down"] == 0
        assert car.state("usb0") == "ERROR-ACTIVE"
        assert adapter.out.splitlines() == ["open 250000"] * 2  # and never closed
        car.run("cansend usb0 123#01")
        wait_for("a frame on the bus", lambda: "frame 123 1" in adapter.out)
        assert agent.stop()[0] == 0

        # With a bit rate to set, it is the kernel that is told.
        agent = car.conf({"usb0": {}}, name="set",
                         **{"can usb0": {"bitrate": 500000, "restart_ms": 200}}).start()
        agent.wait_open("usb0")
        assert "restart_by=kernel" in agent.log
        agent.wait("the first look", lambda s: s["uptime_ms"] > 1500)
        car.run("echo bus-off >/run/test/usb_8dev")
        agent.wait("the restart", lambda s: s["bus_restarts"] == 1)
        assert "bus_restart_planned interface=usb0 in_ms" not in agent.log
        assert adapter.out.splitlines()[-2:] == ["open 500000"] * 2
        assert agent.stop()[0] == 0


def test_agent_sets_interfaces(car):
    """The agent sets bit rates, sample point and listen-only, and leaves alone what is right."""
    car.register({"can0": BURST, "can1": BURST})
    sections = {"can can0": {"bitrate": 250000, "sample_point": "0.75"},
                "can can1": {"bitrate": 250000, "listen_only": True}}
    agent = car.conf({"can0": {}, "can1": {}}, **sections).start()
    agent.wait_open("can0", "can1")
    sender, listener = car.details("can0"), car.details("can1")
    assert re.search(r"bitrate 250000 sample-point 0\.750", sender), sender
    assert "ERROR-ACTIVE" in sender and "LISTEN-ONLY" not in sender
    assert "bitrate 250000" in listener and "LISTEN-ONLY" in listener
    assert agent.stop()[0] == 0
    was_up = car.run("cat /sys/class/net/can0/carrier_changes").out
    agent = car.conf({"can0": {}, "can1": {}}, name="second", **sections).start()
    agent.wait_open("can0", "can1")
    assert "link_kept interface=can0" in agent.log and "link_kept interface=can1" in agent.log
    assert car.run("cat /sys/class/net/can0/carrier_changes").out == was_up
    assert agent.stop()[0] == 0
