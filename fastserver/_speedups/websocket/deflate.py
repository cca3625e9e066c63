"""permessage-deflate within bounds (RFC 7692): the offer, inflating what a client sent, deflating what goes out.

Neither side takes context over from one message to the next, so between messages a connection keeps no zlib state.
What is inflated is never more than the message may still hold, and one byte: zlib stops there.

What an endpoint keeps otherwise is about 300 KB a connection (windows of 15 bits, memLevel 8): 3 GB for ten thousand
idle clients.  With a window of 12 bits and memLevel 5 a compressor is 32 KB, for the time of one message, and deflates
100 bytes in 4 us instead of 70.  The price is that short messages which resemble each other shrink less.
"""

import re
import zlib
from collections.abc import Iterable, Iterator

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

NAME = "permessage-deflate"
#: The window of what the server sends, and of what a client is asked to send where it leaves the choice.
WINDOW_BITS = 12
MEMORY_LEVEL = 5
#: zlib has no raw window of 8 bits to write with.
LEAST_BITS = 9
#: What ends a flushed block, which the wire leaves out (RFC 7692 section 7.2.1).
TAIL = b"\x00\x00\xff\xff"

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_GAP = re.compile(r"[ \t,]*")
_NAME = re.compile(rf"({_TOKEN})[ \t]*")
# RFC 6455 section 9.1: a quoted value must be a token once it is unquoted.
_PARAMETER = re.compile(rf';[ \t]*({_TOKEN})[ \t]*(?:=[ \t]*(?:({_TOKEN})|"({_TOKEN})")[ \t]*)?')
_BITS = {str(bits): bits for bits in range(8, 16)}

#: Names and values of an offer's parameters, in order; a parameter without a value has ``None``.
Parameters = list[tuple[str, str | None]]


class Deflate(PerMessageDeflate):
    """The extension as it was agreed on, for one connection.

    As an extension of wsproto it inflates the frames of a message; ``inflate_message`` does so for a message that is
    one frame, and ``compress`` deflates one.  ``max_bytes`` is what a message may hold; its reader sets it.
    """

    def __init__(self, client_bits: int = WINDOW_BITS, server_bits: int = WINDOW_BITS) -> None:
        super().__init__(True, client_bits, True, server_bits)
        self.max_bytes = 0
        self._enabled = True
        self._inflater: zlib._Decompress | None = None
        self._in_message = False
        self._is_control = False
        self._room = 0

    def compress(self, payload: bytes) -> bytes:
        """The payload of one compressed message (section 7.2.1)."""
        deflater = zlib.compressobj(
            zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -self.server_max_window_bits, MEMORY_LEVEL
        )
        return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[: -len(TAIL)]

    def inflate_message(self, payload: bytes) -> bytes | CloseReason:
        """A message from the payload of its only frame, or the code to close with: 1007, 1009 (section 7.2.2)."""
        self._begin_message()
        data = self._inflate(payload)
        if isinstance(data, CloseReason):
            return data
        rest = self._end_message()
        return rest if isinstance(rest, CloseReason) else data + rest

    # What wsproto's decoder calls.  Control frames may stand between the frames of a message; they change nothing here.

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """Whether the header is right (section 6.1): RSV1 marks the first frame of a compressed message."""
        self._is_control = opcode.iscontrol()
        begins = opcode is Opcode.TEXT or opcode is Opcode.BINARY
        if (rsv.rsv1 and not begins) or (begins and self._in_message):
            return CloseReason.PROTOCOL_ERROR
        if begins:
            self._in_message = True
            if rsv.rsv1:
                self._begin_message()
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        """The part of a frame, inflated, or the code to close with."""
        return data if self._is_control or self._inflater is None else self._inflate(data)

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        """What a message holds beyond the parts of its last frame, or the code to close with."""
        if self._is_control or not fin:
            return None
        self._in_message = False
        return None if self._inflater is None else self._end_message()

    def _begin_message(self) -> None:
        self._inflater = zlib.decompressobj(-self.client_max_window_bits)
        self._room = self.max_bytes

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        assert self._inflater is not None
        try:
            inflated = self._inflater.decompress(data, self._room + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._room -= len(inflated)
        if self._room < 0:
            return CloseReason.MESSAGE_TOO_BIG
        # Behind a final block nothing may follow but the byte that makes room for the tail (section 7.2.3.4).
        if self._inflater.unused_data not in (b"", b"\x00"):
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        return inflated

    def _end_message(self) -> bytes | CloseReason:
        assert self._inflater is not None
        rest: bytes | CloseReason = b"" if self._inflater.eof else self._inflate(TAIL)
        self._inflater = None
        return rest


def negotiate(offers: str | Iterable[str | bytes]) -> tuple[str, Deflate] | None:
    """Choose the first offer that can be met, from one Sec-WebSocket-Extensions field or several (section 5).

    Returns the value of the answer's field and the extension; ``None`` where no offer can be met.  An offer that is not
    well-formed, or has parameters unknown, repeated or out of range, is passed over (section 7.1); nothing raises.
    """
    for offer in _list_offers([offers] if isinstance(offers, str) else offers):
        bits = _read_bits(offer)
        if bits is not None:
            return _agree(*bits)
    return None


def _list_offers(fields: Iterable[str | bytes]) -> Iterator[Parameters]:
    """The parameters of each well-formed offer of permessage-deflate, in the order of preference."""
    for field in fields:
        text = field if isinstance(field, str) else field.decode("latin-1")
        position = 0
        while 0 <= position < len(text):
            gap = _GAP.match(text, position)
            position = gap.end() if gap else position
            name, parameters, position = _read_element(text, position)
            if position < len(text) and text[position] != ",":
                position = text.find(",", position)
            elif name == NAME:
                yield parameters


def _read_element(text: str, position: int) -> tuple[str, Parameters, int]:
    """The extension that begins at ``position``: its name, its parameters, and the index of what is neither."""
    parameters: Parameters = []
    match = _NAME.match(text, position)
    if match is None:
        return "", parameters, position
    name = match[1]
    position = match.end()
    while match := _PARAMETER.match(text, position):
        parameters.append((match[1], match[2] or match[3]))
        position = match.end()
    return name, parameters, position


def _read_bits(parameters: Parameters) -> tuple[int | None, int] | None:
    """Window bits of the client (``None``: not to be told) and of the server; ``None`` for what cannot be met."""
    given = dict(parameters)
    if len(given) < len(parameters):
        return None
    for name in ("server_no_context_takeover", "client_no_context_takeover"):
        if given.pop(name, None) is not None:
            return None
    client_bits = None
    if "client_max_window_bits" in given:
        value = given.pop("client_max_window_bits")
        client_bits = WINDOW_BITS if value is None else _BITS.get(value)
        if client_bits is None:
            return None
    server_bits = WINDOW_BITS
    if "server_max_window_bits" in given:
        server_bits = min(WINDOW_BITS, _BITS.get(given.pop("server_max_window_bits") or "", 0))
    if given or server_bits < LEAST_BITS:
        return None
    return client_bits, server_bits


def _agree(client_bits: int | None, server_bits: int) -> tuple[str, Deflate]:
    """The answer and the extension; a client that did not speak of its window may use the largest."""
    answer = f"{NAME}; server_no_context_takeover; client_no_context_takeover; server_max_window_bits={server_bits}"
    if client_bits is None:
        return answer, Deflate(15, server_bits)
    # Inflating with more bits than were written with is always right.
    return f"{answer}; client_max_window_bits={client_bits}", Deflate(max(client_bits, LEAST_BITS), server_bits)
