"""Reading frames: what ``h2`` has for an ``incoming_buffer``, strict, with budgets, and one frame at a time.

``h2`` feeds what it receives by ``add_data``, sets ``max_frame_size`` and iterates.  An iteration gives at most one
frame, so that the events of one are seen before the next is read; whoever feeds ``h2`` goes on with
``receive_data(b"")`` while ``has_frame()``.  Each rule of RFC 9113 sections 4 to 6 that a frame alone can break is held
here, as soon as the nine bytes of the header are there (threats H2-3, H2-5, H2-6); what depends on the state of a
stream is left to ``h2``.

Invariants: at most one frame and one field block are held beyond what was fed last; a byte is copied at most three
times however it comes; after a fault nothing is read.
"""

from .bounds import BLOCK_BYTES, CONTINUATIONS
from .codes import (
    ACK,
    CONTINUATION,
    DATA,
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_FRAME_LIMIT,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    SMALLEST_FRAME_LIMIT,
    WINDOW_LIMIT,
    WINDOW_UPDATE,
    WITH_PRIORITY,
)
from .errors import ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR, ConnectionFault
from .lightframes import Data, Headers, Ping, Priority, RstStream, Settings, WindowUpdate

PREFACE_BYTES = len(PREFACE)
HEADER_BYTES = 9
_KNOWN_FLAGS = END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY


def _name_flags(flags, names):
    return frozenset(name for bit, name in names.items() if flags & bit)


_NO_FLAGS = frozenset()
_ACK_FLAGS = frozenset({"ACK"})
#: Of DATA and HEADERS, by their known bits.
_FLAG_SETS = [
    _name_flags(
        flags, {END_STREAM: "END_STREAM", END_HEADERS: "END_HEADERS", PADDED: "PADDED", WITH_PRIORITY: "PRIORITY"}
    )
    for flags in range(_KNOWN_FLAGS + 1)
]


def _read_u32(data, at):
    value = data[at]
    value = value << 8 | data[at + 1]
    value = value << 8 | data[at + 2]
    return value << 8 | data[at + 3]


