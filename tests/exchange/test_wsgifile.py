"""Which of an application's files the loop can send, and how much of each."""

import io
import os
from pathlib import Path
from typing import Any

import pytest

from fastserver.exchange.wsgifile import open_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    return file


@pytest.mark.parametrize(
    ("seek", "announced", "found"), [(0, -1, (0, 10)), (3, -1, (3, 7)), (3, 5, (3, 5)), (3, 7, (3, 7))]
)
def test_what_is_left_of_a_regular_file(path: Path, seek: int, announced: int, found: tuple[int, int]) -> None:
    with path.open("rb") as file:
        file.seek(seek)
        opened = open_file(file, announced)
    assert opened is not None
    assert (opened.offset, opened.count) == found
    with opened.descriptor as number:
        assert os.pread(number, 1, found[0]) == b"0123456789"[found[0] : found[0] + 1]
    opened.descriptor.close()


@pytest.mark.parametrize(("seek", "announced"), [(0, 11), (3, 8), (10, -1), (0, 0)])
def test_what_has_to_be_read_like_an_iterable(path: Path, seek: int, announced: int) -> None:
    with path.open("rb") as file:
        file.seek(seek)
        assert open_file(file, announced) is None


def test_what_is_no_regular_file(path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb"), path.open(encoding="ascii") as text:
        others: list[Any] = [io.BytesIO(b"x"), pipe, text, object()]
        assert [open_file(file, -1) for file in others] == [None] * 4
    assert open_file(text, -1) is None, "a closed file"
