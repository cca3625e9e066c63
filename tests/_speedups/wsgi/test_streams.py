"""``wsgi.errors`` and ``wsgi.file_wrapper``."""

import io
import threading
from typing import Any

import pytest

from fastserver._speedups.wsgi.streams import LINE_CHARACTERS, EmptyInput, ErrorStream, FileWrapper
from tests.fakes import make_log


def test_a_record_for_each_line() -> None:
    log, records = make_log()
    stream = ErrorStream(log)
    stream.write("one\ntw")
    assert [record.getMessage() for record in records] == ["one"]
    stream.writelines(["o\n", "thr", "ee"])
    stream.flush()
    stream.flush()
    assert [record.getMessage() for record in records] == ["one", "two", "three"]


def test_threads_do_not_mix_their_lines() -> None:
    log, records = make_log()
    stream = ErrorStream(log)
    stream.write("mine ")
    other = threading.Thread(target=lambda: stream.write("theirs\n"))
    other.start()
    other.join()
    stream.write("too\n")
    assert [record.getMessage() for record in records] == ["theirs", "mine too"]


def test_a_line_without_end_is_logged_in_parts() -> None:
    log, records = make_log()
    stream = ErrorStream(log)
    stream.write("x" * LINE_CHARACTERS)
    assert records == []
    stream.write("x")
    assert [len(record.getMessage()) for record in records] == [LINE_CHARACTERS + 1]


def test_bytes_are_refused() -> None:
    with pytest.raises(TypeError, match="takes str"):
        ErrorStream(make_log()[0]).write(b"x")


def test_a_wrapped_file_is_an_iterable_with_its_close() -> None:
    file = io.BytesIO(b"abcdef")
    wrapper: Any = FileWrapper(file, 4)
    assert list(wrapper) == [b"abcd", b"ef"]
    wrapper.close()
    assert file.closed

    class Endless:
        def read(self, size: int) -> bytes:
            return b""

    assert not hasattr(FileWrapper(Endless()), "close")


def test_an_empty_input_reads_as_one() -> None:
    stream = EmptyInput()
    assert stream.read() == stream.read(5) == stream.readline() == b""
    assert stream.readlines() == list(stream) == []
    assert (stream.seek(0), stream.tell(), stream.readable()) == (0, 0, True)


def test_nothing_that_is_done_to_an_empty_input_lasts() -> None:
    """All requests without a body share one, and some come after others have had it."""
    stream: Any = EmptyInput()
    stream.close()
    with stream:
        pass
    io.TextIOWrapper(stream).close()
    io.BufferedReader(stream).close()
    assert not stream.closed
    assert stream.seek(7) == stream.tell() == 0
    for act in (
        lambda: stream.write(b"x"),
        lambda: stream.writelines([b"x"]),
        lambda: stream.truncate(0),
        lambda: stream.__setstate__((b"x", 0, None)),
        lambda: setattr(stream, "mine", 1),
    ):
        with pytest.raises(io.UnsupportedOperation, match="read-only"):
            act()
    assert stream.read() == b""
