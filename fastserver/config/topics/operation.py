"""TLS, what responses get from the server, and its logs."""

from dataclasses import dataclass
from typing import Literal

from fastserver.config import spellings
from fastserver.config.header import WANT_HEADER
from fastserver.config.logformat import AUTO
from fastserver.config.logsettings import LogSettings
from fastserver.config.setting import Kind, setting


@dataclass(frozen=True, kw_only=True)
class TLS:
    """Certificates and ciphers."""

    certfile: str | None = setting(
        None,
        Kind.PATH,
        "TLS",
        "Certificate chain (PEM), the server's own first. It switches TLS on.",
        aliases=("ssl_certfile", "tls_cert", "ssl_certificate"),
        optional=True,
    )
    keyfile: str | None = setting(
        None,
        Kind.PATH,
        "TLS",
        "Private key (PEM). Without it the key is read from certfile.",
        aliases=("ssl_keyfile", "tls_key"),
        optional=True,
    )
    dev_cert: bool = setting(
        False,
        Kind.BOOL,
        "TLS",
        "Whether TLS is served with a self-signed certificate for localhost, made once and kept in the user's cache.",
    )
    keyfile_password: str | None = setting(
        None,
        Kind.TEXT,
        "TLS",
        "Password of the private key; better given in the environment than on the command line.",
        metavar="PASSWORD",
        aliases=("ssl_keyfile_password",),
        optional=True,
        secret=True,
    )
    ca_certs: str | None = setting(
        None,
        Kind.PATH,
        "TLS",
        "Certificates (a PEM file, or a hashed directory) that client certificates are checked against.",
        aliases=("ssl_ca_certs", "ssl_ca"),
        optional=True,
    )
    verify_mode: Literal["none", "optional", "required"] = setting(
        "none",
        Kind.CHOICE,
        "TLS",
        "Whether clients are asked for a certificate; optional refuses only a bad one, required a missing one too.",
        aliases=("cert_reqs", "ssl_cert_reqs"),
        choices=("none", "optional", "required"),
        spellings=spellings.VERIFY_MODES,
    )
    tls_min_version: Literal["1.2", "1.3"] = setting(
        "1.2",
        Kind.CHOICE,
        "TLS",
        "Least version of TLS.",
        aliases=("ssl_protocol_min",),
        choices=("1.2", "1.3"),
        spellings=spellings.TLS_VERSIONS,
    )
    sni_cert: tuple[str, ...] = setting(
        (),
        Kind.REPEAT,
        "TLS",
        "A further certificate, and the host name (or *.name) whose clients get it; may be given several times.",
        metavar="NAME=CERTFILE[,KEYFILE]",
        aliases=("sni_certs",),
    )
    cert_reload: bool = setting(
        True,
        Kind.BOOL,
        "TLS",
        "Whether certificates are read again when their files change.",
    )
    ciphers: str | None = setting(
        None,
        Kind.TEXT,
        "TLS",
        "TLS 1.2 ciphers in OpenSSL's notation. Without it: ECDHE with AES-GCM or ChaCha20.",
        metavar="LIST",
        aliases=("ssl_ciphers", "tls_ciphers"),
        optional=True,
    )

    @property
    def has_tls(self) -> bool:
        """Whether the application is served over TLS."""
        return self.certfile is not None or self.dev_cert


@dataclass(frozen=True, kw_only=True)
class Responses:
    """What it adds to responses."""

    server_header: bool = setting(
        True, Kind.BOOL, "responses", "Whether responses have a server header.", aliases=("include_server_header",)
    )
    date_header: bool = setting(
        True, Kind.BOOL, "responses", "Whether responses have a date header.", aliases=("include_date_header",)
    )
    header: tuple[str, ...] = setting(
        (),
        Kind.REPEAT,
        "responses",
        f"{WANT_HEADER} that every response gets; may be given several times. A server or date header given so takes "
        "the place of the server's own.",
        metavar="HEADER",
        aliases=("headers",),
    )


@dataclass(frozen=True, kw_only=True)
class Logging:
    """What it writes down."""

    access_log: bool | None = setting(
        None,
        Kind.BOOL,
        "logging",
        "Whether requests are logged, one line each. Without it they are in development, with reload.",
        optional=True,
    )
    access_logfile: str = setting(
        "-",
        Kind.PATH,
        "logging",
        "File of the access log, - is standard output. Given as a flag or in the environment, it switches the access "
        "log on.",
        metavar="FILE",
        aliases=("accesslog",),
    )
    access_logformat: str = setting(
        AUTO,
        Kind.TEXT,
        "logging",
        "Format of the access log in the atoms of gunicorn, hypercorn or granian, or common, combined, json, short. "
        "auto is short on a terminal, json beside log_format json, else combined and the seconds that it took.",
        metavar="FORMAT",
        aliases=("access_log_format", "access_log_fmt", "log_fmt"),
    )
    access_log_exclude: tuple[str, ...] = setting(
        (),
        Kind.REPEAT,
        "logging",
        "Path that the access log leaves out, or a pattern such as /static/*; may be given several times.",
        metavar="PATTERN",
        aliases=("access_log_excludes",),
    )
    error_logfile: str = setting(
        "-",
        Kind.PATH,
        "logging",
        "File of the error log, - is standard error.",
        metavar="FILE",
        aliases=("errorlog", "error_log", "log_file"),
    )
    log_level: Literal["debug", "info", "warning", "error", "critical"] = setting(
        "info",
        Kind.CHOICE,
        "logging",
        "Least level of the error log.",
        aliases=("loglevel",),
        choices=("debug", "info", "warning", "error", "critical"),
        spellings=spellings.LEVELS,
    )
    log_format: Literal["text", "json"] = setting(
        "text", Kind.CHOICE, "logging", "Form of the error log's lines.", choices=("text", "json")
    )
    log_config: str | LogSettings | None = setting(  # noqa: RUF009  (it is frozen)
        None,
        Kind.LOGGING,
        "logging",
        "File that configures logging itself: ini, JSON, YAML or TOML, by its ending; in a program a dictionary too.",
        metavar="FILE",
        aliases=("logconfig", "log_config_json", "logconfig_json", "logconfig_dict"),
        optional=True,
    )
    use_colors: bool | None = setting(
        None,
        Kind.BOOL,
        "logging",
        "Whether the error log is coloured. Without it: on a terminal.",
        optional=True,
    )
    request_id: bool = setting(
        False,
        Kind.BOOL,
        "logging",
        "Whether every request has an id: the client's x-request-id, or a new one; it is in the request's and the "
        "response's headers, and in the access log.",
    )
