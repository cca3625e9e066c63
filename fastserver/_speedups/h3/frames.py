"""Reading the frames of one HTTP/3 stream (RFC 9114 section 7), which may be cut anywhere.

The payload of DATA is given as it comes, other frames are given whole, and what is unknown is passed over.  Each rule
that the sequence of a stream's frames alone can break is held here, as soon as a head is there: which frames a request
stream and a control stream may carry, HEADERS first (and once more at most, behind which nothing comes) on the one
(section 4.1), SETTINGS first and once on the other (section 6.2.1).  What a frame says is not looked at: that the
stream of a CONNECT carries DATA alone (section 4.4), say, is the connection's to hold.

Invariants: beyond what was fed last, at most one frame of the limit's size is held; a byte is copied at most three
times however it comes; after a fault nothing is read.
"""

from .codes import (
    CANCEL_PUSH,
    DATA,
    GOAWAY,
    HEADERS,
    HTTP2_FRAMES,
    MAX_PUSH_ID,
    NOTHING,
    PUSH_PROMISE,
    REQUEST,
    SETTINGS,
)
from .errors import H3_FRAME_UNEXPECTED, H3_MISSING_SETTINGS, ConnectionFault, FrameTooLarge
from .varint import measure_varint, read_varint

# States of the reader beside the types of frames: between frames, inside one that is passed over, behind a fault.
_BETWEEN = -1
_SKIPPED = -2
_OVER = -3

# A bit for each type that is known, MAX_PUSH_ID being the last.
_KNOWN = sum(
    1 << kind for kind in (DATA, HEADERS, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID, *HTTP2_FRAMES)
)


class FrameReader:
    """The frames that the peer sends on one stream.  Made by ``__new__`` and ``begin``, fed, then read until NOTHING.

    ``payload`` belongs to what ``read`` gave last.  ``is_between`` says, once ``read`` gives NOTHING, that a frame has
    ended and none has begun: the stream may end here.  ``empty_frames`` counts DATA without a byte, ``skipped_bytes``
    the bytes of unknown frames with their heads: both are work that gives nothing, for a budget to cap.
    """

    def begin(self, limit_bytes, kind):
        """Read a stream of ``kind``, REQUEST or CONTROL; ``limit_bytes`` is of frames other than DATA."""
        self.payload = b""
        self.is_between = True
        self.empty_frames = 0
        self.skipped_bytes = 0
        self._limit = limit_bytes
        self._stream = kind
        # What has come: _data from _at on, and behind it _tail, which is joined once it completes something.
        self._data = b""
        self._at = 0
        self._tail = None
        self._state = _BETWEEN
        self._left = 0
        self._sections = 0  # frames of HEADERS on a request stream, of SETTINGS on a control stream

    def feed(self, data):
        """Take what has come.  Nothing is read of it yet."""
        if self._state == _OVER or not data:
            return
        if self._at == len(self._data) and self._tail is None:
            self._data = data
            self._at = 0
        elif self._tail is None:
            self._tail = bytearray(data)
        else:
            self._tail += data

    def read(self):
        """The type of the next piece, whose bytes are then ``payload``, or NOTHING.

        A piece is a whole frame, or what there is of a DATA frame, at least a byte.  Raises ``FrameTooLarge`` for a
        frame over the limit and ``ConnectionFault`` for one that may not stand there: H3_FRAME_UNEXPECTED, or
        H3_MISSING_SETTINGS.
        """
        self.payload = b""
        kind = NOTHING
        while kind == NOTHING:
            if self._state == _BETWEEN:
                if not self._read_head():
                    break
            elif self._state == DATA:
                if not self._gather(1):
                    break
                self.payload = self._take(min(self._left, len(self._data) - self._at))
                kind = DATA
            elif self._state == _SKIPPED:
                if not self._gather(1):
                    break
                self._pass_over(min(self._left, len(self._data) - self._at))
            else:
                if self._state == _OVER or not self._gather(self._left):
                    break
                kind = self._state
                self.payload = self._take(self._left)
        is_empty = self._at == len(self._data) and self._tail is None
        if is_empty:
            self._data = b""
            self._at = 0
        self.is_between = is_empty and self._state == _BETWEEN
        return kind

    def _gather(self, need):
        """Whether ``need`` bytes are there; if so they are in ``_data``, behind ``_at``."""
        rest = len(self._data) - self._at
        if rest >= need:
            return True
        if self._tail is None or rest + len(self._tail) < need:
            return False
        self._data = self._data[self._at :] + bytes(self._tail)
        self._at = 0
        self._tail = None
        return True

    def _take(self, size):
        """The next ``size`` bytes of the frame, which are there; all that was fed, where it is that, is not copied."""
        start = self._at
        data = self._data
        if start == 0 and size == len(data):
            piece = data
        else:
            piece = data[start : start + size]
        self._move(size)
        return piece

    def _pass_over(self, size):
        self.skipped_bytes += size
        self._move(size)

    def _move(self, size):
        self._at += size
        self._left -= size
        if self._left == 0:
            self._state = _BETWEEN

    def _read_head(self):
        """Read and check a frame's type and length (section 7.1); whether they were there.  The state is then its."""
        if not self._gather(1):
            return False
        first = measure_varint(self._data[self._at] & 0xFF)
        if not self._gather(first + 1):
            return False
        second = measure_varint(self._data[self._at + first] & 0xFF)
        if not self._gather(first + second):
            return False
        kind = read_varint(self._data, self._at)
        size = read_varint(self._data, self._at + first)
        try:
            self._enter_frame(kind, size, first + second)
        except (ConnectionFault, FrameTooLarge):
            self._close()
            raise
        self._at += first + second
        self._left = size
        if size == 0 and self._state in (DATA, _SKIPPED):
            self._state = _BETWEEN
        return True

    def _enter_frame(self, kind, size, head):
        """Begin a frame of that type and payload, whose head had ``head`` bytes."""
        is_known = kind <= MAX_PUSH_ID and _KNOWN >> kind & 1 != 0
        if is_known or (self._stream != REQUEST and self._sections == 0):
            self._check_place(kind)
        if not is_known:
            self.skipped_bytes += head
            self._state = _SKIPPED
            return
        if kind == DATA:
            if size == 0:
                self.empty_frames += 1
        elif size > self._limit:
            raise FrameTooLarge(kind, size)
        self._state = kind

    def _check_place(self, kind):
        """Which frames may stand where on the stream (section 7, table 1)."""
        if self._stream == REQUEST:
            if kind == HEADERS:
                self._sections += 1
            if kind not in (DATA, HEADERS):
                raise ConnectionFault(H3_FRAME_UNEXPECTED, "not a frame of a request stream")
            if self._sections == 0:
                raise ConnectionFault(H3_FRAME_UNEXPECTED, "DATA before HEADERS")
            if self._sections > (1 if kind == DATA else 2):
                raise ConnectionFault(H3_FRAME_UNEXPECTED, "a frame behind the trailers")
            return
        if self._sections == 0:
            if kind != SETTINGS:
                raise ConnectionFault(H3_MISSING_SETTINGS, "the first frame is not SETTINGS")
            self._sections = 1
        elif kind not in (CANCEL_PUSH, GOAWAY, MAX_PUSH_ID):
            raise ConnectionFault(H3_FRAME_UNEXPECTED, "not a frame of a control stream, or SETTINGS again")

    def _close(self):
        """Nothing is read any more."""
        self._state = _OVER
        self._data = b""
        self._at = 0
        self._tail = None
        self.is_between = False
