"""StatsD's address, prefix and tags."""

import pytest

from fastserver.config.statsd import (
    PREFIX_BYTES,
    TAGS_BYTES,
    StatsdTarget,
    parse_dogstatsd_tags,
    parse_statsd_prefix,
    parse_statsd_target,
)


@pytest.mark.parametrize(
    ("text", "target", "canonical"),
    [
        ("stats", StatsdTarget("stats", 8125), "stats:8125"),
        ("127.0.0.1:9125", StatsdTarget("127.0.0.1", 9125), "127.0.0.1:9125"),
        ("[::1]", StatsdTarget("::1", 8125), "[::1]:8125"),
        ("[::1]:65535", StatsdTarget("::1", 65535), "[::1]:65535"),
        ("unix:///run/dsd.socket", StatsdTarget(path="/run/dsd.socket"), "unix:///run/dsd.socket"),
        ("unix:/run/dsd.socket", StatsdTarget(path="/run/dsd.socket"), "unix:///run/dsd.socket"),
    ],
)
def test_targets(text: str, target: StatsdTarget, canonical: str) -> None:
    assert parse_statsd_target(text) == target
    assert str(target) == canonical
    assert parse_statsd_target(canonical) == target


def test_what_a_socket_connects_to() -> None:
    assert parse_statsd_target("[::1]:9").address == ("::1", 9)
    assert parse_statsd_target("unix:///a").address == "/a"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing"),
        (":8125", "there is no host"),
        ("fd://3", "there is no host"),
        ("a:0", "a number from 1 to 65535"),
        ("a:65536", "a number from 0 to 65535"),
        ("::1", "brackets"),
        ("udp://a:1", "brackets"),
        ("unix", "a path follows"),
        ("unix:", "an absolute path"),
        ("unix://run/x", "an absolute path"),
        ("unix:///a\0", "an absolute path"),
    ],
)
def test_targets_that_are_none(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_statsd_target(text)


@pytest.mark.parametrize(
    ("text", "prefix"), [("", ""), ("app", "app"), ("app.", "app"), ("a.b-c_d/e..", "a.b-c_d/e"), (".", "")]
)
def test_prefixes(text: str, prefix: str) -> None:
    assert parse_statsd_prefix(text) == prefix


@pytest.mark.parametrize("text", ["a b", "a:b", "a|b", "a@b", "a#b", "a\nb", "é"])
def test_prefixes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="ends a name"):
        parse_statsd_prefix(text)


@pytest.mark.parametrize(
    ("text", "tags"), [("", ""), ("a:b", "a:b"), (" a:b , c,", "a:b,c"), (",,", ""), ("zone:é b", "zone:é b")]
)
def test_tags(text: str, tags: str) -> None:
    assert parse_dogstatsd_tags(text) == tags


@pytest.mark.parametrize("text", ["a|b", "#a", "a\nb", "a\tb", "a\udcff"])
def test_tags_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="no tag may have"):
        parse_dogstatsd_tags(text)


@pytest.mark.parametrize("spare", [1, 0])
def test_what_leaves_room_in_a_packet(spare: int) -> None:
    prefix, tags = "a" * (PREFIX_BYTES - spare), "é" * (TAGS_BYTES // 2 - spare)
    assert parse_statsd_prefix(f"{prefix}...") == prefix
    assert parse_dogstatsd_tags(f" {tags},") == tags


def test_what_leaves_none() -> None:
    with pytest.raises(ValueError, match="longer than 200 bytes"):
        parse_statsd_prefix("a" * (PREFIX_BYTES + 1))
    with pytest.raises(ValueError, match="longer than 800 bytes"):
        parse_dogstatsd_tags("é" * (TAGS_BYTES // 2) + "a")
