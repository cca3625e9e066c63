"""The import law: imports point down only, the two sides meet in the contract, asyncio stays at the edge."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Rooms from the top floor to the ground; a module may import its own room and the floors below.  A package's name
#: holds for its modules too, but for ``fastserver`` and ``_speedups``: there each module has its own line.
FLOORS: list[dict[str, str]] = [
    {"fastserver.__main__": "cli", "fastserver.cli": "cli"},
    {"fastserver": "api"},
    {"fastserver.processes": "processes", "fastserver.top": "top", "fastserver.ctl": "ctl"},
    {"fastserver.server": "server"},
    {
        "fastserver.transport": "transport",
        "fastserver._speedups.tcp": "transport",
        "fastserver._speedups.connection": "transport",
        "fastserver._speedups.datagrams": "transport",
        "fastserver._speedups.udp": "transport",
        "fastserver._speedups.udpsocket": "transport",
        "fastserver.logs": "logs",
        "fastserver.development": "development",
        "fastserver._speedups.logline": "logs",
        "fastserver.metrics": "metrics",
        "fastserver.observe": "observe",
        "fastserver.states": "states",
    },
    {
        "fastserver.protocol": "wire",
        "fastserver._speedups.h1": "wire",
        "fastserver._speedups.hpack": "wire",
        "fastserver._speedups.h2": "wire",
        "fastserver._speedups.qpack": "wire",
        "fastserver._speedups.h3": "wire",
        "fastserver._speedups.quic": "wire",
        "fastserver.exchange": "application",
        "fastserver._speedups.http": "application",
        "fastserver._speedups.health": "application",
        "fastserver._speedups.dialogue": "application",
        "fastserver._speedups.asgi": "application",
        "fastserver._speedups.task": "application",
        "fastserver._speedups.websocket": "application",
        "fastserver._speedups.wsgi": "application",
    },
    {
        "fastserver._speedups.contract": "contract",
        "fastserver._speedups.bodyclock": "contract",
        "fastserver._speedups.heads": "contract",
        "fastserver._speedups.rendering": "contract",
        "fastserver._speedups.fieldlist": "contract",
        "fastserver._speedups.kernels": "contract",
        "fastserver._speedups.fields": "contract",
        "fastserver._speedups.target": "contract",
        "fastserver._speedups.clock": "contract",
        "fastserver._speedups.metrics": "contract",
        "fastserver._speedups.observers": "contract",
        "fastserver._speedups.histogram": "contract",
        "fastserver._speedups.bounds": "contract",
        "fastserver._speedups.bucket": "contract",
        "fastserver._speedups.churn": "contract",
        "fastserver._speedups.ownfields": "contract",
        "fastserver._speedups.logformats": "contract",
        "fastserver._speedups.identity": "contract",
        "fastserver.reference": "contract",
        "fastserver.config": "contract",
    },
    {
        "fastserver.descriptor": "events",
        "fastserver.errors": "errors",
        "fastserver.events": "events",
        "fastserver.typing": "typing",
        "fastserver.version": "version",
        "fastserver._speedups.events": "events",
        "fastserver._speedups.lifecycle": "events",
        "fastserver._speedups": "events",
    },
]
PLACES = {name: (floor, room) for floor, rooms in enumerate(FLOORS) for name, room in rooms.items()}

#: Who may import the event loop, and who may read the time: ``clock`` only formats it, ``kernels`` is the timer of
#: durations.
EDGE = (
    "fastserver.transport",
    "fastserver.server",
    "fastserver.processes",
    "fastserver._speedups.tcp",
    "fastserver._speedups.udp",
)
ASYNCIO_ALLOWED = (*EDGE, "fastserver._speedups.task", "fastserver.exchange.lifespan", "fastserver.observe")
TIME_ALLOWED = (
    *EDGE,
    "fastserver.logs",
    "fastserver._speedups.clock",
    "fastserver._speedups.kernels",
    "fastserver._speedups.logline",
    "fastserver.top",
    "fastserver.ctl",
    "fastserver.cli.check",
)
#: Who may import which package of others: each has a seam.  All else is the standard library.
GUESTS = {
    "h2": ("fastserver.protocol.h2.engine",),
    "hyperframe": ("fastserver.protocol.h2.engine", "fastserver._speedups.h2.lightframes"),
    "wsproto": ("fastserver._speedups.websocket.reader", "fastserver._speedups.websocket.deflate"),
    "httptools": ("fastserver._speedups.h1.parser",),
    "rich": ("fastserver.top",),
    "watchfiles": ("fastserver.development.lookout",),
    # The extra http3 brings both.
    "aioquic": (
        *(f"fastserver._speedups.quic.{name}" for name in ("keys", "handshake", "sender", "engine")),
        "fastserver.protocol.quic",
        "fastserver.server.quic",
    ),
    "cryptography": (
        "fastserver._speedups.quic.protection",
        "fastserver.protocol.quic",
        "fastserver.server.quic",
        "fastserver.config.credentials",
        "fastserver.config.devcert",
    ),
    "tomli": ("fastserver.config.sources.files",),  # below Python 3.11
    "uvloop": EDGE,
    # Headers of the compiler.
    **dict.fromkeys(("cython", "cpython", "libc"), ("fastserver._speedups",)),
}
#: Guests that an extra brings: the modules that need them are imported only where it is installed.
EXTRAS = ("aioquic", "cryptography", "watchfiles")
IMPORT_LINE = re.compile(r"^\s*(?:from\s+(?P<source>[\w.]+)\s+)?c?import\s+(?P<names>[^#(\n]+|\([^)]*\))", re.MULTILINE)


def name_module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = sorted(path for path in ROOT.glob("fastserver/**/*") if path.suffix in {".py", ".pyx", ".pxd"})
MODULES = sorted({name_module(path) for path in SOURCES})


def is_inside(name: str, rooms: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{room}.") for room in rooms)


def find_place(name: str) -> tuple[int, str] | None:
    """Floor and room of a module; ``None`` outside this package."""
    if not is_inside(name, ("fastserver",)):
        return None
    room = name
    while room not in PLACES:
        room = room.rpartition(".")[0]
        assert room not in {"fastserver", "fastserver._speedups"}, f"{name} has no room in FLOORS"
    return PLACES[room]


def list_targets(source: str, level: int, names: list[str], path: Path) -> list[str]:
    """Absolute names that one import statement names: ``from .a import b`` may mean the module ``b`` of ``a``."""
    if not source and not level:
        return names
    package = name_module(path).split(".")
    if path.stem != "__init__":
        package.pop()
    base = [*package[: len(package) - level + 1], source] if level else [source]
    prefix = ".".join(part for part in base if part)
    targets = [f"{prefix}.{name}" for name in names]
    return [target if target in MODULES else prefix for target in targets]


def list_imports(path: Path) -> list[str]:
    text = path.read_text("utf-8")
    found: list[str] = []
    if path.suffix != ".py":
        for match in IMPORT_LINE.finditer(text):
            dotted = match["source"] or ""
            names = [name.split()[0] for name in match["names"].strip(" ()\n").split(",") if name.strip()]
            source = dotted.lstrip(".")
            found += list_targets(source, len(dotted) - len(source), names, path)
        return found
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += list_targets(node.module or "", node.level, [alias.name for alias in node.names], path)
    return found


def find_faults(path: Path) -> list[str]:
    """What ``path`` imports against the law, as readable lines."""
    name = name_module(path)
    place = find_place(name)
    assert place is not None
    faults = []
    for target in list_imports(path):
        other = find_place(target)
        if other is None:
            root = target.partition(".")[0]
            if root in {"asyncio", "uvloop"} and not is_inside(name, ASYNCIO_ALLOWED):
                faults.append(f"{name} imports {target}: the event loop lives at the edge")
            if root not in sys.stdlib_module_names and not is_inside(name, GUESTS.get(root, ())):
                faults.append(f"{name} imports {target}: the package has its own seam, or none")
            if root == "time" and not is_inside(name, TIME_ALLOWED):
                faults.append(f"{name} imports {target}: below the edge the time is an argument")
        elif other[0] < place[0]:
            faults.append(f"{name} ({place[1]}) imports {target} ({other[1]}), which is above it")
        elif other[0] == place[0] and other[1] != place[1]:
            faults.append(f"{name} ({place[1]}) imports {target} ({other[1]}): they meet in the contract")
    return faults


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    assert find_faults(path) == []


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("fastserver/events.py", "from .server import worker", "above it"),
        ("fastserver/_speedups/clock.pxd", "from .h1.connection cimport H1Connection", "above it"),
        ("fastserver/_speedups/h1/connection.py", "from fastserver._speedups import http", "meet in the contract"),
        ("fastserver/exchange/ws.py", "from ..protocol.h2 import H2Connection", "meet in the contract"),
        ("fastserver/_speedups/http.pyx", "from .h1.connection cimport (\n    A,\n    B,\n)", "meet in the contract"),
        ("fastserver/_speedups/h1/connection.py", "def late():\n    import asyncio.events", "at the edge"),
        (
            "fastserver/_speedups/h1/parser.pxd",
            "cimport cython\nfrom .state cimport A\nfrom ..http cimport B",
            "meet in the contract",
        ),
        ("fastserver/protocol/h2.py", "from time import monotonic", "an argument"),
        ("fastserver/protocol/h2/other.py", "import h2.connection", "seam"),
        ("fastserver/protocol/h2/engine.py", "from hpack import Decoder", "seam"),
        ("fastserver/_speedups/h2/frames.py", "from hyperframe.frame import Frame", "seam"),
        ("fastserver/processes/worker.py", "def late():\n    import rich", "seam"),
        ("fastserver/transport/tls.py", "from aioquic.tls import Context", "seam"),
    ],
)
def test_the_walk_finds_faults(
    name: str, text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(
        globals(), "MODULES", [*MODULES, "fastserver._speedups.http", "fastserver._speedups.h1.connection"]
    )
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    faults = find_faults(path)
    assert faults
    assert all(reason in fault for fault in faults)


IMPORT_EACH_ALONE = """
import asyncio, ssl, importlib, os, sys, traceback
extras = sys.argv[1].split()
for name in sys.argv[2:]:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException as error:
            if not isinstance(error, ModuleNotFoundError) or error.name.partition(".")[0] not in extras:
                traceback.print_exc()
                os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_each_module_imports_first() -> None:
    """No circular import: each module can be the first of the package that a process imports."""
    names = [name for name in MODULES if not name.endswith(".__main__")]
    command = [sys.executable, "-c", IMPORT_EACH_ALONE, " ".join(EXTRAS), *names]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)
