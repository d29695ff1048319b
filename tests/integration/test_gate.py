"""The gate in a real Mosquitto, over mutual TLS: who gets in, what they may do, what is refused."""

import os
import re
import signal
import ssl
import subprocess
import time

import pytest
from conftest import DEVICE, DRIVE_DBC, VEHICLE, decoded, drive_conf
from helpers import assert_all_stored, drain, sanitized
from mqtt5 import Client
from stack import Stack, StackError, wait_for

OK, QOS_1, NOT_AUTHORIZED, KICKED = 0, 1, 0x87, 0x98
NO_SUBSCRIBER = 0x10
UP = f"tl/1/up/0/{VEHICLE}/tcu-1"
DOWN = f"tl/1/down/{VEHICLE}/tcu-1"
OTHER_VEHICLE = "3f2b8c52-6d0f-4b7e-9a51-000000000002"
MEMBERS = [f"device tcu-1 {VEHICLE} active", f"device tcu-2 {OTHER_VEHICLE} expected small",
           f"device tcu-gone {VEHICLE} retired", f"device tcu-bad {VEHICLE} suspended",
           "service towline-relay relay"]
LIMITS = ["limits small bulk=5/0/1000"]


class Pki:
    """Certificate authorities and what they sign, by the openssl program."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.ca("root")
        for name in ("device-ca", "service-ca", "server-ca"):
            self.ca(name, issuer="root")
        self.ca("stranger")
        self.leaf("server", "server-ca", "localhost", usage="serverAuth",
                  more="subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.bundle("clients.pem", "root", "device-ca", "service-ca")
        self.bundle("server-chain.pem", "server", "server-ca")
        self.bundle("everyone.pem", "root", "device-ca", "service-ca", "server-ca")

    def path(self, name):
        return self.folder / name

    def openssl(self, *argv):
        subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True, text=True)

    def bundle(self, out, *names):
        self.path(out).write_text("".join(self.path(f"{n}.crt").read_text() for n in names))

    def make(self, name, subject, extensions, issuer, dates=("-days", "2")):
        ext, csr = self.path(f"{name}.ext"), self.path(f"{name}.csr")
        ext.write_text(extensions)
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-subj", subject, "-keyout", self.path(f"{name}.key"), "-out", csr)
        signer = (["-CA", self.path(f"{issuer}.crt"), "-CAkey", self.path(f"{issuer}.key"),
                   "-CAcreateserial"] if issuer else ["-signkey", self.path(f"{name}.key")])
        self.openssl("x509", "-req", "-in", csr, "-extfile", ext, *signer, *dates,
                     "-out", self.path(f"{name}.crt"))

    def ca(self, name, issuer=None):
        self.make(name, f"/CN=test {name}", "basicConstraints=critical,CA:TRUE\n"
                  "keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n", issuer)

    def leaf(self, name, issuer, cn, usage="clientAuth", more="", dates=("-days", "2")):
        self.make(name, f"/CN={cn}", "basicConstraints=critical,CA:FALSE\n"
                  f"keyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n{more}\n",
                  issuer, dates)
        return name


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    pki = Pki(tmp_path_factory.mktemp("gate") / "pki")
    for device in ("tcu-1", "tcu-2", "tcu-gone", "tcu-bad", "tcu-nobody"):
        pki.leaf(device, "device-ca", device)
    pki.leaf("relay", "service-ca", "towline-relay")
    return pki


class TowlineCa:
    """The same of a stack's own hierarchy, made by towline ca."""

    NAMES = {"clients.pem": "ca/device-chain.pem", "server-chain.pem": "broker.crt",
             "server.key": "broker.key", "device-ca.crt": "ca/device-ca.crt",
             "service-ca.crt": "ca/service-ca.crt"}

    def __init__(self, stack):
        self.folder = stack.folder
        stack.server_certificate("broker", "127.0.0.1", "localhost")

    def path(self, name):
        return self.folder / self.NAMES[name]


