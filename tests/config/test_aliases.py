"""Other servers' keys: what ``Config.from_mapping`` makes of uvicorn's and hypercorn's."""

import ssl
from typing import Any

import pytest

from fastserver.config import Config, ConfigError
from fastserver.config.model import SETTINGS
from fastserver.config.rivals import RIVALS


def test_canonical_keys_and_keywords_over_a_mapping() -> None:
    config = Config.from_mapping({"workers": 2, "bind": "a:1"}, workers=3)
    assert (config.workers, config.bind) == (3, ("a:1",))
    assert Config.from_mapping() == Config()


def test_hypercorns_keys() -> None:
    given = {
        "bind": ["127.0.0.1:0", "unix:/run/a"],
        "accesslog": "-",
        "access_log_format": "%(h)s",
        "errorlog": "/var/log/errors",
        "loglevel": "INFO",
        "keep_alive_timeout": 5.0,
        "graceful_timeout": 3.0,
        "startup_timeout": 61,
        "shutdown_timeout": 62,
        "ssl_handshake_timeout": 9,
        "read_timeout": None,
        "h11_max_incomplete_size": 20000,
        "include_date_header": False,
        "include_server_header": False,
        "keep_alive_max_requests": 1000,
        "worker_class": "uvloop",
        "certfile": "c",
        "keyfile": "k",
        "ca_certs": "ca",
        "verify_mode": ssl.VerifyMode.CERT_OPTIONAL,
        "ciphers": "ECDHE+AESGCM",
        "backlog": 100,
        "root_path": "/x",
        "workers": 0,
        "use_reloader": False,
        "debug": False,
        "max_requests": None,
        "max_requests_jitter": 0,
        "server_names": [],
        "statsd_prefix": "",
        "insecure_bind": [],
        "alpn_protocols": ["h2", "http/1.1"],
        "h2_max_concurrent_streams": 50,
        "h2_max_header_list_size": 2**16,
        "h2_max_inbound_frame_size": 2**15,
        "websocket_max_message_size": 1000,
        "websocket_ping_interval": None,
    }
    assert Config.from_mapping(given) == Config(
        bind=["127.0.0.1:0", "unix:/run/a"],
        h2_max_concurrent_streams=50,
        h2_max_header_list_size=2**16,
        h2_max_frame_size=2**15,
        ws_max_size=1000,
        ws_ping_interval=0,
        access_log=True,
        access_logformat="%(h)s",
        error_logfile="/var/log/errors",
        timeout_keep_alive=5,
        timeout_graceful_shutdown=3,
        timeout_lifespan_startup=61,
        timeout_lifespan_shutdown=62,
        timeout_handshake=9,
        limit_request_head_size=20000,
        date_header=False,
        server_header=False,
        keep_alive_max_requests=1000,
        loop="uvloop",
        certfile="c",
        keyfile="k",
        ca_certs="ca",
        verify_mode="optional",
        ciphers="ECDHE+AESGCM",
        backlog=100,
        root_path="/x",
        workers=0,
        statsd_prefix="",
    )


