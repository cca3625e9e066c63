"""Reading and writing UDP datagrams: the Python twin of ``datagrams.pyx``, with the same results.

It reads and writes one message at a time, and joins nothing when it writes.
"""

import socket
import sys

from .udpsocket import IP_PKTINFO, OWN_FAULTS, SOL_UDP, UDP_GRO

_MESSAGE_BYTES = 65536
# Room for PKTINFO of IPv6 (20 bytes) and the segments' size (4).
_CONTROL_BYTES = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(4)
_ERRORS_MAX = 8
_MAPPED = bytes(10) + b"\xff\xff"


def receive(fd, limit):
    """Read what waits at a UDP socket: a list of ``(data, address, local)``; empty where nothing does.

    It stops once ``limit`` datagrams have come, and goes above it only by what came joined to others (GRO).
    ``address`` is ``(host, port)``: IPv4 also where an IPv6 socket carries it, link-local hosts with ``%scope``.
    ``local`` is the address that was asked where ``udpsocket.prepare_socket`` found the socket bound to a wildcard,
    opaque but for ``send`` and ``render_local``, else ``None``.  What the network reports of earlier datagrams is
    passed over; raises ``OSError`` for a descriptor that is no socket.
    """
    found = []
    errors = 0
    sock = socket.socket(fileno=fd)
    try:
        while len(found) < limit:
            try:
                message = sock.recvmsg(_MESSAGE_BYTES, _CONTROL_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError as error:
                errors += 1
                if error.errno in OWN_FAULTS:
                    raise
                if errors == _ERRORS_MAX:
                    break
            else:
                _split(message, found)
    finally:
        sock.detach()
    return found


def _split(message, found):
    data, control, flags, name = message
    if flags & socket.MSG_TRUNC:
        return
    size = len(data)
    local = None
    for level, kind, value in control:
        if level == SOL_UDP and kind == UDP_GRO:
            size = int.from_bytes(value[:4], sys.byteorder)
        elif level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            local = value[4:8]
        elif level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            local = value[:16]
    address = _show_address(name)
    if not 0 < size < len(data):
        found.append((data, address, local))
        return
    found += [(data[start : start + size], address, local) for start in range(0, len(data), size)]


def _show_address(name):
    host, port = name[:2]
    if host.startswith("::ffff:") and "." in host:
        return (host[7:], port)
    if len(name) == 4 and name[3]:
        return (f"{host.partition('%')[0]}%{name[3]}", port)
    return (host, port)


def send(fd, datagrams):
    """Write ``(data, address, local)`` in order: how many are done with; fewer than all where the socket is full.

    One that cannot be sent, by the network's word or for its size, is done with too, as if it were lost on its way.
    ``local`` is what ``receive`` gave, or ``None`` for what the system chooses.  Raises ``OSError`` for a descriptor
    that is no socket.
    """
    sock = socket.socket(fileno=fd)
    try:
        for index, (data, address, local) in enumerate(datagrams):
            name = _find_name(sock.family, address)
            try:
                sock.sendmsg((data,), _render_control(local), socket.MSG_DONTWAIT, name)
            except BlockingIOError:
                return index
            except OSError as error:
                if error.errno in OWN_FAULTS:
                    raise
    finally:
        sock.detach()
    return len(datagrams)


def _find_name(family, address):
    """The socket's own form of an address, or ``None``, which the kernel refuses, for no numeric one of its family."""
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    host, _, scope = address[0].partition("%")
    port = address[1]
    if not 0 <= port <= 65535 or not (scope.isdecimal() if scope else True):
        return None
    if family == socket.AF_INET6 and ":" not in host:
        host = f"::ffff:{host}"
    try:
        socket.inet_pton(family, host)
    except OSError:
        return None
    return (host, port, 0, int(scope or 0)) if family == socket.AF_INET6 else (host, port)


def _render_control(local):
    if local is None:
        return ()
    if len(local) == 4:
        return ((socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + local + bytes(4)),)
    return ((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, local + bytes(4)),)


def render_local(local):
    """The host that a ``local`` of ``receive`` stands for."""
    if len(local) == 4 or local[:12] == _MAPPED:
        return socket.inet_ntop(socket.AF_INET, local[-4:])
    return socket.inet_ntop(socket.AF_INET6, local)


def allow(segments, batches):
    """Whether to join datagrams when writing (GSO), and to pass several messages in one system call.

    Both are so until the kernel refuses them; this text does neither, whatever is allowed.
    """
