"""The QUIC connection of a server: aioquic's, with streams, recovery and 1-RTT packets of our own.

aioquic keeps the handshake, connection IDs, paths and their validation; ``handshake``, ``sender``, ``keys`` and this
module are all that knows its insides (``tests/_speedups/quic/test_engine.py`` lists each name).  The listener is called
when a packet has been acted upon whole.  Nothing raises for what a peer sends: a fault closes the connection.
"""

import math

from aioquic._buffer import Buffer
from aioquic.quic import events
from aioquic.quic.connection import END_STATES, QuicConnectionError, QuicConnectionState, QuicReceiveContext

from .bounds import ACK_DELAY_S, ACK_PACKETS, ACK_RANGES, FAREWELLS, PACKET_LOAD, RARE_LOAD, REASON_CHARACTERS
from .codes import (
    ACK,
    ACK_ECN,
    APPLICATION_CLOSE,
    DATA_BLOCKED,
    LAST_STREAM,
    MAX_DATA,
    MAX_STREAM_DATA,
    MAX_STREAMS_BIDI,
    MAX_STREAMS_UNI,
    NEW_CONNECTION_ID,
    PADDING,
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
from .errors import FRAME_ENCODING_ERROR, INTERNAL_ERROR, NO_ERROR, PROTOCOL_VIOLATION, TransportFault
from .handshake import ONE_RTT
from .sender import Sender

LARGEST_STREAM_COUNT = 1 << 60
#: The least short-header packet without its connection ID that can be sampled.
SAMPLED_BYTES = 1 + 4 + 16


class Engine(Sender):
    """One connection.  ``cids`` makes connection IDs and their stateless reset tokens."""

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
    def is_closed(self):
        """Whether nothing is sent or taken any more: the dispatcher may forget the connection."""
        return self._state is QuicConnectionState.TERMINATED

    @property
    def cipher_suite(self):
        """The number of the cipher suite; ``None`` while the handshake is not done."""
        return int(self.tls.key_schedule.cipher_suite) if self._handshake_complete else None

    @property
    def host_cids(self):
        """The connection IDs by which the peer may address us."""
        return [connection_id.cid for connection_id in self._host_cids]

    @property
    def streams_opened(self):
        """How many bidirectional streams the peer has opened (Q-9)."""
        return self._table.bidi.opened

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

    def acknowledge(self, stream_id, size):
        """So many bytes that were received are consumed: only this moves the windows."""
        self._table.acknowledge(stream_id, size)

    def get_unsent(self, stream_id):
        """Bytes of a stream that have not been in a packet."""
        return self._table.get_unsent(stream_id)

    def close(self, error_code=NO_ERROR, reason_phrase="", is_application=True, *, frame_type=None):
        """Close with CONNECTION_CLOSE, an application's or, with ``frame_type`` (aioquic's calls), the transport's."""
        if frame_type is None and not is_application:
            frame_type = PADDING
        super().close(error_code, frame_type, reason_phrase[:REASON_CHARACTERS])

    def receive(self, data, address, now):
        """A datagram has come."""
        state = self._state
        if state in END_STATES:
            self._note_late(state)
            return
        if not self._is_first_told:
            self._is_first_told = True
            self._handshake_by = now + self._limits.timeout_handshake
            self._listener.on_connection_id(self.host_cid, True)
        try:
            if not self._receive_short(data, address, now):
                self._receive_any(data, address, now)
        except QuicConnectionError as fault:
            self.close(fault.error_code, fault.reason_phrase, frame_type=fault.frame_type or PADDING)
        self._tell()

    def on_deadline(self, now):
        """The time of ``get_deadline`` may have come."""
        if self._state is QuicConnectionState.TERMINATED:
            return
        if self._close_at is not None and now >= self._close_at:
            self._end("idle timeout")
        elif self._state not in END_STATES:
            if now >= self._handshake_by and not self._handshake_complete:
                self._end("handshake timeout")
            else:
                self._check_timers(now)
        self._tell()

    def get_deadline(self):
        """When ``on_deadline`` and ``take_datagrams`` are due; infinity for never."""
        if self._state is QuicConnectionState.TERMINATED:
            return math.inf
        due = math.inf if self._close_at is None else self._close_at
        if self._state in END_STATES:
            return due
        if not self._handshake_complete:
            due = min(due, self._handshake_by)
        if not self._spaces:
            return due
        ack_blocked = probe_blocked = False
        if not self._network_paths[0].is_validated:
            ack_blocked, probe_blocked = self._amplification_blocked_timers()
            deadline = self._path_validation_deadline()
            if deadline is not None:
                due = min(due, deadline)
        loss = self._loss
        if not ack_blocked:
            for space in loss.spaces:
                if space.ack_at is not None and space.ack_at < due:
                    due = space.ack_at
        if self._pacing_at is not None and self._pacing_at < due:
            due = self._pacing_at
        return min(due, loss.compute_due(probe_blocked))

    def take_datagrams(self, now):
        """What is to be sent now, ``(data, address)`` each."""
        if self._state in END_STATES:
            if not self._owes_farewell:
                return []
            self._owes_farewell = False
            return self._farewell
        if not self._spaces:
            if self._close_pending:
                self._end("")
                self._tell()
            return []
        out = []
        if self._close_pending or not self._handshake_confirmed or len(self._network_paths) > 1:
            out = self._take_foreign(now)
        if self._handshake_complete and self._state not in END_STATES:
            self._write_short(out, now)
        self._tell()
        return out

    def detach(self):
        """The listener has gone: nothing is told any more, and nothing leads back from here."""
        if not self._is_released:
            self._is_first_told = False  # its connection IDs are forgotten with the listener's connection
            self._release()
        self._listener = None
        self._table.detach()

    # The end.

    def _note_late(self, state):
        """After our close, datagrams are answered with it again, ever more rarely (RFC 9000 section 10.2.1)."""
        if state is QuicConnectionState.CLOSING and self._late_datagrams < 1 << FAREWELLS:
            self._late_datagrams += 1
            if self._late_datagrams & (self._late_datagrams - 1) == 0:
                self._owes_farewell = True

    def _end(self, reason):
        """Be closed at once, without a word."""
        if self._close_event is None:
            self._close_event = events.ConnectionTerminated(NO_ERROR, PADDING, reason)
        self._close_end()

    def _tell(self):
        """Tell the listener what has happened; last of all that the connection is over."""
        while self._events:
            self._tell_event(self._events.popleft())
        table = self._table
        table.tell()
        if self._state not in END_STATES:
            return
        table.is_closed = True
        if not self._is_end_told:
            self._is_end_told = True
            event = self._close_event
            by_peer = self._state is QuicConnectionState.DRAINING
            self._listener.on_terminated(event.error_code, event.reason_phrase, by_peer)
        if self._state is QuicConnectionState.TERMINATED and not self._is_released:
            self._release()

    def _tell_event(self, event):
        listener = self._listener
        if isinstance(event, events.HandshakeCompleted):
            self._crypto_buffers = {}  # three of 16 KiB, and TLS has nothing more to say
            listener.on_handshake(event.alpn_protocol)
        elif isinstance(event, events.ConnectionIdRetired):
            listener.on_connection_id(event.connection_id, False)

    def _release(self):
        """Give the connection IDs back, and break the circles that aioquic's callbacks make."""
        self._is_released = True
        if self._is_first_told:
            for connection_id in self._host_cids:
                self._listener.on_connection_id(connection_id.cid, False)
        self._foreign_handlers = {}
        self._QuicConnection__frame_handlers = {}
        if self._spaces:
            self.tls.alpn_cb = self.tls.update_traffic_key_cb = None
        for space in self._spaces.values():
            space.sent_packets.clear()  # each may hold handlers, which are methods of this connection
        self._draft.begin(0, 0)
        self._cryptos = {}
        self._cryptos_initial = {}
        self._opener = self._sealer = None

    # Receiving.

    def _receive_any(self, data, address, now):
        """The handshake, other paths and other connection IDs: aioquic's part."""
        try:
            self.receive_datagram(data, address, now)
        except QuicConnectionError:
            raise
        except Exception as error:
            # aioquic's parsers of TLS and of transport parameters raise what they like.
            raise QuicConnectionError(INTERNAL_ERROR, PADDING, "malformed") from error
        if self._handshake_complete and self._state not in END_STATES:
            self._refresh_keys()
        self._note_path()

    def _receive_short(self, data, address, now):
        """A 1-RTT packet on the validated path with the connection ID in use; ``False`` for anything else."""
        opener = self._opener
        size = self._cid_bytes
        if (
            opener is None
            or len(data) < size + SAMPLED_BYTES
            or data[0] & 0xC0 != 0x40
            or address != self._address
            or data[1 : 1 + size] != self.host_cid
            or not self._network_paths[0].is_validated
        ):
            return False
        space = self._space
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
        asks = self._read_frames(payload, None, now)[0]
        if self._close_pending or self._state in END_STATES:
            return True
        self._close_at = now + self._idle_timeout()
        self._ack_eliciting_sent_since_receipt = False
        self._note_received(space, number, asks, now)
        return True

    def _note_received(self, space, number, asks, now):
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

    def _payload_received(self, context, plain, crypto_frame_required=False):
        """aioquic's way in: whether the packet asks for an acknowledgement, and whether it only probes a path."""
        if context.epoch is ONE_RTT:
            return self._read_frames(plain, context, context.time)
        return super()._payload_received(context, plain, crypto_frame_required)

    def _read_frames(self, payload, context, now):
        """Act upon the frames of a 1-RTT packet; ``QuicConnectionError`` where they break a rule."""
        reader = self._reader
        reader.begin(payload)
        table = self._table
        asks = False
        probes = True
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
                    probes = False
                    self._on_ack(reader, kind, now)
                    continue
                if kind < NEW_CONNECTION_ID or kind > PATH_RESPONSE or kind == RETIRE_CONNECTION_ID:
                    probes = False
                if STREAM <= kind <= LAST_STREAM:
                    asks = True
                    table.on_stream(reader, kind)
                elif kind == MAX_STREAM_DATA:
                    asks = True
                    table.on_max_stream_data(reader)
                elif kind == MAX_DATA:
                    asks = True
                    table.on_max_data(reader)
                elif kind == PING or self._read_rare(reader, kind, context, now):
                    asks = True
        except TransportFault as fault:
            raise QuicConnectionError(fault.code, kind, fault.reason) from fault
        return asks, probes

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
        entry = self._foreign_handlers.get(kind)
        if entry is None or ONE_RTT not in entry[1]:
            raise TransportFault(FRAME_ENCODING_ERROR, "unknown frame type")
        if not self._rare_frames.take(now):
            raise TransportFault(PROTOCOL_VIOLATION, "too many frames of a kind that is rare")
        if context is None:
            context = QuicReceiveContext(ONE_RTT, self.host_cid, self._network_paths[0], None, now, None)
        buffer = Buffer(data=reader.data)
        buffer.seek(reader.at)
        try:
            entry[0](context, kind, buffer)
        except QuicConnectionError:
            raise
        except Exception as error:
            # A frame that ends too early, and what aioquic does not expect of a peer.
            raise TransportFault(FRAME_ENCODING_ERROR, "failed to parse frame") from error
        reader.at = buffer.tell()
        return kind not in (TRANSPORT_CLOSE, APPLICATION_CLOSE)

    def _on_ack(self, reader, kind, now):
        """An ACK frame (RFC 9000 section 19.3)."""
        largest = reader.read()
        delay = reader.read()
        count = reader.read()
        low = largest - reader.read()
        if largest >= self._packet_number:
            raise TransportFault(PROTOCOL_VIOLATION, "packet was not sent")
        ranges = [(low, largest + 1)]
        for _ in range(count):
            high = low - reader.read() - 2
            low = high - reader.read()
            ranges.append((low, high + 1))
            if low < 0:
                break
        if low < 0:
            raise TransportFault(FRAME_ENCODING_ERROR, "range is below zero")
        ranges.reverse()
        if kind == ACK_ECN:
            for _ in range(3):
                reader.read()
        self._loss.on_acked(self._space, ranges, min(delay << self._ack_exponent, 1 << 40) / 1e6, now)