class Gate:
    """A broker with the gate, and what it says."""

    def __init__(self, stack, pki, members=None, broker="", gate="", start=True):
        self.stack, self.pki, self.port = stack, pki, stack.broker_port
        self.metrics = stack.folder / "gate.prom"
        self.devices = stack.folder / "devices"
        self.state = stack.folder / "devices.state"
        self.plugin = stack.bin / "towline-gate.so"
        assert self.plugin.exists(), "towline-gate.so is not built: tools/setup has what it needs"
        if not self.devices.exists():
            self.write(members)
        user = "user root\n" if os.geteuid() == 0 else ""
        self.conf = stack.folder / "gate.conf"
        self.conf.write_text(
            f"{broker}\n{user}log_type all\nconnection_messages true\nallow_anonymous false\n"
            f"listener {self.port} 127.0.0.1\ncafile {pki.path('clients.pem')}\n"
            f"certfile {pki.path('server-chain.pem')}\nkeyfile {pki.path('server.key')}\n"
            f"require_certificate true\nplugin {self.plugin}\n"
            f"plugin_opt_devices {self.devices}\nplugin_opt_state {self.state}\n"
            f"plugin_opt_device_ca {pki.path('device-ca.crt')}\n"
            f"plugin_opt_service_ca {pki.path('service-ca.crt')}\n"
            f"plugin_opt_metrics {self.metrics}\nplugin_opt_metrics_s 1\n{gate}\n")
        if start:
            self.start()

    def environment(self):
        """A plugin built with a sanitizer needs its runtime to be there before the broker's own."""
        env = dict(os.environ)
        if sanitized(self.plugin):
            env["LD_PRELOAD"] = subprocess.run(
                ["clang", "-print-file-name=libclang_rt.asan-x86_64.so"], check=True,
                capture_output=True, text=True).stdout.strip()
            env["ASAN_OPTIONS"] = "detect_leaks=0"
        return env

    def start(self):
        before = len(self.log()) if hasattr(self, "broker") else 0
        self.broker = self.stack.spawn("gate", ["/usr/sbin/mosquitto", "-c", self.conf],
                                       env=self.environment())
        wait_for("the gate's broker", lambda: " running" in self.log()[before:],
                 process=self.broker)

    def write(self, members=None, end=None):
        lines = LIMITS + (MEMBERS if members is None else members)
        new = self.devices.with_suffix(".new")
        new.write_text("towline-gate 1\n# who may connect\n" + "\n".join(lines)
                       + (f"\nend {len(lines)}\n" if end is None else end))
        new.rename(self.devices)

    def client(self, name, **kwargs):
        return Client(self.port, self.pki.path("everyone.pem"), self.pki.path(f"{name}.crt"),
                      self.pki.path(f"{name}.key"), **kwargs)

    def admitted(self, name, client_id=None, **kwargs):
        c = self.client(name)
        assert c.connect(client_id or name, **kwargs) == OK, self.broker.log_tail()
        return c

    def log(self):
        return self.broker.log_text()

    def metric(self, name):
        if not self.metrics.exists():
            return 0
        return sum(float(line.split()[-1]) for line in self.metrics.read_text().splitlines()
                   if line.split()[0] == name)

    def assert_refused(self, reason, says="", n=1):
        """A line in the log, and the counter."""
        wait_for(f"a refusal of {reason} with {says}", lambda: any(
            f"refused reason={reason} " in s and says in s for s in self.log().splitlines()),
            process=self.broker)
        wait_for(f"the counter of {reason}", lambda: self.metric(
            f'towline_gate_refused_total{{reason="{reason}"}}') >= n, 5)


@pytest.fixture
def gate(stack, pki):
    return Gate(stack, pki)


# ---- who gets in ----

