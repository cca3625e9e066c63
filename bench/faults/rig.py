"""The rig: starts servers for a fault, with directories, ports and certificates of their own, and always ends them.

``Site`` is one running server.  A fault asks its ``Rig`` for sites, puts loads on them, does harm, and fills a verdict.
"""

import asyncio
import contextlib
import glob
import itertools
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from bench.faults.h1 import H1Client, Request
from bench.faults.load import Load, Mix
from bench.faults.outcome import Attempt, Book, Outcome, tell_counts
from bench.faults.process import Process
from bench.faults.server import Server, Wants
from bench.faults.truth import READY, Truth, TruthReader
from bench.faults.verdict import Verdict
from bench.faults.wire import Target, hash_certificate
from bench.macro.contest import find_free_port

#: How long a server may take to start.
START_S = 20.0
#: What a stop may take beyond the grace of open requests.
STOP_MARGIN_S = 5.0
#: By how much a quick run is more patient.
QUICK_ALLOWS = 5


class NotStarted(Exception):
    """The server did not come up; the text has its last words."""


class Front:
    """Which listeners a site has."""

    PLAIN = "plain"
    TLS = "tls"
    BOTH = "both"


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A new key and certificate for localhost in ``directory``."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    argv += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(
        [*argv, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True, timeout=START_S
    )
    return certificate, key


