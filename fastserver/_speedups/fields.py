"""What the wires and exchanges share: methods, and header fields with what each means to the server.

Below the names stands the grammar that their Python twins share; the extensions share theirs, tables of bytes, through
``kernels.pxd``.
"""

import re
from collections.abc import Iterable

#: The version of most requests.  Whoever compares with this very object has its answer without a look at the text.
HTTP_1_1 = "1.1"

#: The methods that llhttp serves over HTTP/1.x (H1-39); any other token is answered 501.  CONNECT is not among them:
#: this server is not a proxy (H1-37).
METHODS = {
    name.encode("ascii"): name
    for name in (
        "ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE M-SEARCH NOTIFY "
        "OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND "
        "UNLINK UNLOCK UNSUBSCRIBE"
    ).split()
}

_ORDINARY = (
    "accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials access- "
    "control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers "
    "access-control-max-age access-control-request-headers access-control-request-method age allow alt-svc cache- "
    "control cdn-loop cf-connecting-ip cf-ipcountry cf-ray cf-visitor content-disposition content-encoding "
    "content-language content-location content-range content-security-policy content-type device-memory dnt "
    "downlink ect etag expires forwarded from if-match if-modified-since if-none-match if-range if-unmodified- "
    "since last-event-id last-modified link location max-forwards origin permissions-policy pragma priority "
    "proxy-authenticate purpose range referer referrer-policy retry-after rtt save-data sec-ch-ua sec-ch-ua-arch "
    "sec-ch-ua-bitness sec-ch-ua-full-version-list sec-ch-ua-mobile sec-ch-ua-model sec-ch-ua-platform sec-ch-ua- "
    "platform-version sec-ch-prefers-color-scheme sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user "
    "sec-gpc sec-purpose sec-websocket-accept sec-websocket-extensions sec-websocket-protocol sec-websocket- "
    "version strict-transport-security traceparent tracestate trailer true-client-ip upgrade-insecure-requests "
    "user-agent vary via viewport-width warning width www-authenticate x-amzn-trace-id x-content-type-options "
    "x-correlation-id x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-prefix x-forwarded-proto "
    "x-forwarded-server x-frame-options x-http-method-override x-powered-by x-process-time x-real-ip x-request-id "
    "x-request-start x-requested-with x-trace-id x-xss-protection"
).split()

_SECRET = (
    "authorization cookie proxy-authorization sec-websocket-key set-cookie x-api-key x-csrf-token x-csrftoken "
    "x-xsrf-token"
).split()

#: Lower-case field name to kind.  A request's name that stands here is one shared object; a kind other than "ordinary"
#: is acted on by both.  "hop-by-hop" fields of a response are the server's: an application's are dropped.
KNOWN_FIELDS = {
    **dict.fromkeys((name.encode("ascii") for name in _ORDINARY), "ordinary"),
    # Never kept beyond their request.
    **dict.fromkeys((name.encode("ascii") for name in _SECRET), "secret"),
    b"host": "host",
    b"content-length": "content-length",
    b"transfer-encoding": "transfer-encoding",
    b"connection": "connection",
    b"expect": "expect",
    b"te": "te",
    b"upgrade": "upgrade",
    b"date": "date",
    b"server": "server",
    b"keep-alive": "hop-by-hop",
    b"proxy-connection": "hop-by-hop",
}

#: Names of fields whose values are new in most responses, so that remembering one would only push out the rest.
CHANGING_FIELDS = frozenset(
    b"age etag traceparent x-amzn-trace-id x-correlation-id x-process-time x-request-id x-trace-id".split()
)

#: The bytes of a token (RFC 9110 section 5.6.2) and of a field value (section 5.5: HTAB, SP, VCHAR, obs-text), each as
#: the inside of a character class.
TOKEN = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"
VALUE = rb"\t\x20-\x7e\x80-\xff"
is_token = re.compile(rb"[%b]+" % TOKEN).fullmatch
is_value = re.compile(rb"[%b]*" % VALUE).fullmatch

#: The largest Content-Length whose digits never overflow 64 signed bits on the way.
_LARGEST_LENGTH = 9223372036854775799


def parse_length(value: bytes) -> int:
    """A Content-Length as a number, or -1: digits only, below 2**63 (H1-7)."""
    digits = value.lstrip(b"0")
    if not value.isdigit() or len(digits) > 19:  # int() itself would refuse a field full of digits
        return -1
    length = int(digits or b"0")
    return length if length <= _LARGEST_LENGTH else -1


def is_event_stream(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a response with these fields is a stream of events (HTML, section 9.2)."""
    for name, value in fields:
        if name.lower() == b"content-type":
            return value.partition(b";")[0].strip().lower() == b"text/event-stream"
    return False
