"""What other servers can do and this one cannot: refused by name, unless it is what happens anyway."""

import ssl

import pytest

from fastserver.config.rivals import HOOKS, HYPERCORN, RIVALS, TOPICS, check, note


def test_every_key_is_listed_once() -> None:
    names = [name for rivals in TOPICS.values() for rival in rivals for name in (rival.key, *rival.aliases)]
    assert len(names) == len(set(names)) == len(RIVALS)


@pytest.mark.parametrize("key", RIVALS)
def test_asking_for_nothing_passes(key: str) -> None:
    assert check(key, None) is None
    assert check(key, "") is None
    assert check(key, []) is None


@pytest.mark.parametrize("key", RIVALS)
def test_asking_for_something_is_refused_or_warned_of(key: str) -> None:
    rival = RIVALS[key]
    asked = not rival.is_met(True) if rival.switch else "something"
    problem = note(key, asked) if rival.waived else check(key, asked)
    assert problem is not None
    assert ("is passed over: " if rival.waived else "not supported") in problem
    assert "\n" not in problem
    assert (check(key, asked) is None) == bool(rival.waived)


def test_lists_of_names_name_what_there_is() -> None:
    assert set(RIVALS) > HYPERCORN
    assert not set(RIVALS) & HOOKS


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
        (
            "reset_contextvars",
            True,
            "not supported yet; the context of a request is a copy of the server's, and ends with it",
        ),
        ("proxy_protocol", "v1", "'v1' is not supported yet: want off"),
        ("http1_keep_alive", False, "not supported yet"),
        ("daemon", True, "not supported; let the service manager run it"),
        (
            "ssl_version",
            3,
            "3 is not supported yet: want 17 or 2 or tls or tls_server; tls_min_version is the least version, 1.2 or "
            "1.3",
        ),
    ],
)
def test_refusals(key: str, value: object, problem: str) -> None:
    assert check(key, value) == problem
