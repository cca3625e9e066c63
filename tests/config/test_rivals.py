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
        ("log_format", "Text"),
        ("reload", False),
        ("http1_keep_alive", True),
        ("max_requests", 0),
        ("drain_delay", 0.0),
        ("ssl_version", ssl.PROTOCOL_TLS_SERVER),
        ("tls_min_version", "1.2"),
        ("http2_adaptive_window", "false"),
        ("http2_adaptive_window", False),
    ],
)
def test_asking_for_what_happens_anyway_passes(key: str, value: object) -> None:
    assert check(key, value) is None


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("reload", True, "not supported yet"),
        ("log_format", "json", "'json' is not supported yet: want text"),
        ("http1_keep_alive", False, "not supported yet"),
        ("max_requests", 1000, "1000 is not supported yet: want 0"),
        ("umask", "007", "not supported yet; uds_permissions sets the mode of Unix sockets"),
        ("ssl_version", 3, "3 is not supported yet: want 17 or 2; the server takes TLS 1.2 and 1.3"),
    ],
)
def test_refusals(key: str, value: object, problem: str) -> None:
    assert check(key, value) == problem
