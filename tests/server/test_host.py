"""What the connections of a worker share."""

import pytest

from fastserver import Config
from fastserver.server.host import METRICS_CONNECTIONS, get_connections_max, make_metrics_host
from tests.fakes import ignore, make_host


@pytest.mark.parametrize(("soft", "connections"), [(1024, 896), (100, 1), (1 << 20, 16384), (-1, 16384)])
def test_connections_follow_the_limit_of_descriptors(
    monkeypatch: pytest.MonkeyPatch, soft: int, connections: int
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: (soft, soft))
    assert get_connections_max() == connections


def test_the_metrics_readers_are_counted_apart_and_by_one_clock() -> None:
    host = make_host(ignore)
    beside = make_metrics_host(Config(limit_connections=1, timeout_write=7), host, ignore)
    assert (beside.loop, beside.clock, beside.error_log) == (host.loop, host.clock, host.error_log)
    assert beside.metrics is not host.metrics
    assert (beside.limits.connections, beside.limits.timeout_write) == (METRICS_CONNECTIONS, 7)