def test_device_and_relay_talk(gate):
    with gate.admitted("relay", "towline-relay") as relay, gate.admitted("tcu-1") as device:
        assert relay.subscribe("tl/1/up/#") == QOS_1
        assert relay.subscribe("$share/relays/tl/1/up/#") == QOS_1
        for order in ("receipt", "config", "cmd"):
            assert device.subscribe(f"{DOWN}/{order}") == QOS_1
        assert device.subscribe(f"tl/1/down/{VEHICLE}/direct/parking") == QOS_1
        for what in ("event", "live", "bulk", "log", "status", "reply/parking"):
            assert device.publish(f"{UP}/{what}", what.encode()) == OK
            got = [relay.message() for _ in range(2)]  # shared, too
            assert got == [(f"{UP}/{what}", what.encode())] * 2
        assert relay.publish(f"{DOWN}/receipt", b"got it") == OK
        assert device.message() == (f"{DOWN}/receipt", b"got it")
        assert "u'd:tcu-1'" in gate.log() and "u's:towline-relay'" in gate.log()
        wait_for("the counters", lambda: gate.metric("towline_gate_messages_total") == 6, 5)
        assert gate.metric("towline_gate_connected") == 1
        assert "refused" not in gate.log()


def refused_by_tls(gate, name):
    """TLS 1.3 tells a client that it is refused only after it is through with its own part."""
    before = len(gate.log())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with gate.client(name) as c:
            c.connect(name)
    wait_for("the broker's log line", lambda: "OpenSSL Error" in gate.log()[before:], 5)
    assert gate.metric("towline_gate_admitted_devices_total") == 0
    return gate.log()[before:]


def test_certificates_that_no_ca_of_ours_has_signed(gate, pki):
    pki.leaf("wrong-ca", "stranger", "tcu-1")
    pki.leaf("self-signed", None, "tcu-1")
    assert "verify failed" in refused_by_tls(gate, "wrong-ca")
    assert "verify failed" in refused_by_tls(gate, "self-signed")


def test_certificates_out_of_their_time_or_of_another_purpose(gate, pki):
    pki.leaf("expired", "device-ca", "tcu-1", dates=("-days", "-1"))
    pki.leaf("not-a-client", "device-ca", "tcu-1", usage="serverAuth")
    assert "verify failed" in refused_by_tls(gate, "expired")
    assert "verify failed" in refused_by_tls(gate, "not-a-client")


def test_no_certificate(gate, pki):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with Client(gate.port, pki.path("everyone.pem")) as c:
            c.connect("tcu-1")
    wait_for("the broker's log line", lambda: "did not return a certificate" in gate.log(), 5)


def test_devices_that_may_not(gate):
    for device, reason in (("tcu-nobody", "unknown"), ("tcu-gone", "retired"),
                           ("tcu-bad", "suspended")):
        with gate.client(device) as c:
            assert c.connect(device) == NOT_AUTHORIZED
        gate.assert_refused(reason, f"name={device}")


def test_a_device_ca_makes_no_relay_and_a_service_ca_no_device(gate, pki):
    pki.leaf("forged-relay", "device-ca", "towline-relay")
    pki.leaf("forged-device", "service-ca", "tcu-1")
    with gate.client("forged-relay") as c:
        assert c.connect("towline-relay") == NOT_AUTHORIZED
    with gate.client("forged-device") as c:
        assert c.connect("tcu-1") == NOT_AUTHORIZED
    gate.assert_refused("unknown", "name=towline-relay")
    gate.assert_refused("unknown", "name=tcu-1", 2)


def test_a_certificate_of_the_root_itself(gate, pki):
    pki.leaf("by-root", "root", "tcu-1")
    with gate.client("by-root") as c:
        assert c.connect("tcu-1") == NOT_AUTHORIZED
    gate.assert_refused("issuer")


def test_names_that_are_none(gate, pki):
    pki.leaf("odd", "device-ca", "tcu 1")
    pki.leaf("two", "device-ca", "tcu-1/CN=tcu-2")
    for name in ("odd", "two"):
        with gate.client(name) as c:
            assert c.connect("tcu-1") == NOT_AUTHORIZED
    gate.assert_refused("name", n=2)


