"""The model: defaults, what the constructor takes, what it refuses and how."""

import ast
import logging
import pickle
import ssl
from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from fastserver.config import Config, ConfigError, model
from fastserver.config.bind import FDBind, TCPBind, UnixBind
from fastserver.config.extension import ProtocolBinding
from fastserver.config.model import DEFAULTS, SETTINGS
from fastserver.config.setting import Kind
from fastserver.config.statsd import StatsdTarget

#: What every part of the server relies on; a change here is a change for users.
EXPECTED_DEFAULTS: dict[str, Any] = {
    "bind": ("127.0.0.1:8000",),
    "insecure_bind": (),
    "backlog": 2048,
    "dual_stack": True,
    "uds_permissions": None,
    "workers": 0,
    "preload": False,
    "loop": "auto",
    "factory": False,
    "app_dir": ".",
    "root_path": "",
    "interface": "auto",
    "lifespan": "auto",
    "threads": 8,
    "limit_queue": 1024,
    "timeout_queue": 30.0,
    "wsgi_spool_size": 512 * 1024,
    "max_requests": 0,
    "max_requests_jitter": 0,
    "worker_lifetime": 0.0,
    "worker_lifetime_jitter": 0.0,
    "worker_max_rss": 0,
    "worker_max_rss_jitter": 0,
    "timeout_worker_healthcheck": 30.0,
    "control_socket": None,
    "pid": None,
    "name": None,
    "user": None,
    "group": None,
    "umask": None,
    "reload": False,
    "reload_dirs": (),
    "reload_includes": (),
    "reload_excludes": (),
    "reload_delay": 0.25,
    "debug": False,
    "timeout_lifespan_startup": 60.0,
    "timeout_lifespan_shutdown": 30.0,
    "timeout_keep_alive": 75.0,
    "timeout_keep_alive_min": 2.0,
    "timeout_request_header": 10.0,
    "timeout_request_body_idle": 30.0,
    "timeout_write": 30.0,
    "timeout_handshake": 10.0,
    "timeout_graceful_shutdown": 25.0,
    "timeout_stream_shutdown": 10.0,
    "drain_delay": 0.0,
    "keep_alive_max_requests": 0,
    "limit_request_line": 8190,
    "limit_request_fields": 100,
    "limit_request_field_size": 16384,
    "limit_request_head_size": 32768,
    "limit_request_body": 1 << 30,
    "limit_request_body_rate": 240,
    "limit_connections": 0,
    "http1": True,
    "http2": True,
    "h2c": False,
    "ws": True,
    "h2_max_concurrent_streams": 100,
    "h2_max_header_list_size": 32768,
    "h2_max_frame_size": 16384,
    "h2_initial_stream_window": 256 * 1024,
    "h2_initial_connection_window": 1024 * 1024,
    "h2_max_resets": 200,
    "quic_bind": (),
    "http3": False,
    "alt_svc": True,
    "alt_svc_max_age": 86400.0,
    "quic_retry": "auto",
    "quic_max_half_open": 256,
    "quic_handshake_timeout": 5.0,
    "quic_idle_timeout": 30.0,
    "quic_initial_stream_window": 256 * 1024,
    "quic_initial_connection_window": 1024 * 1024,
    "h3_max_concurrent_streams": 100,
    "h3_max_field_section_size": 32768,
    "h3_max_resets": 200,
    "ws_max_size": 16 * 1024 * 1024,
    "ws_max_queue": 32,
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 20.0,
    "ws_per_message_deflate": False,
    "ws_allowed_origins": (),
    "certfile": None,
    "keyfile": None,
    "dev_cert": False,
    "keyfile_password": None,
    "ca_certs": None,
    "verify_mode": "none",
    "tls_min_version": "1.2",
    "sni_cert": (),
    "cert_reload": True,
    "ciphers": None,
    "server_header": True,
    "date_header": True,
    "header": (),
    "access_log": None,
    "access_logfile": "-",
    "access_logformat": "auto",
    "access_log_exclude": (),
    "error_logfile": "-",
    "log_level": "info",
    "log_format": "text",
    "log_config": None,
    "use_colors": None,
    "request_id": False,
    "observers": (),
    "protocols": (),
    "metrics_bind": (),
    "metrics_path": "/metrics",
    "statsd_host": None,
    "statsd_prefix": "fastserver",
    "dogstatsd_tags": "",
    "health_check_path": None,
}


