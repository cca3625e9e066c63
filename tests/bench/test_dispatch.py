"""``bench.micro dispatch``: each row is of the verdict that it names."""

import pytest

pytest.importorskip("aioquic")

from bench.micro import dispatch
from bench.micro.__main__ import SUITES
from bench.micro.timing import Effort


def test_each_way_of_a_datagram_is_timed() -> None:
    rows = dispatch.measure([], Effort(repeats=1, repeat_s=0.0))
    assert len({row.name for row in rows}) == 10
    assert all(row.ns["plain"] > 0 for row in rows)
    assert SUITES["dispatch"] is dispatch.measure
