"""The shape of an answer: what is absent is 0, and rubbish is refused."""

import pytest

from fastserver.top.stats import ShapeError, parse_stats


def test_absent_keys_mean_nothing_counted() -> None:
    stats = parse_stats(b'{"uptime": 1, "total": {}, "workers": [{}]}')
    assert stats.workers == (stats.total,)
    assert stats.total.bytes_in == stats.total.latency.sum == sum(stats.total.lag.buckets) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"# HELP requests_total\n",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"uptime": 1, "total": [], "workers": []}',
        b'{"uptime": 1, "total": {}, "workers": {}}',
        b'{"uptime": 1, "total": {}, "workers": [1]}',
        b'{"uptime": "long", "total": {}, "workers": []}',
        b'{"uptime": NaN, "total": {}, "workers": []}',
        b'{"uptime": Infinity, "total": {}, "workers": []}',
        b'{"uptime": -1, "total": {}, "workers": []}',
        b'{"uptime": true, "total": {}, "workers": []}',
        b'{"uptime": 1' + b"0" * 400 + b', "total": {}, "workers": []}',
        b'{"uptime": 1' + b"0" * 5000 + b', "total": {}, "workers": []}',
        b'{"uptime": 1, "total": {}, "workers": [], "version": 1}',
        b'{"uptime": 1, "total": {"latency": {"buckets": [1, 2]}}, "workers": []}',
        b'{"uptime": 1, "total": {"latency": {"buckets": {}}}, "workers": []}',
        b'{"uptime": 1, "total": {"requests": {"http/1.1": {"2xx": null}}}, "workers": []}',
        b'{"uptime": 1, "total": {"requests": {"http/1.1": 3}}, "workers": []}',
        b'{"uptime": 1, "total": {"x\\u001b[2J\\n": 1, "bytes_in": "\\u001b[2J"}, "workers": []}',
    ],
)
def test_rubbish_is_refused_in_one_line(body: bytes) -> None:
    with pytest.raises(ShapeError) as caught:
        parse_stats(body)
    assert str(caught.value).isprintable()