def test_defaults() -> None:
    assert asdict(Config()) == EXPECTED_DEFAULTS
    assert list(DEFAULTS) == list(SETTINGS) == list(EXPECTED_DEFAULTS)


@pytest.mark.parametrize("key", SETTINGS)
def test_a_default_is_canonical(key: str) -> None:
    coerced = SETTINGS[key].coerce(key, DEFAULTS[key])
    assert coerced == DEFAULTS[key]
    assert type(coerced) is type(DEFAULTS[key])


@pytest.mark.parametrize("key", SETTINGS)
def test_a_setting_is_described(key: str) -> None:
    fact = SETTINGS[key]
    assert fact.help.endswith(".")
    assert "\n" not in fact.help
    assert fact.describe()
    if fact.kind is Kind.DURATION:
        assert "seconds" in fact.help.lower()
    if fact.kind is Kind.SIZE:
        assert "bytes" in fact.help.lower()


def test_no_name_stands_for_two_settings() -> None:
    names = [name for key, fact in SETTINGS.items() for name in (key, fact.singular, *fact.aliases) if name]
    assert len(names) == len(set(names))


def test_the_constructors_types_name_every_field() -> None:
    tree = ast.parse(Path(model.__file__).read_text(encoding="utf-8"))
    stub = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    assert [argument.arg for argument in stub.args.kwonlyargs] == [declared.name for declared in fields(Config)]


def test_values_as_people_write_them() -> None:
    config = Config(
        bind="127.0.0.1:0",
        workers="auto",
        timeout_keep_alive="500ms",
        limit_request_body="16m",
        uds_permissions="660",
        access_log="yes",
        log_level=logging.WARNING,
        verify_mode=ssl.CERT_REQUIRED,
        certfile="cert.pem",
        ca_certs="ca.pem",
        root_path="/api/",
        loop="uvicorn.workers.UvicornWorker",
    )
    assert config.bind == ("127.0.0.1:0",)
    assert config.workers == "auto"
    assert config.timeout_keep_alive == 0.5
    assert config.limit_request_body == 16 << 20
    assert config.uds_permissions == 0o660
    assert config.access_log is True
    assert config.log_level == "warning"
    assert config.verify_mode == "required"
    assert config.root_path == "/api"
    assert config.loop == "uvloop"


def test_binds() -> None:
    config = Config(bind=["[::1]:1", "unix:/run/a", "fd://3"])
    assert config.binds == (TCPBind("::1", 1), UnixBind("/run/a"), FDBind(3))


def hear(connection: object, direction: object, event: object) -> None: ...


class Handler: ...


def test_observers() -> None:
    assert Config(observers="m:a").observers == ("m:a",)
    assert Config(observers=hear).observers == (hear,)
    assert Config(observers=["pkg.m:A.b", hear, Handler]).observers == ("pkg.m:A.b", hear, Handler)


def test_protocols() -> None:
    mapping = {"a:1": "m:P", "alpn:ping": Handler}
    config = Config(protocols=mapping, certfile="c")
    assert config.protocols == (
        ProtocolBinding("a:1", TCPBind("a", 1), None, "m:P"),
        ProtocolBinding("alpn:ping", None, "ping", Handler),
    )
    assert Config(protocols=list(mapping.items()), certfile="c") == config
    assert Config(protocols=["a:1=m:P", ("alpn:ping", Handler)], certfile="c") == config
    assert replace(config, workers=2).protocols == config.protocols


def test_metrics_and_statsd() -> None:
    config = Config(metrics_bind=["[::1]", "a:1"], statsd_host="stats", statsd_prefix="app.", dogstatsd_tags="a, b:c,")
    assert config.metrics_binds == (TCPBind("::1", 9090), TCPBind("a", 1))
    assert config.statsd_target == StatsdTarget("stats", 8125)
    assert (config.statsd_prefix, config.dogstatsd_tags) == ("app", "a,b:c")
    assert Config().statsd_target is None
    assert Config(metrics_path="/").metrics_path == "/"


