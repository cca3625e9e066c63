"""The command line: every setting a flag, other servers' lines as they are, one line for every error."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import fastserver
from fastserver import cli
from fastserver.config import Config, ConfigError
from fastserver.config.model import DEFAULTS, SETTINGS
from fastserver.config.rivals import RIVALS
from fastserver.config.setting import Kind

ROOT = Path(__file__).parents[2]


def parse(line: str, environ: Mapping[str, str] | None = None) -> cli.CommandLine:
    return cli.parse(line.split(), environ or {})


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Config]]:
    """What ``main`` gives to ``run``, which ends with 3 at once."""
    calls: list[tuple[str, Config]] = []

    def run(app: str, config: Config, reread: Callable[[], tuple[str, Config]]) -> int:
        calls.append((app, config))
        assert reread() == (app, config)  # nothing has changed meanwhile
        return 3

    module = ModuleType("fastserver.processes.run")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastserver.processes.run", module)
    for name in tuple(os.environ):
        if name.startswith(("FASTSERVER_", "UVICORN_")) or name in ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"):
            monkeypatch.delenv(name)
    return calls


# Every setting.


def write(key: str) -> tuple[list[str], Any]:
    """A flag of ``key`` with a value that is not its default, and what the key becomes."""
    fact = SETTINGS[key]
    flag = f"--{(fact.singular or key).replace('_', '-')}"
    if fact.kind is Kind.BOOL:
        return ([f"--no-{flag[2:]}"], False) if fact.render(getattr(Config(), key)) == "yes" else ([flag], True)
    if fact.kind is Kind.CHOICE:
        return [flag, fact.choices[-1]], fact.choices[-1]
    if fact.repeats:
        items = {
            "bind": ("a:1", "[::1]:2"),
            "header": ("A: b", "C: d"),
            "observers": ("m:a", "pkg.m:B.c"),
            "protocols": ("a:1=m:P", "unix:/x=y=m:P"),
            "metrics_bind": ("a:1", "[::1]:2"),
            "quic_bind": ("a:1", "[::1]:2"),
            "ws_allowed_origins": ("https://a", "https://b:1"),
            "insecure_bind": ("a:3", "[::1]:4"),
            "sni_cert": ("a=c.pem", "b=d.pem,e.pem"),
        }.get(key, ("one", "*.two"))
        return [flag, items[0], flag, items[1]], items
    text, value = {
        Kind.DURATION: ("90ms", 0.09),
        Kind.SIZE: ("64k", 65536),
        Kind.INT: ("77", 77),
        Kind.OCTAL: ("640", 0o640),
        Kind.PATH: ("/some/where", "/some/where"),
        Kind.TEXT: ("/text", "/text"),
        Kind.ACCOUNT: ("33", "33"),
    }[fact.kind]
    return [f"{flag}={text}"], value


@pytest.mark.parametrize("key", SETTINGS)
def test_a_flag_for_every_setting(key: str) -> None:
    arguments, value = write(key)
    beside: dict[str, Any] = {}
    if key == "statsd_host":
        arguments, value = ["--statsd-host", "a:1"], "a:1"
    if key == "user":
        arguments, value = ["--user", "web"], "web"
    if SETTINGS[key].group == "TLS" and key not in ("certfile", "dev_cert"):
        beside = {"certfile": "c", "ca_certs": "a"}
    if key in ("http1", "http3", "quic_bind", "insecure_bind"):
        beside = {"certfile": "c"}
    if key == "quic_initial_connection_window":
        beside = {"quic_initial_stream_window": 1024}
    arguments += [f"--{name.replace('_', '-')}={text}" for name, text in beside.items() if name != key]
    given = {**beside, key: value}
    if key == "access_logfile":
        given["access_log"] = True
    line = cli.parse([*arguments, "m:app"], {})
    assert (line.app, line.config) == ("m:app", Config(**given))


def test_help_names_every_setting(
    served: list[tuple[str, Config]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # no word is parted
    monkeypatch.setenv("NO_COLOR", "1")
    assert cli.main(["--help"]) == 0
    text, errors = capsys.readouterr()
    flat = " ".join(text.split())
    for key, fact in SETTINGS.items():
        assert re.search(rf"(?m)^  (-\w( [\w|]+)?, )?--{(fact.singular or key).replace('_', '-')}\b", text), key
        shown = fact.render(DEFAULTS[key])
        assert fact.help + (f" [{shown}]" if shown else "") in flat
        assert f"\n{fact.group}:\n" in text
    assert "--proxy-headers" not in text
    assert errors == ""
    assert served == []


def test_version(served: list[tuple[str, Config]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert re.fullmatch(
        rf"fastserver {re.escape(fastserver.__version__)} \((compiled|pure Python)\), \w+ 3\.\d+\.\d+\S*, "
        r"(uvloop \d[\w.]*|no uvloop), httptools \d[\w.]* on \w+\n",
        capsys.readouterr().out,
    )


@pytest.mark.parametrize(("compiled", "build"), [(True, "compiled"), (False, "pure Python")])
def test_version_says_how_it_was_built(monkeypatch: pytest.MonkeyPatch, compiled: bool, build: str) -> None:
    monkeypatch.setattr("fastserver._speedups.is_compiled", lambda: compiled)
    assert f"({build})" in cli.describe_version()


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "uvloop":
            raise PackageNotFoundError(name)
        return "1.2"

    monkeypatch.setattr(cli.flags, "version", version)
    assert ", no uvloop, httptools 1.2 on " in cli.describe_version()


# Other servers' lines.

TLS = {"certfile": "c", "keyfile": "k"}
OWNER = {"user": "nobody", "group": "nogroup", "umask": 0o007}
PINGS = {"ws_ping_interval": 5.5, "ws_ping_timeout": 0}
H2_ALONE = {"http1": False, "h2c": True}
ORIGINS = ["https://a", "https://b"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # uvicorn
        ("m:app", {}),
        ("m:app --host 0.0.0.0 --port 80", {"bind": "0.0.0.0:80"}),
        ("m:app --host :: --port 80", {"bind": "[::]:80"}),
        ("m:app --port 0", {"bind": "127.0.0.1:0"}),
        ("m:app --uds /x", {"bind": "unix:/x"}),
        ("m:app --fd 3", {"bind": "fd://3"}),
        ("m:app --host 0.0.0.0 --port 80 --fd 3 --uds /x", {"bind": "unix:/x"}),
        ("--host x --port 1 m:app --workers 2", {"bind": "x:1", "workers": 2}),
        ("m:app --loop uvloop --http httptools", {"loop": "uvloop"}),
        ("m:app --http h11 --loop none", {}),
        ("m:app --http zttp --http2", {}),
        ("m:app --loop auto --http auto --ws none --lifespan on", {"lifespan": "on", "ws": False}),
        ("m:app --ws wsproto --ws-max-size 1000 --ws-max-queue 5", {"ws_max_size": 1000, "ws_max_queue": 5}),
        ("m:app --ws websockets --ws-ping-interval 5.5 --ws-ping-timeout 0", PINGS),
        ("m:app --ws WebSockets-SansIO --http2", {}),
        ("--ws none m:app", {"ws": False}),
        ("--ws m:app", {}),
        ("--no-ws m:app", {"ws": False}),
        ("--ws=none m:app", {"ws": False}),
        ("m:app --ws", {}),
        ("m:app --interface asgi3", {"interface": "asgi3"}),
        ("m:app --no-proxy-headers --no-use-colors --no-reload", {"use_colors": False}),
        ("m:app --reload --reload-dir src --use-colors", {"reload": True, "reload_dirs": "src", "use_colors": True}),
        (
            "m:app --limit-max-requests 1000 --limit-max-requests-jitter 10 --timeout-worker-healthcheck 5",
            {"max_requests": 1000, "max_requests_jitter": 10, "timeout_worker_healthcheck": 5},
        ),
        ("m:app --log-config l.ini", {"log_config": "l.ini"}),
        ("m:app --interface asgi", {"interface": "asgi3"}),
        ("m:app --interface wsgi --threads 4", {"interface": "wsgi", "threads": 4}),
        ("m:app --blocking-threads 2", {"threads": 2}),
        ("m:app --wsgi-threads 2", {"threads": 2}),
        (
            "m:app --timeout-keep-alive 5 --timeout-graceful-shutdown 9",
            {"timeout_keep_alive": 5, "timeout_graceful_shutdown": 9},
        ),
        ("m:app --log-level warning --no-access-log", {"log_level": "warning", "access_log": False}),
        ("m:app --log-level INFO --access-log", {"access_log": True}),
        ("--access-log m:app", {"access_log": True}),
        ("m:app --root-path /x --factory", {"root_path": "/x", "factory": True}),
        (
            "m:app --ssl-keyfile k --ssl-certfile c --ssl-keyfile-password p --ssl-ciphers LOW",
            {**TLS, "keyfile_password": "p", "ciphers": "LOW"},
        ),
        (
            "m:app --ssl-keyfile=k --ssl-certfile=c --ssl-version 17 --ssl-cert-reqs 2 --ssl-ca-certs a",
            {**TLS, "verify_mode": "required", "ca_certs": "a"},
        ),
        (
            "m:app --backlog 100 --no-server-header --no-date-header",
            {"backlog": 100, "server_header": False, "date_header": False},
        ),
        ("m:app --header X-A:b --header X-C:d", {"header": ["X-A:b", "X-C:d"]}),
        (
            "m:app --app-dir src --h11-max-incomplete-event-size 20000",
            {"app_dir": "src", "limit_request_head_size": 20000},
        ),
        ("m:app --ws auto --ws-per-message-deflate false", {}),
        ("m:app --ws_per_message_deflate True", {"ws_per_message_deflate": True}),
        ("--ws-per-message-deflate=f m:app", {}),
        ("--ws-per-message-deflate m:app", {"ws_per_message_deflate": True}),
        # hypercorn
        ("-b 127.0.0.1:0 -w 2 -k uvloop m:app", {"bind": "127.0.0.1:0", "workers": 2, "loop": "uvloop"}),
        (
            "-b 127.0.0.1:0 -b unix:/x --bind [::1]:0 m:app",
            {"bind": ["127.0.0.1:0", "unix:/x", "[::1]:0"]},
        ),
        ("--access-logfile - --error-logfile - m:app", {"access_log": True}),
        (
            "--access-logfile /x --access-logformat %(h)s m:app",
            {"access_log": True, "access_logfile": "/x", "access_logformat": "%(h)s"},
        ),
        ("--access-log - m:app", {"access_log": True}),
        ("--access-log /var/log/a m:app", {"access_log": True, "access_logfile": "/var/log/a"}),
        ("--access-log a.log m:app", {"access_log": True, "access_logfile": "a.log"}),
        ("--access-log=a m:app", {"access_log": True, "access_logfile": "a"}),
        ("--access-log dir/m.py:app", {"access_log": True}),
        ("--access-log --factory m:app", {"access_log": True, "factory": True}),
        ("-p /run/pid -u nobody -g nogroup -m 007 m:app", {**OWNER, "pid": "/run/pid"}),
        ("--max-requests 1000 --max-requests-jitter 10 m:app", {"max_requests": 1000, "max_requests_jitter": 10}),
        ("--insecure-bind a:1 --certfile c --debug m:app", {"insecure_bind": "a:1", "certfile": "c", "debug": True}),
        ("--statsd-host a:1 --statsd-prefix x m:app", {"statsd_host": "a:1", "statsd_prefix": "x"}),
        ("--websocket-ping-interval 5.5 m:app", {"ws_ping_interval": 5.5}),
        # granian and peregrine
        ("--http auto --ws m:app", {}),
        ("--http 1 --no-ws m:app", {"http2": False, "ws": False}),
        ("--http 2 m:app", H2_ALONE),
        ("--http2-only m:app", H2_ALONE),
        ("--http2-only --no-http1 --h2c m:app", H2_ALONE),
        ("--http2-only --tls-cert c --tls-key k m:app", {**TLS, **H2_ALONE}),
        ("--no-http2 m:app", {"http2": False}),
        (
            "--http2-max-concurrent-streams 200 --http2-max-frame-size 32768 --http2-max-headers-size 65536 m:app",
            {"h2_max_concurrent_streams": 200, "h2_max_frame_size": 32768, "h2_max_header_list_size": 65536},
        ),
        (
            "--http2-initial-stream-window-size 1m --http2-initial-connection-window-size 2m m:app",
            {"h2_initial_stream_window": 1 << 20, "h2_initial_connection_window": 2 << 20},
        ),
        ("--ws-compress --ws-max-message 1000 m:app", {"ws_per_message_deflate": True, "ws_max_size": 1000}),
        ("--no-http2-adaptive-window --http1-keep-alive m:app", {}),
        ("--metrics-address ::1 --metrics-port 9 m:app", {"metrics_bind": "[::1]:9"}),
        ("--metrics-host a m:app", {"metrics_bind": "a:9090"}),
        ("--error-log e m:app", {"error_logfile": "e"}),
        ("--log-file e m:app", {"error_logfile": "e"}),
        ("--graceful-timeout 3 --keep-alive 5 m:app", {"timeout_graceful_shutdown": 3, "timeout_keep_alive": 5}),
        ("--read-timeout 7 m:app", {"timeout_request_body_idle": 7}),
        ("--certfile c --keyfile k --keyfile-password p m:app", {**TLS, "keyfile_password": "p"}),
        (
            "--certfile c --keyfile k --ca-certs a --verify-mode CERT_OPTIONAL --ciphers ECDHE+AESGCM m:app",
            {**TLS, "ca_certs": "a", "verify_mode": "optional", "ciphers": "ECDHE+AESGCM"},
        ),
        (
            "--certfile c --keyfile k --ca-certs a --cert-reqs 1 m:app",
            {**TLS, "ca_certs": "a", "verify_mode": "optional"},
        ),
        (
            "--worker-class asyncio --workers 0 --root-path /r m:app",
            {"loop": "asyncio", "workers": 0, "root_path": "/r"},
        ),
        # gunicorn, h2corn and others
        ("--http-protocols h1 m:app", {"http2": False}),
        ("--http-protocols h2,h1 m:app", {}),
        ("--http-protocols=h2 --certfile c --keyfile k m:app", {**TLS, "http1": False}),
        ("--http-protocols=h3,h2,h1 --certfile c --keyfile k m:app", {**TLS, "http3": True}),
        ("--http3 --certfile c --keyfile k m:app", {**TLS, "http3": True}),
        ("--http3 --quic-port 443 --tls-cert c --tls-key k m:app", {**TLS, "quic_bind": "127.0.0.1:443"}),
        ("--quic-bind [::]:443 --certfile c --keyfile k m:app", {**TLS, "quic_bind": "[::]:443"}),
        ("--http-protocols h2,h1 --http2-cleartext prior-knowledge m:app", {"h2c": True}),
        ("--http2-cleartext off m:app", {}),
        ("--h2c m:app", {"h2c": True}),
        ("--h2c prior m:app", {"h2c": True}),
        ("--h2c off m:app", {}),
        ("--no-http1 --h2c m:app", {"http1": False, "h2c": True}),
        ("--alpn-protocols http/1.1 m:app", {"http2": False}),
        (
            "--http2-initial-window-size 70000 --http2-max-header-list-size 65536 m:app",
            {"h2_initial_stream_window": 70000, "h2_max_header_list_size": 65536},
        ),
        (
            "--h2-max-inbound-frame-size 65536 --h2-initial-stream-window-size 8m "
            "--h2-initial-connection-window-size 8m m:app",
            {
                "h2_max_frame_size": 65536,
                "h2_initial_stream_window": 8 << 20,
                "h2_initial_connection_window": 8 << 20,
            },
        ),
        (
            "--websocket-max-message-size 9 --websocket-ping-timeout 7 --no-websocket-per-message-deflate m:app",
            {"ws_max_size": 9, "ws_ping_timeout": 7},
        ),
        ("--websocket-per-message-deflate m:app", {"ws_per_message_deflate": True}),
        ("--ws-allowed-origin https://a --ws-allowed-origin https://b m:app", {"ws_allowed_origins": ORIGINS}),
        ("-k uvicorn.workers.UvicornWorker -w auto m:app", {"loop": "uvloop", "workers": "auto"}),
        (
            "--limit-request-field_size 9000 --limit-request-line 4094 m:app",
            {"limit_request_field_size": 9000, "limit_request_line": 4094},
        ),
        ("--keep_alive 2 --max-requests 0 m:app", {"timeout_keep_alive": 2}),
        (
            "--unix /x --no-lifespan --no-server-name m:app",
            {"bind": "unix:/x", "lifespan": "off", "server_header": False},
        ),
        ("--url-path-prefix /x --tls-cert c --tls-key k m:app", {**TLS, "root_path": "/x"}),
        ("--ipv6-only m:app", {"dual_stack": False}),
        ("--no-include-date-header m:app", {"date_header": False}),
    ],
)
def test_lines_that_work(line: str, expected: dict[str, Any]) -> None:
    parsed = parse(line)
    assert parsed.config == Config(**expected)
    assert parsed.app in {"m:app", "dir/m.py:app"}


@pytest.mark.parametrize(
    ("line", "flag", "problem"),
    [
        ("m:app --proxy-headers", "--proxy-headers", "not supported yet"),
        ("m:app --forwarded-allow-ips *", "--forwarded-allow-ips", "not supported yet"),
        ("m:app --ws=mine:WS", "--ws", "'mine:WS' is not allowed: want yes or no (also true, on, 1, auto, websockets"),
        ("m:app --ws-max-size 0", "--ws-max-size", "'0' is not allowed: want a size in bytes"),
        ("m:app --h2c upgrade", "--h2c", "'upgrade' is not supported, RFC 9113 took the upgrade"),
        ("m:app --http2-cleartext both", "--http2-cleartext", "'both' is not supported, RFC 9113 took the upgrade"),
        ("m:app --no-http1", "--no-http1", "is off, and without certfile HTTP/2 needs h2c: want certfile, or h2c"),
        ("m:app --no-http1 --no-http2", "--no-http1", "is off, and http2 is off too: want at least one of them"),
        ("m:app --no-http2 --h2c", "--h2c", "is HTTP/2, and http2 is off: want both, or neither"),
        ("m:app --http2-only --no-http2", "--http2-only", "does not go with http2: give one of them"),
        ("m:app --http 2 --http1", "--http", "does not go with http1: give one of them"),
        ("m:app --http 1 --http2-only", "--http2-only", "does not go with http: give one of them"),
        ("m:app --http-protocols h1,h2", "--http-protocols", "'h1,h2' is not supported, HTTP/2 is always preferred"),
        ("m:app --http-protocols h3", "--http-protocols", "'h3' is not supported, clients learn of HTTP/3 over TCP"),
        ("m:app --alpn-protocols h2,h4", "--alpn-protocols", "'h2,h4' is not supported: want h2 or http/1.1"),
        ("m:app --h2-initial-connection-window 1k", "--h2-initial-connection-window", "'1k' is not allowed: want a"),
        ("m:app --http2-max-frame-size 1024", "--http2-max-frame-size", "'1024' is not allowed: want a size"),
        ("m:app --http2-keep-alive-interval 9", "--http2-keep-alive-interval", "not supported yet; timeout_keep_al"),
        ("m:app --limit-concurrency 10", "--limit-concurrency", "not supported yet; limit_connections limits"),
        ("m:app --loop zuvloop", "--loop", "'zuvloop' is not supported yet: want one of"),
        ("m:app --log-level loud", "--log-level", "'loud' is not allowed: want one of"),
        ("m:app --ssl-version 3", "--ssl-version", "'3' is not supported yet: want 17 or 2"),
        ("m:app --reset-contextvars", "--reset-contextvars", "not supported yet"),
        ("-k trio m:app", "-k", "'trio' is not supported yet: want one of"),
        ("-D m:app", "-D", "not supported; let the service manager"),
        ("--quic-bind a:1 m:app", "--quic-bind", "is given without certfile: want both, or neither"),
        ("--http3 m:app", "--http3", "is given without certfile: want both, or neither"),
        ("--quic-port x m:app", "--quic-port", "'x' is not allowed: want a number from 0 to 65535"),
        ("--quic-port 1 --quic-bind a:1 m:app", "--quic-port", "is given beside quic_bind: give one of them"),
        ("--quic-require-retry m:app", "--quic-require-retry", "not supported yet; quic_retry=always does it"),
        ("--server-name a m:app", "--server-name", "not supported yet"),
    ],
)
def test_lines_that_ask_for_what_is_missing(line: str, flag: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(line)
    assert caught.value.key == flag
    assert caught.value.problem.startswith(problem)


#: All flags of uvicorn 0.54 and hypercorn 0.18 but --help and --version; then those of gunicorn 27, granian 2.8,
#: peregrine 1.2 and h2corn 2.0 that are about HTTP/1, HTTP/2 and WebSockets.
FOREIGN_FLAGS = """
    --host --port --uds --fd --reload --reload-dir --reload-include --reload-exclude --reload-delay --workers --loop
    --http --http2 --ws --ws-max-size --ws-max-queue --ws-ping-interval --ws-ping-timeout --ws-per-message-deflate
    --lifespan --interface --env-file --log-config --log-level --access-log --no-access-log --use-colors --no-use-colors
    --proxy-headers --no-proxy-headers --server-header --no-server-header --date-header --no-date-header
    --forwarded-allow-ips --root-path --limit-concurrency --backlog --limit-max-requests --limit-max-requests-jitter
    --timeout-keep-alive --timeout-graceful-shutdown --timeout-worker-healthcheck --ssl-keyfile --ssl-certfile
    --ssl-keyfile-password --ssl-version --ssl-cert-reqs --ssl-ca-certs --ssl-ciphers --header --app-dir
    --h11-max-incomplete-event-size --reset-contextvars --factory
    --access-logfile --access-logformat -b --bind --ca-certs --certfile --cert-reqs --ciphers -c --config -D --daemon
    --debug --error-log --error-logfile --log-file --graceful-timeout --read-timeout --max-requests
    --max-requests-jitter -g --group -k --worker-class --keep-alive --keyfile --keyfile-password --insecure-bind -p
    --pid --quic-bind --server-name --statsd-host --statsd-prefix -m --umask -u --user --verify-mode
    --websocket-ping-interval -w
    --http-protocols --http2-cleartext --http2-max-concurrent-streams --http2-initial-window-size
    --http2-max-frame-size --http2-max-header-list-size --websocket-max-message-size
    --no-ws --http1-buffer-size --http1-header-read-timeout --http1-keep-alive --no-http1-keep-alive
    --http1-pipeline-flush --no-http1-pipeline-flush --http2-adaptive-window --no-http2-adaptive-window
    --http2-initial-connection-window-size --http2-initial-stream-window-size --http2-keep-alive-interval
    --http2-keep-alive-timeout --http2-max-headers-size --http2-max-send-buffer-size
    --no-http2 --http2-only --ws-max-message --ws-max-queue-bytes --ws-compress
    --http1 --no-http1 --h2-max-header-list-size --h2-max-header-block-size --h2-max-inbound-frame-size
    --h2-initial-stream-window-size --h2-initial-connection-window-size --h2-timeout-response-stall --h2-timeout-write
    --websocket-per-message-deflate --no-websocket-per-message-deflate --websocket-ping-timeout
