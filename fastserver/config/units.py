"""Durations, sizes and the other scalars that people write in settings: parsing and printing, nothing else.

Every ``parse_`` function takes text or the plain Python value, returns the canonical value and raises ``ValueError``
without a text of its own: the caller (``setting.Setting``) knows the key and says what is allowed.
"""

import re

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|s|m|h|d)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"([0-9]+)([kmg]?)b?", re.ASCII)
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_OCTAL = re.compile(r"(?:0o)?([0-7]+)", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]+", re.ASCII)
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
#: Every word of a switch, in lower case.
SWITCH_WORDS = _TRUE | _FALSE


def parse_duration(value: object) -> float:
    """Seconds of ``5``, ``2.5``, ``"5"``, ``"500ms"``, ``"2m"``, ``"1h"`` or ``"1d"``; finite and not negative."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
        if not 0 <= seconds < float("inf"):
            raise ValueError
        return seconds
    match = _DURATION.fullmatch(_text(value).lower())
    if match is None:
        raise ValueError
    number, unit = match.groups()
    # A division, since 500 * 0.001 is not the float that 0.5 is for every number.
    return float(number) / 1000 if unit == "ms" else float(number) * _SECONDS[unit or "s"]


def render_duration(seconds: float) -> str:
    """The shortest text that ``parse_duration`` reads back as ``seconds``: ``500ms``, ``5``, ``2.5``."""
    if 0 < seconds < 1 and (seconds * 1000).is_integer():
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.0f}" if float(seconds).is_integer() else repr(float(seconds))


def parse_size(value: object) -> int:
    """Bytes of ``65536``, ``"65536"``, ``"64k"``, ``"16m"`` or ``"1g"`` (powers of 1024); not negative."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError
        return value
    match = _SIZE.fullmatch(_text(value).lower())
    if match is None:
        raise ValueError
    number, unit = match.groups()
    return int(number) * _BYTES[unit]


def render_size(size: int) -> str:
    """The shortest text that ``parse_size`` reads back as ``size``: ``8190``, ``64k``, ``1g``."""
    for unit in ("g", "m", "k"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)


def parse_whole(value: object) -> int:
    """The whole number of an ``int`` (never a ``bool``) or of its decimal digits, negative ones too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    text = _text(value)
    if _WHOLE.fullmatch(text) is None:
        raise ValueError
    return int(text)


def parse_switch(value: object) -> bool:
    """The truth of a ``bool`` or of the words ``1/true/yes/on`` and ``0/false/no/off``."""
    if isinstance(value, bool):
        return value
    word = _text(value).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError


def parse_octal(value: object) -> int:
    """Permission bits: an ``int`` as it is (``0o660``), text as octal digits (``"660"``, ``"0660"``, ``"0o660"``)."""
    if isinstance(value, int) and not isinstance(value, bool):
        mode = int(value)
    else:
        match = _OCTAL.fullmatch(_text(value))
        if match is None:
            raise ValueError
        mode = int(match[1], 8)
    if not 0 <= mode <= 0o777:
        raise ValueError
    return mode


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value.strip()
