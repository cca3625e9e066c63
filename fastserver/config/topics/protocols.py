"""The versions of HTTP, and what a connection or session of them may hold."""

from dataclasses import dataclass

from fastserver.config import spellings
from fastserver.config.setting import Kind, setting


@dataclass(frozen=True, kw_only=True)
class Protocols:
    """What it speaks."""

    http1: bool = setting(True, Kind.BOOL, "protocols", "Whether HTTP/1.0 and HTTP/1.1 are served.")
    http2: bool = setting(
        True,
        Kind.BOOL,
        "protocols",
        "Whether HTTP/2 is served: to the TLS clients that ask for it, and to others as h2c says.",
    )
    h2c: bool = setting(
        False,
        Kind.BOOL,
        "protocols",
        "Whether clients without TLS may begin in HTTP/2 (prior knowledge), beside HTTP/1.",
        aliases=("http2_cleartext",),
        spellings=spellings.PRIOR_KNOWLEDGE,
        refused=dict.fromkeys(("upgrade", "both"), "RFC 9113 took the upgrade from HTTP/1.1 out of HTTP/2"),
    )
    ws: bool = setting(
        True,
        Kind.BOOL,
        "protocols",
        "Whether WebSockets are served.",
        aliases=("websockets",),
        spellings=spellings.WEBSOCKETS,
    )


@dataclass(frozen=True, kw_only=True)
class HTTP2:
    """What one connection of HTTP/2 may hold."""

    h2_max_concurrent_streams: int = setting(
        100,
        Kind.INT,
        "HTTP/2",
        "Requests that may be open at once on one connection.",
        aliases=("http2_max_concurrent_streams",),
        minimum=1,
        maximum=(1 << 31) - 1,
    )
    h2_max_header_list_size: int = setting(
        32768,
        Kind.SIZE,
        "HTTP/2",
        "Bytes of a request's header fields, decoded, with 32 more for each field; beyond it the connection ends.",
        aliases=("http2_max_headers_size", "http2_max_header_list_size"),
        minimum=1024,
        maximum=(1 << 31) - 1,
    )
    h2_max_frame_size: int = setting(
        16384,
        Kind.SIZE,
        "HTTP/2",
        "Bytes of one frame that a client may send.",
        aliases=("h2_max_inbound_frame_size", "http2_max_frame_size"),
        minimum=16384,
        maximum=(1 << 24) - 1,
    )
    h2_initial_stream_window: int = setting(
        256 * 1024,
        Kind.SIZE,
        "HTTP/2",
        "Bytes of one request's body that may be under way before the application has taken them.",
        aliases=("http2_initial_stream_window_size", "http2_initial_window_size", "h2_initial_stream_window_size"),
        minimum=1,
        maximum=(1 << 31) - 1,
    )
    h2_initial_connection_window: int = setting(
        1024 * 1024,
        Kind.SIZE,
        "HTTP/2",
        "Bytes of all bodies of one connection that may be under way before the applications have taken them.",
        aliases=("http2_initial_connection_window_size", "h2_initial_connection_window_size"),
        minimum=65535,
        maximum=(1 << 31) - 1,
    )
    h2_max_resets: int = setting(
        200,
        Kind.INT,
        "HTTP/2",
        "Requests of one connection that may be reset within 30 seconds before their responses are whole; beyond it "
        "the connection ends.",
        minimum=1,
    )


@dataclass(frozen=True, kw_only=True)
class WebSockets:
    """What one session may hold, and how it is kept alive."""

    ws_max_size: int = setting(
        16 * 1024 * 1024,
        Kind.SIZE,
        "WebSockets",
        "Bytes of one message from a client; beyond it the session closes with 1009.",
        aliases=("websocket_max_message_size", "ws_max_message"),
        minimum=1,
    )
    ws_max_queue: int = setting(
        32,
        Kind.INT,
        "WebSockets",
        "Messages that wait for the application before no more is read.",
        minimum=1,
    )
    ws_ping_interval: float = setting(
        20.0,
        Kind.DURATION,
        "WebSockets",
        "Seconds between the server's pings; 0 is none.",
        aliases=("websocket_ping_interval", "ping_interval"),
    )
    ws_ping_timeout: float = setting(
        20.0,
        Kind.DURATION,
        "WebSockets",
        "Seconds in which a client has to answer a ping, else it counts as gone; 0 is no limit.",
        aliases=("websocket_ping_timeout", "ping_timeout"),
    )
    ws_per_message_deflate: bool = setting(
        False,
        Kind.BOOL,
        "WebSockets",
        "Whether messages are compressed where the client offers it (permessage-deflate).",
        aliases=("websocket_per_message_deflate", "ws_compress"),
        spellings=spellings.BOOLEANS,
    )
    ws_allowed_origins: tuple[str, ...] = setting(
        (),
        Kind.REPEAT,
        "WebSockets",
        "Origin of a page that may open WebSockets, such as https://example.org; may be given several times. Without "
        "it the application decides.",
        singular="ws_allowed_origin",
        metavar="ORIGIN",
    )
