"""towline ca, and what the openssl program says of its certificates."""

import os
import subprocess

import pytest

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "4711"
EXIT_FAILED, EXIT_USAGE, EXIT_NOT_FOUND = 1, 2, 3


@pytest.fixture
def towline(bin_dir, tmp_path):
    """Runs `towline ca ...` in a folder of its own. Must end with code, and say what is given."""
    def run(*args, code=0, said=""):
        out = subprocess.run([bin_dir / "towline", "ca", *map(str, args)], cwd=tmp_path,
                             capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
        assert out.returncode == code, out.stdout + out.stderr
        assert said in out.stderr, out.stderr
        assert code or not out.stderr, out.stderr
        return out.stderr if code else out.stdout
    run.folder = tmp_path
    return run


@pytest.fixture
def ca(towline):
    towline("init", "ca", "--name", "Test")
    return towline


def openssl(folder, *args, code=0):
    run = subprocess.run(["openssl", *map(str, args)], cwd=folder, capture_output=True, text=True,
                         stdin=subprocess.DEVNULL, timeout=60)
    assert run.returncode == code, run.stdout + run.stderr
    return run.stdout + run.stderr


def make_csr(folder, name="dev1", curve="prime256v1", rsa=False, digest="-sha256", form="PEM"):
    """A device's key and request, by openssl. Returns the request's name."""
    key, csr = f"{name}.key", f"{name}.csr"
    if rsa:
        openssl(folder, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out",
                key)
    else:
        openssl(folder, "genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}",
                "-out", key)
    openssl(folder, "req", "-new", digest, "-key", key, "-subj", f"/O=Maker/CN={name}", "-addext",
            "basicConstraints=critical,CA:TRUE", "-addext", "subjectAltName=DNS:broker.example",
            "-outform", form, "-out", csr)
    return csr


def verify(folder, cert, purpose, code=0, trusted="ca/ca-bundle.pem", more=()):
    """What follows the certificate in its file is what a peer would send with it."""
    return openssl(folder, "verify", "-x509_strict", "-CAfile", trusted, "-untrusted", cert,
                   "-purpose", purpose, *more, cert, code=code)


# ---- what is made ----

def test_init(ca):
    folder = ca.folder / "ca"
    names = {f"{n}.{e}" for n in ("root", "device-ca", "server-ca", "service-ca")
             for e in ("key", "crt")} | {"device-chain.pem", "ca-bundle.pem"}
    assert {p.name for p in folder.iterdir()} == names
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == (0o600 if path.suffix == ".key" else 0o644), path
    for kind in ("device", "server", "service"):
        openssl(folder, "verify", "-x509_strict", "-CAfile", "ca-bundle.pem", f"{kind}-ca.crt")
        text = openssl(folder, "x509", "-in", f"{kind}-ca.crt", "-noout", "-text")
        assert f"Subject: CN = Test {kind.title()} CA" in text
        assert "CA:TRUE, pathlen:0" in text and "Certificate Sign, CRL Sign" in text
        assert ("TLS Web Server" if kind == "server" else "TLS Web Client") in text
        assert "NIST CURVE: P-256" in text and "ecdsa-with-SHA256" in text
    assert (folder / "device-chain.pem").read_text() == "".join(
        (folder / f"{n}.crt").read_text() for n in ("device-ca", "service-ca", "root"))


def test_init_never_overwrites(ca):
    folder = ca.folder / "ca"
    before = {p: p.read_bytes() for p in folder.iterdir()}
    ca("init", "ca", code=EXIT_FAILED, said="ca/root.key: cannot be written: File exists")
    assert {p: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_device(ca, form):
    csr = make_csr(ca.folder, form=form)
    ca("device", "ca", "--csr", csr, "--device", "dev1", "--out", "dev1.crt")
    verify(ca.folder, "dev1.crt", "sslclient")
    verify(ca.folder, "dev1.crt", "sslclient", trusted="ca/device-chain.pem")
    assert "unsuitable certificate purpose" in verify(ca.folder, "dev1.crt", "sslserver", code=2)
    text = openssl(ca.folder, "x509", "-in", "dev1.crt", "-noout", "-text")
    assert "Issuer: CN = Test Device CA" in text and "Subject: CN = dev1\n" in text
    assert "CA:FALSE" in text and "CA:TRUE" not in text
    assert "broker.example" not in text and "TLS Web Server" not in text
    openssl(ca.folder, "x509", "-in", "dev1.crt", "-noout", "-checkend", 89 * 86400)
    openssl(ca.folder, "x509", "-in", "dev1.crt", "-noout", "-checkend", 91 * 86400, code=1)
    printed = ca("device", "ca", "--csr", csr, "--device", "dev1", "--days", 7)
    (ca.folder / "week.crt").write_text(printed)
    openssl(ca.folder, "x509", "-in", "week.crt", "-noout", "-checkend", 8 * 86400, code=1)


def test_server(ca):
    ca("server", "ca", "--san", "broker.example", "--san", "127.0.0.1", "--out", "broker")
    assert (ca.folder / "broker.key").stat().st_mode & 0o777 == 0o600
    for more in (("-verify_hostname", "broker.example"), ("-verify_ip", "127.0.0.1")):
        verify(ca.folder, "broker.crt", "sslserver", more=more)
    out = verify(ca.folder, "broker.crt", "sslserver", code=2,
                 more=("-verify_hostname", "evil.example"))
    assert "hostname mismatch" in out
    verify(ca.folder, "broker.crt", "sslclient", code=2)


def test_service_is_renewed_with_its_key(ca):
    ca("service", "ca", "--name", "relay")
    key, cert = ((ca.folder / f"relay.{e}").read_bytes() for e in ("key", "crt"))
    verify(ca.folder, "relay.crt", "sslclient")
    assert "Issuer: CN = Test Service CA" in openssl(ca.folder, "x509", "-in", "relay.crt",
                                                     "-noout", "-text")
    ca("service", "ca", "--name", "relay")
    assert (ca.folder / "relay.key").read_bytes() == key
    assert (ca.folder / "relay.crt").read_bytes() != cert
    verify(ca.folder, "relay.crt", "sslclient")
    assert sorted(p.name for p in ca.folder.iterdir()) == ["ca", "relay.crt", "relay.key"]


def test_of_another_root(ca):
    ca("init", "other", "--name", "Test")  # the same names
    ca("service", "other", "--name", "relay")
    verify(ca.folder, "relay.crt", "sslclient", trusted="other/ca-bundle.pem")
    verify(ca.folder, "relay.crt", "sslclient", code=2)


# ---- what is refused ----

@pytest.mark.parametrize("how, why", [
    ({"rsa": True}, "its key is RSA, not P-256"),
    ({"curve": "secp384r1"}, "on the curve secp384r1, not P-256"),
    ({"digest": "-sha1"}, "not ECDSA with SHA-2"),
])
def test_requests_of_other_kinds(ca, how, why):
    csr = make_csr(ca.folder, **how)
    ca("device", "ca", "--csr", csr, "--device", "dev1", "--out", "c", code=EXIT_FAILED,
       said="dev1.csr: certificate request: ")
    ca("device", "ca", "--csr", csr, "--device", "dev1", "--out", "c", code=EXIT_FAILED, said=why)
    assert not (ca.folder / "c").exists()


def test_request_of_another_name(ca):
    csr = make_csr(ca.folder)
    ca("device", "ca", "--csr", csr, "--device", "dev2", code=EXIT_FAILED,
       said="dev1.csr: certificate request: it is for dev1, not for dev2")


@pytest.mark.parametrize("change, why", [
    (lambda der: der[:-1] + bytes([der[-1] ^ 1]), "does not prove its key"),
    (lambda der: der + b"\0", "1 bytes after its end"),
    (lambda der: der[:-1], "neither DER nor PEM"),
    (lambda der: os.urandom(500), "neither DER nor PEM"),
    (lambda der: b"", "0 bytes, not 1 to 8192"),
    (lambda der: bytes(9000), "more than 8192 bytes"),
])
def test_requests_that_are_broken(ca, change, why):
    path = ca.folder / make_csr(ca.folder, form="DER")
    path.write_bytes(change(path.read_bytes()))
    ca("device", "ca", "--csr", path, "--device", "dev1", code=EXIT_FAILED, said=why)


def test_wrong_usage(ca):
    ca("device", "ca", code=EXIT_USAGE, said="--csr FILE and --device ID")
    ca("device", "ca", "--csr", "x", "--device", "a/b", code=EXIT_USAGE, said="--device 'a/b'")
    ca("service", "ca", "--name", "../x", code=EXIT_USAGE, said="--name '../x'")
    ca("server", "ca", "--out", "x", code=EXIT_USAGE, said="--san")
    ca("server", "ca", "--san", "*.b", "--out", "x", code=EXIT_FAILED, said="'*.b': neither")
    ca("server", "ca", "--san", "a.b", "--out", "x", "--days", 0, code=EXIT_USAGE, said="--days")
    ca("device", "ca", "--csr", "none", "--device", "d", code=EXIT_NOT_FOUND, said="none: cannot")
    ca("service", "nowhere", "--name", "x", code=EXIT_NOT_FOUND, said="nowhere/service-ca.crt")
    assert sorted(p.name for p in ca.folder.iterdir()) == ["ca"]


def test_key_that_others_may_read(ca):
    (ca.folder / "ca" / "service-ca.key").chmod(0o640)
    ca("service", "ca", "--name", "x", code=EXIT_FAILED,
       said="service-ca.key: others may read this key (mode 640)")


def test_key_of_another_ca(ca):
    ca("service", "ca", "--name", "x", "--ca-key", "ca/device-ca.key", code=EXIT_FAILED,
       said="service-ca.crt: its key is not the one given")


# ---- show ----

def test_show(ca):
    ca("server", "ca", "--san", "broker.example", "--san", "::1", "--out", "broker")
    text = ca("show", "broker.crt")
    first, second = text.split("\n\n")
    assert "subject:      CN=broker.example\n" in first and "CN=Test Server CA\n" in first
    assert "valid, for 90 days more" in first and "names:        DNS:broker.example, IP:::1" in first
    digest = openssl(ca.folder, "x509", "-in", "broker.crt", "-noout", "-fingerprint", "-sha256")
    assert digest.strip().partition("=")[2].replace(":", "").lower() in first
    assert "usage:        CA (path length 0)" in second
    csr = make_csr(ca.folder, form="DER")
    assert "request of:   O=Maker, CN=dev1\n" in ca("show", csr)
    ca("show", "ca/root.key", code=EXIT_FAILED, said="ca/root.key: no certificate")
    ca("show", "none", code=EXIT_NOT_FOUND, said="none: cannot be read")


def test_show_says_expired_and_not_yet_valid(ca):
    openssl(ca.folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", "k", "-out", "c", "-subj", "/CN=old", "-days", 1)
    conf = "[ca]\ndefault_ca=c\n[c]\ndatabase=db\nserial=s\nnew_certs_dir=.\ndefault_md=sha256\n" \
           "policy=p\n[p]\ncommonName=supplied\n"
    (ca.folder / "conf").write_text(conf)
    (ca.folder / "s").write_text("01\n")
    openssl(ca.folder, "req", "-new", "-key", "k", "-subj", "/CN=old", "-out", "csr")
    for name, start, end, said in (("old", "20200101000000Z", "20200102000000Z", "EXPIRED "),
                                   ("new", "20900101000000Z", "20900102000000Z", "NOT YET VALID")):
        (ca.folder / "db").write_text("")
        openssl(ca.folder, "ca", "-batch", "-config", "conf", "-cert", "c", "-keyfile", "k", "-in",
                "csr", "-startdate", start, "-enddate", end, "-out", name)
        assert f"validity:     {said}" in ca("show", name)


# ---- keys in a token ----

@pytest.fixture
def token(ca, monkeypatch):
    """The device CA's key in a PKCS#11 token, and nowhere else. Returns its URI."""
    tokens = ca.folder / "tokens"
    tokens.mkdir()
    conf = ca.folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\n"
                    "log.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    util = ["softhsm2-util", "--token", "ca token", "--pin", PIN]
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "ca token", "--so-pin",
                    PIN, "--pin", PIN], check=True, capture_output=True)
    key = ca.folder / "ca" / "device-ca.key"
    subprocess.run([*util, "--import", key, "--label", "device-ca", "--id", "01"], check=True,
                   capture_output=True)
    key.unlink()
    return f"pkcs11:token=ca%20token;object=device-ca;type=private?module-path={SOFTHSM}"


def pin_file(folder, pin=PIN):
    path = folder / "pin"
    path.touch(0o600)
    path.write_text(pin)
    return f"&pin-source=file:{path}"


def test_key_in_a_token(ca, token):
    csr = make_csr(ca.folder)
    ca("device", "ca", "--csr", csr, "--device", "dev1", "--out", "dev1.crt", code=EXIT_NOT_FOUND,
       said="device-ca.key: cannot be read")
    ca("device", "ca", "--csr", csr, "--device", "dev1", "--out", "dev1.crt", "--ca-key",
       token + pin_file(ca.folder))
    verify(ca.folder, "dev1.crt", "sslclient")


@pytest.mark.parametrize("change, why", [
    (lambda uri, folder: uri + pin_file(folder, "9999"), "no such key, a PIN that is missing or"),
    (lambda uri, folder: uri + "&pin-value=0815", "no such key, a PIN that is missing or"),
    (lambda uri, folder: uri, "no such key, a PIN that is missing or"),
    (lambda uri, folder: uri.replace("object=device", "object=other") + pin_file(folder),
     "no such key"),
    (lambda uri, folder: uri.replace(SOFTHSM, "/nowhere.so"), "PKCS#11 module /nowhere.so: No such"),
])
def test_tokens_that_do_not_sign(ca, token, change, why):
    csr = make_csr(ca.folder)
    uri = change(token, ca.folder)
    ca("device", "ca", "--csr", csr, "--device", "dev1", "--out", "c", "--ca-key", uri,
       code=EXIT_NOT_FOUND if "nowhere" in uri else EXIT_FAILED, said=why)
    assert not (ca.folder / "c").exists()


def test_a_pin_is_not_told(ca, token):
    csr = make_csr(ca.folder)
    for uri in (f"{token}&pin-value=0815", token.replace("?", ";pin-value=0815?")):
        said = ca("device", "ca", "--csr", csr, "--device", "dev1", "--ca-key", uri,
                  code=EXIT_FAILED, said="no such key")
        assert "0815" not in said