def expire_certificate(directory: Path) -> None:
    """Make the certificate in ``directory`` one that ended yesterday, for the same key."""
    key = load_pem_private_key((directory / "key.pem").read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=3)).not_valid_after(now - timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    (directory / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


def read_serial(certificate: Path) -> str:
    """The name of a certificate in a file, as ``Wire.serial`` has it."""
    return hash_certificate(ssl.PEM_cert_to_DER_cert(certificate.read_text()))


@dataclass(slots=True)
class Site:
    """One server that runs, or did."""

    server: Server
    wants: Wants
    directory: Path
    process: Process
    reader: TruthReader
    books: list[Book] = field(default_factory=list)

    @property
    def plain(self) -> Target:
        return Target(self.wants.port)

    @property
    def tls(self) -> Target:
        return Target(self.wants.tls_port, tls=True)

    @property
    def targets(self) -> list[tuple[Target, frozenset[str]]]:
        """Each listener, with what is spoken there."""
        found = []
        if self.wants.port:
            found.append((self.plain, self.server.plain))
        if self.wants.tls_port:
            found.append((self.tls, self.server.tls))
        return found

    @property
    def target(self) -> Target:
        return self.targets[0][0]

    def is_alive(self) -> bool:
        """Whether its first process runs."""
        return self.process.code is None

    def testify(self) -> Truth:
        return self.reader.read()

    def set_generation(self, name: str) -> None:
        """New code: what is imported from now on is this generation."""
        (self.directory / "generation").write_text(name)

    def workers(self, generation: str = "") -> list[int]:
        """The living workers that have come up."""
        members = set(self.process.members())
        return [pid for pid in dict.fromkeys(self.testify().pids(READY, generation)) if pid in members]

    def open_book(self) -> Book:
        book = Book(f"b{len(self.books)}p{self.process.pid}")
        self.books.append(book)
        return book

    def load(self, mix: Mix, scale: float = 1.0) -> "Loads":
        """A load on each listener, with one book for all."""
        book = self.open_book()
        factor = scale / len(self.targets)
        mix = mix.scale(factor)
        loads = [Load(target, book, mix, speaks, alive=self.is_alive).start() for target, speaks in self.targets]
        return Loads(book, loads)

    async def ask(self, request: Request | None = None, answer_s: float = 5.0, tls: bool = False) -> Attempt:
        """One request on a connection of its own."""
        target = self.tls if tls else self.target
        client = H1Client(target, answer_s=answer_s)
        attempt = await client.perform(self.open_book().open("single"), request or Request())
        client.close()
        return attempt

    async def wait_workers(self, count: int, generation: str = "", limit_s: float = START_S) -> bool:
        """Until so many workers live and have come up."""
        return await wait_until(lambda: len(self.workers(generation)) >= count, limit_s)

    async def wait_up(self) -> None:
        """Until it answers, with all of its workers.  Raises ``NotStarted``."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.code is None:
            if (await self.ask(answer_s=3.0)).outcome is Outcome.OK:
                break
            await asyncio.sleep(0.03)
        else:
            raise NotStarted(self.last_words())
        if not await self.wait_workers(self.wants.workers, limit_s=max(1.0, deadline - time.monotonic())):
            raise NotStarted(f"{len(self.workers())} of {self.wants.workers} workers came up: {self.last_words()}")

    def last_words(self) -> str:
        """The last line of its log."""
        lines = [line.strip() for line in self.process.read_log().splitlines() if line.strip()]
        code = f"exit code {self.process.code}; " if self.process.code is not None else ""
        return code + (lines[-1][:200] if lines else "without a word")


@dataclass(slots=True)
class Loads:
    """The loads of a site's listeners, as one."""

    book: Book
    loads: list[Load]

    def close(self) -> None:
        """From now on a refusal is expected, and is the end of a lane."""
        for load in self.loads:
            load.closing = True

    @property
    def idle(self) -> bool:
        return all(load.idle for load in self.loads)

    async def finish(self, limit_s: float = 35.0) -> Book:
        """Let each lane end with what it has under way; whatever is open then has timed out."""
        await asyncio.gather(*(load.finish(limit_s) for load in self.loads))
        for attempt in self.book.attempts:
            attempt.judge(Outcome.TIMEOUT, "still open at the end")
        return self.book


@dataclass(slots=True)
class Rig:
    """What a fault works with, for one server."""

    server: Server
    directory: Path
    verdict: Verdict
    cycles: int = 20
    quick: bool = False
    scale: float = 1.0
    apart: bool = False
    faketime: str = ""
    say: Callable[[str], None] = lambda text: None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def allow(self, seconds: float) -> float:
        """A bound on how long the server may take; a quick run asks what it does, not how soon."""
        return QUICK_ALLOWS * seconds if self.quick else seconds

    @property
    def fronts(self) -> list[str]:
        """What cycles go to in turn: everything at once where the server can do that."""
        return [Front.BOTH] if self.server.both and not self.apart else [Front.PLAIN, Front.TLS]

    @property
    def widest(self) -> str:
        """The front with the most protocols."""
        if self.server.both and not self.apart:
            return Front.BOTH
        return Front.TLS if self.server.tls > self.server.plain else Front.PLAIN

    @asynccontextmanager
    async def serve(
        self,
        front: str = Front.PLAIN,
        *,
        env: dict[str, str] | None = None,
        output: int | None = None,
        files: int = 0,
        stderr_closed: bool = False,
        wait: bool = True,
        prefix: list[str] | None = None,
        generation: str = "one",
        port: int = 0,
        **wants: object,
    ) -> AsyncIterator[Site]:
        """A running server; at the end nothing of it is left.  Raises ``Lacking`` and ``NotStarted``."""
        directory = self.directory / f"site{next(self._numbers)}"
        (directory / "truth").mkdir(parents=True)
        (directory / "generation").write_text(generation)
        wanted = replace(Wants(), **wants)  # type: ignore[arg-type]
        if front in (Front.PLAIN, Front.BOTH):
            wanted = replace(wanted, port=port or find_free_port())
        if front in (Front.TLS, Front.BOTH):
            certificate, key = make_certificate(directory)
            wanted = replace(wanted, tls_port=find_free_port(), certificate=certificate, key=key)
        environment = {"FAULTS_DIR": str(directory), "PYTHONUNBUFFERED": "1", **self.server.env, **(env or {})}
        argv = [*(prefix or []), *self.server.build(wanted)]
        process = Process(argv, directory / "server.log", environment, output, files, stderr_closed)
        site = Site(self.server, wanted, directory, process, TruthReader(directory / "truth"))
        try:
            if wait:
                await site.wait_up()
            yield site
        finally:
            process.destroy()

    def judge(self, site: Site, book: Book, refused_from: float | None = None, what: str = "") -> list[Attempt]:
        """Settle a book and hold "zero failed" against it; refusals count too, but after ``refused_from``."""
        book.settle(site.testify())
        failed = self.find_failed(book, refused_from)
        counts = book.counts()
        self.verdict.add(requests=len(book.attempts), failed=len(failed), told=counts[Outcome.TOLD])
        where = f" {what}" if what else ""
        self.verdict.check(
            not failed,
            f"{len(failed)} of {len(book.attempts)} failed{where}: {tell_counts(failed)}",
        )
        self.verdict.show([attempt.describe() for attempt in failed])
        return failed

    def find_failed(self, book: Book, refused_from: float | None = None) -> list[Attempt]:
        refused = book.select(Outcome.REFUSED)
        early = [attempt for attempt in refused if refused_from is None or attempt.ended < refused_from]
        return book.failures + early

    async def stop(self, site: Site) -> int | None:
        """SIGTERM and what comes of it, for the end of a fault; the exit code."""
        site.process.signal(signal.SIGTERM)
        return await site.process.wait_exit(site.wants.grace_s + STOP_MARGIN_S)


async def wait_until(condition: Callable[[], bool], limit_s: float, pace_s: float = 0.03) -> bool:
    """Whether ``condition`` came true within ``limit_s``."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(pace_s)
    return True


@contextlib.contextmanager
def scratch(keep: bool = False) -> Iterator[Path]:
    """A directory for a run, removed at its end but where it is to be kept."""
    directory = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        yield directory
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


def find_faketime() -> str:
    """The preload library of libfaketime, or an empty string."""
    found = [os.environ.get("FAULTS_FAKETIME", ""), *glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")]
    return next((path for path in found if path and Path(path).exists()), "")
