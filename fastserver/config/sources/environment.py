"""The environment: this server's variables, and uvicorn's for those who come from there.

It is read by canonical key alone (``FASTSERVER_WORKERS``).  An unknown ``FASTSERVER_`` variable is none of our
business: Kubernetes puts ``FASTSERVER_PORT=tcp://...`` beside a service of that name.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from fastserver.config.aliases import LISTENERS
from fastserver.config.model import SETTINGS
from fastserver.config.setting import Setting
from fastserver.config.sources.layer import Layer
from fastserver.config.topics.start import NO_VARIABLE, START

PREFIX: Final = "FASTSERVER_"
#: The variable that platforms set for the number of workers; ``FASTSERVER_WORKERS`` goes over it.
WEB_CONCURRENCY: Final = "WEB_CONCURRENCY"
UVICORN_PREFIX: Final = "UVICORN_"

#: uvicorn's parameters, and what each is called here.
UVICORN: Final[Mapping[str, str]] = {
    **dict.fromkeys(("host", "port", "uds", "fd"), "bind"),
    "http": "http1 and http2",
    "headers": "header",
    "h11_max_incomplete_event_size": "limit_request_head_size",
    "limit_max_requests": "max_requests",
    "limit_max_requests_jitter": "max_requests_jitter",
    **{
        f"ssl_{name}": key
        for name, key in {
            "keyfile": "keyfile",
            "certfile": "certfile",
            "keyfile_password": "keyfile_password",
            "version": "tls_min_version",
            "cert_reqs": "verify_mode",
            "ca_certs": "ca_certs",
            "ciphers": "ciphers",
        }.items()
    },
    **{
        name: name
        for name in (
            "app reload reload_dirs reload_includes reload_excludes reload_delay workers loop http2 ws ws_max_size "
            "ws_max_queue ws_ping_interval ws_ping_timeout ws_per_message_deflate lifespan interface env_file "
            "log_config log_level access_log use_colors proxy_headers server_header date_header forwarded_allow_ips "
            "root_path limit_concurrency backlog timeout_keep_alive timeout_graceful_shutdown "
            "timeout_worker_healthcheck app_dir reset_contextvars factory"
        ).split()
    },
}
# What stands between several items in one variable; a header's value may hold commas and blanks, a certificate's name
# stands before a comma.
_SEPARATOR: Final = re.compile(r"[,\s]+")
_SEPARATORS: Final[Mapping[str, re.Pattern[str]]] = {
    "header": re.compile(r"[\r\n]+"),
    "sni_cert": re.compile(r"\s+"),
}


def variable_of(key: str) -> str:
    """The environment variable of a canonical key."""
    return PREFIX + key.upper()


def read_environment(environ: Mapping[str, str]) -> Layer:
    """This server's variables; an empty one counts as unset."""
    given: dict[str, Any] = {}
    names: dict[str, str] = {}
    if environ.get(WEB_CONCURRENCY):
        given["workers"], names["workers"] = environ[WEB_CONCURRENCY], WEB_CONCURRENCY
    for key, fact in {**START, **SETTINGS}.items():
        text = environ.get(variable_of(key))
        if text and key not in NO_VARIABLE:
            given[key], names[key] = _read(key, fact, text), variable_of(key)
    return Layer(given, names, warnings=tuple(_warn_of_typos(environ)))


def _warn_of_typos(environ: Mapping[str, str]) -> Iterator[str]:
    """A line for each variable that is none of ours by one or two characters."""
    known = {variable_of(key): key for key in (*START, *SETTINGS)}
    for name in environ:
        if name.startswith(PREFIX) and name not in known:
            near = get_close_matches(name.removeprefix(PREFIX).lower(), known.values(), n=1, cutoff=0.85)
            if near:
                yield f"{name} is no setting, and is passed over; did you mean {variable_of(near[0])}?"


def read_uvicorn(environ: Mapping[str, str]) -> Layer:
    """uvicorn's variables, each with a warning; they go below everything else of the environment."""
    given: dict[str, Any] = {}
    names: dict[str, str] = {}
    warnings = []
    for name, key in UVICORN.items():
        variable = UVICORN_PREFIX + name.upper()
        text = environ.get(variable)
        if not text or (name == "port" and "://" in text):  # which Kubernetes sets beside a service of that name
            continue
        fact = None if name in LISTENERS else SETTINGS.get(key, START.get(key))
        given[name] = text if fact is None else _read(key, fact, text)
        names[name] = variable
        ours = [variable_of(each) for each in key.split(" and ") if each in SETTINGS or each in START]
        instead = f"write {' and '.join(ours)}" if ours else "there is none of ours"
        warnings.append(f"{variable} is uvicorn's, and read for now: {instead}")
    return Layer(given, names, warnings=tuple(warnings))


def _read(key: str, fact: Setting, text: str) -> Any:
    if not fact.repeats:
        return text
    return tuple(item for item in _SEPARATORS.get(key, _SEPARATOR).split(text.strip()) if item)
