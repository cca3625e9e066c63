"""One burst of load: a generator on its own core against one server, and what the server spent on it.

A burst is one process of a load generator: it connects and warms up, then a window opens in which the server's CPU time
and the number of requests are read at both ends, so that connecting is never part of a figure.  (Half a second with the
connecting counted in puts 12 % on uvicorn's sleeping handler, 25 % on hypercorn's plaintext and 1 % on nginx.)
The generators are in ``wrk``, ``h2load``, ``h3load`` and ``wsload``.
"""

import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bench.macro.process import ServerProcess, read_cpu_s, read_waited_s, set_niceness

#: How much longer than it should a generator may take.
GRACE_S = 10.0


class LoadFailed(Exception):
    """The load generator could not do its work; the text says why."""


@dataclass(frozen=True, slots=True)
class Burst:
    """One window of load: ``requests`` answered in ``wall_s`` for ``cpu_s`` of the server's time.

    ``waited_s`` is how long the server could have run but something else had its core: disturbance, on a server of one
    thread.  ``load_cpu_s`` is what the load generator spent itself.  ``latency_us`` and ``errors`` are of the whole run
    of the load generator, warm-up included.  ``fault`` is empty for a burst that counts.
    """

    requests: int
    wall_s: float
    cpu_s: float
    waited_s: float
    latency_us: Mapping[str, int]
    errors: Mapping[str, int]
    fault: str = ""
    load_cpu_s: float = 0.0

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per request."""
        return self.cpu_s * 1e6 / self.requests if self.requests else math.nan

    @property
    def load_cpu_us(self) -> float:
        """CPU microseconds of the load generator per request."""
        return self.load_cpu_s * 1e6 / self.requests if self.requests else math.nan

    @property
    def rate(self) -> float:
        """Requests per second of wall time."""
        return self.requests / self.wall_s if self.wall_s else math.nan


@dataclass(frozen=True, slots=True)
class Load:
    """How hard and how long: the same for every server of a run; times in seconds, ``niceness`` of the generator.

    ``connections`` are for the workloads that do not say how many they want.
    """

    connections: int = 64
    warmup_s: float = 0.15
    window_s: float = 0.5
    niceness: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds of the server, requests, wall time, waiting time, the generator's CPU; as one as nearly as can be."""

    cpu_s: float
    requests: int
    wall_s: float
    waited_s: float
    load_cpu_s: float


def take_reading(server: Sequence[int], generator: int, count: Callable[[], int]) -> Reading:
    """A reading of the processes ``server`` and the load ``generator``; taken again where it was interrupted.

    ``count`` gives the number of requests.  Raises ``OSError`` where a process has ended.
    """
    for _ in range(5):
        started = time.perf_counter()
        cpu_s = sum(read_cpu_s(pid) for pid in server)
        requests = count()
        wall_s = time.perf_counter()
        if wall_s - started < 0.001:
            break
    return Reading(cpu_s, requests, wall_s, sum(read_waited_s(pid) for pid in server), read_cpu_s(generator))


def span(first: Reading, last: Reading, fault: str = "") -> Burst:
    """The burst between two readings, without latencies and errors."""
    return Burst(
        requests=last.requests - first.requests,
        wall_s=last.wall_s - first.wall_s,
        cpu_s=last.cpu_s - first.cpu_s,
        waited_s=last.waited_s - first.waited_s,
        load_cpu_s=last.load_cpu_s - first.load_cpu_s,
        latency_us={},
        errors={},
        fault=fault,
    )


def failed(fault: str) -> Burst:
    """A burst that does not count and has no figures."""
    return Burst(0, 0.0, 0.0, 0.0, {}, {}, fault=fault)


@contextmanager
def started(
    argv: Sequence[str], niceness: int, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """A load generator in a session of its own, killed at the end; ``LoadFailed`` where it cannot be run.

    The calling process has to be pinned to the load generator's core already: the generator inherits that.
    """
    try:
        generator = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise LoadFailed(f"cannot run {argv[0]}: {error}") from error
    try:
        set_niceness(generator.pid, niceness)
        yield generator
    finally:
        generator.kill()
        generator.wait()
        if generator.stdout is not None:
            generator.stdout.close()


def wait_warm(generator: "subprocess.Popen[str]", count: Callable[[], int], requests: int, warmup_s: float) -> None:
    """Until ``requests`` have been made and ``warmup_s`` has passed; gives up quietly after ``GRACE_S``."""
    began = time.perf_counter()
    while generator.poll() is None:
        passed_s = time.perf_counter() - began
        if passed_s > GRACE_S or (passed_s >= warmup_s and count() >= requests):
            return
        time.sleep(0.01)


def measure(
    server: ServerProcess, generator: "subprocess.Popen[str]", count: Callable[[], int], window_s: float
) -> Burst:
    """The burst of the next ``window_s`` seconds, then SIGINT for the generator."""
    members = server.members()
    try:
        first = take_reading(members, generator.pid, count)
        time.sleep(window_s)
        last = take_reading(members, generator.pid, count)
    except OSError as error:
        return failed(f"a process ended during the burst ({error})")
    finally:
        generator.send_signal(signal.SIGINT)
    lost = set(members) ^ set(server.members())
    return span(first, last, "a process came or went during the burst" if lost else "")


def complete(burst: Burst, latency_us: Mapping[str, int], errors: Mapping[str, int], fault: str) -> Burst:
    """``burst`` with what the generator has said; a fault that it had already stays."""
    return replace(burst, latency_us=latency_us, errors=errors, fault=burst.fault or fault)


def wait_end(generator: "subprocess.Popen[str]") -> None:
    """Until the generator has ended, which leaves it to be reaped; ``LoadFailed`` where it takes too long."""
    deadline = time.perf_counter() + GRACE_S
    if generator.returncode is not None:
        return
    while os.waitid(os.P_PID, generator.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.perf_counter() > deadline:
            raise LoadFailed(f"{generator.args!r} did not stop")
        time.sleep(0.005)