def test_another_devices_client_id_and_username(gate):
    with gate.admitted("tcu-2") as victim:
        with gate.client("tcu-1") as c:
            assert c.connect("tcu-2", clean=False, username="d:tcu-2") == NOT_AUTHORIZED
        gate.assert_refused("client_id", "name=tcu-1 what=tcu-2")
        assert victim.publish(f"tl/1/up/0/{OTHER_VEHICLE}/tcu-2/bulk") == NO_SUBSCRIBER


def test_mqtt_3_cannot_be_told_of_refusals(gate):
    with gate.client("tcu-1") as c:
        assert c.connect("tcu-1", level=4) == 5  # MQTT 3.1.1: not authorized
    gate.assert_refused("protocol", "name=tcu-1")


def test_agent_and_relay_with_certificates_of_towline_ca(bin_dir, tmp_path, drive_log):
    """A suspended device loses nothing: all of it comes when it is let in again."""
    with Stack(bin_dir, tmp_path, tls=True) as stack:
        members = ["service relay relay", f"device {DEVICE} {VEHICLE} suspended"]
        gate = Gate(stack, TowlineCa(stack), members)
        stack.start_relay(mqtt={"client_id": "relay"})
        stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
        stack.add_vehicle(VEHICLE, DEVICE, stack.catalog)
        agent = stack.start_agent(drive_conf(stack, drive_log))
        gate.assert_refused("suspended", f"name={DEVICE}", 2)
        gate.write(members + [f"device {DEVICE} {VEHICLE} active"])
        expected = decoded(stack, drive_log)
        status = drain(stack, agent)
        assert status["samples_accepted"] == status["samples_acked"] == sum(map(len, expected.values()))
        assert_all_stored(stack, expected)
        refused = set(re.findall(r"refused reason=(\w+)", gate.log()))
        assert refused == {"suspended"}


# ---- what they may do ----

ANOTHERS = [
    f"tl/1/up/0/{OTHER_VEHICLE}/tcu-2/bulk", f"tl/1/up/0/{VEHICLE}/tcu-2/bulk",
    f"tl/1/up/0/{OTHER_VEHICLE}/tcu-1/bulk", f"{UP}/other", f"{UP}/bulk/more", f"{DOWN}/cmd",
    f"tl/1/presence/{VEHICLE}/tcu-1", f"tl/1/up/0/{OTHER_VEHICLE}/tcu-2/reply/parking",
    f"{UP}/reply/a/b"]
NOT_EXACT = [
    "#", "tl/1/down/#", f"tl/1/down/{VEHICLE}/#", f"tl/1/down/{VEHICLE}/+/receipt", f"{DOWN}/#",
    f"{DOWN}/+", f"tl/1/down/{VEHICLE}/direct/+", f"$share/x/{DOWN}/receipt",
    f"tl/1/down/{OTHER_VEHICLE}/tcu-2/receipt"]


def test_publish_on_anothers_topic(gate):
    with gate.admitted("tcu-1") as c:
        for topic in ANOTHERS:
            assert c.publish(topic) == NOT_AUTHORIZED
            gate.assert_refused("publish", f"name=d:tcu-1 what={topic} ")
        assert c.publish("$SYS/broker/uptime") == NOT_AUTHORIZED  # by the broker itself
        assert c.publish(f"{UP}/bulk", retain=True) == NOT_AUTHORIZED
        assert c.publish(f"{UP}/bulk") == NO_SUBSCRIBER  # still connected
    gate.assert_refused("publish", n=len(ANOTHERS) + 1)


def test_subscribe_with_wildcards_or_to_anothers(gate):
    with gate.admitted("tcu-1") as c:
        for topic in NOT_EXACT:
            assert c.subscribe(topic) == NOT_AUTHORIZED
            gate.assert_refused("subscribe", f"name=d:tcu-1 what={topic} ")
        assert c.subscribe("tl/1/up/#") == NOT_AUTHORIZED
        assert c.subscribe("tl/1/presence/#") == NOT_AUTHORIZED
        assert c.subscribe("$SYS/#") == NOT_AUTHORIZED
    gate.assert_refused("subscribe", n=len(NOT_EXACT) + 3)


