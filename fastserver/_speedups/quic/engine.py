"""The QUIC connection of a server: aioquic's, with streams, recovery and 1-RTT packets of our own.

aioquic keeps the handshake, connection IDs, paths and their validation; only this module knows its insides
(``tests/_speedups/quic/test_engine.py`` lists each name).  The listener is called when a packet has been acted upon
whole.  Nothing raises for what a peer sends: a fault closes the connection.
"""

import math
from functools import cache

from aioquic import tls
from aioquic.buffer import Buffer
from aioquic.quic import connection, events
from aioquic.quic.congestion.base import create_congestion_control
from aioquic.quic.connection import (
    CRYPTO_BUFFER_SIZE,
    END_STATES,
    QuicConnection,
    QuicConnectionError,
    QuicConnectionId,
    QuicConnectionState,
    QuicReceiveContext,
)
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilderStop
from aioquic.quic.stream import QuicStream

from .bounds import (
    ACK_DELAY_S,
    ACK_PACKETS,
    ACK_PROBE_PACKETS,
    ACK_RANGES,
    BASE_DATAGRAM,
    CONNECTION_IDS,
    CRYPTO_BYTES,
    FAREWELLS,
    FLIGHT_BYTES,
    KEY_PACKETS,
    REASON_CHARACTERS,
    TURN_DATAGRAMS,
    UNI_STREAMS,
)
from .errors import FRAME_ENCODING_ERROR, INTERNAL_ERROR, NO_ERROR, PROTOCOL_VIOLATION, TransportFault
from .packets import Draft, Reader, Space
from .protection import Opener, Sealer
from .recovery import Recovery
from .table import Table

PADDING = 0x00
PING = 0x01
ACK = 0x02
ACK_ECN = 0x03
RESET_STREAM = 0x04
STOP_SENDING = 0x05
STREAM = 0x08
LAST_STREAM = 0x0F
MAX_DATA = 0x10
MAX_STREAM_DATA = 0x11
MAX_STREAMS_BIDI = 0x12
MAX_STREAMS_UNI = 0x13
DATA_BLOCKED = 0x14
STREAM_DATA_BLOCKED = 0x15
STREAMS_BLOCKED_BIDI = 0x16
STREAMS_BLOCKED_UNI = 0x17
NEW_CONNECTION_ID = 0x18
PATH_CHALLENGE = 0x1A
PATH_RESPONSE = 0x1B

LARGEST_STREAM_COUNT = 1 << 60
#: Parameters of RFC 9000 section 18.2 that aioquic reads and forgets.
MAX_UDP_PAYLOAD_SIZE = 0x03
ACK_DELAY_EXPONENT = 0x0A
#: An AEAD's tag, and the least payload that leaves a sample.
TAG_BYTES = 16
LEAST_PAYLOAD = 2
#: A short header without its connection ID, and the least packet that can be sampled.
SHORT_HEADER_BYTES = 3
SAMPLED_BYTES = 1 + 4 + 16

ONE_RTT = tls.Epoch.ONE_RTT
#: The least work first.
CIPHER_SUITES = [
    tls.CipherSuite.AES_128_GCM_SHA256,
    tls.CipherSuite.AES_256_GCM_SHA384,
    tls.CipherSuite.CHACHA20_POLY1305_SHA256,
]

# aioquic computes thirty such sets for each connection, an eighth of a handshake; there are eight of them.
connection.EPOCHS = cache(connection.EPOCHS)


class Silence:
    """In the place of aioquic's logger: formatting costs, and a hostile peer must not write to a terminal."""

    def debug(self, *told):
        """Say nothing."""

    info = warning = error = debug


SILENCE = Silence()


class InitialKeys(dict):
    """The keys of Initial packets by version, each derived when it is first asked for."""

    def __init__(self, cid):
        super().__init__()
        self._cid = cid

    def __missing__(self, version):
        pair = self[version] = CryptoPair()
        pair.setup_initial(cid=self._cid, is_client=False, version=version)
        return pair


