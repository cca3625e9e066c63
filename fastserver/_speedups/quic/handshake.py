"""What the engine keeps of aioquic's connection, and what it changes: the handshake, keys, connection IDs, timers.

No ticket is given and none is taken, so nothing comes before the handshake (Q-13).
"""

import math

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.quic.connection import (
    CRYPTO_BUFFER_SIZE,
    END_STATES,
    QuicConnection,
    QuicConnectionError,
    QuicConnectionId,
)
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilderStop
from aioquic.quic.stream import QuicStream

from ..bucket import TokenBucket
from .bounds import CONNECTION_IDS, CRYPTO_BYTES, MOST_UNI_STREAMS, RARE_BURST, RARE_RATE
from .congestion import Reno
from .errors import CRYPTO_BUFFER_EXCEEDED, PROTOCOL_VIOLATION, UNEXPECTED_MESSAGE
from .keys import KeyPair
from .packets import Draft, Reader, Space
from .protection import Opener, Sealer
from .recovery import Recovery
from .table import Table

#: Parameters of RFC 9000 section 18.2 that aioquic reads and forgets.
MAX_UDP_PAYLOAD_SIZE = 0x03
ACK_DELAY_EXPONENT = 0x0A

#: Room for a ServerHello, and for what TLS says after the handshake: nothing.
SHORT_MESSAGES = 1024

ONE_RTT = tls.Epoch.ONE_RTT
#: The least work first.
CIPHER_SUITES = [
    tls.CipherSuite.AES_128_GCM_SHA256,
    tls.CipherSuite.AES_256_GCM_SHA384,
    tls.CipherSuite.CHACHA20_POLY1305_SHA256,
]


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
        pair = self[version] = KeyPair()
        pair.setup_initial(cid=self._cid, is_client=False, version=version)
        return pair


class Agreed:
    """What is kept of TLS when the handshake is over, by aioquic's names."""

    __slots__ = ("alpn_negotiated", "cipher_suite")

    def __init__(self, context):
        self.alpn_negotiated = context.alpn_negotiated
        self.cipher_suite = context.key_schedule.cipher_suite

    @property
    def key_schedule(self):
        """Where aioquic has the cipher suite."""
        return self


#: For all connections whose handshake is over, what opens and seals no handshake packet, and where none is remembered.
NO_KEYS = KeyPair()
NO_INITIAL_KEYS = dict.fromkeys((QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2), NO_KEYS)
NO_SPACE = Space()
NO_SPACE.discarded = True


class NamingContext(tls.Context):
    """TLS that shows the certificate of the name that a client asks for; ``choose(name)`` finds it."""

    choose = None

    def _server_handle_hello(self, input_buf, initial_buf, handshake_buf):
        """aioquic takes the certificate before it tells anybody what the client has said."""
        at = input_buf.tell()
        chosen = self.choose(tls.pull_client_hello(input_buf).server_name)
        input_buf.seek(at)
        if chosen is not None:
            self.certificate, self.certificate_chain, self.certificate_private_key = chosen
        super()._server_handle_hello(input_buf, initial_buf, handshake_buf)


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