@pytest.mark.parametrize(
    ("values", "binds"),
    [
        ({}, ()),
        ({"bind": "a:1", "quic_bind": "b:2"}, ()),
        ({"bind": ["a:1", "unix:/a", "fd://3", "b:2"], "http3": True}, (TCPBind("a", 1), TCPBind("b", 2))),
    ],
)
def test_what_http3_adds(values: dict[str, Any], binds: tuple[TCPBind, ...]) -> None:
    assert Config(certfile="c", **values).http3_binds == binds


def test_port_0_is_another_port_each_time() -> None:
    free = "127.0.0.1:0"
    config = Config(bind=free, metrics_bind=free, protocols=[f"{free}=m:P", f"{free}=m:Q"])
    assert [each.where for each in config.protocols] == [free, free]


def test_a_header_takes_the_place_of_the_servers_own() -> None:
    config = Config(header=["SERVER: mine", "x-a:b"])
    assert (config.server_header, config.date_header) == (False, True)
    assert config.header_fields == (("SERVER", "mine"), ("x-a", "b"))
    assert Config(header="Date: never").date_header is False
    assert Config(header="Alt-Svc: clear").alt_svc is False


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"bind": ()}, "bind: is empty: want at least one of host, host:port"),
        ({"bind": "::1"}, "bind: '::1' is not allowed, an IPv6 address stands in brackets, as in [::1]:8000: want"),
        ({"bind": ["a", "b:x"]}, "bind: 'b:x' is not allowed, the port is a number from 0 to 65535: want"),
        ({"bind": 8000}, "bind: 8000 is not allowed: want text"),
        ({"backlog": 0}, "backlog: 0 is not allowed: want a whole number, 1 or more"),
        ({"dual_stack": "perhaps"}, "dual_stack: 'perhaps' is not allowed: want yes or no"),
        ({"uds_permissions": "888"}, "uds_permissions: '888' is not allowed: want permission bits in octal"),
        ({"workers": -1}, "workers: -1 is not allowed: want a whole number, 0 or more"),
        ({"workers": True}, "workers: True is not allowed: want a whole number"),
        ({"workers": "many"}, "workers: 'many' is not allowed: want a whole number"),
        ({"loop": "trio"}, "loop: 'trio' is not supported yet: want one of auto, asyncio, uvloop"),
        (
            {"loop": "gevent"},
            "loop: 'gevent' is not supported, threads run WSGI applications: want one of auto, asyncio, uvloop",
        ),
        ({"interface": "rsgi"}, "interface: 'rsgi' is not allowed: want one of auto, asgi3, asgi2, wsgi"),
        ({"threads": -1}, "threads: -1 is not allowed: want a whole number, 0 or more and at most 4096"),
        ({"lifespan": "maybe"}, "lifespan: 'maybe' is not allowed: want one of auto, on, off"),
        ({"app_dir": ""}, "app_dir: '' is not allowed: want a path"),
        ({"root_path": "api"}, "root_path: 'api' is not allowed: want a path that starts with /"),
        ({"timeout_write": 0}, "timeout_write: 0 is not allowed: want a duration such as 5, 2.5, 500ms or 2m, above 0"),
        ({"timeout_keep_alive": "soon"}, "timeout_keep_alive: 'soon' is not allowed: want a duration"),
        ({"timeout_keep_alive": -1}, "timeout_keep_alive: -1 is not allowed: want a duration"),
        ({"limit_request_line": -1}, "limit_request_line: -1 is not allowed: want a size in bytes"),
        ({"limit_request_line": 0}, "limit_request_line: 0 is not allowed: want a size in bytes"),
        ({"limit_request_body": "1t"}, "limit_request_body: '1t' is not allowed: want a size in bytes"),
        ({"limit_request_fields": "64k"}, "limit_request_fields: '64k' is not allowed: want a whole number"),
        ({"http1": False}, "http1: is off, and without certfile HTTP/2 needs h2c: want certfile, or h2c, or http1"),
        ({"http1": False, "http2": False}, "http1: is off, and http2 is off too: want at least one of them"),
        ({"h2c": True, "http2": False}, "h2c: is HTTP/2, and http2 is off: want both, or neither"),
        (
            {"http1": False, "http2": False, "http3": True, "certfile": "c"},
            "http1: is off, and http2 is off too: want at least one of them, since clients learn of HTTP/3 over TCP",
        ),
        ({"quic_bind": "a:1"}, "quic_bind: is given without certfile: want both, or neither"),
        ({"http3": True}, "http3: is given without certfile: want both, or neither"),
        (
            {"quic_bind": "a", "certfile": "c"},
            "quic_bind: 'a' is not allowed, there is no port: want host:port, [ipv6]:",
        ),
        ({"quic_bind": "[::1]"}, "quic_bind: '[::1]' is not allowed, there is no port: want"),
        (
            {"quic_bind": "a:x"},
            "quic_bind: 'a:x' is not allowed, the port is a number from 0 to 65535: want host:port,",
        ),
        ({"quic_bind": "unix:/a"}, "quic_bind: 'unix:/a' is not allowed, QUIC goes over UDP: want host:port"),
        ({"quic_bind": "fd://3"}, "quic_bind: 'fd://3' is not allowed, QUIC goes over UDP: want"),
        (
            {"quic_bind": ["a:1", "b:1", "a:1"], "certfile": "c"},
            "quic_bind: 'a:1' is given twice: want another address",
        ),
        (
            {"http3": True, "bind": "unix:/a", "certfile": "c"},
            "http3: takes the addresses of bind, and none of them has a port: want quic_bind instead",
        ),
        ({"quic_retry": "perhaps"}, "quic_retry: 'perhaps' is not allowed: want one of auto, always, never"),
        ({"quic_max_half_open": 3}, "quic_max_half_open: 3 is not allowed: want a whole number, 4 or more"),
        ({"quic_idle_timeout": 0}, "quic_idle_timeout: 0 is not allowed: want a duration"),
        ({"quic_handshake_timeout": 0}, "quic_handshake_timeout: 0 is not allowed: want a duration"),
        (
            {"quic_initial_connection_window": "64k"},
            "quic_initial_connection_window: is less than quic_initial_stream_window: want at least as much",
        ),
        ({"h2_max_header_list_size": 1023}, "h2_max_header_list_size: 1023 is not allowed: want"),
        ({"h2c": "upgrade"}, "h2c: 'upgrade' is not supported, RFC 9113 took the upgrade from HTTP/1.1 out of HTTP/2:"),
        ({"h2c": " Both "}, "h2c: ' Both ' is not supported, RFC 9113 took"),
        ({"h2c": "later"}, "h2c: 'later' is not allowed: want yes or no (also true, on, 1, prior, prior-knowledge; fa"),
        ({"ws": "wsp"}, "ws: 'wsp' is not allowed: want yes or no (also true, on, 1, auto, websockets, websockets-san"),
        ({"h2_max_concurrent_streams": 0}, "h2_max_concurrent_streams: 0 is not allowed: want a whole number, 1 or"),
        ({"h2_max_frame_size": 16383}, "h2_max_frame_size: 16383 is not allowed: want a size in bytes"),
        ({"h2_max_frame_size": "16m"}, "h2_max_frame_size: '16m' is not allowed: want a size in bytes"),
        ({"h2_initial_connection_window": 65534}, "h2_initial_connection_window: 65534 is not allowed: want a size"),
        ({"h2_initial_stream_window": "2g"}, "h2_initial_stream_window: '2g' is not allowed: want a size in bytes"),
        ({"h2_max_header_list_size": 0}, "h2_max_header_list_size: 0 is not allowed: want a size in bytes"),
        ({"h2_max_resets": 0}, "h2_max_resets: 0 is not allowed: want a whole number, 1 or more"),
        ({"ws_max_size": 0}, "ws_max_size: 0 is not allowed: want a size in bytes"),
        ({"ws_max_queue": 0}, "ws_max_queue: 0 is not allowed: want a whole number, 1 or more"),
        ({"ws_ping_interval": -1}, "ws_ping_interval: -1 is not allowed: want a duration"),
        ({"keyfile": "k"}, "keyfile: is given without certfile"),
        ({"keyfile_password": "p"}, "keyfile_password: is given without certfile"),
        ({"ca_certs": "c"}, "ca_certs: is given without certfile"),
        ({"ciphers": "ALL"}, "ciphers: is given without certfile"),
        (
            {"insecure_bind": "a:1", "bind": "a:1", "certfile": "c"},
            "insecure_bind: 'a:1' stands in bind too: want another address or name",
        ),
        (
            {"insecure_bind": "a:1", "http1": False, "certfile": "c"},
            "insecure_bind: has no TLS, http1 is off, and HTTP/2 needs h2c then: want h2c, or http1",
        ),
        ({"insecure_bind": "a b", "certfile": "c"}, "insecure_bind: 'a b' is not allowed, the host has"),
        ({"dev_cert": True, "certfile": "c"}, "dev_cert: brings a certificate of its own, and certfile is given"),
        ({"dev_cert": True, "keyfile": "k"}, "dev_cert: brings a certificate of its own, and keyfile is given"),
        (
            {"dev_cert": True, "keyfile_password": "p"},
            "dev_cert: brings a certificate of its own, and keyfile_pa",
        ),
        ({"verify_mode": "optional"}, "verify_mode: 'optional' is not allowed without ca_certs"),
        ({"certfile": "c", "verify_mode": 2}, "verify_mode: 'required' is not allowed without ca_certs"),
        ({"verify_mode": 3}, "verify_mode: 3 is not allowed: want one of none, optional, required"),
        ({"header": "X-A"}, "header: 'X-A' is not allowed, there is no colon: want"),
        ({"header": "X-A: b\r\nX-B: c"}, r"header: 'X-A: b\r\nX-B: c' is not allowed, the value has a character"),
        ({"header": "Content-Length: 3"}, "header: 'Content-Length: 3' is not allowed, the server itself writes"),
        ({"access_logformat": "%(h"}, "access_logformat: '%(h' is not allowed, a per cent sign begins no atom"),
        ({"access_logformat": "%(h)"}, "access_logformat: '%(h)' is not allowed, a per cent sign begins no atom"),
        ({"access_logformat": "%s %s"}, "access_logformat: '%s %s' is not allowed, "),
        ({"access_logformat": "%(zz)s"}, "access_logformat: '%(zz)s' is not allowed, there is no atom %(zz)s: want"),
        ({"access_logformat": ""}, "access_logformat: '' is not allowed, nothing would be logged: want atoms"),
        ({"log_level": "loud"}, "log_level: 'loud' is not allowed: want one of debug"),
        ({"log_level": 7}, "log_level: 7 is not allowed: want one of debug"),
        ({"error_logfile": None}, "error_logfile: None is not allowed: want a path"),
        ({"observers": "m"}, "observers: 'm' is not allowed, there is no colon: want module:attr, or a callable"),
        ({"observers": ["m:a", "m:"]}, "observers: 'm:' is not allowed, what stands after the colon is no attribute"),
        ({"observers": "a/b.py:c"}, "observers: 'a/b.py:c' is not allowed, what stands before the colon is no module"),
        ({"observers": ["m:a", 3]}, "observers: 3 is not allowed, it is not callable: want module:attr, or a"),
        ({"observers": 3}, "observers: 3 is not allowed: want MODULE:ATTR, an object in its place, or"),
        ({"observers": None}, "observers: None is not allowed: want MODULE:ATTR"),
        ({"protocols": "m:P"}, "protocols: 'm:P' is not allowed, there is no =: want WHERE=module:attr, where"),
        ({"protocols": "=m:P"}, "protocols: '=m:P' is not allowed, what says where to serve is missing"),
        ({"protocols": "a:1="}, "protocols: 'a:1=' is not allowed, there is no colon"),
        ({"protocols": "a:x=m:P"}, "protocols: 'a:x=m:P' is not allowed, the port is a number from 0 to 65535"),
        ({"protocols": {"a:1": 3}}, "protocols: ('a:1', 3) is not allowed, the handler is neither a text nor a class"),
        ({"protocols": 3}, "protocols: 3 is not allowed: want WHERE=MODULE:ATTR, an object in its place"),
        ({"protocols": "alpn:x=m:P"}, "protocols: 'alpn:x' is not allowed without certfile"),
        ({"protocols": "127.0.0.1=m:P"}, "protocols: '127.0.0.1:8000' stands in bind too: want another"),
        ({"protocols": ["a=m:P", "a:8000=m:Q"]}, "protocols: 'a:8000' is given twice: want another"),
        ({"protocols": ["alpn:x=m:P"] * 2, "certfile": "c"}, "protocols: 'alpn:x' is given twice: want another"),
        ({"metrics_bind": "a:x"}, "metrics_bind: 'a:x' is not allowed, the port is a number from 0 to 65535: want"),
        ({"metrics_bind": "127.0.0.1:8000"}, "metrics_bind: '127.0.0.1:8000' stands in bind too: want another"),
        ({"metrics_bind": ["unix:/a", "unix:/a"]}, "metrics_bind: 'unix:/a' is given twice: want another"),
        ({"metrics_bind": "a:1", "protocols": "a:1=m:P"}, "metrics_bind: 'a:1' stands in protocols too: want"),
        ({"metrics_path": "metrics"}, "metrics_path: 'metrics' is not allowed: want a path that starts with /, has"),
        ({"metrics_path": "/stats"}, "metrics_path: '/stats' is not allowed: want"),
        ({"metrics_path": "/ready"}, "metrics_path: '/ready' is not allowed: want"),
        ({"health_check_path": ""}, "health_check_path: '' is not allowed: want a path that starts with /"),
        ({"health_check_path": "up"}, "health_check_path: 'up' is not allowed: want a path that starts with /"),
        ({"health_check_path": "/a?b"}, "health_check_path: '/a?b' is not allowed: want"),
        ({"health_check_path": "/%41"}, "health_check_path: '/%41' is not allowed: want"),
        ({"metrics_path": "/a?b"}, "metrics_path: '/a?b' is not allowed: want"),
        ({"metrics_path": "/a b"}, "metrics_path: '/a b' is not allowed: want"),
        ({"statsd_host": "::1"}, "statsd_host: '::1' is not allowed, an IPv6 address stands in brackets"),
        ({"statsd_host": "a:0"}, "statsd_host: 'a:0' is not allowed, the port is a number from 1 to 65535: want host"),
        ({"statsd_prefix": "a:b"}, "statsd_prefix: 'a:b' is not allowed, it has a blank, or a character that ends"),
        ({"dogstatsd_tags": "a|b"}, "dogstatsd_tags: 'a|b' is not allowed, it has a character that no tag may have"),
    ],
)
def test_refusals(values: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**values)
    text = str(caught.value)
    assert text.startswith(line)
    assert "\n" not in text
    assert caught.value.key == next(iter(values)) or caught.value.key == "verify_mode"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "text",
    [
        "combined",
        "common",
        "auto",
        "short",
        "json",
        "%(h)s %({x-request-id}i)s %(s)d 100%%",
        DEFAULTS["access_logformat"],
    ],
)
def test_access_logformat(text: str) -> None:
    assert Config(access_logformat=text).access_logformat == text


def test_it_is_frozen_hashable_and_travels() -> None:
    config = Config(bind=["a:1", "b:2"], header="A: b", workers=3, observers=hear, protocols={"a:3": Handler})
    with pytest.raises(FrozenInstanceError):
        config.workers = 4  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(config) == hash(replace(config))
    assert replace(config, workers=4).workers == 4
    with pytest.raises(ConfigError, match="workers"):
        replace(config, workers=-4)


def test_a_secret_is_not_shown() -> None:
    assert "hunter2" not in repr(Config(certfile="c", keyfile_password="hunter2"))


def test_an_error_travels() -> None:
    error = pickle.loads(pickle.dumps(ConfigError("key", "problem")))
    assert (error.key, error.problem, str(error)) == ("key", "problem", "key: problem")
