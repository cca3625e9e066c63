"""The versions of HTTP in other servers' words."""

from typing import Any

import pytest

from fastserver.config import Config, ConfigError
from fastserver.config.versions import read_versions

HTTP2_ALONE = {"http1": False, "http2": True, "h2c": True}


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("http", "HttpTools", {}),
        ("http", "auto", {}),
        ("http", 1, {"http2": False}),
        ("http", "2", HTTP2_ALONE),
        ("http2_only", "yes", HTTP2_ALONE),
        ("http2_only", False, {}),
        ("alpn_protocols", ["h2", "http/1.1"], {"http1": True, "http2": True}),
        ("alpn_protocols", ["http/1.1"], {"http1": True, "http2": False}),
        ("alpn_protocols", ("h2",), {"http1": False, "http2": True}),
        ("http_protocols", " H2 , h1 ", {"http1": True, "http2": True}),
        ("http_protocols", "h1", {"http1": True, "http2": False}),
        ("http_protocols", "h3,h2,h1", {"http1": True, "http2": True, "http3": True}),
        ("alpn_protocols", ["h2", "http/1.1", "h3"], {"http1": True, "http2": True, "http3": True}),
        ("alpn_protocols", ["h3", "h2"], {"http1": False, "http2": True, "http3": True}),
    ],
)
def test_what_a_key_says(key: str, value: Any, meant: dict[str, bool]) -> None:
    assert read_versions(key, value) == meant


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("http", "h4", "'h4' is not supported yet: want auto, 1 or 2"),
        ("http2_only", "perhaps", "'perhaps' is not allowed: want yes or no"),
        ("alpn_protocols", ["h4"], "['h4'] is not supported: want h2 or http/1.1 (also h1), or both, and h3"),
        ("alpn_protocols", ["h3"], "['h3'] is not supported, clients learn of HTTP/3 over TCP: want h2,h3 or more"),
        ("alpn_protocols", [], "[] is not supported: want h2 or http/1.1 (also h1), or both, and h3"),
        ("alpn_protocols", 2, "2 is not supported: want h2 or http/1.1 (also h1), or both, and h3"),
        ("http_protocols", "h2,,h1", "'h2,,h1' is not supported: want h2 or http/1.1 (also h1), or both, and h3"),
        (
            "http_protocols",
            "h1,h2",
            "'h1,h2' is not supported, HTTP/2 is always preferred: want h2 before it",
        ),
    ],
)
def test_refusals(key: str, value: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_versions(key, value)
    assert (caught.value.key, caught.value.problem) == (key, problem)


def test_http3_is_not_switched_off_by_a_list_without_it() -> None:
    config = Config.from_mapping(alpn_protocols=["h2", "http/1.1"], http3=True, certfile="c")
    assert config == Config(http3=True, certfile="c")


def test_keys_that_agree_go_together() -> None:
    config = Config.from_mapping(http2_only=True, http1="no", h2c="prior", http_protocols="h2")
    assert config == Config(http1=False, h2c=True)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"http2_only": True, "http1": "yes"}, "http2_only: does not go with http1: give one of them"),
        ({"http": "1", "http2_only": True}, "http2_only: does not go with http: give one of them"),
        ({"alpn_protocols": ["h2"], "http": "1"}, "alpn_protocols: does not go with http: give one of them"),
        ({"http": "2", "http2_cleartext": "upgrade"}, "http2_cleartext: 'upgrade' is not supported, RFC 9113"),
    ],
)
def test_keys_that_do_not(given: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(given)
    assert str(caught.value).startswith(line)
