"""SETTINGS, GOAWAY and what names a push: written, read, and refused where they break a rule."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver._speedups.h3.bounds import MOST_SETTINGS
from fastserver._speedups.h3.codes import (
    ENABLE_CONNECT_PROTOCOL,
    HTTP2_SETTINGS,
    LARGEST_VARINT,
    MAX_FIELD_SECTION_SIZE,
)
from fastserver._speedups.h3.errors import (
    H3_EXCESSIVE_LOAD,
    H3_FRAME_ERROR,
    H3_SETTINGS_ERROR,
    ConnectionFault,
)
from fastserver._speedups.h3.payloads import (
    read_goaway,
    read_push_id,
    read_settings,
    render_goaway,
    render_settings,
)
from fastserver._speedups.h3.varint import encode_varint, read_varint


def test_frames() -> None:
    assert render_goaway(4 * 16) == b"\x07\x02\x40\x40"
    assert render_settings({}) == b"\x04\x00"
    assert render_settings({6: 32768, 1: 0, 7: 0, 8: 1}) == bytes.fromhex("040b 0680008000 0100 0700 0801")


def find_code(payload: bytes) -> int:
    with pytest.raises(ConnectionFault) as raised:
        read_settings(payload)
    return int(raised.value.code)


@given(settings=st.dictionaries(st.integers(9, LARGEST_VARINT), st.integers(0, LARGEST_VARINT), max_size=MOST_SETTINGS))
def test_settings_are_read_as_they_were_written(settings: dict[int, int]) -> None:
    frame = render_settings(settings)
    size = read_varint(frame, 1)
    assert read_settings(frame[len(frame) - size :]) == settings


def test_unknown_settings_are_no_fault() -> None:
    assert read_settings(b"") == {}
    assert read_settings(bytes.fromhex("0680008000 0100 0740640801 2105")) == {6: 32768, 1: 0, 7: 100, 8: 1, 0x21: 5}


@pytest.mark.parametrize("name", [*HTTP2_SETTINGS])
def test_settings_of_http_2_are_refused(name: int) -> None:
    assert find_code(bytes([name, 1])) == H3_SETTINGS_ERROR
    assert find_code(b"\x06\x01\x40" + bytes([name, 1])) == H3_SETTINGS_ERROR


def test_a_setting_may_not_come_twice() -> None:
    for name in (MAX_FIELD_SECTION_SIZE, 0x21):
        assert find_code(bytes([name, 1, 7, 0, name, 1])) == H3_SETTINGS_ERROR
    assert find_code(b"\x06\x01\x40\x06\x01") == H3_SETTINGS_ERROR


@pytest.mark.parametrize("value", [0, 1, 2, 63])
def test_extended_connect_is_on_or_off(value: int) -> None:
    payload = bytes([ENABLE_CONNECT_PROTOCOL, value])
    if value < 2:
        assert read_settings(payload) == {ENABLE_CONNECT_PROTOCOL: value}
    else:
        assert find_code(payload) == H3_SETTINGS_ERROR


@pytest.mark.parametrize("payload", ["06", "0640", "40", "0680008000 01", "0680008000 40", "06c0000000000000"])
def test_settings_that_break_off(payload: str) -> None:
    assert find_code(bytes.fromhex(payload)) == H3_FRAME_ERROR


def test_settings_are_bounded() -> None:
    payload = b"".join(encode_varint(100 + number) + b"\x00" for number in range(MOST_SETTINGS))
    assert len(read_settings(payload)) == MOST_SETTINGS
    assert find_code(payload + b"\x3f\x00") == H3_EXCESSIVE_LOAD


def test_identifiers() -> None:
    for value in (0, 63, 64, LARGEST_VARINT):
        assert read_goaway(encode_varint(value)) == read_push_id(encode_varint(value)) == value


@pytest.mark.parametrize("read", [read_goaway, read_push_id])
@pytest.mark.parametrize("payload", [b"", b"\x40", b"\xc0" + bytes(6), b"\x00\x00", b"\x40\x40\x00"])
def test_identifiers_that_fill_no_frame(read: Callable[[bytes], int], payload: bytes) -> None:
    with pytest.raises(ConnectionFault) as raised:
        read(payload)
    assert raised.value.code == H3_FRAME_ERROR
