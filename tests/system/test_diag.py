"""Diagnostics over the kernel's ISO-TP: a simulated ECU in the same machine, well and badly behaved."""

import re

import pytest

from car import DATA
from conftest import ROOT
from helpers import history

DIAG = ROOT / "agent" / "diag"
OBD2, UDS = DIAG / "obd2.dbc", DIAG / "uds_example.dbc"
OBD_ECU = {"type": "diag", "request": "0x7E0", "response": "0x7E8", "silent_s": "1"}
UDS_ECU = {"type": "diag", "request": "0x7E1", "response": "0x7E9", "silent_s": "1"}
FOUR_DIDS = "0xF187, 0xF191, 0xF405, 0x0200"  # 9 bytes: a request of two frames


def start_agent(car, interface, ecu, polls, listens=False):
    """An agent that asks one ECU, and reads the raw frames, too, if it listens; the catalog calls
    the bus can0."""
    sources = {"ecu": {**ecu, "interface": interface, "bus": "can0"}}
    if listens:
        sources[interface] = {"bus": "can0"}
    agent = car.conf(sources, **{f"poll {name}": {"source": "ecu", "period_ms": "100", **keys}
                                 for name, keys in polls.items()}).start()
    agent.wait_open(interface)
    return agent


def values(car, path):
    return [p["value"] for p in history(car.stack, f"can0.{path}")["points"]]


def requests(sim):
    return re.findall(r"^[0-9A-F]+$", sim.out, re.MULTILINE)


def finish(car, agent, *sims):
    """Ends the ECUs, so that no more samples come, and the agent when the relay has all of them."""
    for sim in sims:
        car.signal(sim, "KILL")
    status = agent.drain()
    assert agent.stop()[0] == 0
    return status


@pytest.mark.parametrize("agent_on, ecu_on", [("vcan0", "vcan0"), ("can1", "can0")])
def test_multi_frame_both_ways(car, agent_on, ecu_on, note):
    """ISO-TP over several frames both ways: four DIDs in one request, 333 bytes of response."""
    car.register({"can0": UDS})
    car.up(*{agent_on, ecu_on})
    sim = car.start(f"exec ecu_sim {ecu_on} 7E1 7E9")
    dump = car.start(f"exec candump -L {agent_on} >/run/test/diag.log")
    agent = start_agent(car, agent_on, UDS_ECU, {"dids": {"service": "uds_did", "ids": FOUR_DIDS}})
    status = agent.wait("20 responses", lambda s: s["diag_responses"] >= 20)
    car.signal(dump, "TERM")
    finish(car, agent, sim)
    assert set(requests(sim)) == {"22F187F191F4050200"}
    assert [status[k] for k in ("diag_errors", "diag_timeouts", "diag_negative")] == [0] * 3
    # First frame of the request, and flow control both ways.
    for frame in ("7E1#100922F187F191F4", "7E1#30", "7E9#30", "7E9#11"):
        assert int(car.run(f"grep -c {frame} /run/test/diag.log").out) >= 20, frame
    assert set(values(car, "UDS_TCM.TraceLast")) == {299 % 251}
    assert set(values(car, "UDS_TCM.CoolantTemperature")) == {83}
    assert len(values(car, "UDS_TCM.CoolantTemperature")) >= 20
    note(f"{status['diag_responses']} of {status['diag_requests']} answered")


def test_slow_response_of_many_frames(car, note):
    """A response that takes seconds: our flow control slows the ECU down, two frames a block."""
    car.register({"can0": UDS})
    car.up("vcan0")
    sim = car.start("exec ecu_sim vcan0 7E1 7E9")
    dump = car.start("exec candump -ta vcan0,7E9:7FF,7E1:7FF >/run/test/diag.log")
    agent = start_agent(car, "vcan0", {**UDS_ECU, "st_min_ms": "100", "block_size": "2"},
                        {"long": {"service": "uds_did", "ids": "0x0200"}})
    status = agent.wait("3 responses", lambda s: s["diag_responses"] >= 3, 60)
    car.signal(dump, "TERM")
    finish(car, agent, sim)
    assert status["diag_errors"] == 0 and status["diag_timeouts"] == 0
    assert set(values(car, "UDS_TCM.TraceLast")) == {299 % 251}
    # 43 frames after the first: flow control at first and after each two of them.
    flow = int(car.run("grep -c '30 02 64' /run/test/diag.log").out)
    assert flow >= 3 * 22
    note(f"{status['diag_responses']} responses of 44 frames, {flow} times flow control")


def test_can_fd_responses(car):
    """ISO-TP on CAN FD: 64 bytes a frame."""
    car.register({"can0": UDS})
    car.up("vcan0")
    sim = car.start("exec ecu_sim vcan0 7E1 7E9 fd=1")
    agent = start_agent(car, "vcan0", {**UDS_ECU, "fd": "true"},
                        {"dids": {"service": "uds_did", "ids": FOUR_DIDS}})
    before = car.statistic("vcan0", "tx_packets")
    status = agent.wait("10 responses", lambda s: s["diag_responses"] >= 10)
    finish(car, agent, sim)
    assert status["diag_errors"] == 0 and status["diag_timeouts"] == 0
    assert set(values(car, "UDS_TCM.TraceLast")) == {299 % 251}
    frames = car.statistic("vcan0", "tx_packets") - before
    assert frames < 12 * len(requests(sim)), frames  # 50 and more on classic CAN