def test_uvicorns_keys() -> None:
    given = {
        "host": "0.0.0.0",
        "port": 80,
        "uds": None,
        "fd": None,
        "loop": "auto",
        "http": "auto",
        "http2": False,
        "ws": "none",
        "ws_max_size": 1000,
        "ws_max_queue": 5,
        "ws_ping_interval": None,
        "ws_ping_timeout": 7.5,
        "ws_per_message_deflate": True,
        "lifespan": "on",
        "interface": "asgi3",
        "reload": False,
        "reload_dirs": None,
        "workers": None,
        "env_file": None,
        "log_config": None,
        "log_level": 30,
        "access_log": True,
        "proxy_headers": False,
        "server_header": False,
        "root_path": "",
        "limit_concurrency": None,
        "backlog": 100,
        "timeout_keep_alive": 5,
        "timeout_graceful_shutdown": None,
        "ssl_keyfile": "k",
        "ssl_certfile": "c",
        "ssl_keyfile_password": "p",
        "ssl_version": ssl.PROTOCOL_TLS_SERVER,
        "ssl_cert_reqs": ssl.CERT_NONE,
        "ssl_ca_certs": None,
        "ssl_ciphers": "HIGH",
        "headers": [("X-A", "b"), ("X-C", "d")],
        "use_colors": None,
        "app_dir": None,
        "factory": True,
        "h11_max_incomplete_event_size": None,
        "reset_contextvars": False,
    }
    assert Config.from_mapping(given) == Config(
        bind="0.0.0.0:80",
        http2=False,
        ws=False,
        ws_max_size=1000,
        ws_max_queue=5,
        ws_ping_interval=0,
        ws_ping_timeout=7.5,
        ws_per_message_deflate=True,
        lifespan="on",
        interface="asgi3",
        log_level="warning",
        access_log=True,
        server_header=False,
        backlog=100,
        timeout_keep_alive=5,
        keyfile="k",
        certfile="c",
        keyfile_password="p",
        ciphers="HIGH",
        header=["X-A: b", "X-C: d"],
        factory=True,
    )


@pytest.mark.parametrize(
    ("given", "bind"),
    [
        ({"host": "::"}, "[::]:8000"),
        ({"port": "9000"}, "127.0.0.1:9000"),
        ({"host": "", "port": 0}, ":0"),
        ({"host": "localhost", "port": 80, "fd": 3}, "fd://3"),
        ({"host": "localhost", "fd": 3, "uds": "/x"}, "unix:/x"),
        ({"unix": "/x"}, "unix:/x"),
        ({"fd": 0}, "fd://0"),
    ],
)
def test_listeners(given: dict[str, Any], bind: str) -> None:
    assert Config.from_mapping(given).bind == (bind,)


@pytest.mark.parametrize(
    ("given", "metrics_bind"),
    [
        ({"metrics_port": 9100}, ("127.0.0.1:9100",)),
        ({"metrics_address": "::1"}, ("[::1]:9090",)),
        ({"metrics_host": "0.0.0.0", "metrics_port": "1"}, ("0.0.0.0:1",)),
        ({"metrics_address": None, "metrics_port": None}, ()),
        ({"metrics_bind": "a:1"}, ("a:1",)),
        ({"metrics_bind": ["a", "unix:/m"], "port": 1}, ("a", "unix:/m")),
    ],
)
def test_metrics_listeners(given: dict[str, Any], metrics_bind: tuple[str, ...]) -> None:
    assert Config.from_mapping(given).metrics_bind == metrics_bind


@pytest.mark.parametrize(
    ("given", "quic_bind"),
    [
        ({"quic_port": 443}, ("127.0.0.1:443",)),
        ({"quic_port": "443", "http3": True}, ("127.0.0.1:443",)),
        ({"quic_port": 1, "host": "::1", "port": 2}, ("[::1]:1",)),
        ({"quic_port": 1, "bind": "a"}, ("a:1",)),
        ({"quic_port": 1, "bind": ["a:2", "unix:/x", "a:3", ":4"]}, ("a:1", ":1")),
        ({"quic_port": None}, ()),
    ],
)
def test_a_port_for_quic(given: dict[str, Any], quic_bind: tuple[str, ...]) -> None:
    config = Config.from_mapping(given, certfile="c")
    assert (config.quic_bind, config.http3) == (quic_bind, False)


def test_the_singular_of_a_list() -> None:
    config = Config.from_mapping(observer="m:a", protocol={"a:1": "m:P"})
    assert config == Config(observers="m:a", protocols="a:1=m:P")
    with pytest.raises(ConfigError, match=r"^observers: is the same setting as observer: give one of them$"):
        Config.from_mapping(observer="m:a", observers=["m:b"])


