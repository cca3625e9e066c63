"""What other servers' command lines and keyword arguments can ask for and this server does not do (yet).

Nothing of it is ignored in silence: a request for what is missing is refused by name, a request for what happens
anyway (``--http1-keep-alive``, ``--no-proxy-headers``) passes, and one that makes no difference is warned of.  A
setting that gets built leaves this table for ``model``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastserver.config.setting import quote


@dataclass(frozen=True, slots=True)
class Rival:
    """One such setting.

    ``aliases`` are further keys of it; ``flags`` its short flags.  ``same`` holds the values, as lower-case text, that
    ask for what this server does anyway.  A ``switch`` takes no value on the command line and has a ``--no-`` form; a
    ``bare`` one may stand without its value.  ``instead`` says what to do.  ``waived`` is why any value of it can be
    passed over, with a warning: it changes nothing that clients, the application or the operator rely on.  What is
    ``never`` will not come.
    """

    key: str
    aliases: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    same: frozenset[str] = frozenset()
    switch: bool = False
    bare: bool = False
    instead: str = ""
    waived: str = ""
    never: bool = False

    def is_met(self, value: object) -> bool:
        """Whether ``value`` asks for nothing, or for what this server does anyway."""
        if value is None or (value is False and not self.switch) or (isinstance(value, Collection) and not value):
            return True
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = f"{value:g}"  # 0.0 is 0, and the enums of ssl are their numbers
        return str(value).strip().lower() in self.same

    def refuse(self, value: object) -> str:
        """Why ``value`` is not met: the problem part of an error line."""
        missing = "not supported" if self.never else "not supported yet"
        if self.same and not self.switch:
            problem = f"{quote(value)} is {missing}: want {' or '.join(sorted(self.same))}"
        else:
            problem = missing
        return f"{problem}; {self.instead}" if self.instead else problem


_NO = frozenset({"false", "0", "no", "off"})
_YES = frozenset({"true", "1", "yes", "on"})

_PROXIES = "meanwhile wrap the application in uvicorn's ProxyHeadersMiddleware, or in werkzeug's ProxyFix"
_STATIC = "meanwhile let the proxy in front, WhiteNoise or StaticFiles of the framework serve them"
_STRICT = "what RFC 9112 forbids is refused always, since proxies in front may read it otherwise"
_SYSLOG = "log_config with logging.handlers.SysLogHandler does it"


def _switch(
    key: str,
    *aliases: str,
    flags: tuple[str, ...] = (),
    same: frozenset[str] = _NO,
    instead: str = "",
    waived: str = "",
    never: bool = False,
) -> Rival:
    return Rival(key, aliases, flags, same, switch=True, instead=instead, waived=waived, never=never)


def _value(
    key: str,
    *aliases: str,
    flags: tuple[str, ...] = (),
    same: Collection[str] = (),
    instead: str = "",
    waived: str = "",
    bare: bool = False,
    never: bool = False,
) -> Rival:
    return Rival(key, aliases, flags, frozenset(same), bare=bare, instead=instead, waived=waived, never=never)


#: Every such setting by topic.
TOPICS: Final[Mapping[str, tuple[Rival, ...]]] = {
    "listening": (
        _switch("reuse_port", instead="the workers share the sockets that the supervisor has bound"),
        _value("endpoint", instead="bind takes addresses, and certfile switches TLS on"),
    ),
    "processes": (
        _value("loop_threads"),
        _value("default_proc_name", waived="name gives processes their titles"),
        _switch("daemon", flags=("-D",), instead="let the service manager run it", never=True),
        _value("worker_tmp_dir", waived="signs of life go through no file"),
        _switch("initgroups", waived="the groups of user are always taken"),
        _switch("enable_stdio_inheritance", flags=("-R",), waived="standard input and output stay as they are"),
        _switch("respawn_failed_workers", same=_YES, instead="workers that die are always replaced", never=True),
        _value("respawn_interval", waived="the pause before a worker is replaced grows with its deaths"),
        _value("rss_sample_interval", "rss_samples", waived="the memory of workers is watched anyway"),
        _value("runtime_threads", "runtime_blocking_threads", "runtime_mode", "task_impl", waived="there is one loop"),
        _value("blocking_threads_idle_timeout", waived="threads are kept"),
        _switch("free_threaded"),
        _value(
            "dirty_app",
            "dirty_apps",
            "dirty_workers",
            "dirty_timeout",
            "dirty_threads",
            "dirty_graceful_timeout",
            same=("0",),
            instead="run long work in a task queue",
            never=True,
        ),
        _switch("spew", instead="debug logs slow callbacks", never=True),
    ),
    "control": (
        _value("control_socket_mode", same=("384", "600", "0600", "0o600"), instead="only its owner may use it"),
    ),
    "application": (
        _value(
            "paste", "paster", instead="load it in a module: app = paste.deploy.loadapp('config:/path')", never=True
        ),
        _value(
            "paste_global",
            "raw_paste_global_conf",
            instead="give it to paste.deploy.loadapp as global_conf",
            never=True,
        ),
        _value(
            "asgi_disconnect_grace_period",
            "application_close_timeout",
            waived="an application is not cancelled when its client leaves",
        ),
        _value("tmp_upload_dir", instead="TMPDIR in the environment sets it"),
    ),
    "reload": (
        _value("reload_engine", waived="it is watchfiles where that is installed, else looking at the files"),
        _value("reload_ignore_patterns", instead="reload_exclude takes patterns of names, such as *.log"),
        _switch("reload_ignore_worker_failure", waived="a reload outlives every failure of the application"),
    ),
    "protocols": (
        _value("http_parser", waived="there is one parser"),
        _value("http1_buffer_size", instead="limit_request_head_size limits a request head"),
        _switch("http1_keep_alive", same=_YES),
        _switch("http1_pipeline_flush", waived="responses to pipelined requests are always written together"),
        _switch("http2_adaptive_window"),
        _value("http2_keep_alive_interval", instead="timeout_keep_alive ends idle connections"),
        _value("http2_keep_alive_timeout", instead="timeout_keep_alive ends idle connections"),
        _value("http2_max_send_buffer_size"),
        _value("h2_max_header_block_size", instead="h2_max_header_list_size limits the decoded fields"),
        _value("h2_timeout_write", "h2_timeout_response_stall", instead="timeout_write does it for all protocols"),
        _value("ws_max_queue_bytes", instead="ws_max_queue limits the messages that wait"),
        _value("websocket_max_frame_size", instead="ws_max_size limits the messages"),
        _value("websocket_timeout", same=("-1",), instead="sessions have no limit of time"),
        _value("websocket_connect_timeout", same=("-1",), instead="timeout_request_header limits the handshake"),
        _switch("h11_pass_raw_headers"),
        _value("alt_svc_headers", instead="header sets it, as in 'Alt-Svc: h3=\":443\"'"),
        _switch("quic_require_retry", instead="quic_retry=always does it"),
        _value("quic_max_datagram_size", same=("1200",)),
        _value("quic_secret", instead="the processes of a server share one that they make"),
        _switch("permit_obsolete_folding", instead=_STRICT, never=True),
        _switch("strip_header_spaces", instead=_STRICT, never=True),
        _switch("permit_unconventional_http_method", instead=_STRICT, never=True),
        _switch("permit_unconventional_http_version", instead=_STRICT, never=True),
        _switch("casefold_http_method", instead="the application gets methods as they came", never=True),
        _value("header_map", same=("drop",), instead="names with underscores never reach a WSGI application"),
        _switch("sendfile", same=_YES, waived="it is used where it helps"),
    ),
    "TLS": (
        _value(
            "ssl_version",
            same=("17", "2", "tls", "tls_server"),
            instead="tls_min_version is the least version, 1.2 or 1.3",
        ),
        _value("verify_flags"),
        _value("ssl_crl"),
        _value("ssl_context_factory", "ssl_context", instead="certfile, sni_cert, ciphers and tls_min_version make it"),
        _switch("suppress_ragged_eofs", waived="a cut TLS connection is one that has ended"),
        _switch("do_handshake_on_connect", waived="handshakes never block"),
    ),
    "proxies and hosts": (
        _switch("proxy_headers", instead=_PROXIES),
        _value("forwarded_allow_ips", instead=_PROXIES),
        _value("forwarded_fields", "forwarder_headers", "secure_scheme_headers", instead=_PROXIES),
        _value("proxy_headers_host", "proxy_headers_port", instead=_PROXIES),
        _value("proxy_protocol", same=("off",), bare=True),
        _value(
            "proxy_protocol_allow_from", "proxy_allow_from", "proxy_allow_ips", instead="it goes with proxy_protocol"
        ),
        _value("uwsgi_allow_from", "uwsgi_allow_ips", waived="nothing speaks uWSGI's protocol"),
        _value(
            "server_name",
            "server_names",
            flags=("-s",),
            instead="the framework checks hosts; header='Server: x' is what daphne means",
        ),
    ),
    "limits": (
        _value("limit_concurrency", instead="limit_connections limits the connections of a worker"),
        _value("timeout_response", "http_timeout", instead="meanwhile the application limits its time"),
        _value("max_app_queue_size", waived="bodies and messages have limits of their own"),
        _value("backpressure", instead="limit_connections limits the connections of a worker"),
    ),
    "logging and metrics": (
        _value("logger_class", instead="log_config says where the logs go, access_logformat what stands in them"),
        _switch("log", same=_YES, instead="log_level=critical leaves next to nothing"),
        _value("verbosity", same=("1",), instead="log_level says how much is logged, access_log whether requests are"),
        _switch("capture_output", instead="let the service manager take standard output and error", never=True),
        _switch("log_syslog", "syslog", instead=_SYSLOG, never=True),
        _value("log_syslog_to", "syslog_addr", instead=_SYSLOG, never=True),
        _value("log_syslog_prefix", "syslog_prefix", instead=_SYSLOG, never=True),
        _value("log_syslog_facility", "syslog_facility", instead=_SYSLOG, never=True),
        _switch("disable_redirect_access_to_syslog", waived="nothing goes there"),
        _switch("enable_backlog_metric"),
        _switch("metrics", instead="metrics_bind switches them on", never=True),
        _value("metrics_scrape_interval", waived="figures are always those of the moment"),
    ),
    "other": (
        _value(
            "static",
            "static_dir",
            "static_path_mount",
            "static_path_route",
            "static_path_dir_to_file",
            "static_path_expires",
            instead=_STATIC,
        ),
        _switch("reset_contextvars", instead="the context of a request is a copy of the server's, and ends with it"),
    ),
}

#: gunicorn's server hooks, which only a Python file can hold.
HOOKS: Final = frozenset(
    "on_starting on_reload when_ready pre_fork post_fork post_worker_init worker_int worker_abort pre_exec pre_request "
    "post_request child_exit worker_exit nworkers_changed on_exit on_dirty_starting dirty_post_fork dirty_worker_init "
    "dirty_worker_exit".split()
)
#: What hypercorn's files may hold and this server passes over with a warning.
HYPERCORN: Final = frozenset(
    "alt_svc_headers daemon h11_pass_raw_headers logger_class max_app_queue_size server_names verify_flags".split()
)

#: The same under each of its keys.
RIVALS: Final[Mapping[str, Rival]] = {
    key: rival for rivals in TOPICS.values() for rival in rivals for key in (rival.key, *rival.aliases)
}


def check(key: str, value: Any) -> str | None:
    """The problem with asking for ``key=value`` of the table, or ``None`` where there is none."""
    rival = RIVALS[key]
    return None if rival.waived or rival.is_met(value) else rival.refuse(value)


def note(key: str, value: Any) -> str | None:
    """What to warn of where ``key=value`` of the table passes, or ``None``."""
    rival = RIVALS[key]
    if not rival.waived or rival.is_met(value):
        return None
    return f"is passed over: {rival.waived}"
