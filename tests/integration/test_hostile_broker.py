"""Brokers that are broken or set up wrongly: the agent keeps its rows, and keeps calm meanwhile."""

import os
import socket
import socketserver
import struct
import threading
import time

import pytest
from conftest import DEVICE, DRIVE_DBC, VEHICLE, drive_conf
from helpers import drain
from stack import wait_for

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ = 1, 3, 8, 12
QUOTA_EXCEEDED, NO_SUBSCRIBER = 0x97, 0x10
TRIAL_S = 2


class Broker(socketserver.ThreadingTCPServer):
    """The least of MQTT 5 that a client talks to. Knows no subscribers, keeps nothing."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port, properties=b"", suback=True, puback=0, hang_up=False):
        super().__init__(("127.0.0.1", port), Client)
        self.properties, self.suback, self.puback = properties, suback, puback
        self.hang_up = hang_up
        self.connects = self.publishes = 0
        self.sockets = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()
        for s in self.sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Client(socketserver.StreamRequestHandler):
    def packet(self):
        kind, length, shift = self.rfile.read(1)[0], 0, 0
        while True:
            byte = self.rfile.read(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return kind >> 4, kind & 15, self.rfile.read(length)

    def answer(self, kind, body):
        self.wfile.write(bytes([kind << 4, len(body)]) + body)

    def handle(self):
        self.server.sockets.append(self.request)
        try:
            while self.take(*self.packet()):
                pass
        except (IndexError, OSError):
            pass

    def take(self, kind, flags, body):
        b = self.server
        if kind == CONNECT:
            b.connects += 1
            self.answer(2, bytes([0, 0, len(b.properties)]) + b.properties)
        elif kind == SUBSCRIBE and b.suback:
            self.answer(9, body[:2] + bytes([0, 1]))
        elif kind == PINGREQ:
            self.answer(13, b"")
        elif kind == PUBLISH:
            b.publishes += 1
            at = 2 + struct.unpack(">H", body[:2])[0]
            if b.hang_up:
                return False
            if b.puback is not None and flags & 6:
                self.answer(4, body[at:at + 2] + bytes([b.puback]))
        return True


def cpu_s(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


TRIALS = {
    "no_puback": dict(puback=None),
    "no_suback": dict(suback=False),
    "hangs_up": dict(hang_up=True),
    "refuses": dict(puback=QUOTA_EXCEEDED),
    "nobody_listens": dict(puback=NO_SUBSCRIBER),
    "one_at_a_time": dict(properties=b"\x21\0\1", puback=None),
    "tiny_packets": dict(properties=b"\x27\0\0\0\x64"),
}
# What may be sent in a trial: few rows while nobody has given a receipt.
PUBLISHES_MOST = {"no_suback": 0, "one_at_a_time": 1, "tiny_packets": 0}


@pytest.mark.parametrize("trial", TRIALS)
def test_broken_broker(stack, drive_log, trial):
    broker = Broker(stack.broker_port, **TRIALS[trial])
    stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
    agent = stack.start_agent(drive_conf(stack, drive_log, batch={"max_samples": 512}))
    wait_for("a connection", lambda: broker.connects > 0, process=agent)
    time.sleep(1)
    before = cpu_s(agent.pid)
    time.sleep(TRIAL_S)
    busy = (cpu_s(agent.pid) - before) / TRIAL_S
    status = stack.agent_status(DEVICE)
    broker.stop()
    print(f"{trial}: busy={busy:.3f} connects={broker.connects} publishes={broker.publishes} "
          f"rows={status['outbox_rows']}")
    assert busy < 0.1
    assert broker.publishes <= PUBLISHES_MOST.get(trial, 100)
    assert status["outbox_rows"] >= 20
    assert status["batches_quarantined"] == status["samples_acked"] == 0

    # And all of it is there as soon as the broker is one.
    stack.start_broker()
    stack.start_relay()
    stack.add_vehicle(VEHICLE, DEVICE, stack.catalog)
    status = drain(stack, agent)
    assert status["samples_accepted"] == status["samples_acked"] > 0
    assert status["outbox_rows"] == status["gaps_published"] == 0
