"""The contest on one wire: all servers started at once, verified, loaded in short bursts in turn (A B C A B C ...).

A server that is not installed, does not start, answers wrongly, crashes or hangs is left out of what it cannot do, and
the reason is kept; the others go on.  A crashed server is started again for the next workload.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.macro import h2load, h3load, wrk, wsload
from bench.macro.load import Burst, Load
from bench.macro.process import ROOT, ServerProcess, set_niceness
from bench.macro.server import Server, expand
from bench.macro.verification import WrongAnswer, verify
from bench.macro.workload import Wire, Workload

START_S = 15.0
#: The load generator of each wire.
GENERATORS: dict[Wire, Callable[[ServerProcess, Workload, int, Load], Burst]] = {
    Wire.H1: wrk.run_burst,
    Wire.H2C: h2load.run_burst,
    Wire.H2: h2load.run_burst,
    Wire.H3: h3load.run_burst,
    Wire.WS: wsload.run_burst,
    Wire.WSGI: wrk.run_burst,
}
#: Bursts with a fault after which a server is left out of a workload.
PATIENCE = 3

Progress = Callable[[str], None]


class Unavailable(Exception):
    """A server cannot take part; the text says why."""


@dataclass(slots=True)
class Outcome:
    """What one server did in one workload: a burst per round, and why it is left out, where it is."""

    bursts: list[Burst] = field(default_factory=list)
    fault: str = ""


Outcomes = dict[str, dict[str, Outcome]]


def find_free_port() -> int:
    """A loopback port that nothing has at this moment, neither by TCP nor by UDP."""
    while True:
        with socket.socket() as probe, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            with suppress(OSError):
                other.bind(("127.0.0.1", port))
                return port


def write_certificate(directory: Path) -> None:
    """``cert.pem`` for 127.0.0.1 and ``key.pem`` in ``directory``, by ``openssl``; ``Unavailable`` where that fails."""
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    argv += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    argv += ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    try:
        subprocess.run(argv, check=True, capture_output=True, timeout=START_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"no certificate: {error}") from error


class Contestant:
    """A row of the table on one wire, with a port and a directory of its own, running or not."""

    def __init__(
        self, server: Server, python: str, cpu: int, directory: Path, niceness: int = 0, wire: Wire = Wire.H1
    ) -> None:
        self.server = server
        self.port = find_free_port()
        self.cpu = cpu
        self.niceness = niceness
        self.directory = directory / server.name
        self.values = {
            "python": python,
            "port": str(self.port),
            "dir": str(self.directory),
            "cert": str(directory / "cert.pem"),
            "key": str(directory / "key.pem"),
        }
        self.argv = [expand(word, self.values) for word in (*server.argv, *server.wires.get(wire, ()))]
        self.process: ServerProcess | None = None

    def launch(self) -> None:
        """Start the command without waiting for it; ``Unavailable`` where there is no such program."""
        self.directory.mkdir(mode=0o755, exist_ok=True)
        for name, content in (self.server.files or {}).items():
            data = content if isinstance(content, bytes) else expand(content, self.values).encode()
            (self.directory / name).write_bytes(data)
        if shutil.which(self.argv[0]) is None:
            raise Unavailable(f"{self.argv[0]} is not installed")
        try:
            self.process = ServerProcess(self.argv, self.cpu, self.directory, self.server.env)
            set_niceness(self.process.pid, self.niceness)
        except OSError as error:
            raise Unavailable(str(error)) from error

    def wait_ready(self) -> None:
        """Until the server answers at all; ``Unavailable`` where it exits first or takes longer than ``START_S``."""
        assert self.process is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            state = self.state()
            if state:
                raise Unavailable(state)
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise Unavailable(": ".join(filter(None, (f"not listening after {START_S:.0f} s", self.process.last_words()))))

    def version(self) -> str:
        """What the server says that it is: one line, empty where it does not say."""
        if not self.server.version:
            return ""
        argv = [expand(word, self.values) for word in self.server.version]
        try:
            done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=START_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        lines = (done.stdout or done.stderr).strip().splitlines()
        return lines[0] if done.returncode == 0 and lines else ""

    def state(self) -> str:
        """Empty while the server runs; otherwise how it ended."""
        if self.process is None:
            return "not running"
        code = self.process.exit_code()
        return "" if code is None else ": ".join(filter(None, (f"exited with {code}", self.process.last_words())))

    def stop(self) -> None:
        """End the server, if it was ever started."""
        if self.process is not None:
            self.process.stop()
            self.process = None

    def restart(self) -> None:
        """Stop what is left and start anew; ``Unavailable`` where that fails."""
        self.stop()
        self.launch()
        self.wait_ready()


class Contest:
    """The servers of one run on one wire.  A context manager: leaving stops every server and removes its files."""

    def __init__(
        self,
        servers: Sequence[Server],
        python: str,
        cpu: int,
        say: Progress,
        niceness: int = 0,
        wire: Wire = Wire.H1,
    ) -> None:
        """``cpu`` is the servers' core; the caller has pinned itself to another one.  ``say`` gets progress lines."""
        self._say = say
        self.wire = wire
        self._directory = Path(tempfile.mkdtemp(prefix="bench-"))
        self._directory.chmod(0o755)  # nginx drops root and has to read its file
        self.contestants = [Contestant(server, python, cpu, self._directory, niceness, wire) for server in servers]
        self.absent: dict[str, str] = {}

    def __enter__(self) -> "Contest":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for contestant in self.contestants:
            contestant.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def start(self) -> None:
        """Start all, then wait for each; those that cannot take part are in ``absent`` with the reason."""
        for contestant in self.contestants:
            if self.wire not in contestant.server.wires:
                self._drop(contestant, f"it is not measured on {self.wire.title}")
        if self.wire in (Wire.H2, Wire.H3):
            try:
                write_certificate(self._directory)
            except Unavailable as error:
                for contestant in self.present():
                    self._drop(contestant, str(error))
        for step in (Contestant.launch, Contestant.wait_ready):
            for contestant in self.present():
                try:
                    step(contestant)
                except Unavailable as error:
                    self._drop(contestant, str(error))

    def present(self) -> list[Contestant]:
        """The contestants that can still take part, in the order of the table."""
        return [one for one in self.contestants if one.server.name not in self.absent]

    def _drop(self, contestant: Contestant, reason: str) -> None:
        self.absent[contestant.server.name] = reason
        self._say(f"{contestant.server.name} is left out: {reason}")
        contestant.stop()

    def _revive(self) -> None:
        """Start again whoever ended in the workload before."""
        for contestant in self.present():
            if contestant.state():
                try:
                    contestant.restart()
                except Unavailable as error:
                    self._drop(contestant, str(error))

    def _verify(self, contestant: Contestant, workload: Workload) -> Outcome:
        outcome = Outcome()
        try:
            verify(workload, contestant.port)
        except WrongAnswer as error:
            state = contestant.state()
            outcome.fault = f"wrong answer: {error}" + (f" ({state})" if state else "")
            self._say(f"{contestant.server.name} is left out of {workload.name}: {outcome.fault}")
        return outcome

    def _burst(self, contestant: Contestant, workload: Workload, load: Load, outcome: Outcome) -> None:
        """One burst into ``outcome``, which gets a fault where the server ended, hung or failed too often."""
        name = f"{contestant.server.name} in {workload.name}"
        state = contestant.state()
        if not state and contestant.process is not None:
            burst = GENERATORS[workload.wire](contestant.process, workload, contestant.port, load)
            outcome.bursts.append(burst)
            state = contestant.state()
            if burst.fault:
                self._say(f"{name}: {burst.fault}")
            if not state and burst.requests == 0:
                state = burst.fault
                contestant.stop()  # hung: the next workload gets a new process
        faults = [burst.fault for burst in outcome.bursts if burst.fault]
        if state or len(faults) >= PATIENCE:
            outcome.fault = state or faults[-1]
            self._say(f"{name}: left out, {outcome.fault}")

    def run(self, workloads: Sequence[Workload], rounds: int, load: Load) -> Outcomes:
        """Every workload in ``rounds`` rounds; the outcome of each server that offers it, in the order of the table."""
        outcomes: Outcomes = {}
        for workload in workloads:
            name = workload.name
            self._revive()
            entered = [one for one in self.present() if one.server.offers(workload)]
            outcomes[name] = {one.server.name: self._verify(one, workload) for one in entered}
            fit = [server for server, outcome in outcomes[name].items() if not outcome.fault]
            self._say(f"{name}: {rounds} rounds of {', '.join(fit) or 'nobody'}")
            for _ in range(rounds):
                for contestant in entered:
                    outcome = outcomes[name][contestant.server.name]
                    if not outcome.fault:
                        self._burst(contestant, workload, load, outcome)
        return outcomes
