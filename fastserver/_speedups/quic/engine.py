"""The QUIC connection of a server: aioquic's, with streams, recovery and 1-RTT packets of our own.

aioquic keeps the handshake, connection IDs, paths and their validation; ``keys``, ``handshake``, ``sender`` and this
module import it, and they and ``protection``, which takes its keys, are all that knows its insides
(``tests/_speedups/quic/test_engine.py`` lists each name).  The listener is called when a packet has been acted upon
whole.  Nothing raises for what a peer sends: a fault closes the connection; a fault of ours comes out.
"""

import math

from aioquic._buffer import Buffer
from aioquic.quic import events
from aioquic.quic.connection import QuicConnectionError, QuicConnectionState, QuicReceiveContext

from .bounds import ACK_DELAY_S, ACK_PACKETS, ACK_RANGES, PACKET_LOAD, RARE_LOAD, REASON_CHARACTERS
from .codes import (
    ACK,
    ACK_ECN,
    APPLICATION_CLOSE,
    CRYPTO,
    DATA_BLOCKED,
    HANDSHAKE_DONE,
    LAST_STREAM_TYPE,
    MAX_DATA,
    MAX_STREAM_DATA,
    MAX_STREAMS_BIDI,
    MAX_STREAMS_UNI,
    NEW_CONNECTION_ID,
    NEW_TOKEN,
    PADDING,
    PATH_CHALLENGE,
    PATH_RESPONSE,
    PING,
    RESET_STREAM,
    RETIRE_CONNECTION_ID,
    STOP_SENDING,
    STREAM,
    STREAM_DATA_BLOCKED,
    STREAMS_BLOCKED_UNI,
    TRANSPORT_CLOSE,
)
from .end import End
from .errors import FRAME_ENCODING_ERROR, INTERNAL_ERROR, NO_ERROR, PROTOCOL_VIOLATION, TransportFault
from .handshake import ONE_RTT
from .sender import Sender, write_short

LARGEST_STREAM_COUNT = 1 << 60
#: The least short-header packet without its connection ID that can be sampled.
SAMPLED_BYTES = 1 + 4 + 16
#: Of an ACK frame, as it stands there; what is above is cut all the same (RFC 9002 section 5.3).
LARGEST_ACK_DELAY = 1 << 40
#: The frames of 1-RTT packets that aioquic's connection handles, by its methods.
FOREIGN = {
    CRYPTO: "_handle_crypto_frame",
    NEW_TOKEN: "_handle_new_token_frame",
    NEW_CONNECTION_ID: "_handle_new_connection_id_frame",
    RETIRE_CONNECTION_ID: "_handle_retire_connection_id_frame",
    PATH_CHALLENGE: "_handle_path_challenge_frame",
    PATH_RESPONSE: "_handle_path_response_frame",
    TRANSPORT_CLOSE: "_handle_connection_close_frame",
    APPLICATION_CLOSE: "_handle_connection_close_frame",
    HANDSHAKE_DONE: "_handle_handshake_done_frame",
}
#: What the frames of a packet amount to: it asks for an acknowledgement, it only probes a path.
ASKS = 1
PROBES = 2


