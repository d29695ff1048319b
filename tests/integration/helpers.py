"""What the tests of the whole way say again and again."""

import datetime
import math
import urllib.parse

from conftest import DEVICE, VEHICLE

EVER = {"from": 0, "to": 9000000000000, "max_points": 10000}
TIME_UNIT_MS = 1  # the resolution of time on the wire ([batch] time_unit_us)


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


def sanitized(program):
    """Built with a sanitizer: several times slower."""
    data = program.read_bytes()
    return b"__asan_init" in data or b"__tsan_init" in data


def empty_log(stack):
    """A source for an agent that is only to deliver what it has."""
    path = stack.folder / "empty.log"
    path.touch()
    return path


def same(a, b):
    """The same value, to the 15 digits of the API's JSON, at the same time."""
    return abs(a[0] - b[0]) <= TIME_UNIT_MS and math.isclose(a[1], b[1], rel_tol=1e-14)


def assert_same(got, expected, path):
    assert len(got) == len(expected), path
    differ = [(a, b) for a, b in zip(got, expected) if not same(a, b)]
    assert not differ, f"{path}: {differ[:3]}"


def assert_history(stack, expected):
    """Each signal: the same values at the same times, in order, none missing or extra."""
    for path, samples in expected.items():
        assert_same(points(stack, path), samples, path)


def assert_all_stored(stack, expected):
    assert_history(stack, expected)
    assert stack.metric("towline_relay_samples_total") == sum(map(len, expected.values()))
