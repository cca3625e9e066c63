"""What this process is to the system and to its operator, in the order in which it becomes so.

``take_service`` comes first: the environment is read and cleared, the umask set.  Then the caller opens its logs, binds
and reads certificates, with the rights that it was started with; ``establish`` writes the pid file, opens the control
socket and gives up those rights; ``attach`` puts all of it into a supervisor's loop; ``close`` comes last.
"""

from __future__ import annotations

import os
from logging import Logger
from typing import TYPE_CHECKING

from fastserver.config.count import count_workers
from fastserver.config.model import Config
from fastserver.processes.control import ControlSocket
from fastserver.processes.operator import Operator
from fastserver.processes.reloading import Reread
from fastserver.processes.supervisor import Notice, Supervisor
from fastserver.processes.systemd import Activation, Notifier, take_notifier, take_sockets
from fastserver.processes.title import set_title
from fastserver.processes.workers import WorkerState
from fastserver.transport.sockets import Owner
from fastserver.typing import App

if TYPE_CHECKING:
    from fastserver.processes.pidfile import PidFile
    from fastserver.processes.privileges import Identity


class Service:
    """Made by ``take_service``."""

    def __init__(self, activation: Activation, notifier: Notifier, identity: Identity | None) -> None:
        self.notifier = notifier
        self._activation = activation
        self._identity = identity
        self._pidfile: PidFile | None = None
        self._control: ControlSocket | None = None
        self._operator: Operator | None = None
        self._supervisor: Supervisor | None = None
        self._is_ready = False
        self._is_dropped = False

    @property
    def owner(self) -> Owner | None:
        """Who is to own new Unix sockets; ``None`` where this process stays who it is."""
        return self._identity.owner if self._identity is not None and not self._is_dropped else None

    def adopt(self, config: Config, log: Logger) -> Config:
        """``config`` with the sockets that were handed over; at each reload too.  Raises ``ConfigError``."""
        return self._activation.apply(config, log)

    def wrap_reread(self, reread: Reread | None, log: Logger) -> Reread | None:
        """``reread`` with ``adopt`` for each configuration that it gives."""
        if reread is None:
            return None

        def read() -> tuple[App | str, Config]:
            app, config = reread()
            return app, self.adopt(config, log)

        return read

    def establish(self, config: Config, log: Logger) -> None:
        """Write the pid file, open the control socket, give up what rights there are to give up.

        Raises ``ConfigError`` and ``BindError``; ``close`` undoes what was done by then.
        """
        if config.name is not None:
            set_title(f"{config.name}: supervisor" if count_workers(config) else config.name)
        if config.pid is not None:
            from fastserver.processes.pidfile import claim_pidfile  # needs fcntl

            self._pidfile = claim_pidfile(config.pid)
        if config.control_socket is not None:
            self._control = ControlSocket(config.control_socket, log, self.owner)
        if self._identity is not None:
            from fastserver.processes.privileges import drop_privileges  # needs pwd

            drop_privileges(self._identity)
            self._is_dropped = True
            log.info("runs as %s", self._identity)

    def attach(self, supervisor: Supervisor) -> None:
        """Serve the control socket in its loop, and tell the service manager what it does."""
        self._supervisor = supervisor
        self._operator = Operator(supervisor)
        supervisor.observers.append(self._on_notice)
        supervisor.chores.append(self._tick)
        supervisor.at_fork.append(self._forget)
        if self._control is not None:
            self._control.attach(supervisor, self._operator.commands, quiet=("status",))

    def close(self, code: int) -> None:
        """The server has ended with ``code``; safe to repeat."""
        if self._operator is not None:
            self._operator.end(code)
        if self._control is not None:
            self._control.close()
        if self._pidfile is not None:
            self._pidfile.remove()

    def _on_notice(self, notice: Notice) -> None:
        if notice is Notice.READY:
            if self._is_ready:
                self.notifier.ready(self._describe())
        elif notice is Notice.RELOADING:
            self.notifier.reloading("reloading")
        elif notice is Notice.STOPPING:
            self.notifier.stopping("stopping")
            if self._operator is not None:
                self._operator.note_stop()

    def _tick(self, now: float) -> float:
        """The chore of each turn of the supervisor."""
        if not self._is_ready and self._count_ready() == self._count_wanted():
            self._is_ready = True
            self.notifier.ready(self._describe())
        due = self.notifier.tick(now)
        if self._operator is not None:
            due = min(due, self._operator.tick(now))
        if self._control is not None:
            due = min(due, self._control.tick(now))
        return due

    def _count_ready(self) -> int:
        return 0 if self._supervisor is None else len(self._supervisor.crew.list_workers(WorkerState.READY))

    def _count_wanted(self) -> int:
        return -1 if self._supervisor is None else len(self._supervisor.crew.slots)

    def _describe(self) -> str:
        """For ``systemctl status``."""
        last = self._supervisor.last_reload if self._supervisor is not None else None
        count = self._count_ready()
        text = f"{count} worker{'' if count == 1 else 's'}"
        return text if last is None or last.ok else f"{text}; the last reload has failed: {last.reason}"

    def _forget(self) -> None:
        """In a child."""
        if self._control is not None:
            self._control.forget()


def take_service(config: Config) -> Service:
    """Take what the environment holds for this process, set the umask, make ready to become another user.

    Raises ``ConfigError``.
    """
    activation, notifier = take_sockets(), take_notifier()
    if config.umask is not None:
        os.umask(config.umask)
    identity = None
    if config.user is not None or config.group is not None:
        from fastserver.processes.privileges import hand_over_logs, resolve_identity  # they need pwd

        identity = resolve_identity(config.user, config.group)
        if identity is not None:
            hand_over_logs(config, identity)
    return Service(activation, notifier, identity)
