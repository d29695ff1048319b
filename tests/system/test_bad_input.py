"""What is wrong is said, counted, and stops nothing else: each test has a second bus that works."""

import pytest

from car import DATA

BURST = DATA / "burst.dbc"


def start(car, source, sections=None, user=None, **bus):
    """An agent with a bus that is wrong, and vcan1, which is not."""
    car.register({"bad": BURST, "vcan1": BURST})
    car.up("vcan1")
    agent = car.conf({source: {"bus": "bad", **bus}, "vcan1": {}}, **(sections or {}))
    agent.start(user=user)
    agent.wait_open("vcan1")
    return agent


def end(car, agent, frames=0):
    """The other bus works: 200 frames of 200. Returns the last status."""
    assert car.run("can_burst vcan1 1000 200").out.split()[0] == "200"
    agent.drain()
    assert sorted(v for i in range(8) for v in car.values(f"vcan1.Burst{i}.Count")) == [*range(200)]
    code, status = agent.stop()
    assert code == 0, agent.tail()
    assert status["frames_received"] == 200 + frames and status["frames_dropped"] == 0
    return status


def test_interface_that_is_not_there(car):
    """An interface that does not exist is named; it is read when it comes."""
    agent = start(car, "vcan9")
    agent.wait_log("interface=vcan9 retry_s=3 what=there is no such interface")
    car.up("vcan9")
    agent.wait_log("source_open source=vcan9 interface=vcan9")
    car.run("cansend vcan9 100#0100000000000000")
    agent.wait("its frame", lambda s: s["frames_received"] == 1)
    assert end(car, agent, frames=1)["sources_failed"] >= 1


def test_interface_that_is_down(car):
    """An interface that is down is named, with the command that takes it up."""
    agent = start(car, "can0")
    agent.wait_log("interface=can0 retry_s=3 what=the interface is down (ip link set can0 up)")
    assert end(car, agent)["sources_failed"] >= 1


def test_interface_that_is_not_can(car):
    """An interface that is not CAN is named."""
    agent = start(car, "eth0")
    agent.wait_log("interface=eth0 retry_s=3 what=the interface is not CAN")
    assert end(car, agent)["sources_failed"] >= 1


def test_no_permission(car):
    """Without CAP_NET_ADMIN no bit rate can be set: said, and what needs no right goes on."""
    car.run(f"mkdir -p /run/test; chmod 777 /run/test {car.guest_folder}")
    agent = start(car, "can0", {"can can0": {"bitrate": 500000}}, user="nobody")
    agent.wait_log("link_failed interface=can0")
    assert "CAP_NET_ADMIN" in agent.log
    assert "bitrate 500000" not in car.details("can0")
    end(car, agent)


@pytest.mark.parametrize("interface, wrong, told", [
    ("can0", 941000, "8000000 Hz; nearest is 888888"),  # an SJA1000 divides its clock
    ("slcan0", 333333, "nearest is 250000"),  # an adapter has a list
])
def test_bit_rate_that_is_refused(car, interface, wrong, told):
    """A bit rate that the controller cannot do is named, with the nearest that it can."""
    if interface == "slcan0":
        car.slcan(interface)
    agent = start(car, interface, {f"can {interface}": {"bitrate": wrong}})
    agent.wait_log(f"link_failed interface={interface}")
    assert str(wrong) in agent.log and told in agent.log, agent.tail()
    assert car.run(f"ip link set {interface} type can bitrate {wrong}", check=False).code != 0
    end(car, agent)


def test_storm_of_error_frames(car, note):
    """A storm of error frames is counted, said in few lines, and keeps no frame from its way."""
    adapter = car.slcan("slcan0")
    agent = start(car, "slcan0", {"can slcan0": {"bitrate": 500000, "berr_reporting": False}})
    agent.wait_open("slcan0")
    burst = car.start("exec can_burst vcan1 1000 3000 5000")
    adapter.say("10000*e3bcs", "t10080100000000000000", "10000*e3bcs")
    assert burst.wait().out.split()[0] == "3000"
    # A bus cannot be as fast as this adapter. What the kernel or the socket has no room for is
    # counted, too.
    agent.wait("all of them", lambda s: s["frames_error"] + s["frames_received"]
               + s["frames_dropped_socket"] + car.statistic("slcan0", "rx_dropped") >= 23001)
    agent.drain()
    assert sorted(v for i in range(8) for v in car.values(f"vcan1.Burst{i}.Count")) == [
        *range(5000, 8000)]
    assert car.statistic("slcan0", "rx_errors") == 20000
    code, status = agent.stop()
    assert code == 0 and status["frames_dropped"] == status["frames_dropped_socket"]
    assert (status["frames_error"] + status["frames_received"] + status["frames_dropped"]
            + car.statistic("slcan0", "rx_dropped")) == 23001
    lines = agent.log.count("bus_errors source=slcan0")
    assert 1 <= lines <= 5, agent.tail()
    note(f"{status['frames_error']} of 20000 error frames read, {lines} lines of log")


def test_frames_that_are_too_short(car):
    """Frames shorter than their message, remote frames, unknown ids: what is there is decoded."""
    car.up("vcan0")
    agent = start(car, "vcan0", filter=False)
    agent.wait_open("vcan0")
    for frame in ("100#", "100#01", "101#0200000003", "102#R", "100#0100000002000000",
                  "7FF#0102030405060708", "1FFFFFFF#01", "102##1" + "00" * 64):
        car.run(f"cansend vcan0 {frame}")
    agent.wait("8 frames", lambda s: s["frames_received"] + s["frames_bad"] == 8)
    agent.drain()
    assert car.values("bad.Burst0.Count") == [1] and car.values("bad.Burst0.Age") == [2]
    assert car.values("bad.Burst1.Count") == [2]
    status = end(car, agent, frames=8)
    assert status["frames_unknown"] == 3  # two ids and the remote frame, which holds nothing


def test_kernel_filters(car, note):
    """Frames that nobody collects do not reach the agent; a SIGHUP changes what does."""
    car.register({"vcan0": BURST})
    car.up("vcan0")
    agent = car.conf({"vcan0": {}}, collect={"some": {"signals": "vcan0.Burst3.*"}}).start()
    agent.wait_open("vcan0")
    lists = car.run("cat /proc/net/can/rcvlist_sff").out
    assert [line.split()[1] for line in lists.splitlines() if " vcan0 " in line] == ["103"], lists
    car.run("can_burst vcan0 4000 800")
    agent.wait("its frames", lambda s: s["frames_received"] == 100)
    conf = car.folder / "agent.conf"
    conf.write_text(conf.read_text().replace("Burst3", "Burst4"))
    car.signal(agent.command, "HUP")
    agent.wait_log("filters_changed source=vcan0")
    car.run("can_burst vcan0 4000 800 8000")
    agent.wait("its frames", lambda s: s["frames_received"] == 200)
    agent.drain()
    assert car.values("vcan0.Burst3.Count") == [*range(3, 800, 8)]
    assert car.values("vcan0.Burst4.Count") == [*range(8004, 8800, 8)]
    code, status = agent.stop()
    assert code == 0 and status["frames_received"] == 200 and status["frames_unknown"] == 0
    note("1600 frames on the bus, 200 to the agent")
