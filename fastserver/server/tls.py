"""TLS in a server: what is made of the certificates before the workers are forked, and what each worker renews.

``load_tls`` reads the files once, while the process may still read them.  The workers inherit what it gives; with it
they serve TCP and QUIC, make new contexts (for a new ticket key each day, for changed files), and need no file for it.

Ticket keys (T-4): OpenSSL gives each context one of its own, and Python cannot set it.  So that a client is known again
by every worker, a stock of blank contexts is made before the fork, and all workers take the same one for the same
certificates and day: a table in shared memory says which.  The supervisor, which holds them all, talks to no client.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from fastserver.config.count import count_workers
from fastserver.config.credentials import Certificates, list_files, read_certificates
from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.config.tls import ServerContext, fill_context, make_blank
from fastserver.server.endpoints import list_alpn

#: Seconds after which tickets get another key (T-4).
TICKET_KEY_S: Final = 86400.0
#: Blank contexts that workers share, 24 KB each; after so many changes a worker has ticket keys of its own.
STOCK: Final = 32

#: No file system's time is coarser, but for FAT, which has no owners and is no place for keys.
STEP_S: Final = 0.1

_DIGEST_BYTES: Final = 32
_FREE: Final = bytes(_DIGEST_BYTES)


class Stamps(NamedTuple):
    """What files look like: other ``facts`` are another content.

    The same facts may hide another content where they are not settled: a file system counts time in steps.
    """

    facts: object
    is_settled: bool


def take_stamps(paths: Iterable[str], wall_s: float) -> Stamps:
    """The stamps of files at the Unix time ``wall_s``; a link counts as what it leads to."""
    facts: list[object] = []
    newest_s = -math.inf
    for path in paths:
        try:
            found = os.stat(path)
        except OSError as error:
            facts.append(error.errno)
            continue
        facts.append((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        newest_s = max(newest_s, found.st_mtime, found.st_ctime)
    return Stamps(tuple(facts), abs(wall_s - newest_s) > STEP_S)


class ContextStock:
    """``size`` blank contexts; copies of it in forked processes give the same one for the same name.

    Two that name two things at the same moment may fill the same place: their clients are not known to the other then.
    """

    def __init__(self, size: int) -> None:
        self._blanks: list[ServerContext | None] = [make_blank() for _ in range(size)]
        self._names = mmap.mmap(-1, max(1, size) * _DIGEST_BYTES)  # one page, which forked processes share

    def take(self, name: bytes) -> ServerContext:
        """The blank for ``name``, 32 bytes; one that nobody shares where there is none left, or it was taken before."""
        for index, blank in enumerate(self._blanks):
            at = slice(index * _DIGEST_BYTES, (index + 1) * _DIGEST_BYTES)
            if self._names[at] == _FREE:
                self._names[at] = name
            if self._names[at] == name:
                self._blanks[index] = None
                return make_blank() if blank is None else blank
        return make_blank()


class TLSMaterial:
    """What serves TLS by ``config``: its ``certificates`` and the ``context`` made of them.

    A worker's copy changes by ``renew`` alone.  ``stock`` contexts are kept for that.  ``stamps`` are the facts of
    the files from before they were read, ``None`` where they may have changed since without looking any different.
    """

    def __init__(
        self,
        config: Config,
        certificates: Certificates,
        alpn: Sequence[str],
        stock: int = 0,
        stamps: object = None,
        read_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.certificates = certificates
        self.stamps = stamps
        self._alpn = tuple(alpn)
        self._read_clock = read_clock
        self._born_s = read_clock()
        self._day = 0
        self._stock = ContextStock(stock)
        self._told = mmap.mmap(-1, _DIGEST_BYTES)
        self.context = fill_context(make_blank(), config, self._alpn, certificates)

    def make_context(self, certificates: Certificates) -> ServerContext:
        """A context for ``certificates`` and today's ticket key.  Raises ``ConfigError``; nothing else changes."""
        name = hashlib.sha256(b"%d:" % self._count_days() + certificates.digest).digest()
        # What cannot be used must not use up a blank.
        fill_context(make_blank(), self.config, self._alpn, certificates)
        return fill_context(self._stock.take(name), self.config, self._alpn, certificates)

    def renew(self, certificates: Certificates, context: ServerContext) -> None:
        """Serve ``certificates`` by ``context``, which ``make_context`` has made, from now on."""
        self.certificates = certificates
        self.context = context
        self._day = self._count_days()

    def is_news(self, event: str) -> bool:
        """Whether neither this process nor another that has a copy of this has asked for the same ``event`` last."""
        name = hashlib.sha256(event.encode()).digest()
        if self._told[:] == name:
            return False
        self._told[:] = name
        return True

    def needs_ticket_key(self) -> bool:
        """Whether the ticket key is older than it may be."""
        return self._count_days() != self._day

    def _count_days(self) -> int:
        return int((self._read_clock() - self._born_s) / TICKET_KEY_S)


def load_tls(config: Config) -> TLSMaterial | None:
    """Read the certificates of ``config`` and try them; ``None`` where TLS is off.

    Call it before privileges are dropped and before workers are forked.  Raises ``ConfigError``.
    """
    stamps = take_stamps(list_files(config), time.time())
    certificates = read_certificates(config)
    if certificates is None:
        return None
    return _make_material(config, certificates, stamps.facts if stamps.is_settled else None)


def inherit_tls(config: Config, former: TLSMaterial | None, error: ConfigError) -> TLSMaterial:
    """What serves TLS by ``config`` with the certificates of ``former``, for files that cannot be read any more.

    A server that has given up its rights has read them before.  Raises ``error`` where that is not what is wrong: the
    files are others, or they can be read.
    """
    files = list_files(config)
    if former is None or files != list_files(former.config) or all(os.access(file, os.R_OK) for file in files):
        raise error
    return _make_material(config, former.certificates, former.stamps)


def _make_material(config: Config, certificates: Certificates, stamps: object) -> TLSMaterial:
    """With a stock of contexts where workers are to share them."""
    stock = STOCK if count_workers(config) else 0
    return TLSMaterial(config, certificates, list_alpn(config), stock, stamps)


def get_certificates(tls: TLSMaterial | None) -> Certificates | None:
    """What ``tls`` serves now; ``None`` where TLS is off."""
    return None if tls is None else tls.certificates
