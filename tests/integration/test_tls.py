"""Agent, broker and relay over mutual TLS, with certificates of `towline ca`."""

import time

import pytest
from conftest import DEVICE, DRIVE_DBC, VEHICLE, decoded, drive_conf
from helpers import assert_all_stored, drain
from stack import Stack, wait_for


@pytest.fixture
def tls(bin_dir, tmp_path):
    """As car, over mutual TLS."""
    with Stack(bin_dir, tmp_path, tls=True) as stack:
        stack.start_broker()
        stack.start_relay()
        stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
        stack.add_vehicle(VEHICLE, DEVICE, stack.catalog)
        yield stack


def test_every_sample_arrives_over_mutual_tls(tls, drive_log):
    expected = decoded(tls, drive_log)
    status = drain(tls, tls.start_agent(drive_conf(tls, drive_log)))
    assert status["samples_accepted"] == status["samples_acked"] == sum(map(len, expected.values()))
    assert_all_stored(tls, expected)
    assert status["tls_failures"] == 0
    for until in (status["certificate_until"],
                  tls.metric("towline_relay_broker_certificate_until_seconds")):
        assert 89 * 86400 < until - time.time() < 91 * 86400
    assert tls.metric("towline_relay_broker_tls_failures_total") == 0


def test_renewed_certificate_ends_no_connection(tls):
    tls.service_certificate("relay", "--days", "30")
    wait_for("the relay to notice", lambda: "certificate_changed" in tls.relay.log_text(),
             process=tls.relay)
    until = tls.metric("towline_relay_broker_certificate_until_seconds")
    wait_for("the metric", lambda: tls.metric(
        "towline_relay_broker_certificate_until_seconds") < time.time() + 31 * 86400)
    assert until > time.time()
    assert "broker_disconnected" not in tls.relay.log_text()
    tls.broker.stop()
    tls.start_broker()
    wait_for("the relay to come back", lambda: tls.relay.log_text().count("broker_connected") == 2,
             process=tls.relay)


def test_agent_with_a_strangers_ca_keeps_all_until_it_has_the_right_one(tls, drive_log):
    right = (tls.folder / "ca" / "ca-bundle.pem").read_text()
    tls.towline("ca", "init", tls.folder / "stranger")
    ca = tls.folder / "ca.pem"
    ca.write_text((tls.folder / "stranger" / "ca-bundle.pem").read_text())
    agent = tls.start_agent(drive_conf(tls, drive_log, mqtt={"ca": ca}))
    wait_for("two attempts", lambda: tls.agent_status(DEVICE).get("tls_failures", 0) >= 2,
             process=agent)
    assert "the broker's certificate is of an unknown CA" in agent.log_text()
    assert tls.agent_status(DEVICE)["batches_published"] == 0
    ca.write_text(right)
    status = drain(tls, agent)
    expected = decoded(tls, drive_log)
    assert status["samples_acked"] == sum(map(len, expected.values()))
    assert_all_stored(tls, expected)


def test_agent_without_certificate_stays_out(tls, drive_log):
    agent = tls.start_agent(drive_conf(tls, drive_log, mqtt={"certificate": None, "key": None}))
    wait_for("two attempts", lambda: tls.agent_status(DEVICE).get("tls_failures", 0) >= 2,
             process=agent)
    assert "refused a client without certificate" in agent.log_text()
    assert tls.agent_status(DEVICE)["connects"] == 0


def test_check_config_names_what_is_wrong(tls, drive_log):
    tls.device_certificate("tcu-2")
    conf = drive_conf(tls, drive_log, mqtt={"key": tls.folder / "tcu-2.key"})
    for argv in ((tls.bin / "towline-agent", "-c", conf, "--check-config"),
                 (tls.bin / "towline-agent", "-c", conf)):
        run = tls.spawn("check", argv)
        assert run.wait(10) == 2
        assert f"{conf}:" in run.log_text()
        assert "[mqtt] key: " in run.log_text()
        assert "this key is not that of the certificate" in run.log_text()
    conf = tls.relay_conf(mqtt={"key": tls.folder / "missing.key"})
    run = tls.spawn("check-relay", [tls.bin / "towline-relay", "-c", conf, "--check-config"])
    assert run.wait(10) == 2
    assert "missing.key: No such file or directory" in run.log_text()
