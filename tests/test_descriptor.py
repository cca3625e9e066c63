"""A descriptor is closed by whoever lets go of it last, and by nobody else."""

import os
from pathlib import Path

import pytest

from fastserver.descriptor import Descriptor


@pytest.fixture
def number(tmp_path: Path) -> int:
    return os.open(tmp_path / "file", os.O_CREAT | os.O_RDONLY)


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_the_owner_closes(number: int) -> None:
    descriptor = Descriptor(number)
    with descriptor as borrowed:
        assert borrowed == number
    assert is_open(number)
    descriptor.close()
    assert not is_open(number)


def test_the_last_borrower_closes(number: int) -> None:
    descriptor = Descriptor(number)
    with descriptor:
        with descriptor:
            descriptor.close()
            assert is_open(number)
        assert is_open(number)
    assert not is_open(number)


def test_nobody_borrows_after_the_end(number: int) -> None:
    descriptor = Descriptor(number)
    descriptor.close()
    with pytest.raises(OSError, match="closed"), descriptor:
        pass


def test_closing_twice_closes_nothing_else(number: int, tmp_path: Path) -> None:
    descriptor = Descriptor(number)
    descriptor.close()
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_RDONLY)
    assert other == number, "the kernel gives the lowest free number"
    descriptor.close()
    assert is_open(other)
    os.close(other)


def test_adopts_later(number: int) -> None:
    descriptor = Descriptor()
    with pytest.raises(OSError, match="closed"), descriptor:
        pass
    descriptor.adopt(number)
    with pytest.raises(ValueError, match="once"):
        descriptor.adopt(number)
    with descriptor as borrowed:
        assert borrowed == number
    descriptor.close()
    assert not is_open(number)


def test_what_is_adopted_too_late_is_closed(number: int) -> None:
    descriptor = Descriptor()
    descriptor.close()
    descriptor.adopt(number)
    assert not is_open(number)
