"""A broker, a relay and vehicles on loopback, for the demo and the integration tests.

Everything lives in one temporary folder and dies with Stack.close(). Only the standard library.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED_DATA = ROOT.parent / "shared" / "data"


class StackError(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, timeout_s=15.0, process=None):
    """Polls until condition() is truthy and returns it; gives up early when process ends."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if process is not None and process.poll() is not None:
            raise StackError(f"{process.name} ended with {process.returncode} while waiting for "
                             f"{what}:\n{process.log_tail()}")
        if time.monotonic() > deadline:
            tail = "\n" + process.log_tail() if process is not None else ""
            raise StackError(f"waited {timeout_s} s for {what}{tail}")
        time.sleep(0.02)


class Process(subprocess.Popen):
    """A child whose standard error goes to a file in the stack's folder."""

    def __init__(self, name, argv, log, **kwargs):
        self.name = name
        self.log = log
        with open(log, "ab") as out:
            kwargs.setdefault("stdout", out)
            kwargs.setdefault("stdin", subprocess.DEVNULL)
            # A session of its own: Ctrl-C reaches only the stack, which stops its children in order.
            super().__init__([str(a) for a in argv], stderr=out, start_new_session=True,
                             **kwargs)

    def log_text(self):
        return self.log.read_text(errors="replace")

    def log_tail(self, lines=15):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def stop(self, timeout_s=10.0, signo=signal.SIGTERM):
        """Ends it and returns its exit code; a child that does not end is an error."""
        if self.poll() is None:
            self.send_signal(signo)
        try:
            return self.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()
            raise StackError(f"{self.name} did not end within {timeout_s} s of {signo.name}:\n"
                             f"{self.log_tail()}") from None


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Stack:
    """One broker and one relay, started on demand, and any number of vehicles. With tls all of them
    talk over mutual TLS, with certificates of a hierarchy made for this stack; the openssl program
    makes the keys of devices."""

    def __init__(self, bin_dir, folder=None, tls=False):
        self.bin = pathlib.Path(bin_dir).resolve()
        self.own_folder = folder is None
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="towline-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes = []
        self.broker_port = free_port()
        self.broker = None
        self.relay = None
        self.tls = tls
        if tls:
            self.towline("ca", "init", self.folder / "ca")

    # ---- certificates ----

    def server_certificate(self, name, *sans):
        """Makes NAME.crt, with its chain, and NAME.key in the stack's folder."""
        self.towline("ca", "server", self.folder / "ca", "--out", self.folder / name,
                     *[a for san in sans for a in ("--san", san)])

    def service_certificate(self, name, *options):
        self.towline("ca", "service", self.folder / "ca", "--name", name,
                     "--out", self.folder / name, *options)

    def device_certificate(self, device, *options):
        """The key is kept, when there is one."""
        key, csr, crt = (self.folder / f"{device}.{end}" for end in ("key", "csr", "crt"))
        if not key.exists():
            run_openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-out", key)
        run_openssl("req", "-new", "-key", key, "-subj", f"/CN={device}", "-out", csr)
        self.towline("ca", "device", self.folder / "ca", "--csr", csr, "--device", device,
                     "--out", crt, *options)

    def mqtt_keys(self, name):
        """[mqtt] of a client whose certificate has this name."""
        keys = {"uri": f"mqtt://127.0.0.1:{self.broker_port}", "backoff_min_ms": 100,
                "backoff_max_ms": 1000}
        if self.tls:
            keys |= {"uri": f"mqtts://127.0.0.1:{self.broker_port}",
                     "ca": self.folder / "ca" / "ca-bundle.pem",
                     "certificate": self.folder / f"{name}.crt",
                     "key": self.folder / f"{name}.key"}
        return keys

    # ---- life ----

    def spawn(self, name, argv, **kwargs):
        p = Process(name, argv, self.folder / f"{name}.log", **kwargs)
        self.processes.append(p)
        return p

    def close(self):
        for p in reversed(self.processes):
            if p.poll() is None:
                p.terminate()
        for p in reversed(self.processes):
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- broker ----

    def start_broker(self, extra=""):
        conf = self.folder / "mosquitto.conf"
        if self.tls:
            self.server_certificate("broker", "127.0.0.1", "localhost")
            # As root Mosquitto reads its key before, and its CAs after it has become another user.
            extra = ("user root\nrequire_certificate true\nuse_identity_as_username true\n"
                     f"cafile {self.folder}/ca/device-chain.pem\n"
                     f"certfile {self.folder}/broker.crt\n"
                     f"keyfile {self.folder}/broker.key\n" + extra)
        conf.write_text(f"listener {self.broker_port} 127.0.0.1\n"
                        "allow_anonymous true\n"
                        "persistence false\n"
                        "max_queued_messages 10000\n"
                        "log_type error\nlog_type warning\n" + extra)
        self.broker = self.spawn("mosquitto", ["/usr/sbin/mosquitto", "-c", conf])
        wait_for("the broker's port", self.broker_answers, process=self.broker)
        return self.broker

    def broker_answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.broker_port), 1).close()
            return True
        except OSError:
            return False

    # ---- relay ----

    def relay_conf(self, **sections):
        values = {
            "relay": {"data_dir": self.folder / "relay"},
            "mqtt": self.mqtt_keys("relay"),
            "http": {"listen": "127.0.0.1", "port": 0},
        }
        for section, keys in sections.items():
            values.setdefault(section, {}).update(keys)
        (self.folder / "relay").mkdir(exist_ok=True)
        return write_ini(self.folder / "relay.conf", values)

    def start_relay(self, wait_broker=True, **sections):
        if self.tls and not (self.folder / "relay.crt").exists():
            self.service_certificate("relay")
        conf = self.relay_conf(**sections)
        port_file = self.folder / "relay" / "http.port"
        port_file.unlink(missing_ok=True)
        self.relay = self.spawn("towline-relay", [self.bin / "towline-relay", "-c", conf])
        wait_for("the relay's HTTP port", port_file.exists, process=self.relay)
        self.relay_url = f"http://127.0.0.1:{int(port_file.read_text())}"
        if wait_broker:
            wait_for("a healthy relay", lambda: self.get("/healthz").status == 200,
                     process=self.relay)
        return self.relay

    def request(self, method, path, body=None, content_type="application/json", timeout_s=30):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        request = urllib.request.Request(self.relay_url + path, data=body, method=method)
        if body is not None:
            request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as r:
                return Answer(r.status, r.headers, r.read())
        except urllib.error.HTTPError as e:
            return Answer(e.code, e.headers, e.read())

    def get(self, path, **kwargs):
        return self.request("GET", path, **kwargs)

    def metric(self, name, **labels):
        """Sum over the series of that name that carry these labels; 0 if there is none."""
        total = 0.0
        for line in self.get("/metrics").body.decode().splitlines():
            series, _, value = line.rpartition(" ")
            if series.split("{")[0] == name and all(
                    f'{k}="{v}"' in series for k, v in labels.items()):
                total += float(value)
        return total

    # ---- vehicles ----

    def towline(self, *argv, check=True, **kwargs):
        env = dict(os.environ, TOWLINE_RELAY=getattr(self, "relay_url", ""))
        r = subprocess.run([self.bin / "towline", *map(str, argv)], env=env, text=True,
                           stdin=subprocess.DEVNULL, capture_output=True, **kwargs)
        if check and r.returncode != 0:
            raise StackError(f"towline {' '.join(map(str, argv))}: exit {r.returncode}\n{r.stderr}")
        return r

    def build_catalog(self, name, dbcs):
        """dbcs: {"can0": path}. Returns the compiled catalog's path."""
        out = self.folder / f"{name}.catalog"
        self.towline("catalog", "build", "-o", out,
                     *[a for bus, path in dbcs.items() for a in ("--dbc", f"{bus}={path}")])
        return out

    def add_vehicle(self, vehicle, device, catalog=None, name=None):
        if catalog is not None:
            self.towline("catalog", "push", catalog)
        self.towline("vehicle", "add", "--id", vehicle, "--device", device,
                     *(["--name", name] if name else []))

    def agent_conf(self, vehicle, device, catalog, source, collect=None, **sections):
        values = {
            "agent": {"vehicle": vehicle, "device": device,
                      "data_dir": self.folder / f"agent-{device}",
                      "status_file": self.folder / f"agent-{device}.json"},
            "catalog": {"file": catalog},
            "mqtt": self.mqtt_keys(device),
            "source bus": source,
            "collect all": collect or {"signals": "*", "mode": "every"},
        }
        for section, keys in sections.items():
            values.setdefault(section, {}).update(keys)
        if self.tls and not (self.folder / f"{device}.crt").exists():
            self.device_certificate(device)
        (self.folder / f"agent-{device}").mkdir(exist_ok=True)
        return write_ini(self.folder / f"agent-{device}.conf", values)

    def start_agent(self, conf):
        name = conf.stem
        return self.spawn(name, [self.bin / "towline-agent", "-c", conf])

    def agent_status(self, device):
        path = self.folder / f"agent-{device}.json"
        return json.loads(path.read_text()) if path.exists() else {}


def run_openssl(*argv):
    r = subprocess.run(["openssl", *map(str, argv)], stdin=subprocess.DEVNULL, capture_output=True,
                       text=True)
    if r.returncode != 0:
        raise StackError(f"openssl {' '.join(map(str, argv))}: exit {r.returncode}\n{r.stderr}")


def write_ini(path, sections):
    """A None value leaves the key out. Booleans are written as true and false."""
    def text(v):
        return str(v).lower() if isinstance(v, bool) else str(v)

    lines = []
    for section, keys in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{k} = {text(v)}" for k, v in keys.items() if v is not None]
    path.write_text("\n".join(lines) + "\n")
    return path
