"""A running server as its tree of processes: start and stop it, and read what it has used.

CPU time is user and system time of every process of the tree, as ``/proc/PID/stat`` has it.  That file counts in ticks
of 10 ms; the process clock of ``clock_gettime`` is the same number in nanoseconds, so that is what is read, and the
file tells which processes belong to the tree.  Linux only.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
#: Where every server is started, so that ``bench.macro.app`` can be imported there.
ROOT = Path(__file__).resolve().parents[2]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """What the benchmark needs of one ``/proc/PID/stat``."""

    pid: int
    state: str
    parent: int
    session: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident and proportional set of a tree of processes, in bytes."""

    rss: int
    pss: int


def parse_stat(text: str) -> Stat:
    """One ``/proc/PID/stat`` (proc(5)); the command's name may hold spaces and parentheses."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    cpu_ticks = int(fields[11]) + int(fields[12])
    return Stat(
        pid=int(head.partition(" ")[0]),
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        cpu_s=cpu_ticks / TICKS_PER_S,
    )


def parse_smaps_rollup(text: str) -> Memory:
    """One ``/proc/PID/smaps_rollup``; raises ``ValueError`` where ``Rss`` or ``Pss`` is missing."""
    sizes: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kB":
            sizes[words[0]] = int(words[1]) * 1024
    if "Rss:" not in sizes or "Pss:" not in sizes:
        raise ValueError("no Rss or Pss in smaps_rollup")
    return Memory(rss=sizes["Rss:"], pss=sizes["Pss:"])


def select_tree(stats: Iterable[Stat], root: int) -> list[int]:
    """The living processes of ``root``'s session and all their descendants, in ascending order of process id."""
    living = [stat for stat in stats if stat.state not in "ZX"]
    chosen = {stat.pid for stat in living if stat.pid == root or stat.session == root}
    grown = True
    while grown:
        more = {stat.pid for stat in living if stat.parent in chosen} - chosen
        chosen |= more
        grown = bool(more)
    return sorted(chosen)


def read_stats() -> Iterator[Stat]:
    """Every process that can be read now."""
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                yield parse_stat((entry / "stat").read_text())
            except (OSError, IndexError):
                continue  # ended between the listing and the reading


def read_cpu_s(pid: int) -> float:
    """User and system time of all threads of ``pid`` since it began, in seconds; ``OSError`` where it has ended."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of a foreign process: clock_getcpuclockid(3)
    except OSError:
        return parse_stat((PROC / str(pid) / "stat").read_text()).cpu_s


def read_waited_s(pid: int) -> float:
    """How long threads of ``pid`` were ready to run while something else had the core, in seconds (``schedstat``)."""
    total_ns = 0
    for task in (PROC / str(pid) / "task").iterdir():
        with suppress(OSError):  # a thread that ended meanwhile
            total_ns += int((task / "schedstat").read_text().split()[1])
    return total_ns / 1e9


def read_writes(pid: int) -> int:
    """How many write calls ``pid`` has made (``syscw`` of ``/proc/PID/io``); ``OSError`` where that cannot be read."""
    for line in (PROC / str(pid) / "io").read_text().splitlines():
        if line.startswith("syscw:"):
            return int(line.partition(":")[2])
    raise OSError(f"no syscw in /proc/{pid}/io")


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Run this process, and so every child started meanwhile, on ``cpu``; put back afterwards."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def set_niceness(pid: int, niceness: int) -> None:
    """Give ``pid`` and what it starts from now on a niceness, and its session too where the kernel groups by session.

    With autogroups (sched(7)) a process's own niceness counts only within its session, so ``pid`` should lead one.
    Raises ``OSError`` where the rights are missing.
    """
    if niceness == 0:
        return
    os.setpriority(os.PRIO_PROCESS, pid, niceness)
    with suppress(FileNotFoundError):
        (PROC / str(pid) / "autogroup").write_text(str(niceness))


class ServerProcess:
    """One started command in a session of its own, its output kept in ``log``."""

    def __init__(self, argv: list[str], cpu: int, directory: Path, env: Mapping[str, str] | None = None) -> None:
        """Start ``argv`` pinned to ``cpu``; ``OSError`` where the program cannot be found or run."""
        with tempfile.NamedTemporaryFile(dir=directory, prefix="log.", delete=False) as output, pinned(cpu):
            self.log = Path(output.name)
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self.pid = self._process.pid

    def exit_code(self) -> int | None:
        """``None`` while the first process runs; otherwise its exit code, negative for a signal."""
        return self._process.poll()

    def members(self) -> list[int]:
        """The process ids of the tree."""
        return select_tree(read_stats(), self.pid)

    def memory(self) -> Memory:
        """What the tree holds now; ``OSError`` where a process ended meanwhile."""
        sizes = [parse_smaps_rollup((PROC / str(pid) / "smaps_rollup").read_text()) for pid in self.members()]
        return Memory(rss=sum(size.rss for size in sizes), pss=sum(size.pss for size in sizes))

    def last_words(self) -> str:
        """The last line that the server wrote, or an empty string."""
        lines = self.log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def stop(self, grace_s: float = 3.0) -> None:
        """SIGTERM to the first process, then SIGKILL to whatever of its tree is left."""
        tree = self.members()
        if self.exit_code() is None:
            self._process.terminate()
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
        for pid in {*self.members(), *(set(tree) & {stat.pid for stat in read_stats()})}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
