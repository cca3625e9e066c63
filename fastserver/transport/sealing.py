"""How a listening TCP socket turns away who comes anew and keeps who has come, on Linux, with and without privilege.

A filter that drops SYNs does it best, but newer kernels (seen on 6.18) want CAP_NET_ADMIN for one on a TCP socket.
Without it the least TTL (``IP_MINTTL``, RFC 5082's hop limit for IPv6) does nearly the same: the kernel checks it for a
SYN to a listener, and not for the ACK that ends a handshake.  Who sends with the greatest TTL of all gets through, as
almost no host does.  The sockets that come of such a listener have inherited it, so it is lifted from each (``admit``).
"""

from __future__ import annotations

import contextlib
import functools
import socket
from typing import Final

from fastserver.transport.bpf import DROP_SYN, SO_ATTACH_FILTER, attach

#: Options of a socket, which Python does not name.
IP_MINTTL: Final = 21
IPV6_MINHOPCOUNT: Final = 73

_GREATEST: Final = 255


def seal_tcp(sock: socket.socket) -> None:
    """Have the kernel ignore new SYNs from now on, in every process that has ``sock``; safe to repeat."""
    try:
        attach(sock, SO_ATTACH_FILTER, DROP_SYN)
    except OSError:
        for level, option in _list_options(sock):
            with contextlib.suppress(OSError):
                sock.setsockopt(level, option, _GREATEST)


def admit(sock: socket.socket) -> None:
    """Lift what ``sock`` has inherited from a listener that was sealed without a filter; what was dropped is resent."""
    for level, option in _list_options(sock):
        with contextlib.suppress(OSError):
            if sock.getsockopt(level, option):
                sock.setsockopt(level, option, 0)


@functools.cache
def can_filter() -> bool:
    """Whether this process may have a filter on a TCP socket, so that nothing is ever to be lifted."""
    try:
        with socket.socket() as probe:
            attach(probe, SO_ATTACH_FILTER, DROP_SYN)
    except OSError:
        return False
    return True


def _list_options(sock: socket.socket) -> list[tuple[int, int]]:
    """A socket of IPv6 may have IPv4 beside it."""
    options = [(socket.IPPROTO_IP, IP_MINTTL)] if sock.family in (socket.AF_INET, socket.AF_INET6) else []
    return [*options, (socket.IPPROTO_IPV6, IPV6_MINHOPCOUNT)] if sock.family == socket.AF_INET6 else options
