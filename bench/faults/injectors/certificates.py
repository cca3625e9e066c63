"""FI-26: certificates are replaced while clients shake hands, by good ones and by bad ones."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

from bench.faults.load import Load, Mix
from bench.faults.outcome import Outcome
from bench.faults.rig import Front, Loads, Rig, Site, expire_certificate, make_certificate, read_serial

#: Handshakes foremost.
MIX = Mix(kept=4, fresh=6, seldom=0, late=0, large=0, upload=1, slow_upload=0, stream=0, pipelined=0, ws=1, h2=1)
#: Within so long of the reload a new certificate has to be shown.
SHOW_S = 15.0


def _copy(source: Path, target: Path) -> None:
    """As a careful tool does it: written beside, then renamed."""
    beside = target.with_suffix(".new")
    beside.write_bytes(source.read_bytes())
    beside.rename(target)


def _mismatch(site: Site, other: Path) -> None:
    _copy(other / "key.pem", site.wants.key)


def _truncate(site: Site, other: Path) -> None:
    site.wants.certificate.write_bytes((other / "cert.pem").read_bytes()[:200])


def _halve(site: Site, other: Path) -> None:
    """A tool that writes slowly: the certificate is new, the key half there."""
    site.wants.certificate.write_bytes((other / "cert.pem").read_bytes())
    site.wants.key.write_bytes((other / "key.pem").read_bytes()[:60])


def _empty(site: Site, other: Path) -> None:
    site.wants.certificate.write_bytes(b"")


def _expire(site: Site, other: Path) -> None:
    expire_certificate(other)
    _copy(other / "key.pem", site.wants.key)
    _copy(other / "cert.pem", site.wants.certificate)


BAD: dict[str, Callable[[Site, Path], None]] = {
    "a key that does not match": _mismatch,
    "a truncated certificate": _truncate,
    "files half written": _halve,
    "an empty certificate": _empty,
    "an expired certificate": _expire,
}


async def rotate(rig: Rig) -> None:
    """Zero failed; a new certificate is shown after SIGHUP; a bad one changes nothing, and is told of in the log."""
    async with rig.serve(Front.TLS) as site:
        loads = _load(rig, site)
        await asyncio.sleep(0.4)
        for number in range(1 if rig.quick else 3):
            await _replace(rig, site, f"new{number}")
            if not site.is_alive():
                break
        for name, spoil in list(BAD.items())[: 2 if rig.quick else None]:
            if site.is_alive():
                await _spoil(rig, site, name, spoil)
        if site.is_alive():
            await _replace(rig, site, "last")
        rig.verdict.check(site.is_alive(), f"the server ended: {site.last_words()}", "a bad certificate ends it")
        rig.judge(site, await loads.finish(10.0), what="while certificates changed")
    failed, requests = rig.verdict.figures.get("failed", 0), rig.verdict.figures.get("requests", 0)
    if failed and "ends" not in rig.verdict.brief:
        rig.verdict.brief = f"{failed:,} of {requests:,}"


def _load(rig: Rig, site: Site) -> Loads:
    book = site.open_book()
    return Loads(
        book, [Load(site.tls, book, MIX.scale(rig.scale), site.server.tls, answer_s=10.0, alive=site.is_alive).start()]
    )


async def _replace(rig: Rig, site: Site, name: str) -> None:
    directory = site.directory / name
    directory.mkdir()
    certificate, key = make_certificate(directory)
    _copy(key, site.wants.key)
    _copy(certificate, site.wants.certificate)
    began = time.monotonic()
    site.process.signal(signal.SIGHUP)
    shown = await _wait_serial(site, read_serial(certificate))
    took_s = time.monotonic() - began
    rig.verdict.figures["slowest new certificate, s"] = max(
        rig.verdict.figures.get("slowest new certificate, s", 0), round(took_s, 2)
    )
    rig.verdict.check(shown, f"{name}: the new certificate is not shown {took_s:.0f} s after SIGHUP", "old certificate")
    rig.say(f"certificate {name}: {'shown' if shown else 'not shown'} after {took_s:.1f} s")


async def _spoil(rig: Rig, site: Site, name: str, spoil: Callable[[Site, Path], None]) -> None:
    """Bad files, a reload, and everything goes on as it was; then the good ones are put back."""
    before = (site.wants.certificate.read_bytes(), site.wants.key.read_bytes())
    serial = read_serial(site.wants.certificate)
    other = site.directory / name.replace(" ", "-")
    other.mkdir()
    make_certificate(other)
    said = len(site.process.read_log())
    spoil(site, other)
    site.process.signal(signal.SIGHUP)
    await asyncio.sleep(3.0)
    alive = rig.verdict.check(site.is_alive(), f"{name} ends the server", "a bad certificate ends it")
    if alive:
        attempt = await site.ask(tls=True)
        rig.verdict.check(
            attempt.outcome is Outcome.OK, f"{name}: {attempt.describe()}", "a bad certificate ends service"
        )
        if attempt.outcome is Outcome.OK:
            kept = attempt.serial == serial
            rig.verdict.check(kept, f"{name}: it is shown to clients", f"shows {name}")
        news = site.process.read_log()[said:]
        rig.verdict.check(bool(news.strip()), f"{name}: not a word in the log")
    site.wants.certificate.write_bytes(before[0])
    site.wants.key.write_bytes(before[1])
    rig.say(f"certificate, {name}: {'goes on' if alive else 'ended'}")


async def _wait_serial(site: Site, serial: str) -> bool:
    """Until three answers in a row have come with this certificate."""
    deadline = time.monotonic() + SHOW_S
    seen = 0
    while time.monotonic() < deadline and seen < 3 and site.is_alive():
        attempt = await site.ask(tls=True)
        seen = seen + 1 if attempt.outcome is Outcome.OK and attempt.serial == serial else 0
        await asyncio.sleep(0.05)
    return seen >= 3
