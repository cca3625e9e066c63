"""What application and client agree on: bodies that follow from a request's id, so that every byte can be checked."""

import hashlib
from collections.abc import Callable

#: Each page of a body is a pattern of its own, so a body that is short of a part or has one twice does not match.
PAGE_BYTES = 4096

#: What ``/raise`` raises, by name.
RAISABLE: dict[str, Callable[[], BaseException]] = {
    "Exception": lambda: RuntimeError("as asked"),
    "BaseException": lambda: BaseException("as asked"),
    "SystemExit": lambda: SystemExit(1),
    "KeyboardInterrupt": lambda: KeyboardInterrupt(),
    "RecursionError": lambda: RecursionError("as asked"),
    "MemoryError": lambda: MemoryError(),
}


def fill(ident: str, size: int) -> bytes:
    """The ``size`` bytes of the body that belongs to ``ident``."""
    pages = range(-(-size // PAGE_BYTES))
    repeats = PAGE_BYTES // hashlib.sha256().digest_size
    return b"".join(hashlib.sha256(f"{ident}/{page}".encode()).digest() * repeats for page in pages)[:size]


def summarise(body: bytes) -> bytes:
    """What the application answers to an upload: how much has come, and its digest."""
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
