"""Prometheus' text format, read back with the official parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from fastserver._speedups.histogram import BOUNDS
from fastserver.metrics.exposition import FAMILIES, WORKER_FAMILIES, render
from fastserver.metrics.scoreboard import Board
from tests.metrics.samples import make_board, make_histogram, make_snapshot

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parse(board: Board, version: str = "1.2.3") -> Samples:
    """All samples by name and labels, none of them twice."""
    samples: Samples = {}
    for family in text_string_to_metric_families(render(board, version).decode()):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in samples
            samples[key] = sample.value
    return samples


def get(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"fastserver_{name}", tuple(sorted(labels.items()))]


def test_every_family_of_all_workers_together() -> None:
    past = {"bytes_in": 1000, "requests": {"http/1.1": {"5xx": 4}}, "latency": make_histogram(b5=2)}
    samples = parse(make_board(make_snapshot(1), make_snapshot(2), past=past))
    assert get(samples, "build_info", version="1.2.3") == 1
    assert get(samples, "start_time_seconds") == 1790000000.0
    assert get(samples, "workers") == 2
    assert get(samples, "events_total", event="raw_data_in") == 10
    assert get(samples, "events_total", event="closed") == 2
    assert get(samples, "received_bytes_total") == 2000
    assert get(samples, "sent_bytes_total") == 8000
    assert get(samples, "connections", protocol="http/1.1", state="idle") == 80
    assert get(samples, "connections", protocol="redis", state="idle") == 0
    assert get(samples, "connections_opened_total") == 6
    assert get(samples, "connections_refused_total") == 2
    assert get(samples, "handshakes_failed_total") == 8
    assert get(samples, "timeouts_total", kind="idle") == 4
    assert get(samples, "requests_total", protocol="http/1.1", status="2xx") == 24
    assert get(samples, "requests_total", protocol="http/1.1", status="5xx") == 4
    assert get(samples, "requests_total", protocol="http/1.1", status="aborted") == 4
    assert get(samples, "refused_requests_total", protocol="http/1.1", status="431") == 2
    assert get(samples, "refused_requests_total", protocol="h2", status="431") == 2
    assert get(samples, "protocol_faults_total", protocol="h2", code="ENHANCE_YOUR_CALM") == 4
    assert get(samples, "protocol_faults_total", protocol="websocket", code="1002") == 2
    assert get(samples, "streams", protocol="h2") == 60
    assert get(samples, "websocket_sessions_total") == 18
    assert get(samples, "websocket_sessions_open") == 10
    assert get(samples, "websocket_messages_total", direction="in") == 140
    assert get(samples, "websocket_messages_total", direction="out") == 160
    assert get(samples, "quic_handshakes") == 12
    assert get(samples, "quic_replies_total", kind="retry") == 22
    assert get(samples, "udp_datagrams_total", what="dropped") == 16
    assert get(samples, "observer_errors_total", observer="app.seen:hear") == 2
    assert get(samples, "observer_dropped_total", observer="app.seen:hear") == 12
    assert get(samples, "tasks") == 6
    assert get(samples, "request_duration_seconds_count") == 30
    assert get(samples, "request_duration_seconds_sum") == 0.75
    assert get(samples, "event_loop_lag_seconds_count") == 8


def test_every_family_of_each_worker() -> None:
    gauges = {"pid": 2, "started": 1790000009, "resident_bytes": 5, "cpu_s": 0.5, "connections": {}}
    samples = parse(make_board(make_snapshot(1), make_snapshot(2, requests={}, gauges=gauges)))
    assert get(samples, "worker_start_time_seconds", pid="1") == 1790000000.5
    assert get(samples, "worker_requests_total", pid="1") == 18
    assert get(samples, "worker_connections", pid="1") == 43
    assert get(samples, "worker_resident_memory_bytes", pid="1") == 31000000
    assert get(samples, "worker_cpu_seconds_total", pid="1") == 1.25
    assert get(samples, "worker_start_time_seconds", pid="2") == 1790000009
    # One that has served nothing yet is there all the same.
    assert get(samples, "worker_requests_total", pid="2") == 0
    assert get(samples, "worker_connections", pid="2") == 0


def test_a_histogram_is_cumulative() -> None:
    samples = parse(make_board(make_snapshot(latency=make_histogram(b0=3, b2=10, b16=1))))
    counts = [get(samples, "request_duration_seconds_bucket", le=str(bound)) for bound in BOUNDS]
    assert counts == [3, 3] + [13] * 14
    assert get(samples, "request_duration_seconds_bucket", le="+Inf") == 14


def test_an_empty_board() -> None:
    samples = parse(make_board())
    assert get(samples, "workers") == 0
    for family in FAMILIES:
        if family.kind == "histogram":
            assert get(samples, f"{family.name.removeprefix('fastserver_')}_bucket", le="+Inf") == 0
        elif family.name != "fastserver_start_time_seconds" and not family.labels:
            assert samples[family.name, ()] == 0
    assert not [name for name, _ in samples if name.startswith("fastserver_worker_")]


def test_every_family_has_help_and_type_before_its_samples() -> None:
    lines = render(make_board(make_snapshot()), "1.2.3").decode().splitlines()
    for family in (*FAMILIES, *WORKER_FAMILIES):
        at = lines.index(f"# TYPE {family.name} {family.kind}")
        assert lines[at - 1] == f"# HELP {family.name} {family.help}"
        assert lines[at + 1].startswith(family.name)
        assert family.help.endswith(".")
        assert "\\" not in family.help
        assert (family.kind == "counter") == family.name.endswith("_total")


def test_the_page_ends_with_a_line() -> None:
    page = render(make_board(), "1.2.3")
    assert page.endswith(b"\n")
    assert not page.endswith(b"\n\n")


@pytest.mark.parametrize(
    "name", ['say "hi"', "back\\slash", "two\nlines", "\\n", '\\"', "{a=b},", "naïve ☃", "", "a:b"]
)
def test_any_name_is_a_label(name: str) -> None:
    snapshot = make_snapshot(
        observers={name: {"errors": 3, "dropped": 0}},
        requests={name: {"2xx": 5}},
        gauges={"pid": 1, "connections": {name: {"active": 7}}},
    )
    samples = parse(make_board(snapshot), version=name)
    assert get(samples, "observer_errors_total", observer=name) == 3
    assert get(samples, "requests_total", protocol=name, status="2xx") == 5
    assert get(samples, "connections", protocol=name, state="active") == 7
    assert get(samples, "build_info", version=name) == 1


@given(st.text(max_size=8), st.integers(0, 1 << 53))
def test_labels_read_back(name: str, count: int) -> None:
    samples = parse(make_board({"observers": {name: {"errors": count}}}))
    assert get(samples, "observer_errors_total", observer=name) == count


def test_half_of_a_surrogate_pair_does_not_break_the_page() -> None:
    samples = parse(make_board(make_snapshot(requests={"\ud800": {"2xx": 5}})))
    assert get(samples, "requests_total", protocol="?", status="2xx") == 5