class Engine(Sender):
    """One connection.

    ``cids`` makes connection IDs and their stateless reset tokens; ``make_token(address)`` the token that spares the
    client a Retry the next time, if it shall have one.  ``server_cert_pem`` is the certificate of ``configuration``;
    ``choose(name)`` gives that of a client that asks for ``name``, if it is another one: it, its chain, its key, and it
    as PEM.
    """

    #: Why the connection was given up without a word, an ``End``; ``None`` where it was not.
    _given_up = None

    # What the wire asks for.

    @property
    def address(self):
        """Where the peer is now; ``None`` before it has said anything."""
        return self._address

    @property
    def unsent(self):
        """Bytes of all streams that have not been in a packet."""
        return self._table.unsent

    @property
    def farewell(self):
        """The datagram of our CONNECTION_CLOSE, for who has not heard it; ``None`` where none was sent."""
        return self._farewell

    @property
    def cipher_suite(self):
        """The number of the cipher suite; ``None`` while the handshake is not done."""
        return int(self.tls.key_schedule.cipher_suite) if self._handshake_complete else None

    def open_stream(self):
        """The number of our next unidirectional stream."""
        return self._table.open_uni()

    def send(self, stream_id, data, ends=False):
        """Queue data on a stream, whose end it is if ``ends``; harmless where its sending half is over."""
        self._table.send(stream_id, data, ends)

    def reset(self, stream_id, code):
        """Give up the sending half of a stream: RESET_STREAM."""
        self._table.reset(stream_id, code)

    def stop(self, stream_id, code):
        """Receive no more of a stream: STOP_SENDING."""
        self._table.stop(stream_id, code)

    def consume(self, stream_id, size):
        """So many bytes that were received are consumed: only this moves the windows."""
        self._table.consume(stream_id, size)

    def get_unsent(self, stream_id):
        """Bytes of a stream that have not been in a packet."""
        return self._table.get_unsent(stream_id)

    def close(self, error_code=NO_ERROR, reason_phrase="", *, frame_type=None):
        """Close with CONNECTION_CLOSE, an application's or, with ``frame_type`` (aioquic's calls), the transport's."""
        super().close(error_code, frame_type, reason_phrase[:REASON_CHARACTERS])

    def receive(self, data, address, now):
        """A datagram has come."""
        if self._is_ending:
            return
        if not self._is_begun:
            self._is_begun = True
            self._handshake_by = now + self._limits.timeout_handshake
            self._listener.on_connection_id(self.host_cid, True)
        try:
            if not receive_short(self, data, address, now):
                self._receive_any(data, address, now)
        except QuicConnectionError as fault:
            self.close(fault.error_code, fault.reason_phrase, frame_type=fault.frame_type or PADDING)
        self._tell()

    def on_deadline(self, now):
        """The time of ``get_deadline`` may have come."""
        if self._state is QuicConnectionState.TERMINATED:
            return
        if self._close_at is not None and now >= self._close_at:
            self._end(End.IDLE)
        elif not self._is_ending:
            if now >= self._handshake_by and not self._handshake_complete:
                self._end(End.HANDSHAKE)
            else:
                self._check_timers(now)
        self._tell()

    def get_deadline(self):
        """When ``on_deadline`` and ``take_datagrams`` are due; infinity for never."""
        return compute_deadline(self)

    def take_datagrams(self, now):
        """What is to be sent now, ``(data, address)`` each."""
        if self._is_ending:
            return []
        if not self._spaces:
            if self._close_pending:
                self._end(End.OURS)
                self._tell()
            return []
        out = []
        if self._close_pending or not self._handshake_confirmed or len(self._network_paths) > 1:
            out = self._take_foreign(now)
        if self._handshake_complete and not self._is_ending:
            write_short(self, out, now)
        self._tell()
        return out

    def detach(self):
        """The listener has gone: nothing is told any more, and nothing leads back from here."""
        if not self._is_released:
            self._release()
        self._listener = None
        self._table.detach()

    # The end.

    def _end(self, end):
        """Be closed at once, without a word."""
        if self._close_event is None:
            self._given_up = end
            self._close_event = events.ConnectionTerminated(NO_ERROR, PADDING, "")
        self._close_end()

    def _tell(self):
        """Tell the listener what has happened; last of all that the connection is over."""
        while self._events:
            self._tell_event(self._events.popleft())
        table = self._table
        table.tell()
        if not self._is_ending:
            return
        table.is_closed = True
        if not self._is_end_told:
            self._is_end_told = True
            self._listener.on_terminated(self._find_end(), self._close_event.error_code)
        if self._state is QuicConnectionState.TERMINATED and not self._is_released:
            self._release()
            self._give_ids_back()

    def _find_end(self):
        """Who or what has ended the connection, an ``End``."""
        if self._state is QuicConnectionState.DRAINING:
            return End.PEER
        if self._given_up is not None:
            return self._given_up
        return End.OURS if self._close_event.frame_type is None else End.FAULT

    def _tell_event(self, event):
        listener = self._listener
        if isinstance(event, events.HandshakeCompleted):
            self._let_go_of_handshake()
            self._owes_token = self._make_token is not None
            listener.on_handshake()
        elif isinstance(event, events.ConnectionIdRetired):
            listener.on_connection_id(event.connection_id, False)

    def _give_ids_back(self):
        """Nothing that comes is for this connection any more."""
        if self._is_begun:
            for connection_id in self._host_cids:
                self._listener.on_connection_id(connection_id.cid, False)

    def _release(self):
        """Break the circles that aioquic's callbacks make."""
        self._is_released = True
        self._QuicConnection__frame_handlers = {}
        if self._spaces and not self._handshake_complete:
            self.tls = None
        for space in self._spaces.values():
            space.sent_packets.clear()  # each may hold handlers, which are methods of this connection
        self._draft.begin(0, 0)
        self._cryptos = {}
        self._cryptos_initial = {}
        self._opener = self._sealer = None

    # Receiving.

    def _receive_any(self, data, address, now):
        """The handshake, other paths and other connection IDs: aioquic's part."""
        self.receive_datagram(data, address, now)
        if self._handshake_complete and not self._is_ending:
            self._refresh_keys()
        self._note_path()

    def _payload_received(self, context, plain, crypto_frame_required=False):
        """aioquic's way in: whether the packet asks for an acknowledgement, and whether it only probes a path."""
        if context.epoch is ONE_RTT:
            told = read_frames(self, plain, context, context.time)
            return told & ASKS != 0, told & PROBES != 0
        try:
            return super()._payload_received(context, plain, crypto_frame_required)
        except QuicConnectionError:
            raise
        except Exception as error:
            # aioquic's parsers of TLS and of transport parameters raise what they like.
            raise QuicConnectionError(INTERNAL_ERROR, PADDING, "malformed") from error

    def _read_rare(self, reader, kind, context, now):
        """Any other frame; whether it asks for an acknowledgement."""
        table = self._table
        if kind == RESET_STREAM:
            table.on_reset(reader)
        elif kind == STOP_SENDING:
            table.on_stop_sending(reader)
        elif MAX_STREAMS_BIDI <= kind <= STREAMS_BLOCKED_UNI:
            if kind == STREAM_DATA_BLOCKED:
                table.on_stream_data_blocked(reader)
                return True
            count = reader.read()
            if kind != DATA_BLOCKED and count > LARGEST_STREAM_COUNT:
                raise TransportFault(FRAME_ENCODING_ERROR, "stream count exceeds 2^60")
            if kind == MAX_STREAMS_UNI:
                table.allow_uni_streams(count)
        else:
            return self._read_foreign(reader, kind, context, now)
        return True

    def _read_foreign(self, reader, kind, context, now):
        """A frame that aioquic's connection handles."""
        name = FOREIGN.get(kind)
        if name is None:
            raise TransportFault(FRAME_ENCODING_ERROR, "unknown frame type")
        if not self._rare_frames.take(now):
            raise TransportFault(PROTOCOL_VIOLATION, "too many frames of a kind that is rare")
        if context is None:
            context = QuicReceiveContext(ONE_RTT, self.host_cid, self._network_paths[0], None, now, None)
        buffer = Buffer(data=reader.data)
        buffer.seek(reader.at)
        try:
            getattr(self, name)(context, kind, buffer)
        except (ValueError, IndexError) as error:
            # A frame that ends too early, and a peer that left aioquic's connection without a connection ID.
            raise TransportFault(FRAME_ENCODING_ERROR, "failed to parse frame") from error
        reader.at = buffer.tell()
        return kind not in (TRANSPORT_CLOSE, APPLICATION_CLOSE)