"""


def test_every_flag_of_other_servers_is_known() -> None:
    assert not set(FOREIGN_FLAGS.split()) - cli.create_parser().flags


@pytest.mark.parametrize("key", RIVALS)
def test_every_setting_that_is_missing_has_a_flag(key: str) -> None:
    rival, flag = RIVALS[key], f"--{key.replace('_', '-')}"
    if rival.waived:
        if rival.is_met(True):
            flag = f"--no-{flag[2:]}"
        line = cli.parse([flag, "m:app"] if rival.switch else [flag, "x", "m:app"], {})
        assert (line.app, line.config) == ("m:app", Config())
        assert line.loaded.warnings == (f"{flag} is passed over: {rival.waived}",)
        return
    if not rival.switch:
        passing, refused = [flag, next(iter(rival.same), "")], [flag, "something"]
    elif rival.is_met(True):
        passing, refused = [flag], [f"--no-{flag[2:]}"]
    else:
        passing, refused = [f"--no-{flag[2:]}"], [flag]
    line = cli.parse([*passing, "m:app"], {})
    assert (line.app, line.config) == ("m:app", Config())
    with pytest.raises(ConfigError, match=rf"^{refused[0]}: .*not supported( yet)?"):
        cli.parse([*refused, "m:app"], {})


# Where values come from.


def test_a_flag_goes_over_the_environment() -> None:
    environ = {"WEB_CONCURRENCY": "3", "FASTSERVER_BACKLOG": "9", "FASTSERVER_BIND": "a:1,b:2"}
    assert parse("m:app", environ).config == Config(workers=3, backlog=9, bind=["a:1", "b:2"])
    assert parse("-w 5 --backlog 6 --port 7 m:app", environ).config == Config(workers=5, backlog=6, bind="127.0.0.1:7")


def test_an_error_names_the_variable() -> None:
    with pytest.raises(ConfigError, match=r"^FASTSERVER_BACKLOG: 'x' is not allowed"):
        parse("m:app", {"FASTSERVER_BACKLOG": "x"})


@pytest.mark.parametrize(
    "app", ["m:app", "m", "a.b:c.d", "m:create()", "dir/m.py:app", "asgi:m:app", "wsgi:app", "wsgi:m:app"]
)
def test_the_application_goes_through_as_it_is(app: str) -> None:
    assert parse(app).app == app
    assert parse(f"--workers 2 {app} --port 9").app == app
    assert parse(f"--workers 2 -- {app}").app == app


# What is refused, and how.

WANT_WORKERS = 'want a whole number, 0 or more and at most 4096, or "auto"'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "no application is given: want module:attribute, such as main:app"),
        ("--workers 2", "no application is given: want module:attribute, such as main:app"),
        ("m:app n:app", "only one application can be served: 'm:app' is given, then 'n:app'"),
        ("m:app --wrokers 2", "there is no flag --wrokers; did you mean --workers?"),
        ("m:app --wrokers=2", "there is no flag --wrokers; did you mean --workers?"),
        ("m:app --time-out-keepalive 5", "there is no flag --time-out-keepalive; did you mean --timeout-keep-alive?"),
        ("m:app --qqqq", "there is no flag --qqqq"),
        ("m:app -z", "there is no flag -z"),
        ("m:app --work 2", "there is no flag --work; did you mean --workers?"),
        ("m:app --workers", "-w/--workers: expected one argument"),
        ("m:app --workers x", f"--workers: 'x' is not allowed: {WANT_WORKERS}"),
        ("m:app -w -1", f"-w: '-1' is not allowed: {WANT_WORKERS}"),
        (
            "m:app --keep-alive soon",
            "--keep-alive: 'soon' is not allowed: want a duration such as 5, 2.5, 500ms or 2m, 0 or more",
        ),
        ("m:app --port x", "--port: 'x' is not allowed: want a number from 0 to 65535"),
        ("m:app --host ::1:x", "--host: '::1:x' is not allowed, the brackets hold no IPv6 address"),
        ("m:app -b a --port 1", "--port: is given beside bind: give one of them"),
        ("m:app --keyfile k", "--keyfile: is given without certfile: want both, or neither"),
        ("m:app --factory=yes", "--factory/--no-factory: ignored explicit argument 'yes'"),
        ("m:app --proxy-headers", f"--proxy-headers: {RIVALS['proxy_headers'].refuse(True)}"),
        ("m:app --observer m", "--observer: 'm' is not allowed, there is no colon: want module:attr, or a callable"),
        ("m:app --observers m:a", "there is no flag --observers; did you mean --observer?"),
        (
            "m:app --no-ws=yes",
            "--no-ws: ignored explicit argument 'yes'",
        ),
        (
            "m:app --protocol alpn:h2=m:P",
            "--protocol: 'alpn:h2=m:P' is not allowed, the server itself serves HTTP: want WHERE=module:attr, where "
            "WHERE is an address as in bind, or alpn:NAME",
        ),
        ("m:app --header X", "--header: 'X' is not allowed, there is no colon: want \"Name: value\""),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(
    served: list[tuple[str, Config]], capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    assert cli.main(line.split()) == 2
    assert capsys.readouterr() == ("", f"fastserver: error: {message}\n")
    assert served == []


def test_main_serves_and_gives_the_exit_code(served: list[tuple[str, Config]]) -> None:
    assert cli.main(["m:app", "-w", "2"]) == 3
    assert served == [("m:app", Config(workers=2))]


def test_main_reads_the_command_line(served: list[tuple[str, Config]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fastserver", "m:app"])
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    assert cli.main() == 3
    assert served == [("m:app", Config(workers=3))]


def test_an_error_of_the_configuration_at_the_start(
    served: list[tuple[str, Config]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(app: str, config: Config, reread: object) -> int:
        raise ConfigError("certfile", "'c' cannot be read: No such file or directory")

    monkeypatch.setattr(sys.modules["fastserver.processes.run"], "run", run)
    assert cli.main(["m:app", "--certfile", "c"]) == 2
    assert capsys.readouterr().err == "fastserver: error: certfile: 'c' cannot be read: No such file or directory\n"


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["--nothing"], 2)])
def test_as_a_module(arguments: list[str], code: int) -> None:
    command = [sys.executable, "-m", "fastserver", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == code
    told = ended.stderr if code else ended.stdout
    assert told.startswith("fastserver")
    assert told.count("\n") == 1
