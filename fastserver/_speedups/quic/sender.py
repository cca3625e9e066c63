"""Writing a connection's 1-RTT packets: what they carry, how large they are, and when they may leave.

What aioquic's connection has to say (of paths and connection IDs) is written by its own methods, into our drafts.
"""

from aioquic.quic.packet_builder import QuicPacketBuilderStop

from .bounds import ACK_PROBE_PACKETS, BASE_DATAGRAM, FLIGHT_BYTES, KEY_PACKETS, TURN_DATAGRAMS
from .codes import NEW_TOKEN, PADDING, PING
from .handshake import ONE_RTT, Handshake

#: An AEAD's tag, a short header without its connection ID, and the least payload that leaves a sample.
TAG_BYTES = 16
SHORT_HEADER_BYTES = 3
LEAST_PAYLOAD = 2
#: A packet is not begun in less room.
LEAST_ROOM = 32


class Sender(Handshake):
    """The sending side of the engine."""

    def _take_foreign(self, now):
        """The handshake, a close, and probes of other paths: aioquic's part."""
        if self._loss.probes and not self._handshake_confirmed:
            self._loss.probes = 0
            self._probe_pending = True
        out = self.datagrams_to_send(now)
        if self._is_ending and out:
            self._farewell = out[0][0]
        return out

    def _write_application(self, builder, network_path, now):
        """Nothing: 1-RTT packets are written by ``_write_short``."""

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
            if self._has_new_cids:
                for connection_id in self._host_cids:
                    if not connection_id.was_sent:
                        self._write_new_connection_id_frame(shelf, connection_id)
                self._has_new_cids = False
            while self._retire_connection_ids:
                self._write_retire_connection_id_frame(shelf, self._retire_connection_ids[0])
                self._retire_connection_ids.pop(0)
            if self._owes_token and path.is_validated:
                self._write_token(shelf, path)
        except QuicPacketBuilderStop:
            pass
        shelf.end_frame()
        if is_probe:
            # RFC 9000 section 8.2.1: expanded to 1200 bytes.
            self._pad(BASE_DATAGRAM)

    def _write_token(self, shelf, path):
        """NEW_TOKEN (RFC 9000 section 19.7)."""
        token = self._make_token(path.addr)
        buffer = shelf.start_frame(NEW_TOKEN, 2 + len(token), self._on_token_delivery)
        buffer.push_uint_var(len(token))
        buffer.push_bytes(token)
        self._owes_token = False

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
        finish_packet(self, out, path, now)

    def _change_keys(self):
        """The connection ID has changed, or the key has protected enough (RFC 9001 section 6)."""
        if self._sealer is not None and self._sealer.sealed > KEY_PACKETS:
            self._cryptos[ONE_RTT]._update_key("local_update")
        self._refresh_keys()


def write_short(sender, out, now):
    """Append the datagrams of 1-RTT packets that may leave now to ``out``."""
    sender._pacing_at = None
    path = sender._network_paths[0]
    table = sender._table
    loss = sender._loss
    space = sender._space
    control = sender._control
    sealer = sender._sealer
    if sealer is None or sealer.cid != sender._peer_cid.cid or sealer.sealed > KEY_PACKETS:
        sender._change_keys()
    wants_control = has_control(sender, path)
    for _ in range(TURN_DATAGRAMS):
        wants_ack = space.ack_at is not None and space.ack_at <= now
        if not (wants_ack or wants_control or loss.probes or table.has_words() or table.has_data()):
            return
        size = loss.size.current
        window = min(control.congestion_window, FLIGHT_BYTES)
        may_fly = loss.probes > 0 or control.bytes_in_flight + size <= window
        if may_fly and not loss.probes:
            at = loss.pacer.get_time(now)
            if at > 0.0:
                sender._pacing_at = at
                may_fly = False
        if not may_fly and not wants_ack:
            return
        if may_fly and table.unsent > 2 * size and loss.size.wants_probe() and path.is_validated:
            sender._write_size_probe(out, path, now)
            continue
        if not write_packet(sender, out, path, size, may_fly, wants_control, now):
            return
        if wants_control:
            wants_control = has_control(sender, path)
    sender._pacing_at = now


def has_control(sender, path):
    """Whether a frame is due that aioquic's connection writes."""
    if sender._handshake_done_pending or sender._retire_connection_ids or path.remote_challenges:
        return True
    if not path.is_validated:
        return sender._has_new_cids or not path.local_challenge_sent
    return sender._has_new_cids or sender._owes_token


def write_packet(sender, out, path, size, may_fly, wants_control, now):
    """One packet of at most ``size`` bytes; ``False`` where there was nothing to write or no room to."""
    if not path.is_validated:
        size = min(size, 3 * path.bytes_received - path.bytes_sent)
    number = sender._packet_number
    sealer = sender._sealer
    limit = size - SHORT_HEADER_BYTES - len(sealer.cid) - TAG_BYTES
    if limit < LEAST_ROOM:
        return False
    draft = sender._draft
    draft.begin(limit, number)
    space = sender._space
    loss = sender._loss
    if space.ack_at is not None:
        write_ack(sender, space, number, now)
    if may_fly:
        if wants_control:
            sender._write_control(path, number, now)
        if loss.probes:
            loss.probes -= 1
            write_ping(draft)
        table = sender._table
        table.write(draft)
    if not draft.out:
        return False
    finish_packet(sender, out, path, now)
    return True


def write_ack(sender, space, number, now):
    """An ACK frame, due or not: it rides on what is sent anyway."""
    space.ack_at = None
    space.ack_waiting = 0
    if not space.ack_queue.count():
        return
    delay = int((now - space.largest_received_time) * 1e6) >> sender._local_ack_delay_exponent
    draft = sender._draft
    ranges = draft.push_ack(space, delay)
    if ranges > 1 and number % ACK_PROBE_PACKETS == 0:
        write_ping(draft)


def write_ping(draft):
    """A PING frame."""
    draft.out.append(PING)
    draft.packet.is_ack_eliciting = draft.packet.in_flight = True


def finish_packet(sender, out, path, now):
    """Seal the packet that was drafted and remember it."""
    draft = sender._draft
    packet = draft.packet
    if len(draft.out) < LEAST_PAYLOAD:
        draft.out.append(PADDING)
    sealer = sender._sealer
    datagram = sealer.seal(draft.out, packet.number)
    sender._packet_number = packet.number + 1
    size = len(datagram)
    packet.sent_time = now
    packet.sent_bytes = size
    loss = sender._loss
    loss.add(packet, sender._space)
    if packet.in_flight:
        loss.pacer.spend(size)
    if packet.is_ack_eliciting and not sender._ack_eliciting_sent_since_receipt:
        sender._close_at = now + loss.compute_idle_timeout()
        sender._ack_eliciting_sent_since_receipt = True
    path.bytes_sent += size
    out.append((datagram, path.addr))