def compute_deadline(engine):
    """See ``Engine.get_deadline``."""
    if engine._state is QuicConnectionState.TERMINATED:
        return math.inf
    due = math.inf if engine._close_at is None else engine._close_at
    if engine._is_ending:
        return due
    if not engine._handshake_complete:
        due = min(due, engine._handshake_by)
    if not engine._spaces:
        return due
    ack_blocked = probe_blocked = False
    if not engine._network_paths[0].is_validated:
        ack_blocked, probe_blocked = engine._amplification_blocked_timers()
        deadline = engine._path_validation_deadline()
        if deadline is not None:
            due = min(due, deadline)
    loss = engine._loss
    if not ack_blocked:
        for space in loss.spaces:
            if space.ack_at is not None and space.ack_at < due:
                due = space.ack_at
    if engine._pacing_at is not None and engine._pacing_at < due:
        due = engine._pacing_at
    return min(due, loss.compute_due(probe_blocked))


def receive_short(engine, data, address, now):
    """A 1-RTT packet on the validated path with the connection ID in use; ``False`` for anything else."""
    opener = engine._opener
    size = engine._cid_bytes
    if (
        opener is None
        or len(data) < size + SAMPLED_BYTES
        or data[0] & 0xC0 != 0x40
        or address != engine._address
        or not data.startswith(engine.host_cid, 1)
        or not engine._network_paths[0].is_validated
    ):
        return False
    space = engine._space
    payload = opener.open(data, space.expected_packet_number)
    if payload is None:
        return False
    number = opener.number
    if number < 0 or space.is_duplicate(number):
        return True
    if opener.first & 0x18:
        raise QuicConnectionError(PROTOCOL_VIOLATION, PADDING, "reserved bits must be zero")
    if number >= space.expected_packet_number:
        space.expected_packet_number = number + 1
    asks = read_frames(engine, payload, None, now) & ASKS
    if engine._close_pending or engine._is_ending:
        return True
    loss = engine._loss
    engine._close_at = now + loss.compute_idle_timeout()
    engine._ack_eliciting_sent_since_receipt = False
    note_received(space, number, asks, now)
    return True