def test_what_a_relay_may_not(gate):
    with gate.admitted("relay", "towline-relay") as c:
        for topic in (f"{UP}/bulk", f"{DOWN}/other", "tl/1/gate"):
            assert c.publish(topic) == NOT_AUTHORIZED
        assert c.publish(f"{DOWN}/receipt", retain=True) == NOT_AUTHORIZED
        for topic in ("#", "tl/1/#", "tl/1/down/#", f"{DOWN}/cmd"):
            assert c.subscribe(topic) == NOT_AUTHORIZED
    gate.assert_refused("publish", "name=s:towline-relay ", 4)
    gate.assert_refused("subscribe", "name=s:towline-relay what=#", 4)


def test_ten_megabytes(gate):
    with gate.admitted("tcu-1") as c:
        assert c.publish(f"{UP}/bulk", bytes(10 << 20)) == NOT_AUTHORIZED
        assert c.publish(f"{UP}/bulk", bytes(1 << 20)) == NO_SUBSCRIBER
    gate.assert_refused("too_large", "name=d:tcu-1")


def test_ten_megabytes_that_the_broker_need_not_read(stack, pki):
    gate = Gate(stack, pki, gate="max_packet_size 1100000")
    with gate.admitted("tcu-1") as c:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            c.publish(f"{UP}/bulk", bytes(10 << 20))
    with gate.admitted("tcu-1") as c:
        assert c.publish(f"{UP}/bulk", bytes(1 << 20)) == NO_SUBSCRIBER


def test_flood(gate):
    """Five a second, ten at once: by the class and the device; others do not notice."""
    topic = f"tl/1/up/0/{OTHER_VEHICLE}/tcu-2"
    with gate.admitted("tcu-2") as c, gate.admitted("tcu-1") as other:
        started = time.monotonic()
        codes = [c.publish(f"{topic}/bulk") for _ in range(100)]
        most = 10 + 5 * (time.monotonic() - started) + 1
        assert 10 <= codes.count(NO_SUBSCRIBER) <= most
        assert codes[:10] == [NO_SUBSCRIBER] * 10
        assert set(codes) == {NO_SUBSCRIBER, NOT_AUTHORIZED}
        assert c.publish(f"{topic}/event") == NO_SUBSCRIBER
        assert c.publish(f"{topic}/bulk", bytes(1001)) == NOT_AUTHORIZED
        assert other.publish(f"{UP}/bulk") == NO_SUBSCRIBER
        gate.assert_refused("too_fast", "name=d:tcu-2", 100 - most)
        gate.assert_refused("too_large", "name=d:tcu-2")
        logged = len(re.findall("refused reason=too_fast", gate.log()))
        assert logged <= 20, "a flood of messages is no flood of log lines"
        time.sleep(0.5)
        assert c.publish(f"{topic}/bulk") == NO_SUBSCRIBER


# ---- changes ----

def without(members, device):
    return [m for m in members if m.split()[1] != device]


@pytest.mark.parametrize("change, reason", [
    ([f"device tcu-1 {VEHICLE} suspended"], "suspended"),
    ([f"device tcu-1 {VEHICLE} retired"], "retired"), ([], "unknown")])
def test_kicked_within_a_second(gate, change, reason):
    with gate.admitted("tcu-1") as c, gate.admitted("tcu-2") as other:
        gate.write(without(MEMBERS, "tcu-1") + change)
        changed = time.monotonic()
        assert c.wait_end(5) == KICKED
        assert time.monotonic() - changed < (3 if sanitized(gate.plugin) else 1)
        assert other.publish(f"tl/1/up/0/{OTHER_VEHICLE}/tcu-2/bulk") == NO_SUBSCRIBER
    assert f"kicked name=d:tcu-1 reason={reason}" in gate.log()
    with gate.client("tcu-1") as c:
        assert c.connect("tcu-1") == NOT_AUTHORIZED
    gate.assert_refused(reason, "name=tcu-1")
    assert gate.metric("towline_gate_kicked_total") == 1
    gate.write()
    wait_for("the device to be back", lambda: gate.log().count("loaded file=") == 3, 5)
    gate.admitted("tcu-1").sock.close()


