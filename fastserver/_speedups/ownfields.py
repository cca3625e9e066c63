"""What a response's fields are on the wires that send lists of fields, HTTP/2 and HTTP/3: with those that are the
server's own, and with a length.

HTTP/1 has all of it as whole lines (``rendering.render_response``).
"""

from .rendering import has_field, inspect_response

_LINES: dict = {}


class OwnFields:
    """The server's own fields on one connection."""

    def __init__(self, host):
        self._host = host
        self._extra = [split_line(line) for line in host.extra_fields.split(b"\r\n") if line]

    def add(self, head, fields, alt_svc=b""):
        """``fields`` and what the server adds to them: a list that may be ``fields`` itself.

        ``alt_svc`` is a line for responses that say nothing themselves of where else the server is (RFC 7838).  Upgrade
        is of HTTP/1.1 alone (RFC 9113 section 8.2.2, RFC 9114 section 4.2); its kin never come this far.
        """
        host = self._host
        for field in fields:
            name = field[0]
            if len(name) == 7 and name.lower() == b"upgrade":
                fields = [field for field in fields if field[0].lower() != b"upgrade"]
                break
        if host.date_header and not head.has_date:
            fields = [*fields, split_line(host.clock.date_field)]
        if host.server_field and not head.has_server:
            fields = [*fields, split_line(host.server_field)]
        if self._extra:
            fields = fields + self._extra
        if alt_svc and not has_field(head, b"alt-svc"):
            fields = [*fields, split_line(alt_svc)]
        return fields


def list_response_fields(head, body, more):
    """The application's fields of a response that begins with ``body``, with a length where that can be known.

    A list that may be the head's own; 204 has no length (RFC 9110 section 8.6).
    """
    fields = head.fields
    if head.status == 204 and head.content_length >= 0:
        fields = [field for field in fields if field[0].lower() != b"content-length"]
    elif head.content_length < 0 and not more and head.status != 204 and head.status != 304:
        fields.append((b"content-length", b"%d" % len(body)))
    return fields


def compose_refusal(error):
    """A whole response that says what the client has done, a ``WireError``: its head, and its body but for HEAD."""
    body = error.reason.encode("utf-8") + b"\n"
    fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    return inspect_response(error.status, fields), body


def split_line(line):
    """A field line as the pair that it means; the last ones are remembered, since they are the same all the time."""
    pair = _LINES.get(line)
    if pair is None:
        name, _, value = line.rstrip(b"\r\n").partition(b": ")
        if len(_LINES) >= 16:
            _LINES.clear()
        pair = _LINES[line] = (name.lower(), value)
    return pair
