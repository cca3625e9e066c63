"""Files that a user has named: read whole, or one line about why not."""

import os
from pathlib import Path

import pytest

from fastserver.config.errors import ConfigError
from fastserver.config.sources.reading import LIMIT_BYTES, read_bytes, read_text


@pytest.mark.parametrize(("size", "fits"), [(LIMIT_BYTES - 1, True), (LIMIT_BYTES, True), (LIMIT_BYTES + 1, False)])
def test_a_file_has_a_longest_size(tmp_path: Path, size: int, fits: bool) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * size)
    if fits:
        assert len(read_bytes(str(path), "f")) == size
    else:
        with pytest.raises(ConfigError, match=r"^f: is longer than 1 MiB$"):
            read_bytes(str(path), "f")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # nobody writes: reading it would block
    for name, problem in (
        ("", "is no regular file|cannot be read: Is a directory"),
        ("none", "cannot be read: No such file or directory"),
        ("pipe", "is no regular file"),
    ):
        with pytest.raises(ConfigError, match=f"^the file: ({problem})$"):
            read_bytes(str(tmp_path / name), "the file")
    for path in ("", "a\0b"):
        with pytest.raises(ConfigError, match=r": is no path$"):
            read_bytes(path, path)
    with pytest.raises(ConfigError, match=r"^/dev/zero: is no regular file$"):
        read_bytes("/dev/zero", "/dev/zero")


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbf\xc3\xa4\r\nb\n")
    assert read_text(str(path), "f") == "ä\nb\n"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"^f: is not text in UTF-8$"):
        read_text(str(path), "f")