def test_a_device_that_moves_to_another_vehicle_begins_anew(gate):
    with gate.admitted("tcu-1") as c:
        gate.write(without(MEMBERS, "tcu-1") + [f"device tcu-1 {OTHER_VEHICLE} active"])
        assert c.wait_end(5) == KICKED
    with gate.admitted("tcu-1") as c:
        assert c.publish(f"{UP}/bulk") == NOT_AUTHORIZED
        assert c.publish(f"tl/1/up/0/{OTHER_VEHICLE}/tcu-1/bulk") == NO_SUBSCRIBER


def test_bad_lines_are_named_and_cost_nothing_else(gate):
    with gate.admitted("tcu-2") as c:
        gate.write(MEMBERS + [f"device tcu-3 {VEHICLE}", "devise x y", f"device tcu-1 {VEHICLE} sus"])
        wait_for("the new file", lambda: "bad_lines=3" in gate.log(), 5)
        for line in (9, 10, 11):
            assert f"bad_line {gate.devices}:{line}: " in gate.log()
        assert c.publish(f"tl/1/up/0/{OTHER_VEHICLE}/tcu-2/bulk") == NO_SUBSCRIBER
    with gate.client("tcu-1") as c:  # what its last line means is not known
        assert c.connect("tcu-1") == NOT_AUTHORIZED


def test_half_a_file_changes_nothing(gate):
    with gate.admitted("tcu-1") as c:
        gate.write([], end="")
        wait_for("the refusal", lambda: "load_failed" in gate.log(), 5)
        gate.write([], end="\nend 7\n")
        wait_for("the refusal", lambda: gate.log().count("load_failed") == 2, 5)
        assert c.publish(f"{UP}/bulk") == NO_SUBSCRIBER
        wait_for("the counter", lambda: gate.metric("towline_gate_loads_failed_total") == 2, 5)


def test_a_cold_start_with_a_file_that_is_gone(gate):
    gate.broker.stop()
    gate.devices.unlink()
    gate.start()
    assert "admits whom it admitted before" in gate.log()
    with gate.admitted("tcu-1") as c:
        assert c.publish(f"{UP}/bulk") == NO_SUBSCRIBER
    with gate.client("tcu-bad") as c:
        assert c.connect("tcu-bad") == NOT_AUTHORIZED


def test_another_ca_at_sighup(stack, pki):
    ca = stack.folder / "device-ca.crt"
    ca.write_text(pki.path("device-ca.crt").read_text())
    gate = Gate(stack, pki, gate=f"plugin_opt_device_ca {ca}")
    ca.write_text("no certificate")
    gate.broker.send_signal(signal.SIGHUP)
    wait_for("the complaint", lambda: "reload_failed" in gate.log(), process=gate.broker)
    gate.admitted("tcu-1").sock.close()
    ca.write_text(pki.path("stranger.crt").read_text() + pki.path("device-ca.crt").read_text())
    gate.broker.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    gate.admitted("tcu-1").sock.close()
    ca.write_text(pki.path("stranger.crt").read_text())
    gate.broker.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    with gate.client("tcu-1") as c:
        assert c.connect("tcu-1") == NOT_AUTHORIZED
    gate.assert_refused("issuer", "name=tcu-1")


# ---- presence and sessions ----