@pytest.mark.parametrize(
    ("given", "access_log"),
    [
        ({}, None),
        ({"accesslog": None}, None),
        ({"accesslog": "-"}, True),
        ({"access_logfile": "/x"}, True),
        ({"access_logfile": "/x", "access_log": False}, False),
        ({"access_log": None, "access_logfile": "/x"}, True),
    ],
)
def test_a_log_file_switches_the_access_log_on(given: dict[str, Any], access_log: bool | None) -> None:
    assert Config.from_mapping(given).access_log is access_log


def test_denials() -> None:
    assert Config.from_mapping(no_lifespan=True).lifespan == "off"
    assert Config.from_mapping(no_server_name="yes").server_header is False
    assert Config.from_mapping(no_lifespan=False, no_server_name=None) == Config()
    with pytest.raises(ConfigError, match=r"^no_lifespan: 'x' is not allowed: want yes or no$"):
        Config.from_mapping(no_lifespan="x")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"hots": "x"}, "hots: there is no such setting; did you mean host?"),
        ({"limit_request_bdy": 1}, "limit_request_bdy: there is no such setting; did you mean limit_request_body?"),
        ({"qqq": 1}, "qqq: there is no such setting"),
        ({"keep_alive": 1, "timeout_keep_alive": 2}, "timeout_keep_alive: is the same setting as keep_alive"),
        ({"bind": "a", "port": 1}, "port: is given beside bind"),
        ({"port": "x"}, "port: 'x' is not allowed: want a number from 0 to 65535"),
        ({"port": 70000}, "port: 70000 is not allowed, the port"),
        ({"port": -1}, "port: -1 is not allowed"),
        ({"host": "a b"}, "host: 'a b' is not allowed, the host has"),
        ({"fd": "x"}, "fd: 'x' is not allowed: want a descriptor number"),
        ({"uds": ""}, "uds: '' is not allowed, a path follows unix:"),
        ({"unix": "a\0b", "fd": 3}, r"unix: 'a\x00b' is not allowed, a path"),
        ({"metrics_bind": "a", "metrics_port": 1}, "metrics_port: is given beside metrics_bind"),
        ({"metrics_port": 70000}, "metrics_port: 70000 is not allowed, the port"),
        ({"metrics_port": "x"}, "metrics_port: 'x' is not allowed: want a number from 0 to 65535"),
        ({"metrics_address": "a b"}, "metrics_address: 'a b' is not allowed, the host has"),
        ({"quic_bind": "a:1", "quic_port": 1}, "quic_port: is given beside quic_bind: give one of them"),
        ({"quic_port": "x"}, "quic_port: 'x' is not allowed: want a number from 0 to 65535"),
        ({"quic_port": 70000}, "quic_port: 70000 is not allowed, the port is a number from 0 to 65535"),
        ({"quic_port": 1, "bind": "unix:/a"}, "quic_port: takes the hosts of bind, and there is none: want quic_bind"),
        ({"quic_port": 1, "bind": 8000}, "quic_port: takes the hosts of bind, and there is none: want quic_bind"),
        ({"alt_svc_headers": ["h3"]}, "alt_svc_headers: not supported yet; header sets it, as in 'Alt-Svc: h3="),
        ({"metrics": True}, "metrics: not supported; metrics_bind switches them on"),
        ({"obsever": "m:a"}, "obsever: there is no such setting; did you mean observer?"),
        ({"proxy_headers": True}, "proxy_headers: not supported yet"),
        ({"http": "h4"}, "http: 'h4' is not supported yet: want auto, 1 or 2"),
        ({"daemon": True}, "daemon: not supported; let the service manager"),
        ({"headers": [("A",)]}, "header: (('A',),) is not allowed: want text"),
        ({"workers": "x"}, "workers: 'x' is not allowed"),
    ],
)
def test_refusals(given: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(given)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_no_key_is_both_ours_and_only_another_servers() -> None:
    ours = {name for key, fact in SETTINGS.items() for name in (key, *fact.aliases)}
    assert not ours & set(RIVALS)
