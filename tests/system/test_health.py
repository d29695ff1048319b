"""The health of a bus as signals at the relay."""

import itertools

from car import DATA
from stack import wait_for

EVERYTHING = {"all": {"signals": "*", "mode": "every"}}


def test_all_of_the_bus_if_so_set(car):
    """With filter=false the frames that the catalog lacks are counted."""
    car.register({"vcan0": DATA / "burst.dbc"})
    car.up("vcan0")
    agent = car.conf({"vcan0": {"filter": "false"}}).start()
    agent.wait_open("vcan0")
    assert "filters=none" in agent.log
    car.run("cansend vcan0 100#0000000000000000; cansend vcan0 7FF#01; cansend vcan0 18FEF100#01")
    agent.wait("3 frames", lambda s: s["frames_received"] == 3 and s["frames_unknown"] == 2)
    assert agent.stop()[0] == 0


def test_status_of_a_controller(car, note):
    """State, bit rate, error counters and load of a controller are signals at the relay."""
    car.register({"can1": DATA / "burst.dbc"}, "--bus-status")
    car.up("can0", "can1")
    rules = {"all": {"signals": "can1.BusStatus.*", "mode": "every"}}
    agent = car.conf({"can1": {"status_period_ms": 500}}, rules).start()
    agent.wait_open("can1")
    car.run("can_burst can0 1000 4000", timeout_s=30)
    car.run("sleep 1; ip link set can1 down")
    agent.wait_log("what=the interface is down")
    car.run("ip link set can1 up; sleep 1")
    agent.drain()
    states = car.values("can1.BusStatus.State")
    assert states[0] == 0 and 4 in states and states[-1] == 0, states
    assert set(car.values("can1.BusStatus.BitRate")) == {500000}
    assert set(car.values("can1.BusStatus.TxErrors")) == {0}
    assert car.values("can1.BusStatus.LinkDowns")[-1] == 1
    # 47 and 64 bits a frame at 500 kbit/s, in periods of 500 ms, or longer ones on a slow host: how
    # long the bus was busy says the same however unsteadily the frames came.
    busy_s, expected_s = sum(car.values("can1.BusStatus.BusLoad")) / 100 * 0.5, 4000 * 111 / 500000
    assert 0.6 * expected_s < busy_s < 1.05 * expected_s, busy_s
    assert agent.stop()[0] == 0
    note(f"busy for {busy_s:.3f} s of {expected_s:.3f} s")


def test_error_frames_change_the_state(car):
    """Error frames change the state at the relay, and never reach the decoder."""
    car.register({"vcan0": DATA / "burst.dbc"}, "--bus-status")
    car.up("vcan0")
    agent = car.conf({"vcan0": {"filter": "false"}}).start()
    agent.wait_open("vcan0")
    wait_for("a first status", lambda: agent.status.get("payloads_received", 0) > 0)
    for frame in ("20000204#0008000000006000",  # warning, error counters 96 and 0
                  "20000204#0020000000008803",  # passive
                  "20000040#0000000000000000",  # bus-off
                  "20000100#0000000000000000"):  # restarted
        car.run(f"cansend vcan0 {frame}; sleep 0.2")
    car.run("cansend vcan0 100#0000000000000000")
    agent.wait("the frame", lambda s: s["frames_received"] == 1 and s["frames_error"] == 4)
    car.run("sleep 1.2")
    agent.drain()
    states = [k for k, _ in itertools.groupby(car.values("vcan0.BusStatus.State"))]
    assert states == [7, 1, 2, 3, 0], states
    assert car.values("vcan0.BusStatus.TxErrors")[-1] == 136
    assert car.values("vcan0.BusStatus.RxErrors")[-1] == 3
    assert car.values("vcan0.BusStatus.BusOffs")[-1] == 1
    assert car.values("vcan0.BusStatus.ErrorFrames")[-1] == 4
    assert agent.stop()[0] == 0


