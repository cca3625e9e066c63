"""Frames as ``h2`` reads them, and nothing more: made for each frame that comes, so small and kept for the next.

They say by ``__class__`` that they are hyperframe's, since ``h2`` dispatches by that, and ``isinstance`` believes it.
``h2`` also makes a ``repr`` of each frame for a log that nobody reads, which cost more than all its other work on a
large DATA frame; here it is a constant.

The scanner fills the fields, which the ``.pxd`` lists.  Their names are hyperframe's; section numbers are RFC 9113's.
"""

from hyperframe.frame import (
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)


class Data:
    """A DATA frame: ``data`` without its padding, which ``flow_controlled_length`` counts (RFC 9113 section 6.1)."""

    @property  # type: ignore[misc]
    def __class__(self):
        return DataFrame

    def __repr__(self):
        return "DATA"


class Headers:
    """A HEADERS frame with the CONTINUATION frames behind it: ``data`` is the whole field block (section 6.2)."""

    @property  # type: ignore[misc]
    def __class__(self):
        return HeadersFrame

    def __repr__(self):
        return "HEADERS"


class Priority:
    """A PRIORITY frame (section 6.3)."""

    @property  # type: ignore[misc]
    def __class__(self):
        return PriorityFrame

    def __repr__(self):
        return "PRIORITY"


class RstStream:
    """A RST_STREAM frame (section 6.4)."""

    @property  # type: ignore[misc]
    def __class__(self):
        return RstStreamFrame

    def __repr__(self):
        return "RST_STREAM"


class Settings:
    """A SETTINGS frame: those of its ``settings`` that are known (section 6.5)."""

    @property  # type: ignore[misc]
    def __class__(self):
        return SettingsFrame

    def __repr__(self):
        return "SETTINGS"


class Ping:
    """A PING frame (section 6.7)."""

    @property  # type: ignore[misc]
    def __class__(self):
        return PingFrame

    def __repr__(self):
        return "PING"


class WindowUpdate:
    """A WINDOW_UPDATE frame (section 6.9)."""

    @property  # type: ignore[misc]
    def __class__(self):
        return WindowUpdateFrame

    def __repr__(self):
        return "WINDOW_UPDATE"
