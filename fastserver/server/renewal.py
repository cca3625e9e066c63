"""Certificates that change while the server runs: one process looks at their files, and takes what is good.

It looks at size, time and inode of each file, twice a second: no notification survives the symbolic links of certbot
and Kubernetes.  What has changed is read whole and tried on contexts of its own (T-5).  What cannot be used is looked
at again for a while, since it may be half written; then one line of the log says why it is refused, and nothing more is
heard of it until it changes.  Existing connections notice nothing of all this.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from logging import Logger
from typing import Final, TypeAlias

from fastserver.config.credentials import Certificates, Credentials, list_files, read_certificates
from fastserver.config.errors import ConfigError
from fastserver.config.setting import quote
from fastserver.config.tls import ServerContext
from fastserver.server.tls import TLSMaterial, take_stamps

#: Seconds between two looks: what is written whole is served a second later at the latest.
LOOK_S: Final = 0.5
#: Seconds without a change after which a file that cannot be used is no longer thought to be half written.
SETTLE_S: Final = 2.0
#: The same where the files keep changing.
PATIENCE_S: Final = 10.0

#: What the log says where new certificates cannot be served.
KEPT: Final = "the certificates in use are kept: %s"

#: Takes new certificates and the context made of them into use; ``ConfigError`` where it cannot.
Adopt: TypeAlias = Callable[[Certificates, ServerContext], None]


class Renewal:
    """Keeps ``tls`` up to date for one process: ``adopt`` is called with what is to be served from now on.

    ``looks_at_files=False`` leaves it at a new ticket key a day.
    """

    def __init__(self, tls: TLSMaterial, adopt: Adopt, log: Logger, *, looks_at_files: bool) -> None:
        self._tls = tls
        self._adopt = adopt
        self._log = log
        self._files = list_files(tls.config) if looks_at_files else []
        self._timer: asyncio.TimerHandle | None = None
        #: What the files looked like when what they hold was taken, or refused; ``None`` where that is not known.
        self._taken = tls.stamps
        self._refused: object = None
        self._refused_until = math.inf
        #: Of a file that cannot be used: what it looked like, since when, and since when there is trouble at all.
        self._doubtful: object = None
        self._still_since = 0.0
        self._doubtful_since: float | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look now, and go on with it."""
        self.look(loop.time(), time.time())
        self._timer = loop.call_later(LOOK_S, self.start, loop)

    def stop(self) -> None:
        """Look no more; safe to repeat."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self, now: float, wall_s: float) -> None:
        """Take what has changed; ``wall_s`` is the Unix time.  Nothing is raised."""
        if self._tls.needs_ticket_key():
            self._renew_ticket_key()
        if not self._files:
            return
        stamps = take_stamps(self._files, wall_s)
        if stamps.facts in (self._taken, self._refused) and wall_s < self._refused_until:
            self._doubtful = self._doubtful_since = None
            return
        try:
            self._take(wall_s)
        except ConfigError as error:
            self._doubt(stamps.facts, error, now)
            return
        # Files that were written a moment ago may be written again without looking any different.
        self._taken = stamps.facts if stamps.is_settled else None
        self._refused = None
        self._doubtful = self._doubtful_since = None

    def reload(self, wall_s: float) -> bool:
        """Read the files whatever they look like, as an operator asks for: whether what they hold can be served."""
        try:
            self._take(wall_s)
        except ConfigError as error:
            self._log.error(KEPT, error)
            return False
        return True

    def _take(self, wall_s: float) -> None:
        """Serve what the files hold now, if that is anything new.  Raises ``ConfigError``."""
        self._refused_until = math.inf
        certificates = read_certificates(self._tls.config)
        assert certificates is not None
        known = self._tls.certificates
        if certificates.digest == known.digest:
            return
        changed = list_new(certificates, known)
        for each in changed:
            if each.validity is not None and each.validity.not_before > wall_s:
                self._refused_until = each.validity.not_before
            check_validity(each, wall_s)
        self._adopt(certificates, self._tls.make_context(certificates))
        for each in changed:
            self._tell(f"new certificate in {quote(each.certfile)}: {describe(each)}")
        if certificates.ca_pem != known.ca_pem:
            self._tell(f"new authorities in {quote(self._tls.config.ca_certs)}")

    def _doubt(self, facts: object, error: ConfigError, now: float) -> None:
        """Something cannot be used: it may be half written, so it is looked at again for a while."""
        if self._doubtful_since is None:
            self._doubtful_since = now
        if facts != self._doubtful:
            self._doubtful, self._still_since = facts, now
        if now - self._still_since >= SETTLE_S or now - self._doubtful_since >= PATIENCE_S:
            self._refused = facts
            self._doubtful = self._doubtful_since = None
            # Each worker finds this out; one of them says it, and again when another file is no better.
            if self._tls.is_news(f"{facts} {error}"):
                self._log.error(KEPT, error)

    def _renew_ticket_key(self) -> None:
        certificates = self._tls.certificates
        try:
            self._adopt(certificates, self._tls.make_context(certificates))
        except ConfigError as error:  # of a directory of authorities that cannot be read any more
            self._log.error(KEPT, error)
            self._tls.renew(certificates, self._tls.context)

    def _tell(self, line: str) -> None:
        """Log what the other workers do too: the first of them says it."""
        if self._tls.is_news(line):
            self._log.info("%s", line)


def warn_of_expired(tls: TLSMaterial | None, log: Logger, wall_s: float) -> None:
    """A line for each certificate that is out of date when the server starts: it is served all the same."""
    for each in tls.certificates.list_all() if tls is not None else ():
        validity = each.validity
        if validity is not None and validity.not_after <= wall_s:
            end = render_time(validity.not_after)
            log.warning("the certificate in %s has expired on %s", quote(each.certfile), end)


def check_successor(tls: TLSMaterial | None, former: TLSMaterial | None, wall_s: float) -> None:
    """Raises ``ConfigError`` where ``tls`` has a certificate out of its time that ``former``, which serves, has not."""
    if tls is not None and former is not None:
        for each in list_new(tls.certificates, former.certificates):
            check_validity(each, wall_s)


def list_new(certificates: Certificates, known: Certificates) -> list[Credentials]:
    """Those of ``certificates`` that ``known`` has not."""
    old = known.list_all()
    return [each for each in certificates.list_all() if each not in old]


def check_validity(credentials: Credentials, wall_s: float) -> None:
    """Raises ``ConfigError`` for a certificate that is out of its time; one whose time cannot be told passes."""
    validity = credentials.validity
    if validity is None:
        return
    certfile = quote(credentials.certfile)
    if validity.not_after <= wall_s:
        end = render_time(validity.not_after)
        raise ConfigError(credentials.cert_key, f"the certificate in {certfile} has expired on {end}")
    if validity.not_before > wall_s:
        begin = render_time(validity.not_before)
        raise ConfigError(credentials.cert_key, f"the certificate in {certfile} is not valid before {begin}")


def describe(credentials: Credentials) -> str:
    """Serial number and end of a certificate, for the log."""
    validity = credentials.validity
    if validity is None:
        return "it cannot be told until when it is valid"
    return f"serial {validity.serial}, valid until {render_time(validity.not_after)}"


def render_time(wall_s: float) -> str:
    """A Unix time as people write it; UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(wall_s))
