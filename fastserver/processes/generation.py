"""What workers are made of: the application, its settings, sockets and certificates.

One generation for the start and one for each reload.  A reload takes over the sockets whose addresses are the same, so
that nothing that waits in their queues is lost; what is new is opened, all or nothing.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from logging import Logger
from typing import TYPE_CHECKING, Any, Final

from fastserver.config.count import count_workers
from fastserver.config.devcert import resolve_dev_cert
from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.development.settings import adapt
from fastserver.processes.surroundings import Surroundings
from fastserver.server.endpoints import Endpoint, describe_endpoint, open_endpoints
from fastserver.server.quic import describe_group, list_binds, open_group
from fastserver.server.renewal import check_successor, warn_of_expired
from fastserver.server.tls import TLSMaterial, get_certificates, inherit_tls, load_tls
from fastserver.transport.sockets import Listener, Owner, release
from fastserver.typing import AnyApp

if TYPE_CHECKING:
    from fastserver.processes.template import Template
    from fastserver.server.numbers import WorkerNumbers

#: What stays as it was at the start: it was done once, with rights that may be gone, or before the first fork.
FIXED: Final = (
    "name",
    "user",
    "group",
    "umask",
    "pid",
    "control_socket",
    "dual_stack",
    "statsd_host",
    "statsd_prefix",
    "dogstatsd_tags",
)

#: The most workers that anybody can ask for.
WORKERS_MAX: Final = 4096

_serials = itertools.count(1)


@dataclass(eq=False)
class Generation:
    """``numbers`` are those of the workers that serve QUIC, with their sockets; ``None`` where it is not served.

    ``urls`` is where clients connect, for the log; ``template`` the process of which the workers are forked, ``None``
    where it is the supervisor; ``surroundings`` what its workers start in, ``None`` where the supervisor has the same.
    """

    app: AnyApp | str
    config: Config
    endpoints: Sequence[Endpoint]
    tls: TLSMaterial | None
    numbers: WorkerNumbers | None = None
    template: Template | None = None
    surroundings: Surroundings | None = None
    serial: int = field(default_factory=lambda: next(_serials))

    def __post_init__(self) -> None:
        # While the sockets are open: they may be closed when they are asked for.
        self.urls = [describe_endpoint(endpoint, self.config) for endpoint in self.endpoints]
        if self.numbers is not None:
            self.urls += describe_group(self.numbers.group)

    @property
    def is_loaded(self) -> bool:
        """Whether workers can be forked of it."""
        return self.template is None or self.template.is_ready

    @property
    def count(self) -> int:
        """How many workers it asks for."""
        return min(max(1, count_workers(self.config)), self.count_max)

    @property
    def count_max(self) -> int:
        """How many workers there is room for."""
        if self.numbers is None:
            return WORKERS_MAX
        from fastserver.server.numbers import get_workers_max

        return get_workers_max(self.numbers.group.numbers)

    @property
    def listeners(self) -> list[Listener]:
        """In the order of ``endpoints``."""
        return [endpoint.listener for endpoint in self.endpoints]

    def close(self) -> None:
        """Seal and close its sockets, for a process that gives them up; safe to repeat."""
        release(self.listeners)
        if self.numbers is not None:
            self.numbers.group.close()


def open_generation(
    app: AnyApp | str, config: Config, log: Logger, former: Generation | None = None, owner: Owner | None = None
) -> Generation:
    """Bind what is not ``former``'s already and read the certificates; ``owner`` gets new Unix sockets.

    Raises ``ConfigError`` and ``BindError``, with everything that was opened closed again; ``former`` stays as it was.
    """
    if former is not None:
        config = keep_fixed(config, former.config, log)
    config = adapt(config)
    if config.preload and sys.platform != "linux":
        raise ConfigError("preload", "it needs Linux")
    config = resolve_dev_cert(config, time.time(), log.info)
    try:
        tls = load_tls(config)
    except ConfigError as error:
        if former is None or config.user is None:
            raise
        tls = inherit_tls(config, former.tls, error)
        log.warning("%s: the certificates that were read at the start go on", error)
    if former is None:
        warn_of_expired(tls, log, time.time())
    else:
        check_successor(tls, former.tls, time.time())
    taken = former.endpoints if former is not None else ()
    endpoints = open_endpoints(config, owner, taken)
    try:
        numbers = _open_numbers(config, endpoints, tls, log, former)
    except BaseException:
        close_new(endpoints, taken)
        raise
    return Generation(app, config, endpoints, tls, numbers)


def close_new(endpoints: Sequence[Endpoint], taken: Sequence[Endpoint]) -> None:
    """Seal and close what is in ``endpoints`` and not among the ``taken``."""
    kept = {endpoint.listener.sock for endpoint in taken}
    release(endpoint.listener for endpoint in endpoints if endpoint.listener.sock not in kept)


def keep_fixed(config: Config, former: Config, log: Logger) -> Config:
    """``config`` with the values of ``former`` where a reload cannot change them; a line of the log for each."""
    kept: dict[str, Any] = {key: getattr(former, key) for key in FIXED if getattr(config, key) != getattr(former, key)}
    for key in kept:
        log.warning("%s cannot change while the server runs: it stays as it was until a restart", key)
    return replace(config, **kept) if kept else config


def _open_numbers(
    config: Config, endpoints: Sequence[Endpoint], tls: TLSMaterial | None, log: Logger, former: Generation | None
) -> WorkerNumbers | None:
    """The sockets of QUIC: ``former``'s where the addresses are the same.  They cannot be bound twice."""
    old = former.numbers if former is not None else None
    if former is not None and old is not None:
        before, now = list_binds(former.config, former.endpoints), list_binds(config, endpoints)
        if before == now:
            return old
        common = {str(bind) for bind in before} & {str(bind) for bind in now}
        if common:
            raise ConfigError("quic_bind", f"the addresses of HTTP/3 beside {min(common)} change with a restart only")
    count = count_workers(config)
    if count == 0 and former is None:
        return None  # a process that serves alone has a place and no numbers
    group = open_group(config, endpoints, max(1, count), log, get_certificates(tls))
    if group is None:
        return None
    from fastserver.server.numbers import WorkerNumbers  # QUIC is imported where it is served

    return WorkerNumbers(group)
