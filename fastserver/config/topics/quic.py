"""HTTP/3: where it is served, and what a connection of QUIC may hold."""

from dataclasses import dataclass
from typing import Literal

from fastserver.config.bind import WANT_QUIC_BIND
from fastserver.config.setting import Kind, setting


@dataclass(frozen=True, kw_only=True)
class HTTP3:
    """HTTP/3 and the transport beneath it."""

    quic_bind: tuple[str, ...] = setting(
        (),
        Kind.REPEAT,
        "HTTP/3",
        f"Where to serve HTTP/3, over UDP: {WANT_QUIC_BIND}; may be given several times. Port 0 lets the system "
        "choose, an empty host is every interface. It needs the extra http3 and a certificate.",
        metavar="ADDRESS",
    )
    http3: bool = setting(
        False,
        Kind.BOOL,
        "HTTP/3",
        "Whether HTTP/3 is served beside each TCP address of bind, at the UDP port of the same number; it needs what "
        "quic_bind needs.",
    )
    alt_svc: bool = setting(
        True,
        Kind.BOOL,
        "HTTP/3",
        "Whether responses of HTTP/1 and HTTP/2 over TLS tell clients that HTTP/3 is served (Alt-Svc); a header of "
        "that name takes its place.",
    )
    alt_svc_max_age: float = setting(
        86400.0,
        Kind.DURATION,
        "HTTP/3",
        "Seconds for which clients may remember what Alt-Svc has told them.",
    )
    quic_retry: Literal["auto", "always", "never"] = setting(
        "auto",
        Kind.CHOICE,
        "HTTP/3",
        "Whether clients have to prove their address before a handshake begins (Retry); auto asks for it while many "
        "handshakes are under way.",
        choices=("auto", "always", "never"),
    )
    quic_max_half_open: int = setting(
        256,
        Kind.INT,
        "HTTP/3",
        "Handshakes that one worker may have under way; above a quarter of them clients have to prove their address, "
        "and beyond all of them they wait: what they send is dropped until there is room.",
        minimum=4,
        maximum=65536,
    )
    quic_handshake_timeout: float = setting(
        5.0,
        Kind.DURATION,
        "HTTP/3",
        "Seconds in which a QUIC handshake has to end.",
        exclusive=True,
    )
    quic_idle_timeout: float = setting(
        30.0,
        Kind.DURATION,
        "HTTP/3",
        "Seconds of silence after which a QUIC connection is forgotten; the client may ask for less.",
        exclusive=True,
    )
    quic_initial_stream_window: int = setting(
        256 * 1024,
        Kind.SIZE,
        "HTTP/3",
        "Bytes of one request's body that may be under way before the application has taken them.",
        minimum=1024,
        maximum=(1 << 31) - 1,
    )
    quic_initial_connection_window: int = setting(
        1024 * 1024,
        Kind.SIZE,
        "HTTP/3",
        "Bytes of all bodies of one connection that may be under way before the applications have taken them.",
        minimum=16384,
        maximum=(1 << 31) - 1,
    )
    h3_max_concurrent_streams: int = setting(
        100,
        Kind.INT,
        "HTTP/3",
        "Requests that may be open at once on one connection.",
        minimum=1,
        maximum=(1 << 31) - 1,
    )
    h3_max_field_section_size: int = setting(
        32768,
        Kind.SIZE,
        "HTTP/3",
        "Bytes of a request's header fields, decoded, with 32 more for each field; beyond it the request is refused.",
        minimum=1024,
        maximum=(1 << 31) - 1,
    )
    h3_max_resets: int = setting(
        200,
        Kind.INT,
        "HTTP/3",
        "Requests of one connection that may be reset within 30 seconds before their responses are whole; beyond it "
        "the connection ends.",
        minimum=1,
    )
