"""What the tests of the whole way say again and again."""

import datetime
import urllib.parse

from conftest import DEVICE, VEHICLE

EVER = {"from": 0, "to": 9999999999999, "max_points": 100000}


def history(stack, path, **query):
    answer = stack.get(f"/v1/vehicles/{VEHICLE}/signals/{urllib.parse.quote(path)}/history?"
                       + urllib.parse.urlencode({**EVER, **query}))
    assert answer.status == 200, answer.body
    return answer.json()


def to_ms(text):
    return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def points(stack, path):
    return [(to_ms(p["time"]), p["value"]) for p in history(stack, path)["points"]]


def drain(stack, agent, timeout_s=90):
    """Waits for an agent with exit_when_drained; returns its last status."""
    assert agent.wait(timeout_s) == 0, agent.log_tail()
    return stack.agent_status(DEVICE)


def assert_history(stack, expected):
    """Each signal: the same values at the same milliseconds, in order, none missing or extra."""
    for path, samples in expected.items():
        assert points(stack, path) == samples, path


def assert_all_stored(stack, expected):
    assert_history(stack, expected)
    assert stack.metric("towline_relay_samples_total") == sum(map(len, expected.values()))
