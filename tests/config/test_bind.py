"""Bind texts as facts."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastserver.config.bind import Bind, FDBind, TCPBind, UnixBind, compose_bind, parse_bind


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("localhost", TCPBind("localhost", 8000)),
        ("127.0.0.1:0", TCPBind("127.0.0.1", 0)),
        ("my_host.example:65535", TCPBind("my_host.example", 65535)),
        (":80", TCPBind("", 80)),
        ("[::1]:8080", TCPBind("::1", 8080)),
        ("[::]", TCPBind("::", 8000)),
        ("[fe80::1%eth0]:1", TCPBind("fe80::1%eth0", 1)),
        ("unix:/run/app.sock", UnixBind("/run/app.sock")),
        ("unix:app.sock", UnixBind("app.sock")),
        ("unix:/a:b", UnixBind("/a:b")),
        ("fd://0", FDBind(0)),
        ("fd://33", FDBind(33)),
        ("fd://web", FDBind("web")),
        ("fd://app@1.socket", FDBind("app@1.socket")),
    ],
)
def test_parse_bind(text: str, fact: Bind) -> None:
    assert parse_bind(text) == fact


@pytest.mark.parametrize(("text", "port"), [("a", 9), ("[::1]", 9), ("a:8000", 8000), (":0", 0)])
def test_another_default_port(text: str, port: int) -> None:
    bind = parse_bind(text, 9)
    assert isinstance(bind, TCPBind)
    assert bind.port == port


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing"),
        ("::1", "brackets"),
        ("::1:8000", "brackets"),
        ("a:b:c", "brackets"),
        ("host:", "port"),
        ("host:x", "port"),
        ("host:-1", "port"),
        ("host:65536", "port"),
        ("host:٣", "port"),
        ("host: 80", "port"),
        ("http://host", "port"),
        ("a b:80", "host"),
        ("a,b", "host"),
        ("host/path", "host"),
        ("host\n:80", "host"),
        ("[::1", "brackets"),
        ("[::1]80", "brackets"),
        ("[localhost]:80", "IPv6"),
        ("[127.0.0.1]:80", "IPv6"),
        ("[::1]:", "port"),
        ("unix:", "path"),
        ("unix", "path"),
        ("unix:a\0b", "path"),
        ("fd://", "number"),
        ("fd://-1", "number"),
        ("fd://3x", "number"),
        ("fd://a b", "name"),
        ("fd://a,b", "name"),
        ("fd://" + "x" * 256, "name"),
    ],
)
def test_parse_bind_refuses(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_bind(text)


@example("unix")
@example("unix:")
@example("fd")
@given(st.text(alphabet="ab1:[]%/.@ unixfd-\n\0", max_size=12))
def test_a_bind_text_is_refused_or_reads_back(text: str) -> None:
    try:
        fact = parse_bind(text)
    except ValueError:
        return
    assert parse_bind(str(fact)) == fact


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [
        ("0.0.0.0", 80, "0.0.0.0:80"),
        ("::", 80, "[::]:80"),
        ("[::1]", 80, "[::1]:80"),
        ("", 80, ":80"),
    ],
)
def test_compose_bind(host: str, port: int, text: str) -> None:
    assert str(compose_bind(host, port)) == text


def test_compose_bind_refuses() -> None:
    with pytest.raises(ValueError, match="IPv6"):
        compose_bind("a:b", 80)
    with pytest.raises(ValueError, match="path"):
        compose_bind("unix", 80)
    with pytest.raises(ValueError, match="65535"):
        compose_bind("a", 65536)
