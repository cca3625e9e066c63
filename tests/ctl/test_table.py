"""What a server says of itself, in words."""

from typing import Any

import pytest

from fastserver.ctl.table import render_size, render_span, render_status

STATS: dict[str, Any] = {
    "pid": 4711,
    "version": "1.2",
    "uptime": 7322.4,
    "phase": "serving",
    "wanted": 2,
    "listening": ["http://127.0.0.1:8000"],
    "reload": {"ok": True, "reason": "2 workers", "when": 1000.0, "took": 0.84},
    "workers": [
        {"pid": 4712, "state": "ready", "since": 61, "generation": 2, "requests": 120, "rss": 34700000, "silent": 0.0},
        {"pid": 14713, "state": "starting", "since": 0.26, "generation": 2},
    ],
}


def test_status() -> None:
    assert render_status(STATS, 1075.0).splitlines() == [
        "fastserver 1.2, process 4711, up 2 h 2 m: serving, 1 of 2 workers are ready",
        "listening on http://127.0.0.1:8000",
        "last reload 1 m 15 s ago: done in 0.8 s",
        "",
        "  PID  STATE       SINCE  GENERATION  REQUESTS    MEMORY  SILENT",
        " 4712  ready     1 m 1 s           2       120  33.1 MiB   0.0 s",
        "14713  starting    0.3 s           2         -         -       -",
    ]


def test_a_reload_that_failed() -> None:
    last = {"ok": False, "reason": "no module named 'x'", "when": 1000.0, "took": 12.0}
    lines = render_status({**STATS, "reload": last, "workers": []}, 1003.0).splitlines()
    assert lines[-1] == "last reload 3.0 s ago: failed after 12 s: no module named 'x'"


def test_a_server_of_another_version_is_shown_as_far_as_it_goes() -> None:
    assert render_status({}, 0.0) == "fastserver ?, process ?, up -: ?, 0 of ? workers are ready"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (-1, "0.0 s"),
        (9.94, "9.9 s"),
        (59.6, "1 m 0 s"),
        (3600, "1 h 0 m"),
        (200000, "2 d 7 h"),
        (None, "-"),
    ],
)
def test_spans(seconds: float | None, text: str) -> None:
    assert render_span(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "-"), (None, "-"), (512, "512 B"), (2048, "2.0 KiB"), (3 << 30, "3.0 GiB"), (True, "-")]
)
def test_sizes(size: float | None, text: str) -> None:
    assert render_size(size) == text
