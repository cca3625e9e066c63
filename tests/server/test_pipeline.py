"""Which protocol a connection gets."""

from typing import Any

import pytest

from fastserver._speedups.h1 import OVERLOADED, H1Connection
from fastserver.config.extension import HTTP_NAMES, ProtocolBinding, parse_protocol
from fastserver.server.extensions import Extensions
from fastserver.server.pipeline import HTTP, HTTP1, Pipeline, WireProtocol

ONE = WireProtocol("one", lambda connection, host: None)  # type: ignore[arg-type, return-value]
TWO = WireProtocol("two", lambda connection, host: None)  # type: ignore[arg-type, return-value]


def test_the_names_of_http_are_no_handlers() -> None:
    assert HTTP.keys() <= HTTP_NAMES
    for name in HTTP:
        with pytest.raises(ValueError, match="the server itself serves HTTP"):
            parse_protocol(f"alpn:{name}=m:One")


def test_http_is_the_default() -> None:
    assert (HTTP1.name, HTTP1.open, HTTP1.refusal) == ("http/1.1", H1Connection, OVERLOADED)
    pipeline = Pipeline()
    assert [pipeline.choose(alpn) for alpn in (None, "http/1.1", "unknown")] == [HTTP1] * 3
    tls: Any = object()
    assert pipeline.make_tls_facts(tls) is None


@pytest.mark.parametrize(
    ("alpn", "default", "wanted"),
    [
        (None, HTTP1, HTTP1),
        (None, TWO, TWO),
        ("one", HTTP1, ONE),
        ("one", TWO, ONE),
        ("http/1.1", HTTP1, HTTP1),
        ("http/1.1", TWO, TWO),  # at the address of a handler nothing else is served
    ],
)
def test_a_name_goes_over_the_address(alpn: str | None, default: WireProtocol, wanted: WireProtocol) -> None:
    assert Pipeline(default, {"one": ONE}).choose(alpn) is wanted


def test_each_listener_gets_the_handler_of_its_own_address() -> None:
    bindings: list[ProtocolBinding] = [parse_protocol("127.0.0.1:1=m:One"), parse_protocol("127.0.0.1:2=m:Two")]
    named = parse_protocol("alpn:three=m:Three")
    three = WireProtocol("three", lambda connection, host: None)  # type: ignore[arg-type, return-value]
    extensions = Extensions((), {bindings[0]: ONE, bindings[1]: TWO, named: three})
    assert extensions.make_pipeline(bindings[0]).choose(None) is ONE
    assert extensions.make_pipeline(bindings[1]).choose(None) is TWO
    assert extensions.make_pipeline(None).choose(None) is HTTP1
    assert {extensions.make_pipeline(purpose).choose("three") for purpose in (None, *bindings)} == {three}
    assert Extensions().make_pipeline(None).choose("three") is HTTP1