def test_presence(gate):
    topic = f"tl/1/presence/{VEHICLE}/tcu-1"
    with gate.admitted("relay", "towline-relay") as relay:
        assert relay.subscribe("tl/1/presence/#") == QOS_1
        with gate.admitted("tcu-1"):
            assert relay.message() == (topic, b"online")
        assert relay.message() == (topic, b"offline")
        first = gate.admitted("tcu-1")
        assert relay.message() == (topic, b"online")
        with gate.admitted("tcu-1"):  # takes its own session over: is still there
            assert relay.message() == (topic, b"online")
            first.sock.close()
            with gate.admitted("tcu-2"):
                assert relay.message() == (f"tl/1/presence/{OTHER_VEHICLE}/tcu-2", b"online")
            assert relay.message() == (f"tl/1/presence/{OTHER_VEHICLE}/tcu-2", b"offline")
            gate.write(without(MEMBERS, "tcu-1"))
            assert relay.message() == (topic, b"offline")


def test_presence_is_retained_and_ends_with_the_broker(stack, pki):
    store = f"persistence true\npersistence_location {stack.folder}/\nautosave_interval 1\n" \
            "autosave_on_changes true\n"
    gate = Gate(stack, pki, broker=store)
    device = gate.admitted("tcu-1")
    with gate.admitted("relay", "towline-relay") as relay:
        relay.subscribe("tl/1/presence/#")
        assert relay.message() == (f"tl/1/presence/{VEHICLE}/tcu-1", b"online")
    wait_for("the broker's store", (stack.folder / "mosquitto.db").exists, 10)
    gate.broker.kill()
    gate.broker.wait()
    device.sock.close()
    gate.start()
    time.sleep(0.5)
    with gate.admitted("relay", "towline-relay") as relay:
        relay.subscribe("tl/1/presence/#")
        with gate.admitted("tcu-2"):
            assert relay.message() == (f"tl/1/presence/{OTHER_VEHICLE}/tcu-2", b"online")


def test_what_comes_while_a_device_is_away_is_kept_for_it(gate):
    with gate.admitted("tcu-1", clean=False, expiry_s=600) as c:
        assert c.subscribe(f"{DOWN}/cmd") == QOS_1
    with gate.admitted("relay", "towline-relay") as relay:
        wait_for("its end", lambda: gate.metric("towline_gate_connected") == 0, 5)
        assert relay.publish(f"{DOWN}/cmd", b"unlock") == OK
    with gate.admitted("tcu-1", clean=False, expiry_s=600) as c:
        assert c.message() == (f"{DOWN}/cmd", b"unlock")


# ---- the broker's settings ----

def test_settings_of_listeners_stop_the_clock_and_so_let_nobody_in(stack, pki):
    gate = Gate(stack, pki, start=False)
    conf = gate.conf.read_text().replace("allow_anonymous false\n", "")
    gate.conf.write_text("per_listener_settings true\n" + conf + "allow_anonymous false\n")
    gate.start()
    with gate.client("tcu-1") as c:
        assert c.connect("tcu-1") == NOT_AUTHORIZED
    assert "refused reason=no_tick" in gate.log()


def test_names_by_the_broker_pass_the_gate_by_and_may_do_nothing(stack, pki):
    gate = Gate(stack, pki, gate="use_identity_as_username true")
    with gate.client("tcu-1") as c:
        assert c.connect("tcu-1") == OK
        assert c.publish(f"{UP}/bulk") == NOT_AUTHORIZED
        assert c.subscribe(f"{DOWN}/receipt") == NOT_AUTHORIZED
    gate.assert_refused("bypassed", "name=tcu-1", 2)


@pytest.mark.parametrize("option, says", [
    ("plugin_opt_color red", "plugin_opt_color is unknown"),
    ("plugin_opt_metrics_s often", "metrics_s 'often'"),
    ("plugin_opt_limit_bulk 1/2", "limit '1/2' is not"),
    ("plugin_opt_limit_bulky 1/2/3", "limit_bulky: no such class"),
    ("plugin_opt_device_ca /dev/null", "/dev/null: no certificate in PEM")])
def test_options_that_are_wrong_keep_the_broker_from_starting(stack, pki, option, says):
    gate = Gate(stack, pki, gate=option, start=False)
    with pytest.raises(StackError):
        gate.start()
    assert "start_failed" in gate.log() and says in gate.log()