class Handshake(QuicConnection):
    """What the engine keeps and changes of aioquic's handshake, keys, connection IDs and timers."""

    def __init__(
        self,
        listener,
        configuration,
        limits,
        cids,
        original_cid,
        retry_cid=None,
        make_token=None,
        server_cert_pem=None,
        choose=None,
    ):
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_cid,
            retry_source_connection_id=retry_cid,
        )
        self._logger = SILENCE
        self._listener = listener
        self._cids = cids
        self._limits = limits
        self._make_token = make_token
        self._owes_token = False
        #: The certificate that the client is shown.
        self.server_cert_pem = server_cert_pem
        self._choose = choose
        first = cids.make()
        self._host_cids = [QuicConnectionId(first, 0, cids.make_reset_token(first), True)]
        self.host_cid = self._local_initial_source_connection_id = first
        self._local_active_connection_id_limit = CONNECTION_IDS
        self._cid_bytes = len(first)
        self._local_max_data.value = limits.connection_window
        self._local_max_stream_data_bidi_local = limits.stream_window
        self._local_max_stream_data_bidi_remote = limits.stream_window
        self._local_max_stream_data_uni = limits.stream_window
        self._local_max_streams_bidi.value = limits.streams
        self._local_max_streams_uni.value = MOST_UNI_STREAMS
        self._ack_delay = 0.0
        self._table = Table(listener, limits)
        self._control = Reno()
        self._loss = Recovery(
            self._table,
            self._control,
            configuration.initial_rtt,
            QuicDeliveryState.ACKED,
            QuicDeliveryState.LOST,
        )
        self._loss.idle_s = configuration.idle_timeout
        self._space = None
        self._opener = None
        self._sealer = None
        self._reader = Reader()
        self._draft = Draft()
        self._shelf = FrameShelf()
        self._rare_frames = TokenBucket(RARE_BURST, RARE_RATE)
        self._address = None
        self._ack_exponent = 3
        self._handshake_by = math.inf
        self._has_new_cids = False
        self._is_ending = False
        self._is_begun = False
        self._is_end_told = False
        self._is_released = False
        self._farewell = None

    def _handle_ack_frame(self, context, frame_type, buf):
        """An ACK frame of the handshake; one of a packet that was not sent is a fault (RFC 9000 section 13.1)."""
        at = buf.tell()
        if buf.pull_uint_var() >= self._packet_number:
            raise QuicConnectionError(PROTOCOL_VIOLATION, frame_type, "packet was not sent")
        buf.seek(at)
        super()._handle_ack_frame(context, frame_type, buf)

    def _let_go_of_handshake(self):
        """Forget what only the handshake needs: three quarters of what a connection takes."""
        self.tls = Agreed(self.tls)
        self._crypto_buffers = {}
        self._crypto_streams = {}
        self._cryptos_initial = NO_INITIAL_KEYS
        self._cryptos = {
            tls.Epoch.INITIAL: NO_KEYS,
            tls.Epoch.ZERO_RTT: NO_KEYS,
            tls.Epoch.HANDSHAKE: NO_KEYS,
            ONE_RTT: self._cryptos[ONE_RTT],
        }
        self._spaces = {tls.Epoch.INITIAL: NO_SPACE, tls.Epoch.HANDSHAKE: NO_SPACE, ONE_RTT: self._space}
        self._loss.spaces = [self._space]
        self._QuicConnection__frame_handlers = {}

    def _handle_crypto_frame(self, context, frame_type, buf):
        """Hold the messages of a handshake to ``CRYPTO_BYTES`` before aioquic makes room for them."""
        if self._handshake_complete:
            raise QuicConnectionError(UNEXPECTED_MESSAGE, frame_type, "the handshake is over")
        at = buf.tell()
        stop = buf.pull_uint_var() + buf.pull_uint_var()
        if stop > CRYPTO_BYTES:
            raise QuicConnectionError(CRYPTO_BUFFER_EXCEEDED, frame_type, "too much of a handshake")
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
        if self._remote_max_idle_timeout:
            self._loss.idle_s = min(self._loss.idle_s, self._remote_max_idle_timeout)
        buffer = Buffer(data=data)
        while not buffer.eof():
            name = buffer.pull_uint_var()
            end = buffer.pull_uint_var() + buffer.tell()
            if name == MAX_UDP_PAYLOAD_SIZE:
                self._loss.size.limit(buffer.pull_uint_var())
            elif name == ACK_DELAY_EXPONENT:
                self._ack_exponent = buffer.pull_uint_var()
            buffer.seek(end)

    def _set_state(self, state):
        """Another state: one of ``END_STATES`` is not left again for others."""
        super()._set_state(state)
        self._is_ending = state in END_STATES

    # Keys, connection IDs and timers.

    def _initialize(self, peer_cid):
        """TLS, keys and spaces for the first packet: without tickets, so that nothing comes early (Q-13)."""
        configuration = self._configuration
        self.tls = context = (tls.Context if self._choose is None else NamingContext)(
            is_client=False,
            alpn_protocols=configuration.alpn_protocols,
            cipher_suites=configuration.cipher_suites or CIPHER_SUITES,
            logger=SILENCE,
        )
        context.certificate = configuration.certificate
        context.certificate_chain = configuration.certificate_chain
        context.certificate_private_key = configuration.private_key
        if self._choose is not None:
            context.choose = self._choose_certificate
        parameters = self._serialize_transport_parameters()
        context.handshake_extensions = [(tls.ExtensionType.QUIC_TRANSPORT_PARAMETERS, parameters)]
        context.alpn_cb = self._alpn_handler
        context.update_traffic_key_cb = self._update_traffic_key
        self._cryptos_initial = InitialKeys(peer_cid)
        self._cryptos = {epoch: KeyPair() for epoch in (tls.Epoch.ZERO_RTT, tls.Epoch.HANDSHAKE, ONE_RTT)}
        self._cryptos[tls.Epoch.INITIAL] = self._cryptos_initial[self._version]
        epochs = (tls.Epoch.INITIAL, tls.Epoch.HANDSHAKE, ONE_RTT)
        sizes = (SHORT_MESSAGES, CRYPTO_BUFFER_SIZE, SHORT_MESSAGES)
        self._crypto_buffers = {epoch: Buffer(capacity=size) for epoch, size in zip(epochs, sizes, strict=True)}
        self._crypto_streams = {epoch: QuicStream() for epoch in epochs}
        self._spaces = {epoch: Space(epoch is ONE_RTT) for epoch in epochs}
        self._space = self._spaces[ONE_RTT]
        self._loss.spaces = list(self._spaces.values())

    def _choose_certificate(self, name):
        """The certificate, its chain and its key for a client that asks for ``name``; ``None`` for the usual one."""
        found = self._choose(name)
        if found is None:
            return None
        *chosen, self.server_cert_pem = found
        return chosen

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
            self._has_new_cids = True
            self._listener.on_connection_id(cid, True)

    def _on_new_connection_id_delivery(self, delivery, connection_id):
        """What became of a NEW_CONNECTION_ID frame."""
        super()._on_new_connection_id_delivery(delivery, connection_id)
        self._has_new_cids = self._has_new_cids or delivery is not QuicDeliveryState.ACKED

    def _on_token_delivery(self, delivery):
        """What became of a NEW_TOKEN frame: a lost one is made anew."""
        if delivery is not QuicDeliveryState.ACKED:
            self._owes_token = True

    def _idle_timeout(self):
        """Seconds of silence that end the connection: aioquic asks too."""
        return self._loss.compute_idle_timeout()

    def _check_timers(self, now):
        """Loss, probes, and the validation of a path."""
        if not self._spaces:
            return
        path = self._network_paths[0]
        is_blocked = not path.is_validated and self._amplification_blocked_timers()[1]
        loss = self._loss
        if now >= loss.compute_due(is_blocked):
            loss.on_loss_detection_timeout(now=now)
        if path.is_validated:
            return
        deadline = self._path_validation_deadline()
        if deadline is not None and now >= deadline:
            self._abandon_path_validation()
            self._note_path()

    def _note_path(self):
        """Tell where the peer is, if that has changed."""
        if not self._network_paths or self._network_paths[0].addr == self._address:
            return
        before = self._address
        self._address = self._network_paths[0].addr
        if before is not None:
            if before[0] != self._address[0]:
                self._owes_token = self._handshake_complete and self._make_token is not None
                self._loss.start_over(self._packet_number)
            self._loss.size.start_over(self._packet_number)
            self._listener.on_path(self._address)
