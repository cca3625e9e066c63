"""What other servers can do and this one cannot: refused by name, unless it is what happens anyway."""

import ssl

import pytest

from fastserver.config.rivals import RIVALS, TOPICS, check


def test_every_key_is_listed_once() -> None:
    names = [name for rivals in TOPICS.values() for rival in rivals for name in (rival.key, *rival.aliases)]
    assert len(names) == len(set(names)) == len(RIVALS)


@pytest.mark.parametrize("key", RIVALS)
def test_asking_for_nothing_passes(key: str) -> None:
    assert check(key, None) is None
    assert check(key, "") is None
    assert check(key, []) is None


@pytest.mark.parametrize("key", RIVALS)
def test_asking_for_something_is_refused(key: str) -> None:
    rival = RIVALS[key]
    asked = not rival.is_met(True) if rival.switch else "something"
    problem = check(key, asked)
    assert problem is not None
    assert "not supported yet" in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("proxy_protocol", "Off"),
        ("proxy_headers", False),
        ("http1_keep_alive", True),
        ("quic_max_datagram_size", 1200.0),
        ("ssl_version", ssl.PROTOCOL_TLS_SERVER),
        ("http2_adaptive_window", "false"),
        ("http2_adaptive_window", False),
    ],
)
def test_asking_for_what_happens_anyway_passes(key: str, value: object) -> None:
    assert check(key, value) is None


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("proxy_headers", True, "not supported yet"),
        ("proxy_protocol", "v1", "'v1' is not supported yet: want off"),
        ("http1_keep_alive", False, "not supported yet"),
        ("daemon", True, "not supported yet; let the service manager run it in the background"),
        ("ssl_version", 3, "3 is not supported yet: want 17 or 2; the server takes TLS 1.2 and 1.3"),
    ],
)
def test_refusals(key: str, value: object, problem: str) -> None:
    assert check(key, value) == problem
