"""A UDP socket's options for QUIC, and numbers of the kernel's interface that both texts of ``datagrams`` need."""

import errno
import socket
import sys

IS_LINUX = sys.platform == "linux"

# <linux/in.h>, <linux/in6.h>, <linux/udp.h>, <asm-generic/socket.h>: Python's ``socket`` names few of them.
IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23
PMTUDISC_PROBE = 3
SOL_UDP = 17
UDP_GRO = 104
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33

#: What the kernel may hold of a port, each way: some 50 ms of 300 Mbit/s.
BUFFER_BYTES = 2 * 1024 * 1024
WILDCARDS = ("0.0.0.0", "::")
#: Errors that say the descriptor is no socket of ours: the caller's fault, where all others are the network's.
OWN_FAULTS = (errno.EBADF, errno.ENOTSOCK)


def prepare_socket(sock):
    """Set what QUIC wants of a bound UDP socket; an option that this system refuses is left as it is.

    Many datagrams of one peer come as one message (GRO); a socket that is bound to a wildcard tells which address was
    asked (PKTINFO), so that an answer leaves from there; nothing is fragmented, and a datagram above the path's MTU is
    lost rather than refused (RFC 9000 section 14, RFC 8899); buffers are of ``BUFFER_BYTES``.  ECN is left alone.
    """
    sock.setblocking(False)
    for name, forced in ((socket.SO_RCVBUF, SO_RCVBUFFORCE), (socket.SO_SNDBUF, SO_SNDBUFFORCE)):
        # Beyond the system's own limit only with CAP_NET_ADMIN; without, up to it.
        if not (IS_LINUX and _try_option(sock, socket.SOL_SOCKET, forced, BUFFER_BYTES)):
            _try_option(sock, socket.SOL_SOCKET, name, BUFFER_BYTES)
    if not IS_LINUX:
        return
    is_v6 = sock.family == socket.AF_INET6
    _try_option(sock, SOL_UDP, UDP_GRO, 1)
    # A socket of IPv6 carries IPv4 too, and has that one's options.
    _try_option(sock, socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)
    if is_v6:
        _try_option(sock, socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)
    if sock.getsockname()[0] in WILDCARDS:
        if is_v6:
            _try_option(sock, socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            _try_option(sock, socket.IPPROTO_IP, IP_PKTINFO, 1)


def _try_option(sock, level, name, value):
    try:
        sock.setsockopt(level, name, value)
    except OSError:
        return False
    return True