class FrameShelf:
    """Passes for aioquic's packet builder to the methods of its connection that write one frame."""

    def __init__(self):
        self.quic_logger_frames = None
        self.packet_number = 0
        self._draft = None
        self._buffer = None

    def begin(self, draft, number):
        """Write to ``draft``, the payload of the packet ``number``."""
        self._draft = draft
        self.packet_number = number

    def start_frame(self, frame_type, capacity=1, handler=None, handler_args=()):
        """A buffer for one frame; ``QuicPacketBuilderStop`` where the packet has no room for it."""
        self.end_frame()
        draft = self._draft
        if draft.get_room() < capacity:
            raise QuicPacketBuilderStop
        packet = draft.packet
        packet.is_ack_eliciting = packet.in_flight = True
        if handler is not None:
            if packet.handlers is None:
                packet.handlers = []
            packet.handlers.append((handler, handler_args))
        self._buffer = Buffer(capacity=capacity + 1)
        self._buffer.push_uint_var(frame_type)
        return self._buffer

    def end_frame(self):
        """Take the frame that was written last."""
        if self._buffer is not None:
            self._draft.out += self._buffer.data
            self._buffer = None


class Engine(QuicConnection):
    """One connection.  ``cids`` makes connection IDs and their stateless reset tokens."""

    def __init__(self, listener, configuration, limits, cids, original_cid, retry_cid=None):
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_cid,
            retry_source_connection_id=retry_cid,
        )
        self._logger = SILENCE
        self._listener = listener
        self._cids = cids
        self._limits = limits
        first = cids.make()
        self._host_cids = [QuicConnectionId(first, 0, cids.make_reset_token(first), True)]
        self.host_cid = self._local_initial_source_connection_id = first
        self._cid_bytes = len(first)
        self._local_max_data.value = limits.connection_window
        self._local_max_stream_data_bidi_local = limits.stream_window
        self._local_max_stream_data_bidi_remote = limits.stream_window
        self._local_max_stream_data_uni = limits.stream_window
        self._local_max_streams_bidi.value = limits.streams
        self._local_max_streams_uni.value = UNI_STREAMS
        self._ack_delay = 0.0
        self._table = Table(listener, limits)
        self._control = create_congestion_control(
            configuration.congestion_control_algorithm, max_datagram_size=BASE_DATAGRAM
        )
        self._loss = Recovery(
            self._table,
            self._control,
            configuration.initial_rtt,
            QuicDeliveryState.ACKED,
            QuicDeliveryState.LOST,
        )
        self._foreign_handlers = self._QuicConnection__frame_handlers
        self._space = None
        self._opener = None
        self._sealer = None
        self._reader = Reader()
        self._draft = Draft()
        self._shelf = FrameShelf()
        self._address = None
        self._ack_exponent = 3
        self._handshake_by = math.inf
        self._is_first_told = False
        self._is_end_told = False
        self._is_released = False
        self._farewell = []
        self._late_datagrams = 0
        self._owes_farewell = False

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
        if self._network_paths and self._network_paths[0].addr != self._address:
            is_new = self._address is not None
            self._address = self._network_paths[0].addr
            if is_new:
                self._loss.size.start_over()
                self._listener.on_path(self._address)

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
        try:
            if not payload:
                raise TransportFault(PROTOCOL_VIOLATION, "packet contains no frames")
            while reader.at < reader.end:
                kind = reader.read()
                if kind == PADDING:
                    reader.skip_padding()
                    continue
                if kind == ACK or kind == ACK_ECN:
                    probes = False
                    self._on_ack(reader, kind, now)
                    continue
                if kind < NEW_CONNECTION_ID or kind > PATH_RESPONSE or kind == 0x19:
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
        if context is None:
            context = QuicReceiveContext(ONE_RTT, self.host_cid, self._network_paths[0], None, now, None)
        buffer = Buffer(data=reader.data)
        buffer.seek(reader.at)
        try:
            entry[0](context, kind, buffer)
        except ValueError as error:
            # Among others of what BufferReadError is.
            raise TransportFault(FRAME_ENCODING_ERROR, "failed to parse frame") from error
        reader.at = buffer.tell()
        return kind not in (0x1C, 0x1D)

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

    def _handle_crypto_frame(self, context, frame_type, buf):
        """Hold the messages of a handshake to ``CRYPTO_BYTES`` before aioquic makes room for them."""
        at = buf.tell()
        stop = buf.pull_uint_var() + buf.pull_uint_var()
        if stop > CRYPTO_BYTES:
            raise QuicConnectionError(0xD, frame_type, "too much of a handshake")
        buf.seek(at)
        super()._handle_crypto_frame(context, frame_type, buf)

    def _parse_transport_parameters(self, data, from_session_ticket=False):
        """The peer's limits, and two parameters that aioquic does not keep."""
        super()._parse_transport_parameters(data, from_session_ticket)
        self._table.begin(
            self._remote_max_data,
            self._remote_max_stream_data_bidi_local,
            self._remote_max_stream_data_uni,
            self._remote_max_streams_uni,
        )
        buffer = Buffer(data=data)
        while not buffer.eof():
            name = buffer.pull_uint_var()
            end = buffer.pull_uint_var() + buffer.tell()
            if name == MAX_UDP_PAYLOAD_SIZE:
                self._loss.size.limit(buffer.pull_uint_var())
            elif name == ACK_DELAY_EXPONENT:
                self._ack_exponent = buffer.pull_uint_var()
            buffer.seek(end)

    # Keys, connection IDs and timers.

    def _initialize(self, peer_cid):
        """TLS, keys and spaces for the first packet: without tickets, so that nothing comes early (Q-13)."""
        configuration = self._configuration
        self.tls = context = tls.Context(
            is_client=False,
            alpn_protocols=configuration.alpn_protocols,
            cipher_suites=configuration.cipher_suites or CIPHER_SUITES,
            logger=SILENCE,
        )
        context.certificate = configuration.certificate
        context.certificate_chain = configuration.certificate_chain
        context.certificate_private_key = configuration.private_key
        parameters = self._serialize_transport_parameters()
        context.handshake_extensions = [(tls.ExtensionType.QUIC_TRANSPORT_PARAMETERS, parameters)]
        context.alpn_cb = self._alpn_handler
        context.update_traffic_key_cb = self._update_traffic_key
        self._cryptos_initial = InitialKeys(peer_cid)
        self._cryptos = {epoch: CryptoPair() for epoch in (tls.Epoch.ZERO_RTT, tls.Epoch.HANDSHAKE, ONE_RTT)}
        self._cryptos[tls.Epoch.INITIAL] = self._cryptos_initial[self._version]
        epochs = (tls.Epoch.INITIAL, tls.Epoch.HANDSHAKE, ONE_RTT)
        self._crypto_buffers = {epoch: Buffer(capacity=CRYPTO_BUFFER_SIZE) for epoch in epochs}
        self._crypto_streams = {epoch: QuicStream() for epoch in epochs}
        self._spaces = {epoch: Space(epoch is ONE_RTT) for epoch in epochs}
        self._space = self._spaces[ONE_RTT]
        self._loss.spaces = list(self._spaces.values())

    def _refresh_keys(self):
        """Take the keys and the connection ID that aioquic's connection uses now."""
        pair = self._cryptos[ONE_RTT]
        self._opener = Opener(pair.recv, self._cid_bytes)
        sealed = self._sealer.sealed if self._sealer is not None and self._sealer.is_of(pair.send) else 0
        self._sealer = Sealer(pair.send, self._peer_cid.cid, sealed)

    def _replenish_connection_ids(self):
        """Have as many connection IDs as the peer keeps."""
        while len(self._host_cids) < min(CONNECTION_IDS, self._remote_active_connection_id_limit):
            cid = self._cids.make()
            self._host_cids.append(QuicConnectionId(cid, self._host_cid_seq, self._cids.make_reset_token(cid)))
            self._host_cid_seq += 1
            self._listener.on_connection_id(cid, True)

    def _idle_timeout(self):
        """Seconds of silence that end the connection (RFC 9000 section 10.1)."""
        timeout = self._configuration.idle_timeout
        if self._remote_max_idle_timeout:
            timeout = min(timeout, self._remote_max_idle_timeout)
        return max(timeout, 3 * self._loss.compute_timeout(True))

    def _check_timers(self, now):
        """Loss, probes, and the validation of a path."""
        if not self._spaces:
            return
        path = self._network_paths[0]
        is_blocked = not path.is_validated and self._amplification_blocked_timers()[1]
        loss = self._loss
        if now >= loss.compute_due(is_blocked):
            loss.on_loss_detection_timeout(now=now)
        deadline = self._path_validation_deadline()
        if deadline is not None and now >= deadline:
            self._abandon_path_validation()
            if self._network_paths:
                self._address = self._network_paths[0].addr

    # Sending.

    def _take_foreign(self, now):
        """The handshake, a close, and probes of other paths: aioquic's part."""
        if self._loss.wants_probe and not self._handshake_confirmed:
            self._loss.wants_probe = False
            self._probe_pending = True
        out = self.datagrams_to_send(now)
        if self._state in END_STATES:
            self._farewell = out
        return out

    def _write_application(self, builder, network_path, now):
        """Nothing: 1-RTT packets are written by ``_write_short``."""

    def _write_short(self, out, now):
        """Append the datagrams of 1-RTT packets that may leave now to ``out``."""
        self._pacing_at = None
        path = self._network_paths[0]
        table = self._table
        loss = self._loss
        if self._sealer is None or self._sealer.cid != self._peer_cid.cid or self._sealer.sealed > KEY_PACKETS:
            self._change_keys()
        for _ in range(TURN_DATAGRAMS):
            space = self._space
            wants_ack = space.ack_at is not None and space.ack_at <= now
            wants_control = self._has_control(path)
            if not (wants_ack or wants_control or loss.wants_probe or table.has_words() or table.has_data()):
                return
            size = loss.size.current
            control = self._control
            window = min(control.congestion_window, FLIGHT_BYTES)
            may_fly = loss.wants_probe or control.bytes_in_flight + size <= window
            if may_fly and not loss.wants_probe:
                at = loss.pacer.get_time(now)
                if at > 0.0:
                    self._pacing_at = at
                    may_fly = False
            if not may_fly and not wants_ack:
                return
            if may_fly and table.unsent > 2 * size and loss.size.wants_probe() and path.is_validated:
                self._write_size_probe(out, path, now)
                continue
            if not self._write_packet(out, path, size, may_fly, wants_control, now):
                return
        self._pacing_at = now

    def _has_control(self, path):
        """Whether a frame is due that aioquic's connection writes."""
        if self._handshake_done_pending or self._retire_connection_ids or path.remote_challenges:
            return True
        if not path.is_validated and not path.local_challenge_sent:
            return True
        return any(not connection_id.was_sent for connection_id in self._host_cids)

    def _write_packet(self, out, path, size, may_fly, wants_control, now):
        """One packet of at most ``size`` bytes; ``False`` where there was nothing to write or no room to."""
        if not path.is_validated:
            size = min(size, 3 * path.bytes_received - path.bytes_sent)
        number = self._packet_number
        limit = size - SHORT_HEADER_BYTES - len(self._sealer.cid) - TAG_BYTES
        if limit < SAMPLED_BYTES + 8:
            return False
        draft = self._draft
        draft.begin(limit, number)
        space = self._space
        loss = self._loss
        if space.ack_at is not None:
            self._write_ack(space, number, now)
        if may_fly:
            if wants_control:
                self._write_control(path, number, now)
            if loss.wants_probe:
                loss.wants_probe = False
                self._write_ping()
            self._table.write(draft)
        if not draft.out:
            return False
        self._finish_packet(out, path, now)
        return True

    def _write_ack(self, space, number, now):
        """An ACK frame, due or not: it rides on what is sent anyway."""
        space.ack_at = None
        space.ack_waiting = 0
        if not space.ack_queue.count():
            return
        delay = int((now - space.largest_received_time) * 1e6) >> self._local_ack_delay_exponent
        ranges = self._draft.push_ack(space, delay)
        if ranges > 1 and number % ACK_PROBE_PACKETS == 0:
            self._write_ping()

    def _write_ping(self):
        draft = self._draft
        draft.out.append(PING)
        draft.packet.is_ack_eliciting = draft.packet.in_flight = True

    def _write_control(self, path, number, now):
        """The frames of aioquic's connection, as many as fit."""
        shelf = self._shelf
        shelf.begin(self._draft, number)
        is_probe = False
        try:
            if not (path.is_validated or path.local_challenge_sent):
                self._write_path_challenge_frame(shelf, path)
                is_probe = True
                if path.validation_deadline is None:
                    wait = max(self._loss.compute_timeout(True), 2 * self._configuration.initial_rtt)
                    path.validation_deadline = now + 3 * wait
            if self._handshake_done_pending:
                self._write_handshake_done_frame(shelf)
                self._handshake_done_pending = False
            while path.remote_challenges:
                self._write_path_response_frame(shelf, path.remote_challenges[0])
                path.remote_challenges.popleft()
                is_probe = True
            for connection_id in self._host_cids:
                if not connection_id.was_sent:
                    self._write_new_connection_id_frame(shelf, connection_id)
            while self._retire_connection_ids:
                self._write_retire_connection_id_frame(shelf, self._retire_connection_ids[0])
                self._retire_connection_ids.pop(0)
        except QuicPacketBuilderStop:
            pass
        shelf.end_frame()
        if is_probe:
            # RFC 9000 section 8.2.1: expanded to 1200 bytes.
            self._pad(BASE_DATAGRAM)

    def _pad(self, size):
        """Pad the datagram to ``size`` bytes, or to what it may have."""
        draft = self._draft
        payload = min(draft.limit, size - SHORT_HEADER_BYTES - len(self._sealer.cid) - TAG_BYTES)
        if len(draft.out) < payload:
            draft.out += bytes(payload - len(draft.out))

    def _write_size_probe(self, out, path, now):
        """A padded PING of the size that is tried; its loss is not congestion (RFC 8899 section 3)."""
        size = self._loss.size.take_probe()
        draft = self._draft
        draft.begin(size - SHORT_HEADER_BYTES - len(self._sealer.cid) - TAG_BYTES, self._packet_number)
        draft.out.append(PING)
        self._pad(size)
        draft.packet.is_ack_eliciting = draft.packet.is_size_probe = True
        self._finish_packet(out, path, now)

    def _finish_packet(self, out, path, now):
        """Seal the packet that was drafted and remember it."""
        draft = self._draft
        packet = draft.packet
        if len(draft.out) < LEAST_PAYLOAD:
            draft.out.append(PADDING)
        datagram = self._sealer.seal(draft.out, packet.number)
        self._packet_number = packet.number + 1
        size = len(datagram)
        packet.sent_time = now
        packet.sent_bytes = size
        loss = self._loss
        loss.add(packet, self._space)
        if packet.in_flight:
            loss.pacer.spend(size)
        if packet.is_ack_eliciting and not self._ack_eliciting_sent_since_receipt:
            self._close_at = now + self._idle_timeout()
            self._ack_eliciting_sent_since_receipt = True
        path.bytes_sent += size
        out.append((datagram, path.addr))

    def _change_keys(self):
        """The connection ID has changed, or the key has protected enough (RFC 9001 section 6)."""
        if self._sealer is not None and self._sealer.sealed > KEY_PACKETS:
            self._cryptos[ONE_RTT]._update_key("local_update")
        self._refresh_keys()
