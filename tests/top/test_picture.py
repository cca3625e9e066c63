"""The picture: whole in 80 columns, more in more, nothing said by colour alone."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from fastserver.top import picture
from fastserver.top.facts import Facts, compare
from tests.top.samples import compare_totals, compose_snapshot, compose_stats, take_reading


def draw(facts: Facts, width: int = 80, height: int | None = None) -> list[str]:
    """The lines of the picture; with ``height`` as on a screen of so many lines."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    options = console.options if height is None else console.options.update(height=height)
    lines = console.render_lines(picture.Picture("127.0.0.1:9090", facts), options, pad=False)
    return ["".join(segment.text for segment in line) for line in lines]


def compose_huge() -> Facts:
    """Facts with the longest figures that a machine could come to, and all tables."""
    before = compose_snapshot(pid=4194303)
    now = compose_snapshot(1_999_999_999, failed=999_999, slow=99_999_999, pid=4194303)
    now["loop_lag"] = now["latency"]
    now["gauges"]["connections"]["http/1.1"] = dict.fromkeys(("connecting", "active", "idle", "closing"), 999_999)
    now["gauges"]["streams"] = {"http/1.1": 99_999_999}
    now["gauges"].update(resident_bytes=1023 << 30, cpu_s=200.0)
    now["observers"] = {"package.module:attribute": {"errors": 123_456, "dropped": 123_456_789}}
    facts = compare_totals(before, now)
    return replace(facts, uptime_s=1e8, workers=tuple(replace(worker, uptime_s=1e8) for worker in facts.workers))


@pytest.mark.parametrize("facts", [compose_huge(), compare(None, take_reading(compose_stats(compose_snapshot())))])
def test_80_columns_hold_every_column_whole(facts: Facts) -> None:
    lines = draw(facts)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "…" not in text
    titles = "PID|CPU %|MEMORY|ACTIVE|IDLE|REQUESTS/S|UPTIME|CONNECTING|CLOSING|STREAMS|1XX|5XX|ABORTED|REFUSED"
    for title in titles.split("|"):
        assert re.search(rf"(?<!\S){title}(?!\S)", text), title
    table = next(number for number, line in enumerate(lines) if "PID" in line)
    header = [match.end() for match in re.finditer(r"\S+(?: %)?", lines[table])]
    row = [match.end() for match in re.finditer(r"\S+(?: \S*[iB:]\S*)?", lines[table + 1])]
    assert header == row  # figures end under the ends of their titles


def test_the_picture_says_it_all_in_words() -> None:
    observers = {"app:watch": {"errors": 3, "dropped": 12}}
    text = "\n".join(
        draw(compare_totals(compose_snapshot(1000), compose_snapshot(1500, failed=4, observers=observers)))
    )
    assert "fastserver 1.2.3 at 127.0.0.1:9090, up 00:01:02, 1 worker" in text
    assert "requests/s 252   errors/s 2   in/s 24.4 KiB   out/s 250.0 KiB" in text
    assert re.search(r"latency p50 0\.\d\d ms   p95 0\.\d\d ms   p99 0\.\d\d ms   loop lag p99 -", text)
    assert re.search(r"4711 +25\.0 +29\.6 MiB +2 +40 +252 +00:01:02", text)
    assert re.search(r"http/1\.1 +1 +2 +40 +3 +2 +252", text)
    assert re.search(r"a second +0 +250 +0 +0 +2 +0 +4", text)
    assert re.search(r"in all +0 +1,500 +0 +0 +4 +0 +8", text)
    assert re.search(r"h2 ENHANCE_YOUR_CALM +2 +4", text)
    assert re.search(r"app:watch +3 +12", text)


def test_sessions_are_shown_once_there_are_some() -> None:
    text = "\n".join(draw(compare_totals(compose_snapshot(1), compose_snapshot(1, slow=6))))
    assert re.search(r"WEBSOCKETS +OPEN +OPENED/S +RECEIVED/S +SENT/S +IN ALL", text)
    assert re.search(r"sessions +6 +3 +30 +60 +6$", text, re.MULTILINE)
    text = "\n".join(draw(compare_totals(compose_snapshot(1), compose_snapshot(2))))
    assert "WEBSOCKETS" not in text
    assert "FAULTS" not in text


def test_a_wide_terminal_has_more_columns() -> None:
    facts = compose_huge()
    assert "OUT/S" not in "\n".join(draw(facts, 119))
    wide = draw(facts, 120)
    assert max(map(len, wide)) <= 120
    text = "\n".join(wide)
    assert "…" not in text
    assert all(title in text for title in ("IN/S", "OUT/S", "P99", "LAG P99", ">= 10 s"))


@pytest.mark.parametrize("height", [24, 40])
def test_workers_give_way_on_a_low_screen(height: int) -> None:
    workers = [compose_snapshot(pid=1000 + number) for number in range(64)]
    facts = compare(None, take_reading(compose_stats(*workers)))
    lines = [line.strip() for line in draw(facts, height=height)]
    assert len(lines) == height
    assert lines[-1].startswith("in all")  # nothing below is cut off
    shown = sum(line.startswith("10") for line in lines)
    assert f"... and {64 - shown} more workers" in lines
    assert len(draw(facts)) > 64  # plain lines have them all


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "-"),
        (0, "0"),
        (0.25, "0.25"),
        (12.34, "12.3"),
        (1234.6, "1,235"),
        (999_999, "999,999"),
        (999_999.7, "1.0M"),
        (12_345_678, "12.3M"),
        (999_960_000, "1.0G"),
        (9e18, "9.0E"),
    ],
)
def test_numbers_are_short(number: float | None, text: str) -> None:
    assert picture.format_number(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1023.96 * 1024, "1.0 MiB"),
        (1 << 62, "4096.0 PiB"),
    ],
)
def test_bytes_have_units(number: float | None, text: str) -> None:
    assert picture.format_bytes(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.0001, "0.10 ms"), (0.0123, "12.3 ms"), (0.25, "250 ms"), (1.0, "1.00 s"), (60, ">= 10 s")],
)
def test_delays_have_units(seconds: float | None, text: str) -> None:
    assert picture.format_delay(seconds) == text


def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    stats = compose_stats(compose_snapshot(observers={"\x1b[2J[red]x": {"errors": 1}}))
    stats["version"] = "1\x1b]0;title\x07\n2"
    text = "\n".join(draw(compare(None, take_reading(stats))))
    assert "\x1b" not in text
    assert "fastserver 1?]0;title??2 at" in text
    assert "?[2J[red]x" in text
