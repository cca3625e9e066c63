"""From the bytes of a client to messages, pings, pongs and its close: RFC 6455 on the server's side, sans-I/O.

Two ways lead through a frame.  A message that is one frame, which nearly all are, is read here: FIN is set, it is text
or binary, no RSV bit is set, it is masked, its length is written the shortest way, and no message is open.  A
compressed message is read here too where all of its only frame is there, and so is a Close.  All other frames (pings,
pongs, fragments, reserved bits and opcodes, lengths written too long, a part of a compressed message) are for wsproto
to judge.

wsproto gets one frame at a time and never a byte beyond, so its decoder is empty whenever a frame begins; where then no
message is open it is dropped, and an idle connection has none.  It gets frames without their masks, in the role of a
client, to whom servers do not mask: with its own unmasking a fragmented message of 1 MiB takes 980 us, with the
kernel's 120.  So the mask is checked here, and that a length has no more than 63 bits.

Limits: the bytes of a message (1009 as soon as a header or the inflated size says so), its fragments (1008), pings and
pongs (1008).  Nothing is allocated by a declared length.  A header is judged once it has come whole.
"""

from codecs import getincrementaldecoder
from io import BytesIO, StringIO

from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed

from ..bucket import TokenBucket
from .bounds import CONTROL_BURST, CONTROL_RATE, DEFLATE_SLACK_BYTES, FRAGMENT_BYTES, MAX_FRAGMENTS
from .codes import (
    BAD_DATA,
    BINARY,
    CLOSE,
    CONTROL,
    CONTROL_BYTES,
    FIN,
    MASK,
    NO_CODE,
    OPCODE,
    POLICY,
    PROTOCOL_ERROR,
    RSV1,
    TEXT,
    TOO_BIG,
)
from .kernels import decode_text, unmask

# More is no limit, and sums with it stay within 64 bits.
_MAX_BYTES = 1 << 60

# Where the reader stands: before a frame, in the payload of a message that is one frame, in a frame of wsproto's, in a
# Close.
_AT_HEADER = 0
_IN_PAYLOAD = 1
_IN_FRAME = 2
_IN_CLOSE = 3
_ENDED = 4

# The second byte's length from which on it stands behind, and the bit that one of eight bytes may not have
# (RFC 6455 section 5.2).
_TWO_BYTES = 126
_TOP_BIT = 0x80

# What wsproto and the extension find, in words that say nothing of either.
_WORDS = {PROTOCOL_ERROR: "bad frame", BAD_DATA: "invalid data", TOO_BIG: "message too big"}

_Decoder = getincrementaldecoder("utf-8")


class ReaderFault(Exception):
    """What the client did wrong: the code to close with, and the reason."""

    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Ping:
    """A ping, to be answered with its payload."""

    def __init__(self, payload):
        self.payload = payload


class Pong:
    """A pong, asked for or not."""

    def __init__(self, payload):
        self.payload = payload


class Close:
    """The client's close; code 1005 where it gave none (section 7.1.5)."""

    def __init__(self, code, reason):
        self.code = code
        self.reason = reason


