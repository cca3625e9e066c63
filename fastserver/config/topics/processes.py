"""What the server runs in: its processes, when they are replaced, what they are to the system, and development."""

from dataclasses import dataclass
from typing import Literal

from fastserver.config import spellings
from fastserver.config.setting import Kind, setting


@dataclass(frozen=True, kw_only=True)
class Processes:
    """What it runs in."""

    workers: int | Literal["auto"] = setting(
        0,
        Kind.INT,
        "processes",
        'Number of worker processes below a supervisor; "auto" is one for each usable CPU. 0 serves in this process '
        "alone, without a supervisor.",
        short="-w",
        words=("auto",),
        maximum=4096,
    )
    preload: bool = setting(
        False,
        Kind.BOOL,
        "processes",
        "Whether the application is imported once, before the workers are forked, so that they share its memory.",
        aliases=("preload_app",),
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
        planned=("trio", "zuvloop", "rloop", "winloop"),
        refused=spellings.GREENLETS,
    )


@dataclass(frozen=True, kw_only=True)
class Recycling:
    """When a worker is replaced by a new one, without losing a request."""

    max_requests: int = setting(
        0,
        Kind.INT,
        "recycling",
        "Requests and WebSocket sessions after which a worker is replaced; 0 is never.",
        aliases=("limit_max_requests",),
    )
    max_requests_jitter: int = setting(
        0,
        Kind.INT,
        "recycling",
        "Up to so many requests are added to max_requests, at random, so that not all workers are replaced at once.",
        aliases=("limit_max_requests_jitter",),
    )
    worker_lifetime: float = setting(
        0.0,
        Kind.DURATION,
        "recycling",
        "Seconds after which a worker is replaced; 0 is never.",
        aliases=("workers_lifetime",),
    )
    worker_lifetime_jitter: float = setting(
        0.0,
        Kind.DURATION,
        "recycling",
        "Up to so many seconds are added to worker_lifetime, at random.",
    )
    worker_max_rss: int = setting(
        0,
        Kind.SIZE,
        "recycling",
        "Bytes of resident memory beyond which a worker is replaced; 0 is no limit.",
        aliases=("workers_max_rss",),
    )
    worker_max_rss_jitter: int = setting(
        0, Kind.SIZE, "recycling", "Up to so many bytes are added to worker_max_rss, at random."
    )


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """How workers are watched, and how an operator reaches them."""

    timeout_worker_healthcheck: float = setting(
        30.0,
        Kind.DURATION,
        "supervision",
        "Seconds without a sign of life from a worker's event loop, its startup aside; then the stacks of its threads "
        "and tasks are logged and it is replaced. 0 is never.",
        short="-t",
        aliases=("timeout",),
    )
    control_socket: str | None = setting(
        None,
        Kind.PATH,
        "supervision",
        "Unix socket (mode 0600) at which `fastserver ctl` reaches the supervisor. Without it nowhere.",
        optional=True,
    )
    pid: str | None = setting(
        None,
        Kind.PATH,
        "supervision",
        "File that holds the number of the main process for as long as it runs.",
        short="-p",
        metavar="FILE",
        aliases=("pid_file", "pid_path", "pidfile"),
        optional=True,
    )
    name: str | None = setting(
        None,
        Kind.TEXT,
        "supervision",
        "What ps and top call the processes: NAME: supervisor, NAME: worker. Without it by their command line.",
        short="-n",
        metavar="NAME",
        aliases=("process_name", "proc_name"),
        optional=True,
    )
    user: str | None = setting(
        None,
        Kind.ACCOUNT,
        "supervision",
        "User, by name or number, that the server becomes once its sockets are bound and its certificates are read; "
        "Unix sockets are given to that user.",
        short="-u",
        metavar="USER",
        optional=True,
    )
    group: str | None = setting(
        None,
        Kind.ACCOUNT,
        "supervision",
        "Group, by name or number, that the server becomes; without it that of user.",
        short="-g",
        metavar="GROUP",
        optional=True,
    )
    umask: int | None = setting(
        None,
        Kind.OCTAL,
        "supervision",
        "Mask of the permissions of new files and Unix sockets, in octal such as 027. Without it as it was.",
        short="-m",
        optional=True,
    )


@dataclass(frozen=True, kw_only=True)
class Development:
    """What helps to write an application, and has no place in production."""

    reload: bool = setting(
        False,
        Kind.BOOL,
        "development",
        "Whether the server starts anew when a file of the application changes; it has one worker then.",
        aliases=("use_reloader",),
    )
    reload_dirs: tuple[str, ...] = setting(
        (),
        Kind.REPEAT,
        "development",
        "Directory that is watched; may be given several times. Without it app_dir.",
        singular="reload_dir",
        metavar="DIRECTORY",
        aliases=("reload_paths",),
    )
    reload_includes: tuple[str, ...] = setting(
        (),
        Kind.REPEAT,
        "development",
        "Pattern of names of watched files beside *.py, such as *.html, or a file or directory; may be given several "
        "times.",
        singular="reload_include",
        metavar="PATTERN",
        aliases=("reload_extra_file", "reload_extra_files"),
    )
    reload_excludes: tuple[str, ...] = setting(
        (),
        Kind.REPEAT,
        "development",
        "Pattern of names of files and directories that are not watched; may be given several times.",
        singular="reload_exclude",
        metavar="PATTERN",
        aliases=("reload_ignore_dirs", "reload_ignore_paths"),
    )
    reload_delay: float = setting(
        0.25,
        Kind.DURATION,
        "development",
        "Seconds between two looks at the files.",
        aliases=("reload_tick",),
        exclusive=True,
    )
    debug: bool = setting(
        False,
        Kind.BOOL,
        "development",
        "Whether asyncio's debug mode is on, and the log level debug: slow callbacks and tasks never awaited are "
        "logged.",
    )