class FrameScanner:
    """The frames of one client, from its preface on.

    ``faults`` are the stream errors found here, ``(stream_id, code)``, for the caller to take and to answer with
    RST_STREAM after each step; the frame itself is dropped, but HEADERS, whose block must be decoded (section 4.3).
    ``went_away`` says that the client begins no more streams: GOAWAY is not given to ``h2``, which would then refuse to
    finish those that are open.  ``in_block`` says that a field block has begun and not ended.  ``copied`` counts the
    bytes that were moved to join what came in pieces.
    """

    def __init__(self, limits, budget):
        self.max_frame_size = SMALLEST_FRAME_LIMIT
        self.faults = []
        self.went_away = False
        self.in_block = False
        self.copied = 0
        self._budget = budget
        self._data = b""
        self._at = 0
        self._tail = bytearray()
        self._preface = 0
        self._is_started = False
        self._is_given = False
        self._is_over = False
        self._fault = None
        self._size = -1
        self._kind = 0
        self._flags = 0
        self._stream_id = 0
        self._highest = 0
        self._initial_window = FIRST_WINDOW
        self._head = None
        self._block = bytearray()
        self._block_bytes = 0
        self._block_limit = max(BLOCK_BYTES, limits.h2.header_list)
        self._continuations = 0

    @property
    def held(self):
        """How many bytes are buffered."""
        return len(self._data) - self._at + len(self._tail) + len(self._block)

    def add_data(self, data):
        """Take what has come.  Nothing is read of it yet."""
        if self._is_over:
            return
        if self._at == len(self._data) and not self._tail:
            self._data = data
            self._at = 0
        else:
            self._tail += data
            self.copied += len(data)

    def has_frame(self):
        """Whether a step of iteration would do something: a whole frame is there, or a fault that it would raise."""
        if self._is_over:
            return False
        try:
            if self._fault is None and self._preface < PREFACE_BYTES:
                self._read_preface()
                if self._preface < PREFACE_BYTES:
                    return False
            if self._fault is None and self._size < 0:
                if not self._gather(HEADER_BYTES):
                    return False
                self._read_header()
        except ConnectionFault as fault:
            self._fault = fault
        if self._fault is not None or self._size > self.max_frame_size:
            return True
        return self._gather(HEADER_BYTES + self._size)

    def __iter__(self):
        self._is_given = False
        return self

    def __next__(self):
        if self._is_given:
            self._is_given = False
            raise StopIteration
        try:
            while self.has_frame():
                if self._fault is not None:
                    raise self._fault
                # Not sooner: h2 sets it when it is fed, and the frame before may have changed it.
                if self._size > self.max_frame_size:
                    raise ConnectionFault(FRAME_SIZE_ERROR, "frame too large")
                frame = self._read_frame()
                if frame is not None:
                    self._is_given = True
                    return frame
                if self.faults or self.went_away:
                    break
        except ConnectionFault:
            self.close()
            raise
        raise StopIteration

    def close(self):
        """Nothing is read any more."""
        self._is_over = True
        self._fault = None
        self._data = b""
        self._at = 0
        self._tail = bytearray()
        self._head = None
        self._block = bytearray()
        self.in_block = False

    def _gather(self, need):
        """Whether ``need`` bytes are there; if so they are in ``_data``, behind ``_at``."""
        rest = len(self._data) - self._at
        if rest >= need:
            return True
        if rest + len(self._tail) < need:
            return False
        self._data = self._data[self._at :] + self._tail
        self._at = 0
        self._tail = bytearray()
        self.copied += len(self._data)
        return True

    # Headers.

    def _read_preface(self):
        """Compare what there is of the client's preface, byte for byte (section 3.4)."""
        while self._preface < PREFACE_BYTES and self._gather(1):
            size = min(PREFACE_BYTES - self._preface, len(self._data) - self._at)
            if self._data[self._at : self._at + size] != PREFACE[self._preface : self._preface + size]:
                raise ConnectionFault(PROTOCOL_ERROR, "not the preface of HTTP/2")
            self._preface += size
            self._at += size

    def _read_header(self):
        """Read and check the nine bytes at ``_at`` (section 4.1)."""
        data = self._data
        at = self._at
        size = data[at]
        size = size << 8 | data[at + 1]
        self._size = size << 8 | data[at + 2]
        self._kind = data[at + 3]
        self._flags = data[at + 4]
        self._stream_id = _read_u32(data, at + 5) & 0x7FFFFFFF
        if self.in_block:
            self._check_continuation()
            return
        if not self._is_started:
            if self._kind != SETTINGS or self._flags & ACK:
                raise ConnectionFault(PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._is_started = True
        self._check_stream()
        self._check_size()

    def _check_continuation(self):
        """Nothing may stand between the frames of a field block (section 4.3), and it has limits (H2-3)."""
        if self._kind != CONTINUATION or self._stream_id != self._head.stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "another frame within a field block")
        if self._continuations == CONTINUATIONS:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many CONTINUATION frames")
        if self._block_bytes + self._size > self._block_limit:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "field block too large")

    def _check_stream(self):
        """Which frames belong to a stream, and to which (sections 5.1, 5.1.1 and 6)."""
        kind = self._kind
        stream_id = self._stream_id
        if kind > CONTINUATION or (kind == WINDOW_UPDATE and stream_id == 0):
            return
        if kind == PUSH_PROMISE:
            raise ConnectionFault(PROTOCOL_ERROR, "PUSH_PROMISE from a client")
        if kind == CONTINUATION:
            raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION without a field block")
        if kind in (SETTINGS, PING, GOAWAY):
            if stream_id != 0:
                raise ConnectionFault(PROTOCOL_ERROR, "a frame of the connection on a stream")
            return
        if stream_id == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "a frame of a stream on stream 0")
        if kind == HEADERS:
            if stream_id % 2 == 0:
                raise ConnectionFault(PROTOCOL_ERROR, "even stream identifier from a client")
            self._highest = max(self._highest, stream_id)
        elif kind != PRIORITY and (stream_id % 2 == 0 or stream_id > self._highest):
            raise ConnectionFault(PROTOCOL_ERROR, "frame on an idle stream")

    def _check_size(self):
        """Sizes that the frame's type fixes (section 6); of PRIORITY only the stream suffers, so that comes later."""
        kind = self._kind
        size = self._size
        if kind in (DATA, HEADERS):
            least = 0
            if self._flags & PADDED:
                least = 1
            if kind == HEADERS:
                if self._flags & WITH_PRIORITY:
                    least += 5
                if size > self._block_limit:
                    raise ConnectionFault(ENHANCE_YOUR_CALM, "field block too large")
            if size < least:
                raise ConnectionFault(FRAME_SIZE_ERROR, "frame too short for its fields")
        elif kind == SETTINGS:
            if size % 6 or (self._flags & ACK and size):
                raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        elif kind == PING:
            if size != 8:
                raise ConnectionFault(FRAME_SIZE_ERROR, "PING of a wrong size")
        elif kind == GOAWAY:
            if size < 8:
                raise ConnectionFault(FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        elif kind in (RST_STREAM, WINDOW_UPDATE) and size != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "RST_STREAM or WINDOW_UPDATE of a wrong size")

    # Payloads.

    def _read_frame(self):
        """The whole frame at ``_at``; ``None`` where there is nothing to give."""
        kind = self._kind
        size = self._size
        at = self._at + HEADER_BYTES
        self._at = at + size
        self._size = -1
        if kind == HEADERS:
            frame = self._read_headers(at, size)
        elif kind == DATA:
            frame = self._read_data(at, size)
        elif kind == CONTINUATION:
            frame = self._read_continuation(at, size)
        else:
            self._budget.count_frame(HEADER_BYTES + size, 0, kind != WINDOW_UPDATE)
            if kind == WINDOW_UPDATE:
                frame = self._read_window_update(at)
            elif kind == RST_STREAM:
                frame = self._read_rst_stream(at)
            elif kind == SETTINGS:
                frame = self._read_settings(at, size)
            elif kind == PING:
                frame = self._read_ping(at)
            elif kind == PRIORITY:
                frame = self._read_priority(at, size)
            elif kind == GOAWAY:
                self.went_away = True
                frame = None
            else:
                # Ignored, whatever it is (section 5.5); PRIORITY_UPDATE of RFC 9218 as well.
                self._budget.count_priority()
                frame = None
        if self._at == len(self._data):
            # An idle connection holds nothing of what it has read.
            self._data = b""
            self._at = 0
        return frame

    def _skip_padding(self, at, start, end):
        """Where the content that begins at ``start`` ends; the Pad Length stands at ``at``."""
        padding = self._data[at]
        if padding > end - start:
            raise ConnectionFault(PROTOCOL_ERROR, "padding exceeds the frame")
        return end - padding

    def _read_data(self, at, size):
        start = at
        end = at + size
        if self._flags & PADDED:
            start += 1
            end = self._skip_padding(at, start, end)
        self._budget.count_frame(HEADER_BYTES + size, end - start, True)
        self._budget.count_fragment(end - start, True if self._flags & END_STREAM else False)
        frame = Data.__new__(Data)
        frame.stream_id = self._stream_id
        frame.flags = _FLAG_SETS[self._flags & (END_STREAM | PADDED)]
        frame.data = self._data[start:end]
        frame.flow_controlled_length = size
        return frame

    def _read_headers(self, at, size):
        start = at
        end = at + size
        flags = self._flags & _KNOWN_FLAGS
        frame = Headers.__new__(Headers)
        frame.stream_id = self._stream_id
        frame.depends_on = 0
        frame.stream_weight = 0
        frame.exclusive = False
        if flags & PADDED:
            start += 1
        if flags & WITH_PRIORITY:
            dependency = _read_u32(self._data, start)
            frame.depends_on = dependency & 0x7FFFFFFF
            frame.exclusive = dependency > 0x7FFFFFFF
            frame.stream_weight = self._data[start + 4]
            start += 5
        if flags & PADDED:
            end = self._skip_padding(at, start, end)
        self._budget.count_frame(HEADER_BYTES + size, end - start, True)
        self._budget.count_fragment(end - start, False)
        if frame.depends_on == frame.stream_id:
            # Without its priority h2 reads the frame, and so the decoder its block.
            flags &= ~WITH_PRIORITY
        frame.flags = _FLAG_SETS[flags | END_HEADERS]
        if flags & END_HEADERS:
            frame.data = self._data[start:end]
            return self._give_head(frame)
        self._head = frame
        self._block += self._data[start:end]
        self._block_bytes = size
        self._continuations = 0
        self.in_block = True
        return None

    def _read_continuation(self, at, size):
        self._budget.count_frame(HEADER_BYTES + size, size, True)
        self._budget.count_fragment(size, False)
        self._block += self._data[at : at + size]
        self._block_bytes += size
        self._continuations += 1
        if not self._flags & END_HEADERS:
            return None
        frame = self._head
        frame.data = bytes(self._block)
        self._head = None
        self._block = bytearray()
        self.in_block = False
        return self._give_head(frame)

    def _give_head(self, frame):
        """A field block is whole."""
        if frame.depends_on == frame.stream_id:
            self.faults.append((frame.stream_id, PROTOCOL_ERROR))
        return frame

    def _note_priority_fault(self, code):
        """A stream error; a stream that is idle cannot be reset (section 6.4), so that the connection suffers."""
        if self._stream_id > self._highest or self._stream_id % 2 == 0:
            raise ConnectionFault(code, "malformed PRIORITY")
        self.faults.append((self._stream_id, code))

    def _read_priority(self, at, size):
        self._budget.count_priority()
        if size != 5:
            self._note_priority_fault(FRAME_SIZE_ERROR)
            return None
        dependency = _read_u32(self._data, at)
        if dependency & 0x7FFFFFFF == self._stream_id:
            self._note_priority_fault(PROTOCOL_ERROR)
            return None
        frame = Priority.__new__(Priority)
        frame.stream_id = self._stream_id
        frame.flags = _NO_FLAGS
        frame.depends_on = dependency & 0x7FFFFFFF
        frame.exclusive = dependency > 0x7FFFFFFF
        frame.stream_weight = self._data[at + 4]
        return frame

    def _read_rst_stream(self, at):
        frame = RstStream.__new__(RstStream)
        frame.stream_id = self._stream_id
        frame.flags = _NO_FLAGS
        frame.error_code = _read_u32(self._data, at)
        return frame

    def _read_settings(self, at, size):
        """Unknown settings are ignored (section 6.5.2) and left out: ``h2`` would keep each of them for ever."""
        self._budget.count_settings()
        settings = {}
        end = at + size
        while at < end:
            name = self._data[at]
            name = name << 8 | self._data[at + 1]
            value = _read_u32(self._data, at + 2)
            at += 6
            if HEADER_TABLE_SIZE <= name <= MAX_HEADER_LIST_SIZE or name == ENABLE_CONNECT_PROTOCOL:
                self._check_setting(name, value)
                settings[name] = value
        value = settings.get(INITIAL_WINDOW_SIZE, self._initial_window)
        if value != self._initial_window:
            self._budget.count_window_change()
            self._initial_window = value
        frame = Settings.__new__(Settings)
        frame.stream_id = 0
        frame.flags = _ACK_FLAGS if self._flags & ACK else _NO_FLAGS
        frame.settings = settings
        return frame

    def _check_setting(self, name, value):
        """The values that a setting may have (section 6.5.2; RFC 8441 section 3)."""
        if name == ENABLE_PUSH and value > 1:
            raise ConnectionFault(PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        if name == INITIAL_WINDOW_SIZE and value > WINDOW_LIMIT:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE too large")
        if name == MAX_FRAME_SIZE and not SMALLEST_FRAME_LIMIT <= value <= LARGEST_FRAME_LIMIT:
            raise ConnectionFault(PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
        if name == ENABLE_CONNECT_PROTOCOL and value > 1:
            raise ConnectionFault(PROTOCOL_ERROR, "ENABLE_CONNECT_PROTOCOL is neither 0 nor 1")

    def _read_ping(self, at):
        self._budget.count_ping()
        frame = Ping.__new__(Ping)
        frame.stream_id = 0
        frame.flags = _ACK_FLAGS if self._flags & ACK else _NO_FLAGS
        frame.opaque_data = self._data[at : at + 8]
        return frame

    def _read_window_update(self, at):
        self._budget.count_window_update()
        increment = _read_u32(self._data, at) & 0x7FFFFFFF
        if increment == 0:
            if self._stream_id == 0:
                raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
            self.faults.append((self._stream_id, PROTOCOL_ERROR))
            return None
        frame = WindowUpdate.__new__(WindowUpdate)
        frame.stream_id = self._stream_id
        frame.flags = _NO_FLAGS
        frame.window_increment = increment
        return frame
