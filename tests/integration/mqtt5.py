"""As much of an MQTT 5 client as it takes to see what a broker answers: each answer's reason code."""

import socket
import ssl
import struct

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, DISCONNECT = 1, 2, 3, 4, 8, 9, 14
NO_ANSWER = None


def text(s):
    raw = s.encode()
    return struct.pack(">H", len(raw)) + raw


def varint(n):
    out = bytearray()
    while True:
        n, byte = n >> 7, n & 127
        out.append(byte | (128 if n else 0))
        if not n:
            return bytes(out)


class Client:
    def __init__(self, port, ca=None, certificate=None, key=None, timeout_s=10):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.id = 0
        self.ended = None  # reason code of the broker's DISCONNECT
        self.messages = []
        if ca:
            context = ssl.create_default_context(cafile=ca)
            if certificate:
                context.load_cert_chain(certificate, key)
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def send(self, kind, flags, body):
        self.sock.sendall(bytes([kind << 4 | flags]) + varint(len(body)) + body)

    def exactly(self, n):
        got = b""
        while len(got) < n:
            piece = self.sock.recv(n - len(got))
            if not piece:
                raise ConnectionError("closed")
            got += piece
        return got

    def packet(self):
        kind, length, shift = self.exactly(1)[0], 0, 0
        while True:
            byte = self.exactly(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return kind >> 4, kind & 15, self.exactly(length)

    def until(self, wanted):
        """The body of the next packet of that kind; keeps messages that come before it."""
        while True:
            kind, flags, body = self.packet()
            if kind == PUBLISH:
                self.keep(flags, body)
            elif kind == DISCONNECT:
                self.ended = body[0] if body else 0
            if kind == wanted:
                return body
            if kind == DISCONNECT:
                raise ConnectionError(f"DISCONNECT 0x{self.ended:02x}")

    def keep(self, flags, body):
        n = struct.unpack(">H", body[:2])[0]
        topic, at = body[2:2 + n].decode(), 2 + n
        if flags & 6:
            mid, at = body[at:at + 2], at + 2
            self.send(PUBACK, 0, mid)
        self.messages.append((topic, body[at + 1 + body[at]:]))  # properties shorter than 128 bytes

    def connect(self, client_id, level=5, clean=True, expiry_s=0, username=None):
        """The reason code of CONNACK."""
        flags = (2 if clean else 0) | (128 if username else 0)
        body = text("MQTT") + bytes([level, flags]) + struct.pack(">H", 60)
        if level == 5:
            body += b"\x05\x11" + struct.pack(">I", expiry_s) if expiry_s else b"\x00"
        body += text(client_id) + (text(username) if username else b"")
        self.send(CONNECT, 0, body)
        return self.until(CONNACK)[1]

    def publish(self, topic, payload=b"x", retain=False):
        """The reason code of PUBACK."""
        self.id += 1
        self.send(PUBLISH, 2 | (1 if retain else 0),
                  text(topic) + struct.pack(">H", self.id) + b"\x00" + payload)
        body = self.until(PUBACK)
        assert struct.unpack(">H", body[:2])[0] == self.id
        return body[2] if len(body) > 2 else 0

    def subscribe(self, topic):
        """The reason code of SUBACK."""
        self.id += 1
        self.send(SUBSCRIBE, 2, struct.pack(">H", self.id) + b"\x00" + text(topic) + b"\x01")
        return self.until(SUBACK)[-1]

    def message(self, timeout_s=10):
        """The next message as (topic, payload)."""
        self.sock.settimeout(timeout_s)
        while not self.messages:
            kind, flags, body = self.packet()
            if kind == PUBLISH:
                self.keep(flags, body)
        return self.messages.pop(0)

    def wait_end(self, timeout_s=10):
        """The reason code of the broker's DISCONNECT; NO_ANSWER when it just hangs up."""
        self.sock.settimeout(timeout_s)
        try:
            self.until(DISCONNECT)
        except (ConnectionError, ssl.SSLError, ssl.SSLEOFError):
            pass
        return self.ended
