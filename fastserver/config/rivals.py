"""What other servers' command lines and keyword arguments can ask for and this server does not do (yet).

Nothing of it is ignored in silence: a request for what is missing is refused by name, a request for what happens
anyway (``--http httptools``, ``--no-proxy-headers``) passes.  A setting that gets built leaves this table for
``model``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastserver.config.setting import quote


@dataclass(frozen=True, slots=True)
class Rival:
    """One such setting.

    ``aliases`` are further keys of it; ``flags`` its short flags.  ``same`` holds the values, as lower-case text, that
    ask for what this server does anyway.  A ``switch`` takes no value on the command line and has a ``--no-`` form.
    ``instead`` says what to do.
    """

    key: str
    aliases: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    same: frozenset[str] = frozenset()
    switch: bool = False
    instead: str = ""

    def is_met(self, value: object) -> bool:
        """Whether ``value`` asks for nothing, or for what this server does anyway."""
        if value is None or (isinstance(value, Collection) and not value):
            return True
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = f"{value:g}"  # 0.0 is 0, and the enums of ssl are their numbers
        return str(value).strip().lower() in self.same

    def refuse(self, value: object) -> str:
        """Why ``value`` is not met: the problem part of an error line."""
        if self.same and not self.switch:
            problem = f"{quote(value)} is not supported yet: want {' or '.join(sorted(self.same))}"
        else:
            problem = "not supported yet"
        return f"{problem}; {self.instead}" if self.instead else problem


_NO = frozenset({"false", "0", "no", "off"})
_YES = frozenset({"true", "1", "yes", "on"})


def _switch(
    key: str, *aliases: str, flags: tuple[str, ...] = (), same: frozenset[str] = _NO, instead: str = ""
) -> Rival:
    return Rival(key, aliases, flags, same, switch=True, instead=instead)


def _value(
    key: str, *aliases: str, flags: tuple[str, ...] = (), same: Collection[str] = (), instead: str = ""
) -> Rival:
    return Rival(key, aliases, flags, frozenset(same), instead=instead)


#: Every such setting by topic.
TOPICS: Final[Mapping[str, tuple[Rival, ...]]] = {
    "listening": (_switch("reuse_port"),),
    "configuration": (
        _value("config", flags=("-c",), instead="FASTSERVER_<KEY> in the environment sets any key"),
        _value("env_file", "env_files"),
        _switch("check_config"),
        _switch("print_config"),
    ),
    "processes": (
        _value("loop_threads"),
        _value("name", "process_name", flags=("-n",)),
        _switch("daemon", flags=("-D",), instead="let the service manager run it in the background"),
        _value("chdir", "working_dir", instead="change the directory first, or give app_dir"),
    ),
    "protocols": (
        _value("http1_buffer_size", instead="limit_request_head_size limits a request head"),
        _value("http1_header_read_timeout", instead="timeout_request_header is the same in seconds"),
        _switch("http1_keep_alive", same=_YES),
        _switch("http1_pipeline_flush"),
        _switch("http2_adaptive_window"),
        _value("http2_keep_alive_interval", instead="timeout_keep_alive ends idle connections"),
        _value("http2_keep_alive_timeout", instead="timeout_keep_alive ends idle connections"),
        _value("http2_max_send_buffer_size"),
        _value("h2_max_header_block_size", instead="h2_max_header_list_size limits the decoded fields"),
        _value("h2_timeout_write", "h2_timeout_response_stall", instead="timeout_write does it for all protocols"),
        _value("ws_max_queue_bytes", instead="ws_max_queue limits the messages that wait"),
        _switch("h11_pass_raw_headers"),
        _value("alt_svc_headers", instead="header sets it, as in 'Alt-Svc: h3=\":443\"'"),
        _switch("quic_require_retry", instead="quic_retry=always does it"),
        _value("quic_max_datagram_size", same=("1200",)),
        _value("quic_secret", instead="the processes of a server share one that they make"),
    ),
    "TLS": (
        _value("ssl_version", same=("17", "2"), instead="the server takes TLS 1.2 and 1.3"),
        _value("verify_flags"),
        _value("ssl_crl"),
        _value("ssl_context_factory"),
    ),
    "proxies and hosts": (
        _switch("proxy_headers"),
        _value("forwarded_allow_ips"),
        _value("forwarded_fields"),
        _value("proxy_protocol", same=("off",)),
        _value("proxy_protocol_allow_from", "proxy_allow_from"),
        _value("server_name", "server_names"),
    ),
    "limits": (
        _value("limit_concurrency", instead="limit_connections limits the connections of a worker"),
        _value("timeout_response", "http_timeout"),
        _value("max_app_queue_size"),
        _value("backpressure"),
    ),
    "logging and metrics": (
        _value("logconfig_dict"),
        _value("logger_class"),
        _switch("metrics", instead="metrics_bind switches them on"),
    ),
    "other": (
        _value("static", "static_dir", "static_path_mount"),
        _switch("reset_contextvars"),
    ),
}

#: The same under each of its keys.
RIVALS: Final[Mapping[str, Rival]] = {
    key: rival for rivals in TOPICS.values() for rival in rivals for key in (rival.key, *rival.aliases)
}


def check(key: str, value: Any) -> str | None:
    """The problem with asking for ``key=value`` of the table, or ``None`` where there is none."""
    rival = RIVALS[key]
    return None if rival.is_met(value) else rival.refuse(value)
