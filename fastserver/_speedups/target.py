"""Request targets that are not plain origin-form, and percent-decoding: the cold half of head splitting.

Both texts of ``heads`` call these, so they exist once and uncompiled; origin-form without ``%`` never comes here.
"""

from urllib.parse import unquote_to_bytes

from .contract import WireError


def decode_path(raw_path):
    """The ASGI ``path`` of ``raw_path`` (bytes): decoded once, UTF-8, invalid bytes replaced as ``unquote`` does.

    ``%00`` is refused (H1-23: no file system or C library downstream should meet it); an invalid escape stays literal.
    """
    if b"%00" in raw_path:
        raise WireError(400, "NUL in the path")
    return unquote_to_bytes(raw_path).decode("utf-8", "replace")


def split_target(method, target, is_host):
    """Split a target that does not begin with ``/``: ``(authority or None, raw_path, query_string)``, all bytes.

    Absolute-form (RFC 9112 section 3.2.2) is served for http and https, asterisk-form (3.2.4) for OPTIONS only;
    authority-form belongs to CONNECT, which this server refuses before it looks at the target.
    """
    if target == b"*":
        if method != "OPTIONS":
            raise WireError(400, "asterisk-form is for OPTIONS")
        return None, b"*", b""
    scheme, mark, rest = target.partition(b"://")
    if not mark or scheme.lower() not in (b"http", b"https"):
        raise WireError(400, "unknown form of request target")
    for index, byte in enumerate(rest):
        if byte in b"/?":
            authority, rest = rest[:index], rest[index:]
            break
    else:
        authority, rest = rest, b""
    if not is_host(authority):
        raise WireError(400, "invalid authority in the request target")
    raw_path, _, query_string = rest.partition(b"?")
    return authority, raw_path or b"/", query_string


def replace_host(request, authority):
    """RFC 9112 section 3.2.2: the target's authority counts; a Host that says otherwise is refused (H1-21)."""
    for index, (name, value) in enumerate(request.headers):
        if name == b"host":
            if value.lower() != authority.lower():
                raise WireError(400, "Host differs from the request target")
            request.headers[index] = (name, authority)
            return
    request.headers.insert(0, (b"host", authority))


def refuse_coding(value):
    """A Transfer-Encoding other than exactly ``chunked``: the error to raise (H1-2).

    A list of known shape that names other codings is something this server does not implement (501); what is malformed,
    or applies chunked twice or not last, makes the framing unknowable (RFC 9112 section 6.3: 400).
    """
    codings = [coding.strip(b" \t").lower() for coding in value.split(b",")]
    token = set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
    if any(not coding or not token.issuperset(coding) for coding in codings):
        return WireError(400, "malformed Transfer-Encoding")
    if b"chunked" in codings[:-1]:
        return WireError(400, "chunked is not the last transfer coding")
    return WireError(501, "transfer coding not implemented")
