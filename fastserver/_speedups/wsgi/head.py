"""What ``start_response`` was given, as a head that any wire can render (PEP 3333, "The start_response() Callable").

Beyond the one validator (``rendering``) it refuses what only the server may say: hop-by-hop fields.
"""

from ..fields import KNOWN_FIELDS
from ..rendering import begin_head, inspect_field, take_field
from .bounds import NAMES, REMEMBERED_CHARACTERS

#: Names that applications use to what is known of them.
_NAMES: dict = {}

#: Status lines that were looked at before.
_STATUSES: dict = {}

#: Fields of one connection, not of the response (RFC 2616 section 13.5.1, which PEP 3333 goes by).
_HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer trailers "
    "transfer-encoding upgrade".split()
)


class Field:
    """A field that was looked at: its value as the application gave it, and what the wire gets.  It never changes."""


class FieldName:
    """A name that was looked at, and the last field of it: most of them come with every response."""


def make_head(status, headers):
    """A ``ResponseHead``.  Raises ``TypeError`` or ``ValueError`` that names the rule."""
    if type(status) is not str:
        status = _as_text(status, "status")
    if type(headers) is not list:
        raise TypeError(f"the headers of a response must be a list, not {headers!r}")
    head = begin_head(_read_status(status))
    for item in headers:
        if type(item) is not tuple or len(item) != 2:
            raise TypeError(f"a header must be a tuple (name, value), not {item!r}")
        pair = item
        name = pair[0] if type(pair[0]) is str else _as_text(pair[0], "header name")
        text = pair[1] if type(pair[1]) is str else _as_text(pair[1], f"value of header {name!r}")
        known = _NAMES.get(name)
        if known is None:
            known = _learn_name(name)
        # Another thread may put the next one there meanwhile.
        field = known.last
        if field is None or field.text != text:
            field = _read_field(known, text)
        take_field(head, field.pair, field.kind)
    return head


def _read_status(status):
    """The number of a status such as ``200 OK``; remembered, for there are few."""
    number = _STATUSES.get(status)
    if number is None:
        number = _parse_status(status)
        if len(_STATUSES) < NAMES:
            _STATUSES[status] = number
    return number


def _parse_status(status):
    if len(status) < 4 or status[3] != " " or not status[:3].isdigit() or not status.isascii():
        raise ValueError(f"status must be three digits, a space and a reason, not {status!r}")
    if not status.isprintable():
        raise ValueError(f"control character in the status {status!r}")
    return int(status[:3])


def _learn_name(name):
    if name.lower() in _HOP_BY_HOP:
        raise ValueError(f"header {name!r} is hop-by-hop, which is the server's alone (PEP 3333)")
    known = FieldName.__new__(FieldName)
    known.last = None
    known.misses = 0
    try:
        known.name = name.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"invalid header name {name!r}") from None
    # What may be a secret is never kept beyond its response.
    known.may_repeat = KNOWN_FIELDS.get(known.name.lower(), "secret") != "secret"
    if len(_NAMES) < NAMES:
        _NAMES[name] = known
    return known


def _read_field(known, text):
    """A field that is another than the last one of its name; remembered where it may come again."""
    field = Field.__new__(Field)
    field.text = text
    try:
        value = text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"the value of header {known.name!r} has characters outside Latin-1: {text!r}") from None
    field.kind = inspect_field(known.name, value)
    field.pair = (known.name, value)
    if known.may_repeat and len(text) <= REMEMBERED_CHARACTERS:
        # One that never repeats (ETag) is kept rarely; once in a while it gets another chance.
        known.misses = (known.misses + 1) & 255
        if known.misses < 8 or known.misses & 15 == 0:
            known.last = field
    return field


def _as_text(item, what):
    """``item`` as ``str``, where it is one of a class of its own (``django.utils.safestring``)."""
    if isinstance(item, str):
        return str.__str__(item)
    raise TypeError(f"{what} must be a str, not {item!r}")
