"""J1939 on real SocketCAN: through the kernel's transport protocol, and put together by the agent."""

import pytest

from car import DATA

J1939 = DATA / "j1939.dbc"
DM1, HOURS, PROP_A, SOFT = 0xFECA, 0xFEE5, 0xEF00, 0xFEDA
OWN, NODE = 0x80, 0x21
BOTH = pytest.mark.parametrize("protocol", ["kernel", "raw"])


class Log:
    """Lines for canplayer, 1 ms apart."""

    def __init__(self):
        self.lines, self.time = [], 1000.0

    def frame(self, can_id, data):
        self.time += 0.001
        self.lines.append(f"({self.time:.6f}) can0 {can_id:08X}#{bytes(data).hex().upper()}\n")

    def control(self, source, to, *data):
        self.frame(0x1CEC0000 | to << 8 | source, data)

    def packets(self, source, to, data, leave_out=()):
        for i in range(-(-len(data) // 7)):
            part = data[7 * i:7 * i + 7]
            if i + 1 not in leave_out:
                self.frame(0x1CEB0000 | to << 8 | source,
                           bytes([i + 1]) + part + b"\xff" * (7 - len(part)))

    def announce(self, kind, source, to, pgn, data):
        self.control(source, to, kind, *len(data).to_bytes(2, "little"), -(-len(data) // 7), 0xFF,
                     *pgn.to_bytes(3, "little"))

    def broadcast(self, source, pgn, data, **kwargs):
        self.announce(32, source, 0xFF, pgn, data)
        self.packets(source, 0xFF, data, **kwargs)

    def session(self, source, to, pgn, data):
        n, p = -(-len(data) // 7), pgn.to_bytes(3, "little")
        self.announce(16, source, to, pgn, data)
        self.control(to, source, 17, n, 1, 0xFF, 0xFF, *p)
        self.packets(source, to, data)
        self.control(to, source, 19, *len(data).to_bytes(2, "little"), n, 0xFF, *p)

    def play(self, car, name="play.log"):
        path = car.folder / name
        path.write_text("".join(self.lines))
        car.run(f"canplayer -I {car.put(path)} can0=can0", timeout_s=60)


def payload(first, n):
    return bytes((first + i) & 0xFF for i in range(n))


def start_agent(car, protocol="auto", address=254, polls=None, **keys):
    car.register({"can0": J1939})
    car.up("can0", "can1")
    source = {"type": "j1939", "bus": "can0", "protocol": protocol, "address": address, **keys}
    agent = car.conf({"can1": source}, **{
        f"poll {name}": {"source": "can1", "service": "pgn", **poll}
        for name, poll in (polls or {}).items()}).start()
    agent.wait_open("can1")
    return agent


def finish(agent):
    status = agent.drain()
    assert agent.stop()[0] == 0
    assert status["frames_dropped"] == 0
    assert "j1939_address_doubled" not in agent.log  # it does not hear itself
    return status


@BOTH
def test_heard_on_the_bus(car, protocol):
    """J1939 single frames, broadcasts and sessions of two other nodes, with one that is broken."""
    agent = start_agent(car, protocol)
    log = Log()
    log.frame(0x18FECA21, payload(1, 8))
    log.broadcast(NODE, DM1, payload(10, 18))
    log.broadcast(NODE + 1, DM1, payload(20, 18), leave_out=[2])
    log.broadcast(NODE, DM1, payload(30, 25))
    log.session(NODE, NODE + 1, PROP_A, payload(40, 40))
    log.play(car)
    agent.wait("all payloads", lambda s: s["j1939_messages"] >= 3)
    agent.wait("the broken one", lambda s: s["j1939_errors"] >= 1)
    status = finish(agent)
    assert status["j1939_messages"] == 3 and status["j1939_errors"] == 1
    if protocol == "kernel":
        assert f"pgn={DM1} from={NODE + 1} " in agent.log
    assert car.values("can0.DM1.First") == [3, 12, 32]
    assert car.values("can0.DM1.Ninth") == [18, 38]
    assert car.values("can0.DM1.Last") == [27, 47]
    assert car.values("can0.PROP_A.Tag") == [40]
    assert car.values("can0.PROP_A.End") == [78 | 79 << 8]


def test_session_with_us(car):
    """The kernel answers J1939 sessions of up to 1785 bytes with our address, and hands them over."""
    car.up("can0", "can1")
    dump = car.start("exec candump -L can1 >/run/test/j1939.log")
    node = car.start(f"exec j1939_node can0 {NODE:X} FEDA=1785 EF00=40")
    agent = start_agent(car, "kernel", OWN, {
        "long": {"ids": "0xFEDA", "period_ms": "3000", "destination": NODE},
        "short": {"ids": "0xEF00", "period_ms": "500", "destination": NODE}})
    agent.wait("payloads", lambda s: s["j1939_messages"] >= 10, 40)
    car.run("sleep 1")
    car.signal(node, "KILL")  # what nobody answers any more comes to rest
    status = finish(agent)
    car.signal(dump, "TERM")
    assert status["j1939_errors"] == 0
    tags, tails = car.values("can0.PROP_A.Tag"), car.values("can0.SOFT.Tail")
    assert set(tags) == {1} and set(car.values("can0.PROP_A.End")) == {39 | 40 << 8}
    assert set(tails) == {20} and len(tags) + len(tails) == status["j1939_messages"]
    assert len(tails) >= 2
    # Clear to send, and the acknowledgement of the end, from our address.
    for control in ("11", "13"):
        found = car.run(f"grep -c 'EC{NODE:02X}{OWN:02X}#{control}' /run/test/j1939.log").out
        assert int(found) >= status["j1939_messages"]


@BOTH
def test_requests(car, protocol, note):
    """PGNs that are sent on request only: asked for by schedule, answered, long ones too."""
    alone = protocol == "kernel"
    polls = {
        "hours": {"ids": "65253", "period_ms": "200"},
        "soft": {"ids": "0xFEDA", "period_ms": "500", "destination": NODE if alone else 255},
        "unknown": {"ids": f"{DM1}", "period_ms": "500", "destination": NODE},
    }
    car.up("can0", "can1")
    node = car.start(f"exec j1939_node can0 {NODE:X} FEE5=8 FEDA=40 FECA=refused")
    agent = start_agent(car, protocol, OWN, polls)
    agent.wait("answers", lambda s: s["j1939_messages"] >= 3 and s["j1939_requests"] >= 15)
    if protocol == "kernel":  # the other way refusals are not listened to
        agent.wait_log("j1939_refused")
    car.signal(node, "KILL")
    status = finish(agent)
    assert agent.log.count("j1939_refused") == (1 if protocol == "kernel" else 0)
    hours, tails = car.values("can0.HOURS.TotalHours"), car.values("can0.SOFT.Tail")
    asked = [line for line in node.out.splitlines() if line.startswith(f"{OWN:02X} ")]
    assert set(asked) <= {f"{OWN:02X} FF 0FEE5", f"{OWN:02X} {NODE if alone else 255:02X} 0FEDA",
                          f"{OWN:02X} {NODE:02X} 0FECA"}
    assert len(asked) >= 15
    assert set(hours) == {round(0x04030201 * 0.05, 9)} and len(hours) >= 5
    assert set(tails) == {20} and len(tails) >= 3
    assert status["j1939_errors"] == 0
    note(f"{protocol}: {len(asked)} requests, {len(hours)} and {len(tails)} answers")


def test_address_claimed_and_lost(car):
    """An own J1939 address is claimed with a NAME, defended, and given up to a lower one."""
    car.up("can0", "can1")
    dump = car.start("exec candump -L can0 >/run/test/claim.log")
    agent = start_agent(car, "kernel", OWN, {"hours": {"ids": "65253", "period_ms": "200"}},
                        name="8000A0B0C0D0E0F1")
    agent.wait_log("j1939_claimed")
    agent.wait("requests", lambda s: s["j1939_requests"] >= 3)
    car.run(f"cansend can0 18EEFF{OWN:02X}#F2E0D0C0B0A00080")  # a higher NAME: has to go
    agent.wait("requests", lambda s: s["j1939_requests"] >= 8)
    car.run(f"cansend can0 18EEFF{OWN:02X}#F0E0D0C0B0A00080")  # a lower one
    agent.wait_log("j1939_address_lost")
    car.run("sleep 1.5")  # longer than the status file lags behind
    asked = agent.status["j1939_requests"]
    car.run("sleep 1.5")
    assert agent.status["j1939_requests"] == asked
    assert agent.stop()[0] == 0
    car.signal(dump, "TERM")
    ours = car.run("grep '#F1E0D0C0B0A00080' /run/test/claim.log").out.splitlines()
    ours = [line.split()[2][2:8] for line in ours]
    # A claim that a busy machine was late with is sent again.
    assert ours[-1] == "EEFFFE" and set(ours[:-1]) == {f"EEFF{OWN:02X}"} and len(ours) >= 3
    assert "j1939_address_doubled" not in agent.log


def test_interface_goes(car):
    """A J1939 interface goes down and comes back."""
    agent = start_agent(car, "kernel")
    log = Log()
    log.broadcast(NODE, DM1, payload(10, 18))
    log.play(car)
    agent.wait("the first", lambda s: s["j1939_messages"] >= 1)
    car.run("ip link set can1 down")
    agent.wait_log("the interface is down")
    car.run("ip link set can1 up")
    agent.wait("it is open again", lambda _: agent.log.count("source_open") == 2)
    log.play(car)
    agent.wait("the second", lambda s: s["j1939_messages"] >= 2)
    finish(agent)
    assert car.values("can0.DM1.Last") == [27, 27]


@pytest.fixture
def without_j1939(car):
    """A kernel that has no CAN_J1939, as many have."""
    module = car.run("grep j1939 /lib/modules/load").out.strip()
    # Sessions of sockets that are closed hold on to it for a while.
    car.run("for i in $(seq 100); do rmmod can_j1939 2>/dev/null && exit 0; sleep 0.1; done; exit 1")
    yield
    car.run(f"insmod {module}")


def test_kernel_without_j1939(car, without_j1939):
    """A kernel without J1939: raw frames are taken instead, and said so; protocol=kernel waits."""
    agent = start_agent(car, "auto")
    agent.wait_log("this kernel has no CAN_J1939")
    log = Log()
    log.broadcast(NODE, DM1, payload(10, 18))
    log.play(car)
    agent.wait("the payload", lambda s: s["j1939_messages"] >= 1)
    finish(agent)
    assert car.values("can0.DM1.Last") == [27]
    agent = car.conf({"can1": {"type": "j1939", "bus": "can0", "protocol": "kernel"}},
                     name="kernel").start()
    agent.wait_log("this kernel has no SocketCAN with CAN_J1939")
    assert agent.stop()[0] == 0