def note_received(space, number, asks, now):
    """Remember a packet, and when to acknowledge it (RFC 9000 section 13.2.1)."""
    is_next = number == space.largest_received_packet + 1
    if number > space.largest_received_packet:
        space.largest_received_packet = number
        space.largest_received_time = now
    queue = space.ack_queue
    queue.add(number)
    if queue.count() > ACK_RANGES:
        queue.shift()
    space.add(number)
    if asks:
        space.ack_waiting += 1
        if space.ack_waiting >= ACK_PACKETS or not is_next:
            space.ack_at = now
        elif space.ack_at is None:
            space.ack_at = now + ACK_DELAY_S


def read_frames(engine, payload, context, now):
    """Act upon the frames of a 1-RTT packet: ``ASKS``, ``PROBES``; ``QuicConnectionError`` for a broken rule."""
    reader = engine._reader
    reader.begin(payload)
    table = engine._table
    told = PROBES
    kind = 0
    load = 0
    try:
        if not payload:
            raise TransportFault(PROTOCOL_VIOLATION, "packet contains no frames")
        while reader.at < reader.end:
            kind = reader.read()
            if kind == PADDING:
                reader.skip_padding()
                continue
            is_light = kind == PING or RESET_STREAM <= kind <= STOP_SENDING or STREAM <= kind <= STREAMS_BLOCKED_UNI
            load += 1 if is_light else RARE_LOAD
            if load > PACKET_LOAD:
                raise TransportFault(PROTOCOL_VIOLATION, "too many frames in a packet")
            if kind in (ACK, ACK_ECN):
                told &= ~PROBES
                on_ack(engine, reader, kind, now)
                continue
            if kind < NEW_CONNECTION_ID or kind > PATH_RESPONSE or kind == RETIRE_CONNECTION_ID:
                told &= ~PROBES
            if STREAM <= kind <= LAST_STREAM_TYPE:
                told |= ASKS
                table.on_stream(reader, kind)
            elif kind == MAX_STREAM_DATA:
                told |= ASKS
                table.on_max_stream_data(reader)
            elif kind == MAX_DATA:
                told |= ASKS
                table.on_max_data(reader)
            elif kind == PING or engine._read_rare(reader, kind, context, now):
                told |= ASKS
    except TransportFault as fault:
        raise QuicConnectionError(fault.code, kind, fault.reason) from fault
    return told


def on_ack(engine, reader, kind, now):
    """An ACK frame (RFC 9000 section 19.3)."""
    largest = reader.read()
    delay = reader.read()
    count = reader.read()
    low = largest - reader.read()
    if largest >= engine._packet_number:
        raise TransportFault(PROTOCOL_VIOLATION, "packet was not sent")
    ranges = [(low, largest + 1)]
    for _ in range(count):
        if low < 0:
            break
        high = low - reader.read() - 2
        low = high - reader.read()
        ranges.append((low, high + 1))
    if low < 0:
        raise TransportFault(FRAME_ENCODING_ERROR, "range is below zero")
    ranges.reverse()
    if kind == ACK_ECN:
        for _ in range(3):
            reader.read()
    loss = engine._loss
    loss.on_acked(engine._space, ranges, (min(delay, LARGEST_ACK_DELAY) << engine._ack_exponent) / 1e6, now)
