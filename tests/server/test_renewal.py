"""Certificates that change under a running server: what is good is taken, what is bad is told once and left alone."""

import asyncio
import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from fastserver import Config
from fastserver.config import ConfigError
from fastserver.config.credentials import Certificates
from fastserver.config.tls import ServerContext
from fastserver.server import renewal as renewal_module
from fastserver.server.renewal import LOOK_S, PATIENCE_S, SETTLE_S, Renewal, warn_of_expired
from fastserver.server.tls import TICKET_KEY_S, TLSMaterial, load_tls, take_stamps
from tests.fakes import make_log

AUTHORITY = trustme.CA()
#: Nothing of a test's is so new, or so old, as to be of a moment ago.
LATER_S = 10.0


class Bench:
    """One process's renewal, with a clock that is set by hand and files that are written as they come."""

    def __init__(self, tls: TLSMaterial | None, *, looks_at_files: bool = True) -> None:
        assert tls is not None
        self.tls = tls
        self.log, self.records = make_log()
        self.adopted: list[Certificates] = []
        self.obstacle = ""
        self.now = 0.0
        self.renewal = Renewal(tls, self.adopt, self.log, looks_at_files=looks_at_files)

    def adopt(self, certificates: Certificates, context: ServerContext) -> None:
        if self.obstacle:
            raise ConfigError("certfile", self.obstacle)
        self.tls.renew(certificates, context)
        self.adopted.append(certificates)

    def look(self, seconds: float = LOOK_S) -> None:
        self.now += seconds
        self.renewal.look(self.now, time.time() + LATER_S)

    @property
    def lines(self) -> list[str]:
        return [f"{record.levelname} {record.getMessage()}" for record in self.records]


@pytest.fixture
def certfile(tmp_path: Path) -> Path:
    path = tmp_path / "c.pem"
    write(path)
    return path


@pytest.fixture
def keyfile(tmp_path: Path) -> Path:
    return tmp_path / "k.pem"


def issue(**facts: Any) -> trustme.LeafCert:
    return AUTHORITY.issue_cert("localhost", **facts)


def write(certfile: Path, keyfile: Path | None = None, **facts: Any) -> trustme.LeafCert:
    certificate = issue(**facts)
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    key = certificate.private_key_pem.bytes()
    certfile.write_bytes(chain if keyfile else key + chain)
    if keyfile:
        keyfile.write_bytes(key)
    return certificate


def shown(bench: Bench) -> str | None:
    assert bench.tls.context.server_cert_pem == bench.tls.certificates.default.leaf_pem
    return bench.tls.context.server_cert_pem


def leaf(certificate: trustme.LeafCert) -> str:
    return certificate.cert_chain_pems[0].bytes().decode()


def test_nothing_changes_where_nothing_has_changed(certfile: Path) -> None:
    bench = Bench(load_tls(Config(certfile=str(certfile))))
    context = bench.tls.context
    for _ in range(20):
        bench.look()
    os.utime(certfile)  # it looks like another one, and is not
    for _ in range(20):
        bench.look()
    assert (bench.adopted, bench.lines, bench.tls.context) == ([], [], context)


def test_t_5_a_good_certificate_is_taken_at_the_next_look(certfile: Path) -> None:
    bench = Bench(load_tls(Config(certfile=str(certfile))))
    old = bench.tls.context
    bench.look()
    new = write(certfile)
    bench.look()
    assert shown(bench) == leaf(new)
    assert bench.tls.context is not old
    assert len(bench.adopted) == 1
    (line,) = bench.lines
    assert line.startswith("INFO new certificate in '")
    assert "serial" in line
    assert "UTC" in line
    for _ in range(10):
        bench.look()
    assert len(bench.adopted) == 1


@pytest.mark.parametrize("whole", [False, True])
def test_a_worker_that_starts_later_has_the_certificate_of_its_day(certfile: Path, whole: bool) -> None:
    """The supervisor has what it read when it started; what it forks looks at the files before it serves."""
    tls = load_tls(Config(certfile=str(certfile)))
    new = write(certfile)
    if not whole:
        certfile.write_text("")
    bench = Bench(tls)
    bench.look()
    assert (shown(bench) == leaf(new)) is whole


