"""What may stand in a line of the error log: nothing that ends the line, moves a cursor or turns the reading direction.

Messages and tracebacks carry text of clients and of applications.  Each line of them but the first is indented, so
that none can pass for the head of a record; each control character, line separator and bidirectional override becomes
``\\xNN`` or ``\\uNNNN`` (CVE-2020-7694, CVE-2003-0020, CVE-2021-42574).  Texts are cut: a line at ``FIELD_LIMIT``, all
together at ``TEXT_LIMIT``.

Invariant: cleaning what is clean changes nothing; so each place that writes may clean, and none relies on another.
"""

from __future__ import annotations

import re
from typing import Final

#: Characters of one logged field, or of one line of a text.
FIELD_LIMIT: Final = 8192

#: Characters of one message or traceback; of what is longer the beginning and the end are kept.
TEXT_LIMIT: Final = 65536

#: What stands before each further line of a record.
INDENT: Final = "  "

_CUT: Final = " ..."
_LEFT_OUT: Final = "... left out ..."
_BREAK: Final = "\n"

# C0 but tab, DEL and C1; the bidirectional controls; the line separators; halves of surrogate pairs, which no encoding
# takes.
_UNSAFE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean_line(text: str) -> str:
    """``text`` on one line; line breaks are escaped too."""
    text = text[: FIELD_LIMIT + 1]
    if _UNSAFE.search(text) is not None:
        text = _UNSAFE.sub(_escape, text)
    return text if len(text) <= FIELD_LIMIT else text[: FIELD_LIMIT - len(_CUT)] + _CUT


def clean_text(text: str) -> str:
    """``text`` with its line breaks, every line of it clean."""
    if len(text) <= FIELD_LIMIT and _UNSAFE.search(text) is None:
        return text
    return cut_text("\n".join(clean_line(line) for line in cut_text(text).split("\n")))


def cut_text(text: str) -> str:
    """``text`` without its middle, where it is longer than ``TEXT_LIMIT``."""
    if len(text) <= TEXT_LIMIT:
        return text
    head = text[: TEXT_LIMIT // 4]
    tail = text[-(TEXT_LIMIT // 2) :]
    return f"{head[: head.rfind(_BREAK) % len(head)]}\n{_LEFT_OUT}\n{tail[tail.find(_BREAK) + 1 :]}"


def indent(text: str) -> str:
    """Each line of a clean ``text`` below the head of its record."""
    return "\n".join(f"{INDENT}{line}" for line in text.split("\n"))


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