def test_storm_of_error_frames(car, note):
    """A storm of error frames on one bus: another loses nothing, and the log stays short."""
    car.register({"vcan0": DATA / "burst.dbc", "vcan1": DATA / "burst.dbc"}, "--bus-status")
    car.up("vcan0", "vcan1")
    rules = {"status": {"signals": "vcan0.BusStatus.*", "mode": "every"}, **EVERYTHING}
    agent = car.conf({"vcan0": {}, "vcan1": {}}, rules).start()
    agent.wait_open("vcan0", "vcan1")
    storm = car.folder / "storm.log"  # a controller that flaps between passive and active
    storm.write_text("".join(f"(1.{i:06}) vcan0 2000008C#00{'10' if i % 2 else '40'}040000000000\n"
                             for i in range(2000)))
    flood = car.start(f"exec canplayer -t -l i -I {car.guest_folder}/storm.log vcan0=vcan0")
    agent.wait("the storm", lambda s: s["frames_error"] > 1000)
    lines = agent.log.count("\n")
    sent, took = car.run("can_burst vcan1 500 2500", timeout_s=30).out.split()
    car.signal(flood, "TERM")
    flood.wait()
    status = agent.drain()
    assert status["frames_received"] == 2500 and int(sent) == 2500
    told, got = car.statistic("vcan0", "tx_packets"), status["frames_error"]
    assert status["frames_dropped_busy"] == 0
    assert got + status["frames_dropped_socket"] <= told and got > 1000
    counts = sorted(v for i in range(8) for v in car.values(f"vcan1.Burst{i}.Count"))
    assert counts == [*range(2500)]
    statuses = len(car.values("vcan0.BusStatus.State"))
    assert statuses <= (float(took) + 5) * 21, statuses
    assert agent.log.count("\n") - lines < 100, agent.tail()
    assert agent.stop()[0] == 0
    note(f"{got} of {told} error frames read, {statuses} statuses, "
         f"{agent.log.count(chr(10)) - lines} lines")


def test_interface_that_is_made_anew(car):
    """An interface vanishes and comes back with another index, at once and later."""
    car.register({"vcan0": DATA / "burst.dbc"}, "--bus-status")
    car.up("vcan0")
    agent = car.conf({"vcan0": {}}).start()
    agent.wait_open("vcan0")
    anew = "ip link add vcan0 type vcan; ip link set vcan0 up"
    for i, between in enumerate(("", "sleep 2;")):
        car.run(f"can_burst vcan0 1000 100 {i * 100}")
        opened = agent.log.count("source_open source=vcan0")
        car.run(f"ip link del vcan0; {between} {anew}")
        agent.wait("vcan0 to be read again",
                   lambda s: agent.log.count("source_open source=vcan0") > opened)
    car.run("can_burst vcan0 1000 100 200; sleep 1.2")
    status = agent.drain()
    assert (status["frames_received"], status["links_down"]) == (300, 2)
    counts = sorted(v for i in range(8) for v in car.values(f"vcan0.Burst{i}.Count"))
    assert counts == [*range(300)]
    states = [k for k, _ in itertools.groupby(car.values("vcan0.BusStatus.State"))]
    assert states[-1] == 7 and 6 in states, states
    assert car.values("vcan0.BusStatus.LinkDowns")[-1] == 2
    assert agent.stop()[0] == 0


def test_frames_that_wait_when_the_interface_goes_down(car, note):
    """The agent stands still, its buffer runs over, the bus goes down: all is read or counted."""
    car.register({"vcan0": DATA / "burst.dbc"}, "--bus-status")
    car.up("vcan0")
    agent = car.conf({"vcan0": {}}).start()
    agent.wait_open("vcan0")
    car.signal(agent.command, "STOP")
    car.run("can_burst vcan0 4000 8000", timeout_s=60)
    car.run("ip link set vcan0 down")
    car.signal(agent.command, "CONT")
    agent.wait_log("what=the interface is down")
    car.run("sleep 1.2")
    status = agent.drain()
    got, lost = status["frames_received"], status["frames_dropped_socket"]
    assert got + lost == 8000 and lost > 0 and got > 4000, (got, lost)
    assert status["frames_dropped"] == lost
    counts = sorted(v for i in range(8) for v in car.values(f"vcan0.Burst{i}.Count"))
    assert counts == [*range(got)]  # those that came first
    assert car.values("vcan0.BusStatus.FramesLost")[-1] == lost
    assert agent.stop()[0] == 0
    note(f"{got} read, {lost} counted")