def test_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    """As certbot and Kubernetes do it: what is written is a link, the files have never changed."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    write(tmp_path / "old" / "c.pem", tmp_path / "old" / "k.pem")
    new = write(tmp_path / "new" / "c.pem", tmp_path / "new" / "k.pem")
    live = tmp_path / "live"
    live.symlink_to("old")
    bench = Bench(load_tls(Config(certfile=str(live / "c.pem"), keyfile=str(live / "k.pem"))))
    bench.look()
    (tmp_path / "next").symlink_to("new")
    os.replace(tmp_path / "next", live)
    bench.look()
    assert shown(bench) == leaf(new)


def spoil_key(certfile: Path, keyfile: Path) -> None:
    keyfile.write_bytes(issue().private_key_pem.bytes())


def spoil_certificate(certfile: Path, keyfile: Path) -> None:
    certfile.write_bytes(certfile.read_bytes()[:200])


def spoil_expired(certfile: Path, keyfile: Path) -> None:
    write(certfile, keyfile, not_after=datetime.datetime(2020, 1, 2, 3, 4, tzinfo=datetime.timezone.utc))


def spoil_early(certfile: Path, keyfile: Path) -> None:
    write(certfile, keyfile, not_before=datetime.datetime(2999, 1, 2, 3, 4, tzinfo=datetime.timezone.utc))


def spoil_missing(certfile: Path, keyfile: Path) -> None:
    keyfile.unlink()


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (spoil_key, "keyfile: the private key in "),
        (spoil_certificate, "certfile: OpenSSL cannot use "),
        (spoil_expired, "has expired on 2020-01-02 03:04 UTC"),
        (spoil_early, "is not valid before 2999-01-02 03:04 UTC"),
        (spoil_missing, "cannot be read: No such file or directory"),
    ],
)
def test_t_5_a_bad_file_is_refused_once(
    certfile: Path, keyfile: Path, spoil: Callable[[Path, Path], None], problem: str
) -> None:
    """FI-26: the old certificate is kept, one line says so, and a good file is taken again."""
    old = write(certfile, keyfile)
    bench = Bench(load_tls(Config(certfile=str(certfile), keyfile=str(keyfile))))
    bench.look()
    spoil(certfile, keyfile)
    for _ in range(int(3 * PATIENCE_S / LOOK_S)):
        bench.look()
    (line,) = bench.lines
    assert line.startswith("ERROR the certificates in use are kept: ")
    assert problem in line
    assert shown(bench) == leaf(old)
    assert bench.adopted == []
    new = write(certfile, keyfile)
    bench.look()
    assert shown(bench) == leaf(new)
    # As bad as before is news: somebody has tried again.
    spoil(certfile, keyfile)
    bench.look()
    bench.look(SETTLE_S)
    bench.look(SETTLE_S)
    assert [line.split()[0] for line in bench.lines] == ["ERROR", "INFO", "ERROR"]


def test_what_is_half_written_is_waited_for(certfile: Path, keyfile: Path) -> None:
    """FI-26: written in pieces, the key last, it is taken when it is whole, and no line says anything else."""
    write(certfile, keyfile)
    bench = Bench(load_tls(Config(certfile=str(certfile), keyfile=str(keyfile))))
    bench.look()
    new = issue()
    data = b"".join(blob.bytes() for blob in new.cert_chain_pems)
    for end in range(0, len(data) + 1, 150):
        certfile.write_bytes(data[:end])
        bench.look(SETTLE_S / 4)
    certfile.write_bytes(data)
    bench.look(SETTLE_S / 4)
    assert bench.adopted == []
    keyfile.write_bytes(new.private_key_pem.bytes())
    bench.look()
    assert shown(bench) == leaf(new)
    assert [line.split()[0] for line in bench.lines] == ["INFO"]


def test_files_that_never_rest_are_told_of_in_the_end(certfile: Path) -> None:
    bench = Bench(load_tls(Config(certfile=str(certfile))))
    bench.look()
    for size in range(int(PATIENCE_S / LOOK_S) + 2):
        certfile.write_text("x" * size)
        bench.look()
    assert [line.split()[0] for line in bench.lines] == ["ERROR"]


def test_what_is_written_twice_in_one_tick_of_the_file_system(certfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second content looks like the first: it is looked at again until that can no longer be."""
    bench = Bench(load_tls(Config(certfile=str(certfile))))
    bench.look()
    stamps = take_stamps([str(certfile)], time.time() + LATER_S)
    fresh = [stamps._replace(facts="tick", is_settled=False)] * 3 + [stamps._replace(facts="tick")] * 3
    monkeypatch.setattr(renewal_module, "take_stamps", lambda *_: fresh.pop(0))
    contents = [leaf(write(certfile))]
    bench.look()
    assert shown(bench) == contents[0]
    contents.append(leaf(write(certfile)))
    bench.look()
    assert shown(bench) == contents[1]
    for _ in range(3):
        bench.look()
    write(certfile)
    bench.look()
    assert shown(bench) == contents[1]


