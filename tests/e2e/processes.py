"""Server processes under test, and a client that tells the truth about every request it makes."""

import asyncio
import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from fastserver.processes.signals import ECHO_S

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0


class ServerProcess:
    """``python -m fastserver ARGUMENTS`` on a port of its own choice; its log is read as it comes.

    ``command`` takes the place of ``-m fastserver``, ``python`` of this Python.  Use as a context
    manager: at the end nothing of it is left.
    """

    def __init__(
        self,
        *arguments: str,
        bind: str = "127.0.0.1:0",
        command: tuple[str, ...] = ("-m", "fastserver"),
        python: str = sys.executable,
        environment: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        binds = ["--bind", bind] if bind else []
        self._sent = 0
        self.log: list[str] = []
        self.port = 0
        self._lines: queue.Queue[str] = queue.Queue()
        given = os.environ if environment is None else environment
        environment = {**given, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        self.process = subprocess.Popen(
            [python, *command, *arguments, *binds],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(PATIENCE_S)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("")  # the end: every process that had the pipe is gone

    def wait_log(self, pattern: str, count: int = 1) -> re.Match[str]:
        """Wait for the ``count``th line that ``pattern`` is found in, of those not yet read."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} in time; log:\n{self.text}") from None
            if not line:
                raise AssertionError(f"no {pattern!r} to the end; log:\n{self.text}")
            self.log.append(line)
            match = re.search(pattern, line)
            if match is not None:
                count -= 1
                if count == 0:
                    return match

    def wait_listening(self) -> "ServerProcess":
        match = self.wait_log(r"listening on \S+?(?::(\d+))?$")
        self.port = int(match[1] or 0)
        return self

    def wait_ready(self, workers: int) -> list[int]:
        """Process ids of so many workers, as they become ready."""
        pids = []
        for _ in range(workers):
            match = self.wait_log(r"worker \[(\d+)\] is ready|listening on \S+?:(\d+)$")
            if match[1] is None:
                self.port = int(match[2])
                match = self.wait_log(r"worker \[(\d+)\] is ready")
            pids.append(int(match[1]))
        if not self.port:
            self.wait_listening()
        return pids

    def wait_exit(self) -> int:
        """The exit code; afterwards ``log`` is complete."""
        code = self.process.wait(PATIENCE_S)
        while line := self._lines.get(timeout=PATIENCE_S):
            self.log.append(line)
        return code

    def send(self, signum: int) -> None:
        """Signal the process; the same signal again is sent late enough not to be taken for an echo."""
        if signum == self._sent:
            time.sleep(ECHO_S)
        self._sent = signum
        self.process.send_signal(signum)

    @property
    def text(self) -> str:
        return "\n".join(self.log)

    @property
    def output(self) -> str:
        """What was written to standard output; only after the end."""
        assert self.process.stdout is not None
        return str(self.process.stdout.read())


class Load:
    """Keep-alive and one-request connections in a closed loop; each request is counted by what became of it.

    Outcomes: OK, REFUSED (connect failed), RESET, EOF (the connection ended before or within the answer), WRONG
    (another answer than the one asked for), TIMEOUT.  ``pids`` counts answers by the worker that gave them, ``broken``
    holds the worker of each connection that failed (0 where none had answered on it yet).
    """

    def __init__(self, port: int, keep_alive: int = 16, fresh: int = 4) -> None:
        self.port = port
        self.outcomes: Counter[str] = Counter()
        self.pids: Counter[int] = Counter()
        self.broken: list[int] = []
        self._stop = False
        self._serial = 0
        self._tasks = [asyncio.create_task(self._run(number < keep_alive)) for number in range(keep_alive + fresh)]

    @property
    def failures(self) -> dict[str, int]:
        return {kind: count for kind, count in self.outcomes.items() if kind not in ("OK", "REFUSED")}

    async def wait_answers(self, count: int) -> None:
        wanted = self.outcomes["OK"] + count
        while self.outcomes["OK"] < wanted:
            await asyncio.sleep(0.005)

    async def wait_refused(self) -> None:
        """Go on until every client has been refused a new connection."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        self._stop = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), PATIENCE_S)

    async def _run(self, keep_alive: bool) -> None:
        """One client; it ends when the server refuses it."""
        while not self._stop:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.outcomes["REFUSED"] += 1
                return
            await self._use(reader, writer, keep_alive)
            writer.close()

    async def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep_alive: bool) -> None:
        pid = 0
        while not self._stop:
            self._serial += 1
            try:
                outcome, pid, more = await asyncio.wait_for(self._ask(reader, writer, self._serial), PATIENCE_S)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.TimeoutError) as error:
                kinds = {asyncio.IncompleteReadError: "EOF", asyncio.TimeoutError: "TIMEOUT"}
                self.outcomes[kinds.get(type(error), "RESET")] += 1
                self.broken.append(pid)
                return
            self.outcomes[outcome] += 1
            self.pids[pid] += 1
            if not (keep_alive and more):
                return

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, serial: int
    ) -> tuple[str, int, bool]:
        """Outcome, worker, and whether the connection may be used again."""
        writer.write(f"GET /echo?{serial} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        match = re.search(r"\r\ncontent-length: (\d+)\r\n", head)
        if not head.startswith("http/1.1 200 ") or match is None:
            return "WRONG", 0, False
        body = (await reader.readexactly(int(match[1]))).decode()
        pid, _, echo = body.partition(" ")
        right = echo == f"{serial} " + "x" * 2000
        return ("OK" if right else "WRONG"), int(pid), "\r\nconnection: close\r\n" not in head
