"""Both texts of the WebSocket kernels."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver._speedups.websocket import kernels
from tests._speedups.twin import needs_extension, read_texts, try_call
from tests._speedups.websocket.wire import KEY, mask

ACTIVE, TWIN = read_texts(kernels)


@pytest.fixture(params=[pytest.param(ACTIVE, id="compiled", marks=needs_extension), pytest.param(TWIN, id="python")])
def text(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("size", [*range(19), 63, 64, 65, 1000])
def test_unmask(text: Any, kind: Any, size: int) -> None:
    payload = bytes(index * 7 & 255 for index in range(size))
    for start in range(3):
        data = kind(b"\xee" * start + mask(payload) + b"\xee")
        for phase in range(4):
            turned = KEY[-phase:] + KEY[:-phase] if phase else KEY
            result = text.unmask(data, start, size, turned, phase)
            assert type(result) is bytes
            assert result == payload
        assert text.unmask(data, start, size, KEY, 8) == payload


@pytest.mark.parametrize(("start", "size", "key"), [
    (-1, 1, KEY), (0, -1, KEY), (0, 5, KEY), (5, 0, KEY), (4, 1, KEY), (1, (1 << 63) - 1, KEY), (0, 4, KEY[:3]),
    (0, 4, KEY + b"x"),
])  # fmt: skip
def test_outside_of_the_data(text: Any, start: int, size: int, key: bytes) -> None:
    with pytest.raises(ValueError, match="masked bytes outside"):
        text.unmask(b"1234", start, size, key, 0)
    with pytest.raises(ValueError, match="masked bytes outside"):
        text.decode_text(b"1234", start, size, key)
    with pytest.raises(TypeError):
        text.unmask(memoryview(b"1234"), 0, 4, KEY, 0)


@pytest.mark.parametrize(
    "value", ["", "a", "Hello", "é", "κόσμε", "x" * 7 + "ÿ", "\x00" * 8, "a" * 33 + "\U0001f600", "\x7f" * 16]
)
def test_decode_text(text: Any, value: str) -> None:
    payload = value.encode()
    assert text.decode_text(b"<" + mask(payload) + b">", 1, len(payload), KEY) == value


@pytest.mark.parametrize("payload", [
    b"\x80", b"12345678\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"1234567\xce", b"\xf0\x9f\x98",
])  # fmt: skip
def test_text_that_is_none(text: Any, payload: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        text.decode_text(mask(payload), 0, len(payload), KEY)


@pytest.mark.parametrize(("size", "head"), [
    (0, b"\x82\x00"), (1, b"\x82\x01"), (125, b"\x82\x7d"), (126, b"\x82\x7e\x00\x7e"), (65535, b"\x82\x7e\xff\xff"),
    (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
])  # fmt: skip
def test_render_frame(text: Any, size: int, head: bytes) -> None:
    assert text.render_frame(0x82, b"x" * size) == head + b"x" * size
    assert text.render_text_frame("x" * size) == b"\x81" + head[1:] + b"x" * size


def test_render_text_frame(text: Any) -> None:
    assert text.render_text_frame("κόσμε") == b"\x81\x0a" + "κόσμε".encode()
    with pytest.raises(UnicodeEncodeError):
        text.render_text_frame("\ud800")


@needs_extension
@given(
    st.binary(max_size=70), st.integers(0, 9), st.integers(0, 70), st.binary(min_size=4, max_size=4), st.integers(0, 7)
)
def test_texts_agree(data: bytes, start: int, size: int, key: bytes, phase: int) -> None:
    assert try_call(ACTIVE.unmask, data, start, size, key, phase) == try_call(
        TWIN.unmask, data, start, size, key, phase
    )
    assert try_call(ACTIVE.decode_text, data, start, size, key) == try_call(TWIN.decode_text, data, start, size, key)