def test_obd_of_29_bits_and_dtcs(car):
    """OBD-II: supported PIDs are found out and asked for, DTCs come with their count."""
    text = OBD2.read_text().replace(" 2024 ", " 2564485392 ")
    dbc = car.folder / "obd2_29.dbc"
    dbc.write_text(text)
    car.register({"can0": dbc})
    car.up("vcan0")
    sim = car.start("exec ecu_sim vcan0 18DA10F1 18DAF110 dtcs=9 functional=18DB33F1")
    ecu = {"type": "diag", "request": "0x18DA10F1", "response": "0x18DAF110",
           "functional": "0x18DB33F1"}
    agent = start_agent(car, "vcan0", ecu, {
        "now": {"service": "obd_current", "ids": "auto", "period_ms": "200"},
        "dtcs": {"service": "obd_dtcs"},
        "info": {"service": "obd_info", "ids": "auto"},
    }, listens=True)
    status = agent.wait("60 responses", lambda s: s["diag_responses"] >= 60)
    assert [status[k] for k in ("diag_errors", "diag_timeouts", "diag_negative")] == [0] * 3
    status = finish(car, agent, sim)
    assert status["isotp_messages"] == 0  # the source that listens leaves these to the one that asks
    assert requests(sim)[0] == "0100"
    assert set(values(car, "OBD2_ECM.EngineSpeed")) == {1726}
    assert set(values(car, "OBD2_ECM.StoredDtcCount")) == {9}
    assert set(values(car, "OBD2_ECM.StoredDtc09")) == {0x0309}
    assert values(car, "OBD2_ECM.StoredDtc10") == []
    assert set(values(car, "OBD2_ECM.CalibrationVerification")) == {0xDEADBEEF}


FAULTS = [
    ("no_flow_control", FOUR_DIDS, "no flow control"),
    ("out_of_order", "0x0200", "wrong sequence number"),
    ("missing", "0x0200", "wrong sequence number"),
    ("broken_off", "0x0200", "the response broke off"),
]


@pytest.mark.parametrize("fault, ids, says", FAULTS, ids=[f[0] for f in FAULTS])
def test_faulty_iso_tp(car, fault, ids, says, note):
    """ISO-TP faults are named and counted, and another ECU on the bus is read as ever."""
    car.register({"can0": UDS, "obd": OBD2})
    car.up("vcan0")
    bad = car.start(f"exec ecu_sim vcan0 7E1 7E9 fault={fault}")
    good = car.start("exec ecu_sim vcan0 7E0 7E8")
    agent = car.conf(
        {"bad": {**UDS_ECU, "interface": "vcan0", "bus": "can0"},
         "good": {**OBD_ECU, "interface": "vcan0", "bus": "obd"}}, **{
        "poll long": {"source": "bad", "service": "uds_did", "ids": ids, "period_ms": "100"},
        "poll short": {"source": "bad", "service": "uds_did", "ids": "0xF40D", "group": "1",
                       "period_ms": "100"},
        "poll rpm": {"source": "good", "service": "obd_current", "ids": "0x0C",
                     "period_ms": "100"}}).start()
    agent.wait_open("vcan0")
    agent.wait_log(says)
    agent.wait("three errors", lambda s: s["diag_errors"] >= 3)
    status = finish(car, agent, bad, good)
    assert set(values(car, "UDS_TCM.VehicleSpeed")) == {72}
    assert values(car, "UDS_TCM.TraceLast") == []
    rpm = [p["value"] for p in history(car.stack, "obd.OBD2_ECM.EngineSpeed")["points"]]
    assert set(rpm) == {1726} and len(rpm) >= 0.9 * len(requests(good)) - 5
    assert agent.log.count(says) == 1  # once, not once a request
    note(f"{status['diag_errors']} errors, {len(rpm)} values of the other ECU")


def test_what_an_ecu_says_instead(car):
    """responsePending, busyRepeatRequest, an ECU that takes one DID at a time, and silence."""
    car.register({"can0": UDS})
    car.up("vcan0")
    polls = {"dids": {"service": "uds_did", "ids": "0xF405, 0xF40C, 0xF40D"}}
    sim = car.start("exec ecu_sim vcan0 7E1 7E9 pendings=3 pending_ms=500 busy=2 alone=1")
    agent = start_agent(car, "vcan0", UDS_ECU, polls)
    agent.wait_log("diag_one_at_a_time")
    status = agent.wait("responses", lambda s: s["diag_responses"] >= 3)
    assert status["diag_negative"] == 1 and status["diag_timeouts"] == 0
    assert requests(sim)[:4] == ["22F405F40CF40D"] * 3 + ["22F405"]
    car.signal(sim, "KILL")
    agent.wait_log("diag_silent")
    asked = agent.status["diag_requests"]
    car.run("sleep 3")
    assert agent.status["diag_requests"] - asked <= 4
    sim = car.start("exec ecu_sim vcan0 7E1 7E9")
    agent.wait_log("diag_awake")
    answered = agent.status["diag_responses"]
    agent.wait("responses", lambda s: s["diag_responses"] >= answered + 10)
    finish(car, agent, sim)
    assert set(values(car, "UDS_TCM.EngineSpeed")) == {1726}