def is_close_code(code):
    """Whether a client may say ``code``: one of those that are registered and stand on the wire, or one of the ranges
    for libraries and applications (section 7.4)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


class MessageReader:
    """Reads what one client sends; ``extension`` is what was negotiated, ``max_bytes`` what a message may hold.

    ``consumed`` counts the bytes that were parsed, those of a message still being assembled among them; the caller
    gives them to the peer as credit.  ``received`` is what has come of the payload of the message that has begun, as it
    is on the wire.  ``now`` is the caller's to set, in monotonic seconds; it refills the budget of pings and pongs.
    """

    def __init__(self, max_bytes, extension=None):
        self.max_bytes = min(max_bytes, _MAX_BYTES)
        self.now = 0.0
        self.consumed = 0
        self.received = 0
        self._extension = extension
        if extension is not None:
            extension.max_bytes = self.max_bytes
        self._state = _AT_HEADER
        self._data = b""
        self._position = self._size = 0
        self._backlog = None
        self._is_open = False
        self._parts = self._decode = self._frames = None
        self._controls = TokenBucket(CONTROL_BURST, CONTROL_RATE)

    def feed(self, data):
        """Add bytes of the client; nothing is parsed before ``next``.  Linear cost, however they are cut."""
        if self._state == _ENDED:
            self.consumed += len(data)
        elif self._position == self._size and self._backlog is None:
            self._data = data
            self._position = 0
            self._size = len(data)
        elif self._backlog is None:
            self._backlog = bytearray(data)
        else:
            self._backlog += data

    def next(self):
        """The next message (``str`` or ``bytes``), ``Ping``, ``Pong`` or ``Close``; ``None``: feed more.

        Raises ``ReaderFault`` where a bad frame begins, or a frame turns bad; all before it has been returned by then.
        After ``Close`` or a fault there is nothing more.
        """
        item = self._read()
        while item is None and self._backlog is not None and self._state != _ENDED:
            self._data = self._data[self._position :] + self._backlog
            self._position = 0
            self._size = len(self._data)
            self._backlog = None
            item = self._read()
        return item

    def excuse(self, paused_s):
        """Nothing was read for so long, up to now: the pings and pongs of that time may come at once."""
        self._controls.excuse(paused_s)

    def is_amid_message(self):
        """Whether a message has begun and not ended."""
        return self._is_open or self._state == _IN_PAYLOAD

    def _read(self):
        """The next item in ``_data``."""
        item = None
        while item is None and self._state != _ENDED:
            if self._position == self._size:
                # A large read is not kept alive by a reader that waits.
                self._data = b""
                self._position = self._size = 0
                return None
            if self._state == _IN_PAYLOAD:
                item = self._read_payload()
            elif self._state == _IN_FRAME:
                item = self._read_frame(b"")
            elif self._state == _IN_CLOSE:
                item = self._read_close()
            elif not self._scan_header():
                return None
            elif self._first == FIN | CLOSE and self._rest <= CONTROL_BYTES and self._header_size == 6:
                item = self._begin_close()
            elif not self._is_whole_message():
                item = self._begin_frame()
            elif self._size - self._position - self._header_size >= self._rest:
                item = self._take_whole()
            else:
                self._begin_payload()
        return item

    def _skip(self, size):
        self._position += size
        self.consumed += size

    def _scan_header(self):
        """Whether the header at hand is whole; if so ``_first``, ``_header_size`` and the length ``_rest`` are set.

        The mask is checked here: without it the frame is refused (section 5.1).
        """
        available = self._size - self._position
        if available < 2:
            return False
        self._first = self._data[self._position]
        second = self._data[self._position + 1]
        if not second & MASK:
            self._fail(PROTOCOL_ERROR, "frame without a mask")
        self._rest = second & ~MASK
        size = 0 if self._rest < _TWO_BYTES else 2 if self._rest == _TWO_BYTES else 8
        self._header_size = 6 + size
        if available < self._header_size:
            return False
        if size == 8 and self._data[self._position + 2] & _TOP_BIT:
            self._fail(PROTOCOL_ERROR, "length beyond 63 bits")
        if size:
            self._rest = 0
            for index in range(self._position + 2, self._position + 2 + size):
                self._rest = self._rest << 8 | self._data[index]
        return True

    def _is_whole_message(self):
        """Whether the frame at hand is a message to be read without wsproto; refuses one that is too long."""
        opcode = self._first & ~RSV1
        if self._is_open or (opcode != FIN | TEXT and opcode != FIN | BINARY):
            return False
        if self._header_size > 6 and self._rest < (126 if self._header_size == 8 else 65536):
            return False
        if self._first & RSV1:
            if self._extension is None or self._rest > self._limit_wire(True):
                return False
            return self._size - self._position - self._header_size >= self._rest
        if self._rest > self.max_bytes:
            self._fail(TOO_BIG, "message too big")
        return True

    def _limit_wire(self, is_compressed):
        """Bytes that the frames of a message may take; what a compressed one holds is limited by the extension."""
        return self.max_bytes + (self.max_bytes // 4 + DEFLATE_SLACK_BYTES if is_compressed else 0)

    # A message that is one frame.

    def _take_whole(self):
        """The message of the frame at hand, all of which is there."""
        start = self._position + self._header_size
        data = self._data
        key = data[start - 4 : start]
        self._skip(self._header_size + self._rest)
        if self._first == FIN | BINARY:
            return unmask(data, start, self._rest, key, 0)
        try:
            if self._first == FIN | TEXT:
                return decode_text(data, start, self._rest, key)
            inflated = self._extension.inflate_message(unmask(data, start, self._rest, key, 0))
            if isinstance(inflated, CloseReason):
                self._fail(inflated, _WORDS[inflated])
            return inflated.decode() if self._first & OPCODE == TEXT else inflated
        except UnicodeDecodeError:
            self._fail(BAD_DATA, "invalid UTF-8")

    def _begin_payload(self):
        """Begin to read a message whose frame has come in part: invalid text fails with the read that brings it."""
        is_text = self._first == FIN | TEXT
        self._parts = StringIO() if is_text else BytesIO()
        self._decode = _Decoder().decode if is_text else None
        self._skip_header()
        self._state = _IN_PAYLOAD

    def _skip_header(self):
        self._skip(self._header_size)
        self._key = self._data[self._position - 4 : self._position]
        self._phase = 0

    def _take_payload(self):
        """What there is of the frame's payload, unmasked."""
        step = min(self._rest, self._size - self._position)
        payload = unmask(self._data, self._position, step, self._key, self._phase)
        self._phase = (self._phase + step) & 3
        self._rest -= step
        self._skip(step)
        if not self._first & CONTROL:
            self.received += step
        return payload

    def _read_payload(self):
        """Read on in such a message; returns it when it has ended."""
        piece = self._take_payload()
        if self._decode is not None:
            try:
                piece = self._decode(piece, self._rest == 0)
            except UnicodeDecodeError:
                self._fail(BAD_DATA, "invalid UTF-8")
        self._parts.write(piece)
        return None if self._rest else self._end_message()

    def _end_message(self):
        """The message that was collected in parts; an empty one where there are none."""
        message = self._parts.getvalue()
        self._parts = self._decode = None
        self.received = 0
        self._is_open = False
        self._state = _AT_HEADER
        return message

    # A Close, which wsproto would refuse where its code was registered late.

    def _begin_close(self):
        self._parts = BytesIO()
        self._skip_header()
        self._state = _IN_CLOSE
        return self._read_close()

    def _read_close(self):
        """Read on in a Close; returns it when it has come whole (section 5.5.1)."""
        self._parts.write(self._take_payload())
        if self._rest:
            return None
        payload = self._parts.getvalue()
        self.close()
        if not payload:
            return Close(NO_CODE, "")
        code = int.from_bytes(payload[:2], "big")
        if len(payload) == 1 or not is_close_code(code):
            self._fail(PROTOCOL_ERROR, "bad close code")
        try:
            return Close(code, payload[2:].decode())
        except UnicodeDecodeError:
            self._fail(BAD_DATA, "invalid UTF-8")

    # Frames for wsproto.

    def _begin_frame(self):
        """Give the header at hand to wsproto, and what there is of its payload; returns what that completes."""
        if self._frames is None:
            self._frames = FrameProtocol(True, [] if self._extension is None else [self._extension])
        second = self._data[self._position + 1] & ~MASK
        length_end = self._position + self._header_size - 4
        head = bytes((self._first, second)) + self._data[self._position + 2 : length_end]
        if not self._first & CONTROL:
            self._count_fragment(head)
        elif not self._controls.take(self.now):
            self._fail(POLICY, "too many pings and pongs")
        self._skip_header()
        self._state = _IN_FRAME
        return self._read_frame(head)

    def _count_fragment(self, head):
        """Hold the limits of a message against another frame of it (WS-1, WS-3)."""
        if not self._is_open:
            self._is_open = True
            self._is_compressed = self._extension is not None and self._first & RSV1 != 0
            self._fragments = 0
            self._received = 0
        self._fragments += 1
        if self._fragments > MAX_FRAGMENTS + self._received // FRAGMENT_BYTES:
            self._fail(POLICY, "too many fragments")
        if self._rest > self._limit_wire(self._is_compressed) - self._received:
            self._judge(head)  # which may find that the header is wrong: 1002
            self._fail(TOO_BIG, "message too big")
        self._received += self._rest

    def _read_frame(self, head):
        """Give wsproto ``head`` and what there is of the payload; returns what that completes."""
        payload = self._take_payload()
        if self._rest == 0:
            self._state = _AT_HEADER
        return self._judge(head + payload)

    def _judge(self, data):
        """Give wsproto bytes of one frame.  It makes nothing of them, or one ``Frame``, whole or in part."""
        item = None
        self._frames.receive_bytes(data)
        try:
            for frame in self._frames.received_frames():
                item = self._take_frame(frame)
        except ParseFailed as error:
            self._fail(error.code, _WORDS[error.code])
        if self._state == _AT_HEADER and not self._is_open:
            self._drop_frames()
        return item

    def _drop_frames(self):
        """Take wsproto's protocol apart: it and its generator hold each other, else the cycle collector's business."""
        if self._frames is not None:
            vars(self._frames).clear()
            self._frames = None

    def _take_frame(self, frame):
        """What a frame of wsproto's completes: a control frame itself, its last part a message."""
        if frame.opcode is Opcode.PING:
            return Ping(frame.payload)
        if frame.opcode is Opcode.PONG:
            return Pong(frame.payload)
        if self._parts is None:
            self._parts = StringIO() if frame.opcode is Opcode.TEXT else BytesIO()
        self._parts.write(frame.payload)
        return self._end_message() if frame.message_finished else None

    # The end.

    def close(self):
        """Read nothing any more: what is left, and what may come, counts as consumed and is dropped.

        For a caller whose connection has gone; after ``Close`` and a fault it is done already.
        """
        self.consumed += self._size - self._position + (0 if self._backlog is None else len(self._backlog))
        self._state = _ENDED
        self._is_open = False
        self._data = b""
        self._position = self._size = 0
        self._backlog = self._parts = self._decode = None
        self._drop_frames()

    def _fail(self, code, reason):
        self.close()
        raise ReaderFault(int(code), reason)
