"""Answers without a connection, as a client that is not ours understands them."""

import pytest

pytest.importorskip("aioquic")

from fastserver._speedups.quic.errors import CONNECTION_REFUSED, INVALID_TOKEN
from fastserver.protocol.quic.datagram import LongHeader, read_long_header
from fastserver.protocol.quic.replies import (
    render_refusal,
    render_reset,
    render_retry,
    render_version_negotiation,
)
from tests.protocol.quic.clients import V1, V2, Client

TOKEN = bytes(range(16))


def read_header(data: bytes) -> LongHeader:
    header = read_long_header(data)
    assert header is not None
    return header


@pytest.mark.parametrize("lengths", [(0, 0), (8, 8), (20, 20), (255, 255)])
def test_a_negotiation_says_what_there_is(lengths: tuple[int, int]) -> None:
    asked = LongHeader(0xC0, 0x0A1A2A3A, b"d" * lengths[0], b"s" * lengths[1], 0)
    answers = [render_version_negotiation(asked) for _ in range(50)]
    for data in answers:
        header = read_header(data)
        assert (header.version, header.dcid, header.scid) == (0, asked.scid, asked.dcid)
        assert header.first_byte & 0xC0 == 0xC0
        versions = [int.from_bytes(data[at : at + 4], "big") for at in range(header.end, len(data), 4)]
        assert versions[1:] == [V1, V2]
        assert versions[0] & 0x0F0F0F0F == 0x0A0A0A0A
    assert len({data[0] for data in answers}) > 1
    assert len({data[-12:-8] for data in answers}) > 1


def test_a_client_takes_the_version_that_it_is_offered() -> None:
    client = Client()
    client.connection._configuration.supported_versions = [0x1A2A3A4A, V1]
    client.connection._version = 0x1A2A3A4A
    (again, *_) = client.receive(render_version_negotiation(read_header(client.datagrams[0])))
    assert read_header(again).version == V1


@pytest.mark.parametrize("version", [V1, V2])
def test_a_client_follows_a_retry(version: int) -> None:
    client = Client(version)
    header = read_header(client.datagrams[0])
    retry = render_retry(header, b"retrycid", b"a token")
    (again, *_) = client.receive(retry)
    assert read_header(again).dcid == b"retrycid"
    assert b"a token" in again
    assert len(client.datagrams[0]) >= 1200 > len(retry)


def test_a_client_does_not_follow_a_retry_of_another() -> None:
    client = Client()
    header = read_header(client.datagrams[0])
    forged = render_retry(LongHeader(0xC0, V1, b"dest4567", header.scid, 0), b"retrycid", b"a token")
    assert client.receive(forged) == []


@pytest.mark.parametrize("code", [CONNECTION_REFUSED, INVALID_TOKEN])
@pytest.mark.parametrize("version", [V1, V2])
def test_a_client_understands_a_refusal(version: int, code: int) -> None:
    client = Client(version)
    refusal = render_refusal(read_header(client.datagrams[0]), code)
    client.receive(refusal)
    assert client.read_close_code() == code
    assert len(refusal) < 100


@pytest.mark.parametrize(("received", "size"), [(22, 21), (42, 41), (43, 42), (44, 42), (1500, 42)])
def test_a_reset_looks_like_a_packet_and_is_smaller(received: int, size: int) -> None:
    resets = {render_reset(TOKEN, received) for _ in range(50)}
    assert len(resets) == 50
    for data in resets:
        assert len(data) == size
        assert data[0] & 0xC0 == 0x40
        assert data.endswith(TOKEN)
    assert len({data[0] for data in resets}) > 1