def test_absent_ecu_and_long_requests(car, note):
    """An ECU that is not there is left in peace, also when it is asked by several frames."""
    car.register({"can0": UDS})
    car.up("vcan0")
    agent = start_agent(car, "vcan0", {**UDS_ECU, "silent_s": "3"},
                        {"dids": {"service": "uds_did", "ids": FOUR_DIDS}})
    agent.wait_log("no flow control")
    agent.wait_log("diag_silent")
    before = car.statistic("vcan0", "tx_packets")
    car.run("sleep 7")
    sent = car.statistic("vcan0", "tx_packets") - before
    assert 1 <= sent <= 3, sent  # each 3 s, and 1 s until it has failed
    status = agent.status
    assert status["diag_skipped"] >= 50
    car.start("exec ecu_sim vcan0 7E1 7E9")
    agent.wait_log("diag_awake")
    agent.wait("responses", lambda s: s["diag_responses"] >= 5)
    assert agent.stop()[0] == 0
    note(f"{sent} frames in 7 s")


def test_requests_to_all_ecus(car, note):
    """Requests to all ECUs: two respond, each source takes its own, and both have time to."""
    car.register({"can0": OBD2})
    car.up("vcan0")
    ecm = car.start("exec ecu_sim vcan0 7E0 7E8 functional=7DF")
    tcm = car.start("exec ecu_sim vcan0 7E1 7E9 functional=7DF")
    dump = car.start("exec candump -L vcan0 >/run/test/diag.log")
    agent = start_agent(car, "vcan0", {**OBD_ECU, "functional": "0x7DF"}, {
        "pids": {"service": "obd_current", "ids": "0x0C, 0x0D, 0x05", "group": "1",
                 "period_ms": "10"}})
    status = agent.wait("20 responses", lambda s: s["diag_responses"] >= 20)
    car.signal(dump, "TERM")
    assert [status[k] for k in ("diag_errors", "diag_timeouts", "diag_negative")] == [0] * 3
    finish(car, agent, ecm, tcm)
    times = [float(t) for t in re.findall(r"^\(([0-9.]+)\) vcan0 7DF#",
                                          car.run("cat /run/test/diag.log").out, re.MULTILINE)]
    least = min(b - a for a, b in zip(times, times[1:]))
    # 150 ms by the agent's turns, for the ECU that is slow; each is sent somewhat into its turn.
    assert least >= 0.1, least
    assert set(values(car, "OBD2_ECM.EngineSpeed")) == {1726}
    assert set(values(car, "OBD2_ECM.VehicleSpeed")) == {72}
    assert len(requests(tcm)) >= 20
    note(f"{len(times)} requests, {least * 1000:.0f} ms apart at least")


def test_interface_that_goes_and_comes(car):
    """The interface of an ECU goes down, and the ECU is asked again when it is back."""
    car.register({"can0": UDS})
    car.up("vcan0")
    car.start("exec ecu_sim vcan0 7E1 7E9")
    agent = start_agent(car, "vcan0", UDS_ECU,
                        {"dids": {"service": "uds_did", "ids": FOUR_DIDS}})
    agent.wait("responses", lambda s: s["diag_responses"] >= 5)
    car.run("ip link set vcan0 down")
    agent.wait_log("what=the interface is down")
    car.run("ip link set vcan0 up")
    answered = agent.status["diag_responses"]
    agent.wait("responses", lambda s: s["diag_responses"] >= answered + 5)
    assert agent.stop()[0] == 0


def test_kernel_without_isotp(car):
    """A kernel without can-isotp: said, the bus is read on, and asked once the module is there."""
    car.register({"can0": UDS, "raw": DATA / "burst.dbc"})
    car.up("vcan0")
    car.run("rmmod can_isotp")
    try:
        agent = car.conf({"ecu": {**UDS_ECU, "interface": "vcan0", "bus": "can0"},
                          "vcan0": {"bus": "raw"}},
                         **{"poll dids": {"source": "ecu", "service": "uds_did",
                                          "ids": FOUR_DIDS, "period_ms": "100"}}).start()
        agent.wait_log("this kernel has no SocketCAN with CAN_ISOTP")
        agent.wait_log("source_open source=vcan0")
        car.run("can_burst vcan0 500 200")
        status = agent.wait("200 frames", lambda s: s["frames_received"] == 200)
        assert status["diag_requests"] == 0 and status["sources_failed"] >= 1
    finally:
        car.run("insmod /lib/modules/can-isotp.ko")
    car.start("exec ecu_sim vcan0 7E1 7E9")
    agent.wait_log("source_open source=ecu")
    agent.wait("responses", lambda s: s["diag_responses"] >= 3)
    assert agent.stop()[0] == 0
