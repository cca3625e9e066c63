"""Frames as a server sends them, read back by wsproto's client."""

from typing import Any

import pytest
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol

from fastserver._speedups.websocket import writer
from fastserver._speedups.websocket.deflate import Deflate


def read_as_client(data: bytes, deflate: Deflate | None = None) -> Any:
    extension = PerMessageDeflate(True, 12, True, 12)
    extension.finalize("permessage-deflate")
    client = FrameProtocol(True, [extension] if deflate is not None else [])
    client.receive_bytes(data)
    [frame] = client.received_frames()
    assert frame.message_finished
    return frame.payload


def test_examples_of_rfc_6455() -> None:
    """Section 5.7."""
    assert writer.render_text("Hello") == b"\x81\x05Hello"
    assert writer.render_ping(b"Hello") == b"\x89\x05Hello"
    assert writer.render_pong(b"Hello") == b"\x8a\x05Hello"
    assert writer.render_binary(b"x" * 256) == b"\x82\x7e\x01\x00" + b"x" * 256
    assert writer.render_binary(b"x" * 65536) == b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + b"x" * 65536


@pytest.mark.parametrize("bits", [9, 12])
def test_compressed(bits: int) -> None:
    deflate = Deflate(12, bits)
    for text in ("", "short", "x" * 63):
        assert writer.render_text(text, deflate) == writer.render_text(text)
    for text in ("x" * 64, "κόσμε" * 20, "".join(map(str, range(20000)))):
        data = writer.render_text(text, deflate)
        assert data[0] == 0xC1
        assert len(data) < len(text.encode())
        assert read_as_client(data, deflate) == text
    data = writer.render_binary(b"\xff" * 5000, deflate)
    assert data[0] == 0xC2
    assert read_as_client(data, deflate) == b"\xff" * 5000


def test_what_does_not_shrink_goes_out_as_it_is() -> None:
    data = bytes(range(256))
    assert writer.render_binary(data, Deflate()) == writer.render_binary(data)


def test_surrogates() -> None:
    for extension in (None, Deflate()):
        with pytest.raises(UnicodeEncodeError):
            writer.render_text("\ud800", extension)
    with pytest.raises(UnicodeEncodeError):
        writer.render_close(1000, "\ud800")


def test_control_frames_are_small() -> None:
    assert writer.render_ping(b"x" * 125) == b"\x89\x7d" + b"x" * 125
    renderers: tuple[Any, ...] = (writer.render_ping, writer.render_pong)
    for render in renderers:
        with pytest.raises(ValueError, match="125"):
            render(b"x" * 126)


@pytest.mark.parametrize(("code", "reason", "data"), [
    (1000, "", b"\x88\x02\x03\xe8"), (1001, "bye", b"\x88\x05\x03\xe9bye"), (4999, "é", b"\x88\x04\x13\x87\xc3\xa9"),
    (1005, "ignored", b"\x88\x00"), (1006, "r", b"\x88\x03\x03\xe8r"), (1015, "", b"\x88\x02\x03\xe8"),
    (1012, "x" * 200, b"\x88\x7d\x03\xf4" + b"x" * 123),
    (1000, "x" * 122 + "é", b"\x88\x7c\x03\xe8" + b"x" * 122),
    (1000, "x" * 121 + "é", b"\x88\x7d\x03\xe8" + b"x" * 121 + b"\xc3\xa9"),
    (1000, "\U0001f600" * 31, b"\x88\x7a\x03\xe8" + "\U0001f600".encode() * 30),
])  # fmt: skip
def test_close(code: int, reason: str, data: bytes) -> None:
    assert writer.render_close(code, reason) == data
    if code != 1005:
        assert read_as_client(data)[0] == (1000 if code in {1006, 1015} else code)


@pytest.mark.parametrize("code", [-1, 0, 999, 5000, 65536 + 1000])
def test_codes_that_are_none(code: int) -> None:
    with pytest.raises(ValueError, match="close code"):
        writer.render_close(code, "")
