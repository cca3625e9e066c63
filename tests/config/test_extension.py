"""Observers and protocol handlers as facts."""

import pytest

from fastserver.config.bind import FDBind, TCPBind, UnixBind
from fastserver.config.extension import ProtocolBinding, parse_observer, parse_protocol


class Handler: ...


@pytest.mark.parametrize(
    ("item", "fact"),
    [
        ("a:1=m:P", ProtocolBinding("a:1", TCPBind("a", 1), None, "m:P")),
        ("localhost=m:P", ProtocolBinding("localhost:8000", TCPBind("localhost", 8000), None, "m:P")),
        ("[::1]:0=pkg.m:P.q", ProtocolBinding("[::1]:0", TCPBind("::1", 0), None, "pkg.m:P.q")),
        ("unix:/a=b=m:P", ProtocolBinding("unix:/a=b", UnixBind("/a=b"), None, "m:P")),
        ("fd://3=m:P", ProtocolBinding("fd://3", FDBind(3), None, "m:P")),
        ("alpn:ping/1=m:P", ProtocolBinding("alpn:ping/1", None, "ping/1", "m:P")),
        (("alpn:a=b", Handler), ProtocolBinding("alpn:a=b", None, "a=b", Handler)),
        (["a:1", "m:P"], ProtocolBinding("a:1", TCPBind("a", 1), None, "m:P")),
    ],
)
def test_protocols(item: object, fact: ProtocolBinding) -> None:
    assert parse_protocol(item) == fact
    assert parse_protocol(fact) is fact
    assert hash(fact) == hash(parse_protocol((fact.where, fact.handler)))


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("", "there is no ="),
        ("m:P", "there is no ="),
        ("=m:P", "where to serve is missing"),
        (("", Handler), "where to serve is missing"),
        ((8000, Handler), "where to serve is missing"),
        (("a:1",), "neither a text nor a pair"),
        (Handler, "neither a text nor a pair"),
        ("a:1=P", "there is no colon"),
        ("a:1=m.:P", "no module name"),
        ("a:1=m:P()", "no attribute name"),
        (("a:1", None), "the handler is neither"),
        ("::1=m:P", "brackets"),
        ("unix:=m:P", "a path follows"),
        ("alpn:=m:P", "a name follows alpn:"),
        ("alpn:é=m:P", "printable ASCII"),
        ("alpn:a\tb=m:P", "printable ASCII"),
        *((f"alpn:{name}=m:P", "serves HTTP") for name in ("http/1.0", "http/1.1", "h2", "h3")),
    ],
)
def test_protocols_that_are_none(item: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_protocol(item)


def test_an_alpn_name_has_at_most_255_bytes() -> None:
    assert [parse_protocol((f"alpn:{'x' * count}", Handler)).alpn for count in (254, 255)] == ["x" * 254, "x" * 255]
    with pytest.raises(ValueError, match="longer than 255 bytes"):
        parse_protocol((f"alpn:{'x' * 256}", Handler))


@pytest.mark.parametrize("item", ["m:a", "pkg.m:A.b", print, Handler])
def test_observers(item: object) -> None:
    assert parse_observer(item) is item


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("", "there is no colon"),
        ("m", "there is no colon"),
        (":a", "no module name"),
        ("m-x:a", "no module name"),
        ("m:", "no attribute name"),
        ("m:a:b", "no attribute name"),
        (None, "not callable"),
        (("a", "b"), "not callable"),
    ],
)
def test_observers_that_are_none(item: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_observer(item)