def test_what_cannot_be_served_over_quic_is_served_nowhere(certfile: Path) -> None:
    bench = Bench(load_tls(Config(certfile=str(certfile))))
    old = shown(bench)
    bench.look()
    bench.obstacle = "it cannot use the key"
    write(certfile)
    for _ in range(10):
        bench.look()
    assert [line.split()[0] for line in bench.lines] == ["ERROR"]
    assert shown(bench) == old


def test_of_several_only_what_has_changed_is_judged(certfile: Path, tmp_path: Path) -> None:
    """One that was out of date when the server started does not hold up the others."""
    end = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    write(tmp_path / "old.pem", not_after=end)
    ca_certs = tmp_path / "ca.pem"
    ca_certs.write_bytes(AUTHORITY.cert_pem.bytes())
    config = Config(
        certfile=str(certfile),
        sni_cert=f"a.example={tmp_path / 'old.pem'}",
        ca_certs=str(ca_certs),
        verify_mode="optional",
    )
    bench = Bench(load_tls(config))
    bench.look()
    new = write(certfile)
    bench.look()
    assert shown(bench) == leaf(new)
    ca_certs.write_bytes(trustme.CA().cert_pem.bytes())
    bench.look()
    assert len(bench.adopted) == 2
    assert bench.lines[1].startswith("INFO new authorities in '")
    warn_of_expired(bench.tls, bench.log, time.time())
    assert len(bench.lines) == 3
    assert bench.lines[2].startswith("WARNING the certificate in '")
    assert bench.lines[2].endswith("has expired on 2020-01-01 00:00 UTC")


def test_one_of_several_workers_says_it(certfile: Path) -> None:
    tls = load_tls(Config(certfile=str(certfile), workers=2))
    assert tls is not None
    benches = [Bench(tls), Bench(tls)]
    certfile.write_text("")
    for _ in range(20):
        for bench in benches:
            bench.look()
    assert sum(len(bench.lines) for bench in benches) == 1


def test_a_certificate_that_becomes_valid(certfile: Path) -> None:
    bench = Bench(load_tls(Config(certfile=str(certfile))))
    start = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    new = write(certfile, not_before=start)
    for _ in range(10):
        bench.look()
    assert [line.split()[0] for line in bench.lines] == ["ERROR"]
    bench.renewal.look(bench.now, start.timestamp() + 1)
    assert shown(bench) == leaf(new)


def test_t_4_a_ticket_key_is_renewed_each_day(certfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a look at the files, and where they are gone."""
    bench = Bench(load_tls(Config(certfile=str(certfile))), looks_at_files=False)
    old = bench.tls.context
    certfile.unlink()
    monkeypatch.setattr(bench.tls, "_born_s", bench.tls._born_s - TICKET_KEY_S - 1)
    bench.look()
    assert bench.tls.context is not old
    assert bench.tls.context.server_cert_pem == old.server_cert_pem
    assert (len(bench.adopted), bench.lines) == (1, [])
    bench.look()
    assert len(bench.adopted) == 1


def test_t_4_a_directory_of_authorities_that_is_gone(certfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was served goes on; one line a day says that the ticket key is old."""
    bench = Bench(load_tls(Config(certfile=str(certfile))), looks_at_files=False)
    bench.obstacle = "no"
    monkeypatch.setattr(bench.tls, "_born_s", bench.tls._born_s - TICKET_KEY_S - 1)
    for _ in range(3):
        bench.look()
    assert [line.split()[0] for line in bench.lines] == ["ERROR"]


def test_an_operator_asks(certfile: Path) -> None:
    bench = Bench(load_tls(Config(certfile=str(certfile))), looks_at_files=False)
    assert bench.renewal.reload(time.time())
    new = write(certfile)
    bench.look()
    assert bench.adopted == []
    assert bench.renewal.reload(time.time())
    assert shown(bench) == leaf(new)
    certfile.unlink()
    for _ in range(2):
        assert not bench.renewal.reload(time.time())
    assert [line.split()[0] for line in bench.lines] == ["INFO", "ERROR", "ERROR"]


def test_it_looks_by_itself(certfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal_module, "LOOK_S", 0.01)
    bench = Bench(load_tls(Config(certfile=str(certfile))))

    async def main() -> None:
        bench.renewal.stop()
        bench.renewal.start(asyncio.get_running_loop())
        new = write(certfile)
        while shown(bench) != leaf(new):
            await asyncio.sleep(0.01)
        bench.renewal.stop()
        bench.renewal.stop()

    asyncio.run(asyncio.wait_for(main(), 20))
