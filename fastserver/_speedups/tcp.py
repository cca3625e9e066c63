"""The asyncio edge of a stream connection: TCP, TLS and Unix sockets.

``TCPConnection`` is the ``asyncio.Protocol`` that the loop calls and the ``Connection`` that a wire protocol writes
to.  It turns what the loop says into events, and events into calls of the transport; it keeps the stall deadline of
writing.  It parses nothing, and knows no protocol: which one serves is its pipeline's word.
"""

import fcntl
import select
import socket
import struct
import termios

from .connection import LiveConnection, has_room
from .contract import Peer
from .kernels import raw_data, send_bytes
from .lifecycle import ConnectionState

_NEVER = float("inf")
_UNKNOWN_FD = -2
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

#: ``pause_writing`` comes when the transport holds more than this.
WRITE_HIGH_WATER_BYTES = 64 * 1024


class TCPConnection(LiveConnection):
    """One accepted connection.

    ``pipeline.choose(alpn)`` gives the protocol that serves it: an object with ``name``, ``refusal`` (what a connection
    above the limit is told) and ``open(connection, host)``.  ``pipeline.make_tls_facts`` gives the ASGI ``tls``
    extension of a transport's TLS object.
    """

    def __init__(self, host, pipeline):
        LiveConnection.__init__(self, host)
        self.transport = None
        self._pipeline = pipeline
        self._write = None
        self._stall_deadline = _NEVER
        self._stalled_bytes = 0
        # The descriptor to write to directly; -1 where only the transport may write.
        self._fd = _UNKNOWN_FD
        # Whether the transport was given bytes that it may still hold.
        self._queued = False

    # What the loop calls.

    def connection_made(self, transport):
        self.transport = transport
        ssl_object = transport.get_extra_info("ssl_object")
        choice = self._pipeline.choose(None if ssl_object is None else ssl_object.selected_alpn_protocol())
        if not has_room(self.host):
            self.refuse()
            if choice.refusal:
                transport.write(choice.refusal)
            transport.close()
            return
        self._write = transport.write
        transport.set_write_buffer_limits(WRITE_HIGH_WATER_BYTES)
        self.enter(choice.open(self, self.host), choice.name)

    def data_received(self, data):
        if self.wire is not None:
            self.take(raw_data(data))

    def eof_received(self):
        if self.wire is None:
            return False
        self.take_eof()
        # The peer may still be reading; a TLS transport has no half-close and closes.
        return self.transport is not None and self.transport.can_write_eof()

    def connection_lost(self, exc):
        """The last call; also for a connection that never was: its TLS handshake has failed.

        One that was cancelled while it arrived may hear it from the acceptor and from its transport.
        """
        if self.transport is None and self in self.host.arriving:
            self.host.metrics.handshakes_failed += 1
        self.lose()
        self.transport = None
        self._write = None
        self._fd = -1

    def pause_writing(self):
        if self.wire is not None:
            self._stalled_bytes = self._count_unsent()
            self._arm_stall()
            self.wire.pause_writing()

    def resume_writing(self):
        self._stall_deadline = _NEVER
        if self.wire is not None:
            self.wire.resume_writing()

    # What the protocol calls; ``send`` is the base's.

    def close_out(self):
        self._fd = -1
        self._watch_rest()
        self.transport.close()

    def write_out(self, event):
        """Write at once where the transport holds nothing, else behind what it holds.

        The loop's transport would queue the bytes until its turn ends, which costs more than the bytes are worth.
        """
        data = event.data
        if self._fd == _UNKNOWN_FD:
            self._fd = self._find_plain_fd()
        if self._fd >= 0 and (not self._queued or self.transport.get_write_buffer_size() == 0):
            self._queued = False
            written = send_bytes(self._fd, data)
            if written == len(data):
                return
            # Full, or broken: the transport waits for room, or finds out what is wrong and says so.
            self._queued = True
            if written > 0:
                # A view: the rest of a large body is not copied.
                self._write(memoryview(data)[written:])
                return
        self._write(data)

    def _find_plain_fd(self):
        """The socket's descriptor where bytes may be written to it as they are, or -1."""
        if self.transport.get_extra_info("sslcontext") is not None:
            return -1
        return self._fileno()

    def abort(self):
        was_finished = self.state is ConnectionState.CLOSING
        self.end()
        self._fd = -1
        transport = self.transport
        if transport is None:
            return
        sock = transport.get_extra_info("socket")
        if was_finished and transport.get_write_buffer_size() == 0:
            # All is said, and the end too: a reset could only destroy what the client has not read yet.
            sock = None
        if sock is not None and not transport.is_closing():
            # A reset, not a clean end, which a response without a length would be taken for.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    def finish_writing(self):
        transport = self.transport
        if transport is None:
            return
        self.end()
        self._fd = -1
        self._watch_rest()
        if transport.can_write_eof():
            transport.write_eof()
        else:
            # TLS has no half-close here: closing sends close_notify after what is written.
            transport.close()

    def pause_reading(self):
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self):
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def send_file(self, file, offset, count):
        transport = self.transport
        host = self.host
        if transport is None or host.send_file is None:
            return None
        if host.observers is not None and host.observers.hears_data:
            return None  # what the kernel writes by itself nobody would hear
        if transport.get_extra_info("sslcontext") is not None:
            return None
        return host.send_file(self, file, offset, count)

    def get_peer(self):
        if self._peer is None:
            self._peer = self._make_peer()
        return self._peer

    # The peer's progress.

    def check_writing(self, now):
        if now >= self._stall_deadline:
            self._check_stall()

    def is_readable(self):
        fd = self._fileno()
        if fd < 0:
            return False
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(0))

    def _fileno(self):
        sock = self.transport.get_extra_info("socket")
        return -1 if sock is None else sock.fileno()

    def _arm_stall(self):
        timeout_s = self.host.limits.timeout_write
        self._stall_deadline = self.host.clock.now + timeout_s if timeout_s > 0 else _NEVER

    def _watch_rest(self):
        """A transport that closes waits for its last bytes to leave, for ever if the peer does not read."""
        if self._stall_deadline == _NEVER and self.transport.get_write_buffer_size() > 0:
            self._stalled_bytes = self._count_unsent()
            self._arm_stall()

    def _check_stall(self):
        """No progress in ``timeout_write``: only abort frees a connection whose peer does not read (H1-30)."""
        if self.transport.get_write_buffer_size() == 0:
            self._stall_deadline = _NEVER
            return
        size = self._count_unsent()
        if size != self._stalled_bytes:
            self._stalled_bytes = size
            self._arm_stall()
        else:
            self.host.metrics.timeouts_write += 1
            self.abort()

    def _count_unsent(self):
        """Bytes that the peer has not taken: what the transport holds, and what the kernel holds for it.

        The transport alone would not do: a socket calls itself writable only once a third of its buffer is free, which
        takes a slow but healthy reader longer than any timeout.
        """
        return self.transport.get_write_buffer_size() + count_unsent(self._fileno())

    def _make_peer(self):
        transport = self.transport
        if transport is None:
            return Peer()
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is None:
            scheme, alpn, tls = "http", None, None
        else:
            scheme = "https"
            alpn = ssl_object.selected_alpn_protocol()
            tls = self._pipeline.make_tls_facts(ssl_object)
        return Peer(
            _as_address(transport.get_extra_info("peername"), False),
            _as_address(transport.get_extra_info("sockname"), True),
            scheme,
            alpn,
            tls,
        )


def _as_address(name, is_server):
    """A socket name as ASGI has it: ``(host, port)``, ``(path, None)`` for a Unix server, else ``None``."""
    if isinstance(name, tuple) and len(name) >= 2:
        return (name[0], name[1])
    if is_server and isinstance(name, (str, bytes)) and name:
        return (name if isinstance(name, str) else name.decode("utf-8", "surrogateescape"), None)
    return None


def count_unsent(fd):
    """What the kernel holds of a stream socket that its peer has not acknowledged; 0 where it does not tell."""
    try:
        return struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)))[0]
    except (OSError, ValueError):
        return 0
