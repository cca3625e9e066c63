"""Reading and writing UDP datagrams, many in one system call; ``datagrams.py`` is the Python twin.

``recvmmsg`` takes several messages at once, and a message may carry many datagrams of one peer that the kernel has
joined (UDP_GRO), to be split at the size that it tells.  ``sendmmsg`` is the same outwards: a run of datagrams for one
peer, all of one size but for a shorter last, leaves as one message that the kernel splits (UDP_SEGMENT).

The arrays below are of one call at a time: the interpreter's lock is held throughout.  Bounds: message ``i`` of a read
stays in ``BUFFERS[i]``, and the kernel says how much of it, of its name and of its control it has filled; a write fills
at most ``WRITES`` messages and ``PARTS`` parts, each part a whole ``bytes`` object that the caller's list holds.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EBADF, EINTR, errno
from libc.string cimport memcmp, memcpy, memset

cdef extern from * nogil:
    """
    #include <sys/types.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <netinet/in.h>
    #include <arpa/inet.h>
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif
    #ifndef UDP_GRO
    #define UDP_GRO 104
    #endif
    #ifndef IP_PKTINFO
    #define IP_PKTINFO -1
    #endif
    #ifndef IPV6_PKTINFO
    #define IPV6_PKTINFO -1
    #endif
    #if !defined(__linux__)
    /* Elsewhere the calls of many are missing or differ: one message a call, as if there were no more. */
    struct datagrams_mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; };
    #define mmsghdr datagrams_mmsghdr
    #define recvmmsg(fd, messages, count, flags, timeout) (errno = ENOSYS, -1)
    #define sendmmsg(fd, messages, count, flags) (errno = ENOSYS, -1)
    #endif
    """
    ctypedef unsigned int socklen_t
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    struct sockaddr:
        unsigned short sa_family
    struct in_addr:
        unsigned int s_addr
    struct in6_addr:
        unsigned char s6_addr[16]
    struct sockaddr_in:
        unsigned short sin_family
        unsigned short sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_family
        unsigned short sin6_port
        in6_addr sin6_addr
        unsigned int sin6_scope_id
    cmsghdr* CMSG_FIRSTHDR(msghdr* message)
    cmsghdr* CMSG_NXTHDR(msghdr* message, cmsghdr* header)
    unsigned char* CMSG_DATA(cmsghdr* header)
    size_t CMSG_LEN(size_t size)
    size_t CMSG_SPACE(size_t size)
    int recvmmsg(int fd, mmsghdr* messages, unsigned int count, int flags, void* timeout)
    int sendmmsg(int fd, mmsghdr* messages, unsigned int count, int flags)
    Py_ssize_t recvmsg(int fd, msghdr* message, int flags)
    Py_ssize_t sendmsg(int fd, msghdr* message, int flags)
    int getsockname(int fd, sockaddr* name, socklen_t* size)
    int getsockopt(int fd, int level, int option, void* value, socklen_t* size)
    const char* inet_ntop(int family, const void* address, char* text, socklen_t size)
    int inet_pton(int family, const char* text, void* address)
    unsigned short htons(unsigned short value)
    int AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, IP_PKTINFO, IPV6_PKTINFO, UDP_SEGMENT, UDP_GRO
    int MSG_DONTWAIT, MSG_TRUNC
    int EIO, ENOSYS, ENOPROTOOPT, EOPNOTSUPP, ENOTSOCK, EPERM

cdef enum:
    # Messages of one reading.  Each may bring 64 datagrams, and all that have come must be dealt with in a turn of the
    # loop; 16 messages would save 60 of 630 ns a datagram.
    READS = 4
    READ_BYTES = 65536
    # PKTINFO of IPv6 and the segments' size, with what stands around them.
    CONTROL_BYTES = 128
    WRITES = 64
    PARTS = 256
    # What one message may be split into; newer kernels do 128.
    SEGMENTS = 64
    # The largest payload of UDP over IPv4.
    JOINED_BYTES = 65507
    ERRORS_MAX = 8
    PEERS_MAX = 4096
    UNKNOWN = -1

cdef mmsghdr INCOMING[READS]
cdef iovec SPACES[READS]
cdef char BUFFERS[READS][READ_BYTES]
cdef sockaddr_in6 NAMES[READS]
cdef char CONTROLS[READS][CONTROL_BYTES]

cdef mmsghdr OUTGOING[WRITES]
cdef iovec PIECES[PARTS]
cdef sockaddr_in6 TARGETS[WRITES]
cdef char DIRECTIONS[WRITES][CONTROL_BYTES]
# How many datagrams each outgoing message carries.
cdef int RUNS[WRITES]

# What the kernel can do, as far as is known: it is asked once, and believed when it refuses.
cdef int joins = UNKNOWN
cdef bint batches = True

# Shared objects, so that a steady peer costs no formatting: names of sockets to addresses, addresses to names, and the
# local addresses.  Each is emptied when it is full, which many forged addresses may cause.
cdef dict ADDRESSES = {}
cdef dict NAMES_V4 = {}
cdef dict NAMES_V6 = {}
cdef dict LOCALS = {}

cdef const unsigned char* MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"


cdef void _prepare_reads() noexcept:
    cdef int index
    for index in range(READS):
        SPACES[index].iov_base = BUFFERS[index]
        SPACES[index].iov_len = READ_BYTES
        INCOMING[index].msg_hdr.msg_iov = &SPACES[index]
        INCOMING[index].msg_hdr.msg_iovlen = 1
        INCOMING[index].msg_hdr.msg_name = &NAMES[index]
        INCOMING[index].msg_hdr.msg_control = CONTROLS[index]

_prepare_reads()


cpdef allow(bint segments, bint many):
    """Whether to join datagrams when writing (GSO), and to pass several messages in one system call.

    Both are so until the kernel refuses them.
    """
    global joins, batches
    joins = UNKNOWN if segments else 0
    batches = many


# ---- Reading -------------------------------------------------------------------------------------------------------

cpdef list receive(int fd, Py_ssize_t limit):
    """Read what waits at a UDP socket: a list of ``(data, address, local)``; empty where nothing does.

    It stops once ``limit`` datagrams have come, and goes above it only by what came joined to others (GRO).
    ``address`` is ``(host, port)``: IPv4 also where an IPv6 socket carries it, link-local hosts with ``%scope``.
    ``local`` is the address that was asked where ``udpsocket.prepare_socket`` found the socket bound to a wildcard,
    opaque but for ``send`` and ``render_local``, else ``None``.  What the network reports of earlier datagrams is
    passed over; raises ``OSError`` for a descriptor that is no socket.
    """
    cdef list found = []
    cdef int errors = 0
    cdef int wanted, count, index
    while len(found) < limit:
        wanted = <int> min(READS, limit - len(found)) if batches else 1
        count = _read(fd, wanted)
        if count < 0:
            if errno == EAGAIN:
                break
            if errno == EBADF or errno == ENOTSOCK:
                raise OSError(errno, "cannot read datagrams")
            errors += 1
            if errors == ERRORS_MAX:
                break
            continue
        for index in range(count):
            _split(&INCOMING[index], found)
        if count < wanted:
            break  # the socket is empty
    return found


cdef int _read(int fd, int wanted) noexcept:
    """Fill the first ``wanted`` of ``INCOMING``: how many were, or -1."""
    global batches
    cdef int index, count
    cdef Py_ssize_t size
    for index in range(wanted):
        INCOMING[index].msg_hdr.msg_namelen = sizeof(sockaddr_in6)
        INCOMING[index].msg_hdr.msg_controllen = CONTROL_BYTES
        INCOMING[index].msg_hdr.msg_flags = 0
    if batches:
        count = recvmmsg(fd, INCOMING, wanted, MSG_DONTWAIT, NULL)
        if count >= 0 or errno != ENOSYS:
            return count
        batches = False
    size = recvmsg(fd, &INCOMING[0].msg_hdr, MSG_DONTWAIT)
    if size < 0:
        return -1
    INCOMING[0].msg_len = <unsigned int> size
    return 1


cdef int _split(mmsghdr* message, list found) except -1:
    """Add the datagrams of one message to ``found``; none where it was cut to fit."""
    cdef msghdr* head = &message.msg_hdr
    cdef cmsghdr* control = CMSG_FIRSTHDR(head)
    cdef const char* data = <const char*> head.msg_iov.iov_base
    cdef Py_ssize_t total = message.msg_len
    cdef Py_ssize_t start = 0
    cdef int size = 0
    if head.msg_flags & MSG_TRUNC:
        return 0
    local = None
    while control != NULL:
        if control.cmsg_level == IPPROTO_UDP and control.cmsg_type == UDP_GRO:
            memcpy(&size, CMSG_DATA(control), sizeof(int))
        elif control.cmsg_level == IPPROTO_IP and control.cmsg_type == IP_PKTINFO:
            local = _share_local(<const char*> CMSG_DATA(control) + 4, 4)
        elif control.cmsg_level == IPPROTO_IPV6 and control.cmsg_type == IPV6_PKTINFO:
            local = _share_local(<const char*> CMSG_DATA(control), 16)
        control = CMSG_NXTHDR(head, control)
    address = _find_address(<const char*> head.msg_name, head.msg_namelen)
    if not 0 < size < total:
        found.append((PyBytes_FromStringAndSize(data, total), address, local))
        return 0
    while start < total:
        found.append((PyBytes_FromStringAndSize(data + start, min(size, total - start)), address, local))
        start += size
    return 0


cdef bytes _share_local(const char* address, Py_ssize_t size):
    cdef bytes local = PyBytes_FromStringAndSize(address, size)
    shared = LOCALS.get(local)
    if shared is not None:
        return <bytes> shared
    if len(LOCALS) >= PEERS_MAX:
        LOCALS.clear()
    LOCALS[local] = local
    return local


cdef tuple _find_address(const char* name, Py_ssize_t size):
    cdef bytes key = PyBytes_FromStringAndSize(name, size)
    found = ADDRESSES.get(key)
    if found is not None:
        return <tuple> found
    cdef tuple address = _show_address(name)
    if len(ADDRESSES) >= PEERS_MAX:
        ADDRESSES.clear()
    ADDRESSES[key] = address
    return address


cdef tuple _show_address(const char* name):
    cdef char text[64]
    cdef const sockaddr_in* v4 = <const sockaddr_in*> name
    cdef const sockaddr_in6* v6 = <const sockaddr_in6*> name
    cdef str host
    if v4.sin_family == AF_INET:
        inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text))
        return ((<bytes> text).decode("ascii"), <int> htons(v4.sin_port))
    host = _show_host_v6(v6.sin6_addr.s6_addr)
    if v6.sin6_scope_id:
        host = f"{host}%{v6.sin6_scope_id}"
    return (host, <int> htons(v6.sin6_port))


cdef str _show_host_v6(const unsigned char* address):
    cdef char text[64]
    if memcmp(address, MAPPED, 12) == 0:
        inet_ntop(AF_INET, address + 12, text, sizeof(text))
    else:
        inet_ntop(AF_INET6, address, text, sizeof(text))
    return (<bytes> text).decode("ascii")


cpdef str render_local(bytes local):
    """The host that a ``local`` of ``receive`` stands for."""
    cdef char text[64]
    if len(local) == 16:
        return _show_host_v6(<const unsigned char*> PyBytes_AS_STRING(local))
    if len(local) != 4:
        raise ValueError("not a local address")
    inet_ntop(AF_INET, PyBytes_AS_STRING(local), text, sizeof(text))
    return (<bytes> text).decode("ascii")


# ---- Writing -------------------------------------------------------------------------------------------------------

cpdef Py_ssize_t send(int fd, list datagrams) except -1:
    """Write ``(data, address, local)`` in order: how many are done with; fewer than all where the socket is full.

    One that cannot be sent, by the network's word or for its size, is done with too, as if it were lost on its way.
    ``local`` is what ``receive`` gave, or ``None`` for what the system chooses.  Raises ``OSError`` for a descriptor
    that is no socket.
    """
    global joins, batches
    cdef Py_ssize_t position = 0
    # Up to here no datagrams are joined: those were refused as one message, each may still go by itself.
    cdef Py_ssize_t separate_until = 0
    cdef int family = _find_family(fd)
    cdef int messages, count, index
    if joins == UNKNOWN:
        joins = _can_join(fd)
    while position < len(datagrams):
        messages = _gather(datagrams, position, family, joins != 0 and position >= separate_until)
        count = _write(fd, messages)
        for index in range(count):
            position += RUNS[index]
        if count >= 0 or errno == EINTR:
            continue
        if errno == EAGAIN:
            break
        if errno == EBADF or errno == ENOTSOCK:
            raise OSError(errno, "cannot write datagrams")
        if RUNS[0] > 1:
            # No offload on the way out, for good; else a size that this path does not take, for this peer alone.
            if errno == EIO or errno == ENOPROTOOPT or errno == EOPNOTSUPP:
                joins = 0
            separate_until = position + RUNS[0]
        else:
            position += 1
    return position


cdef int _write(int fd, int messages) noexcept:
    """Write the first ``messages`` of ``OUTGOING``: how many went, or -1."""
    global batches
    cdef int count
    if batches and messages > 1:
        count = sendmmsg(fd, OUTGOING, messages, MSG_DONTWAIT)
        if count >= 0 or errno != ENOSYS:
            return count
        batches = False
    return -1 if sendmsg(fd, &OUTGOING[0].msg_hdr, MSG_DONTWAIT) < 0 else 1


cdef int _gather(list datagrams, Py_ssize_t position, int family, bint is_joined) except -1:
    """Fill ``OUTGOING`` from ``datagrams[position:]``: how many messages there are, at least one."""
    cdef int messages = 0
    cdef int most = WRITES if batches else 1
    cdef int parts = 0
    cdef int first
    cdef Py_ssize_t end = len(datagrams)
    cdef Py_ssize_t size, total
    cdef bytes data
    cdef tuple item
    while position < end and messages < most and parts < PARTS:
        item = <tuple?> datagrams[position]
        data = <bytes?> item[0]
        address = item[1]
        local = item[2]
        size = total = PyBytes_GET_SIZE(data)
        first = parts
        _set_piece(parts, data)
        parts += 1
        position += 1
        while is_joined and position < end and parts < PARTS and parts - first < SEGMENTS:
            item = <tuple?> datagrams[position]
            data = <bytes?> item[0]
            total += PyBytes_GET_SIZE(data)
            if not 0 < PyBytes_GET_SIZE(data) <= size or total > JOINED_BYTES:
                break
            if not _are_equal(item[1], address) or not _are_equal(item[2], local):
                break
            _set_piece(parts, data)
            parts += 1
            position += 1
            if PyBytes_GET_SIZE(data) < size:
                break
        RUNS[messages] = parts - first
        _set_message(messages, &PIECES[first], _find_name(family, <tuple?> address), local, size)
        messages += 1
    return messages


cdef bint _are_equal(one, other) except -1:
    return one is other or one == other


cdef void _set_piece(int index, bytes data) noexcept:
    PIECES[index].iov_base = PyBytes_AS_STRING(data)
    PIECES[index].iov_len = PyBytes_GET_SIZE(data)


cdef int _set_message(int index, iovec* pieces, bytes name, bytes local, Py_ssize_t size) except -1:
    """Message ``index`` carries ``RUNS[index]`` pieces; an empty name is refused by the kernel like any bad one."""
    cdef msghdr* head = &OUTGOING[index].msg_hdr
    cdef cmsghdr* control
    cdef unsigned short segment = <unsigned short> size
    cdef size_t used = 0
    memset(head, 0, sizeof(msghdr))
    memcpy(&TARGETS[index], PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
    head.msg_name = &TARGETS[index]
    head.msg_namelen = <socklen_t> PyBytes_GET_SIZE(name)
    head.msg_iov = pieces
    head.msg_iovlen = RUNS[index]
    if local is None and RUNS[index] == 1:
        return 0
    memset(DIRECTIONS[index], 0, CONTROL_BYTES)
    head.msg_control = DIRECTIONS[index]
    head.msg_controllen = CONTROL_BYTES
    control = CMSG_FIRSTHDR(head)
    if local is not None:
        # in_pktinfo: an interface that is left open, the address to send from, another that is not read.
        # in6_pktinfo: the address, and an interface that is left open (the scope of a link-local target says it).
        if PyBytes_GET_SIZE(local) == 4:
            control.cmsg_level = IPPROTO_IP
            control.cmsg_type = IP_PKTINFO
            control.cmsg_len = CMSG_LEN(12)
            memcpy(CMSG_DATA(control) + 4, PyBytes_AS_STRING(local), 4)
            used += CMSG_SPACE(12)
        elif PyBytes_GET_SIZE(local) == 16:
            control.cmsg_level = IPPROTO_IPV6
            control.cmsg_type = IPV6_PKTINFO
            control.cmsg_len = CMSG_LEN(20)
            memcpy(CMSG_DATA(control), PyBytes_AS_STRING(local), 16)
            used += CMSG_SPACE(20)
        else:
            raise ValueError("not a local address")
        control = CMSG_NXTHDR(head, control)
    if RUNS[index] > 1:
        control.cmsg_level = IPPROTO_UDP
        control.cmsg_type = UDP_SEGMENT
        control.cmsg_len = CMSG_LEN(sizeof(unsigned short))
        memcpy(CMSG_DATA(control), &segment, sizeof(unsigned short))
        used += CMSG_SPACE(sizeof(unsigned short))
    head.msg_controllen = used
    return 0


cdef int _find_family(int fd) except -1:
    cdef sockaddr_in6 name
    cdef socklen_t size = sizeof(name)
    if getsockname(fd, <sockaddr*> &name, &size) < 0:
        raise OSError(errno, "cannot write datagrams")
    return name.sin6_family


cdef bint _can_join(int fd) noexcept:
    """Whether the kernel knows the option at all: one that does not would send the whole run as one datagram."""
    cdef int size = 0
    cdef socklen_t length = sizeof(size)
    return getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, &length) == 0


cdef bytes _find_name(int family, tuple address):
    cdef dict names = NAMES_V6 if family == AF_INET6 else NAMES_V4
    found = names.get(address)
    if found is not None:
        return <bytes> found
    cdef bytes name = _render_name(family, address)
    if len(names) >= PEERS_MAX:
        names.clear()
    names[address] = name
    return name


cdef bytes _render_name(int family, tuple address):
    """The socket's own form of an address, or nothing, which the kernel refuses, for no numeric one of its family."""
    cdef sockaddr_in v4
    cdef sockaddr_in6 v6
    host, _, scope = address[0].partition("%")
    port = address[1]
    if not 0 <= port <= 65535 or not (scope.isdecimal() if scope else True):
        return b""
    if family != AF_INET and family != AF_INET6:
        return b""
    if family == AF_INET:
        memset(&v4, 0, sizeof(v4))
        v4.sin_family = <unsigned short> AF_INET
        v4.sin_port = htons(<unsigned short> port)
        if inet_pton(AF_INET, <bytes> host.encode("utf-8"), &v4.sin_addr) != 1:
            return b""
        return PyBytes_FromStringAndSize(<const char*> &v4, sizeof(v4))
    if ":" not in host:
        host = f"::ffff:{host}"
    memset(&v6, 0, sizeof(v6))
    v6.sin6_family = <unsigned short> AF_INET6
    v6.sin6_port = htons(<unsigned short> port)
    v6.sin6_scope_id = <unsigned int> int(scope or 0)
    if inet_pton(AF_INET6, <bytes> host.encode("utf-8"), &v6.sin6_addr) != 1:
        return b""
    return PyBytes_FromStringAndSize(<const char*> &v6, sizeof(v6))
