"""The contest: all servers started at once, verified, then loaded in short bursts in turn (A B C A B C ...).

A server that is not installed, does not start, answers wrongly, crashes or hangs is left out of what it cannot do, and
the reason is kept; the others go on.  A crashed server is started again for the next workload.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.macro.load import Burst, Load, run_burst
from bench.macro.process import ROOT, ServerProcess, set_niceness
from bench.macro.server import Server, expand
from bench.macro.workload import WORKLOADS, Workload, WrongAnswer, verify

START_S = 15.0
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
    """A loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Contestant:
    """A row of the table with a port and a directory of its own, running or not."""

    def __init__(self, server: Server, python: str, cpu: int, directory: Path, niceness: int = 0) -> None:
        self.server = server
        self.port = find_free_port()
        self.cpu = cpu
        self.niceness = niceness
        self.directory = directory / server.name
        self.values = {"python": python, "port": str(self.port), "dir": str(self.directory)}
        self.argv = [expand(word, self.values) for word in server.argv]
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
    """The servers of one run.  Use as a context manager: leaving stops every server and removes its files."""

    def __init__(self, servers: Sequence[Server], python: str, cpu: int, say: Progress, niceness: int = 0) -> None:
        """``cpu`` is the servers' core; the caller has pinned itself to another one.  ``say`` gets progress lines."""
        self._say = say
        self._directory = Path(tempfile.mkdtemp(prefix="bench-"))
        self._directory.chmod(0o755)  # nginx drops root and has to read its file
        self.contestants = [Contestant(server, python, cpu, self._directory, niceness) for server in servers]
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
            burst = run_burst(contestant.process, workload, contestant.port, load)
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

    def run(self, workloads: Sequence[str], rounds: int, load: Load) -> Outcomes:
        """Every workload in ``rounds`` rounds; the outcome of each server that offers it, in the order of the table."""
        outcomes: Outcomes = {}
        for name in workloads:
            workload = WORKLOADS[name]
            self._revive()
            entered = [one for one in self.present() if name in one.server.workloads]
            outcomes[name] = {one.server.name: self._verify(one, workload) for one in entered}
            fit = [server for server, outcome in outcomes[name].items() if not outcome.fault]
            self._say(f"{name}: {rounds} rounds of {', '.join(fit) or 'nobody'}")
            for _ in range(rounds):
                for contestant in entered:
                    outcome = outcomes[name][contestant.server.name]
                    if not outcome.fault:
                        self._burst(contestant, workload, load, outcome)
        return outcomes
