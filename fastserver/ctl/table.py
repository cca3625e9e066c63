"""What a server says of itself, for people.  Pure; it reads no clock, and takes any data as it comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60))
_SIZES: Final = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
_HEAD: Final = ("PID", "STATE", "SINCE", "GENERATION", "REQUESTS", "MEMORY", "SILENT")


def render_status(data: Mapping[str, Any], wall_s: float) -> str:
    """The answer to ``status``, at ``wall_s`` Unix seconds."""
    workers = data.get("workers", ())
    ready = sum(worker.get("state") == "ready" for worker in workers)
    lines = [
        f"fastserver {data.get('version', '?')}, process {data.get('pid', '?')}, up {render_span(data.get('uptime'))}: "
        f"{data.get('phase', '?')}, {ready} of {data.get('wanted', '?')} workers are ready",
        *(f"listening on {url}" for url in data.get("listening", ())),
    ]
    last = data.get("reload")
    if last:
        ago, took = render_span(wall_s - last["when"]), render_span(last["took"])
        how = f"done in {took}" if last["ok"] else f"failed after {took}: {last['reason']}"
        lines.append(f"last reload {ago} ago: {how}")
    rows = [
        (
            str(worker.get("pid", "?")),
            str(worker.get("state", "?")),
            render_span(worker.get("since")),
            str(worker.get("generation", "?")),
            str(worker.get("requests", "-")),
            render_size(worker.get("rss")),
            render_span(worker.get("silent")),
        )
        for worker in workers
    ]
    return "\n".join([*lines, "", *render_table(_HEAD, rows)] if rows else lines)


def render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns of one width; the second is text, and the others numbers."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if place == 1 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]


def render_span(seconds: Any) -> str:
    """``2 d 3 h``, ``5 m 12 s``, ``0.8 s``; ``-`` where it is not known."""
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        return "-"
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    names: list[str] = []
    left = round(seconds)
    for name, size in (*_UNITS, ("s", 1)):
        count, left = divmod(left, size)
        if count or names:
            names.append(f"{count} {name}")
    return " ".join(names[:2])


def render_size(size: Any) -> str:
    """``33.1 MiB``; ``-`` where it is not known."""
    if not isinstance(size, (int, float)) or isinstance(size, bool) or size <= 0:
        return "-"
    for name, unit in _SIZES:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} B"
