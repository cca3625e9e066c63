"""What a user adds to the server, as facts: event observers, and protocol handlers with where they serve.

Nothing is imported here: a text ``module:attr`` is checked for its form alone.
"""

from dataclasses import dataclass
from typing import Final

from fastserver.config.bind import Bind, parse_bind
from fastserver.reference import split_reference

#: What the error messages offer.
WANT_OBSERVER: Final = "module:attr, or a callable"
WANT_PROTOCOL: Final = "WHERE=module:attr, where WHERE is an address as in bind, or alpn:NAME"

#: The length of an ALPN name is one byte (RFC 7301 section 3.1).
ALPN_MAX_BYTES: Final = 255
#: ALPN names of HTTP, which this server keeps for itself, served or not.
HTTP_NAMES: Final = frozenset({"http/1.0", "http/1.1", "h2", "h3"})

_ALPN: Final = "alpn:"


@dataclass(frozen=True, slots=True)
class ProtocolBinding:
    """A protocol handler and where it serves: at the address ``bind``, or to clients that negotiate ``alpn``.

    One of the two is ``None``.  ``where`` is their text; ``handler`` is a text ``module:attr`` or a class.
    """

    where: str
    bind: Bind | None
    alpn: str | None
    handler: object


def parse_observer(item: object) -> object:
    """``item``, a text ``module:attr`` or a callable; ``ValueError`` says what is wrong."""
    if isinstance(item, str):
        split_reference(item)
    elif not callable(item):
        raise ValueError("it is not callable")
    return item


def parse_protocol(item: object) -> ProtocolBinding:
    """The fact of ``"WHERE=module:attr"`` or of a pair of the two, whose handler may be a class.

    ``ValueError`` says what is wrong.
    """
    if isinstance(item, ProtocolBinding):
        return item
    handler: object
    if isinstance(item, str):
        # The last one: a path may hold more of them, a module:attr none.
        where, equals, handler = item.rpartition("=")
        if not equals:
            raise ValueError("there is no =")
    elif isinstance(item, (tuple, list)) and len(item) == 2:
        where, handler = item
    else:
        raise ValueError("it is neither a text nor a pair")
    if not where or not isinstance(where, str):
        raise ValueError("what says where to serve is missing")
    if isinstance(handler, str):
        split_reference(handler)
    elif not callable(handler):
        raise ValueError("the handler is neither a text nor a class")
    if where.startswith(_ALPN):
        name = _parse_alpn(where[len(_ALPN) :])
        return ProtocolBinding(where, None, name, handler)
    bind = parse_bind(where)
    return ProtocolBinding(str(bind), bind, None, handler)


def _parse_alpn(name: str) -> str:
    if not name:
        raise ValueError("a name follows alpn:")
    if not name.isascii() or not name.isprintable():
        raise ValueError("the ALPN name has a character other than printable ASCII")
    if len(name) > ALPN_MAX_BYTES:
        raise ValueError(f"the ALPN name is longer than {ALPN_MAX_BYTES} bytes")
    if name in HTTP_NAMES:
        raise ValueError("the server itself serves HTTP")
    return name
