"""Where the server listens, what it runs in and what it serves."""

from dataclasses import dataclass
from typing import Literal

from fastserver.config import spellings
from fastserver.config.bind import DEFAULT_PORT, WANT_BIND
from fastserver.config.setting import Kind, setting


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Where clients reach the server."""

    bind: tuple[str, ...] = setting(
        ("127.0.0.1:8000",),
        Kind.REPEAT,
        "listening",
        f"Where to listen: {WANT_BIND}; may be given several times. The default port is {DEFAULT_PORT}, port 0 "
        "lets the system choose, an empty host is every interface.",
        short="-b",
        metavar="ADDRESS",
    )
    backlog: int = setting(
        2048,
        Kind.INT,
        "listening",
        "How many connections the system may hold that are not yet accepted.",
        minimum=1,
        maximum=(1 << 31) - 1,
    )
    dual_stack: bool = setting(
        True,
        Kind.BOOL,
        "listening",
        "Whether a socket on [::] takes IPv4 connections too.",
        negations=("--ipv6-only",),
    )
    uds_permissions: int | None = setting(
        None,
        Kind.OCTAL,
        "listening",
        "Permission bits of Unix sockets, in octal such as 660. Without it the umask decides.",
        optional=True,
    )


@dataclass(frozen=True, kw_only=True)
class Processes:
    """What it runs in."""

    workers: int | Literal["auto"] = setting(
        1,
        Kind.INT,
        "processes",
        'Number of worker processes; "auto" is one for each usable CPU. 0 and 1 serve in this process.',
        short="-w",
        words=("auto",),
        maximum=4096,
    )
    loop: Literal["auto", "asyncio", "uvloop"] = setting(
        "auto",
        Kind.CHOICE,
        "processes",
        "Event loop; auto is uvloop where it is installed, asyncio elsewhere.",
        short="-k",
        aliases=("worker_class", "asgi_loop"),
        choices=("auto", "asyncio", "uvloop"),
        spellings=spellings.LOOPS,
        planned=("trio", "zuvloop"),
    )


@dataclass(frozen=True, kw_only=True)
class Application:
    """What it serves."""

    factory: bool = setting(
        False, Kind.BOOL, "application", "The application is a function without arguments that returns the application."
    )
    app_dir: str = setting(
        ".",
        Kind.PATH,
        "application",
        "Directory that goes to the front of the import path.",
        metavar="DIRECTORY",
        aliases=("pythonpath", "python_path"),
    )
    root_path: str = setting(
        "",
        Kind.TEXT,
        "application",
        "Path below which a proxy serves the application (ASGI root_path), such as /api.",
        metavar="PATH",
        aliases=("url_path_prefix",),
    )
    interface: Literal["auto", "asgi3"] = setting(
        "auto",
        Kind.CHOICE,
        "application",
        "Interface of the application.",
        choices=("auto", "asgi3"),
        planned=("asgi2", "wsgi"),
    )
    lifespan: Literal["auto", "on", "off"] = setting(
        "auto",
        Kind.CHOICE,
        "application",
        "Whether the application gets lifespan events; with auto one that does not take them is served all the same.",
        aliases=("asgi_lifespan",),
        choices=("auto", "on", "off"),
    )
