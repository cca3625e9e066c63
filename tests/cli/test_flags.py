"""Every flag of five other servers: it runs as it is, is passed over with a warning, or is answered in one line.

The tables hold each flag of their ``--help`` once, with a value that it takes there; where a server is installed, the
last test compares the table with what it really has.
"""

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastserver import cli
from fastserver.config.errors import ConfigError

#: uvicorn 0.54, hypercorn 0.18, gunicorn 27, granian 2.8 and daphne 4.2; their ``--help`` aside.
SERVERS: dict[str, dict[str, str]] = {
    "uvicorn": {
        "runs": """
            --host ::1 | --port 9 | --uds /run/a | --fd 3 | --reload | --reload-dir src |
            --reload-include *.html | --reload-exclude *.tmp | --reload-delay 0.5 | --workers 2 |
            --loop asyncio | --http h11 | --http2 | --ws | --ws-max-size 1000 | --ws-max-queue 5 |
            --ws-ping-interval 5.5 | --ws-ping-timeout 5 | --ws-per-message-deflate true | --lifespan on |
            --interface asgi3 | --env-file .env | --log-config l.json | --log-level warning | --access-log |
            --no-access-log | --use-colors | --no-use-colors | --no-proxy-headers | --server-header |
            --no-server-header | --date-header | --no-date-header | --root-path /x | --backlog 100 |
            --limit-max-requests 9 | --limit-max-requests-jitter 9 | --timeout-keep-alive 9 |
            --timeout-graceful-shutdown 9 | --timeout-worker-healthcheck 9 |
            --ssl-keyfile k --certfile c --ca-certs a | --ssl-certfile c |
            --ssl-keyfile-password p --certfile c --ca-certs a | --ssl-version 17 | --ssl-cert-reqs 0 |
            --ssl-ca-certs a --certfile c --ca-certs a | --ssl-ciphers LOW --certfile c --ca-certs a |
            --header A:b | --version | --app-dir src | --h11-max-incomplete-event-size 9000 | --factory
        """,
        "warns": """

        """,
        "refused": """
            --proxy-headers | --forwarded-allow-ips * | --limit-concurrency 9 | --reset-contextvars
        """,
    },
    "hypercorn": {
        "runs": """
            --access-log /a.log | --access-logfile /a.log | --access-logformat %(h)s | --backlog 100 |
            -b 0.0.0.0:80 | --bind unix:/a | --ca-certs a --certfile c --ca-certs a | --certfile c |
            --cert-reqs 0 | --ciphers LOW --certfile c --ca-certs a | -c x.toml | --config x.toml | --debug
            | --error-log e | --error-logfile e | --log-file e | --graceful-timeout 3 | --read-timeout 3 |
            --max-requests 9 | --max-requests-jitter 9 | -g web | --group web | -k asyncio |
            --worker-class asyncio | --keep-alive 5 | --keyfile k --certfile c --ca-certs a |
            --keyfile-password p --certfile c --ca-certs a | --insecure-bind a:1 --certfile c | --log-config l.json |
            --log-level warning | -p /run/pid | --pid /run/pid | --quic-bind a:1 --certfile c --ca-certs a |
            --reload | --root-path /x | --statsd-host a:1 | --statsd-prefix x | -m 007 | --umask 007 |
            -u web | --user web | --verify-mode CERT_NONE | --websocket-ping-interval 5 | -w 2 | --workers 2
        """,
        "warns": """

        """,
        "refused": """
            -D | --daemon | --server-name a
        """,
    },
    "gunicorn": {
        "runs": """
            -v | --version | -c x.toml | --config x.toml | -b 0.0.0.0:80 | --bind unix:/a | --backlog 100 |
            -w 2 | --workers 2 | -k asyncio | --worker-class asyncio | --threads 4 |
            --worker-connections 100 | --max-requests 9 | --max-requests-jitter 9 | -t 30 | --timeout 30 |
            --graceful-timeout 3 | --keep-alive 5 | --limit-request-line 4094 | --limit-request-fields 50 |
            --limit-request-field_size 8000 | --reload | --reload-extra-file a.yml | --check-config |
            --print-config | --preload | --chdir . | -e A=b | --env A=b | -p /run/pid | --pid /run/pid |
            -u web | --user web | -g web | --group web | -m 007 | --umask 007 | --access-logfile /a.log |
            --access-logformat %(h)s | --error-logfile e | --log-file e | --log-level warning |
            --log-config l.json | --log-config-json l.json | --statsd-host a:1 | --dogstatsd-tags a:b |
            --statsd-prefix x | --pythonpath src | --protocol http | --keyfile k --certfile c --ca-certs a |
            --certfile c | --ssl-version 17 | --cert-reqs 0 | --ca-certs a --certfile c --ca-certs a |
            --ciphers LOW --certfile c --ca-certs a | --http-protocols h2,h1 | --http2-cleartext off |
            --http2-max-concurrent-streams 9 | --http2-initial-window-size 70000 |
            --http2-max-frame-size 20000 | --http2-max-header-list-size 9000 | --header-map drop |
            --asgi-loop uvloop | --asgi-lifespan auto | --websocket-max-message-size 9 | --root-path /x |
            --control-socket /run/ctl | --control-socket-mode 384 | --no-control-socket | -n a | --name a
        """,
        "warns": """
            --reload-engine poll | --no-sendfile | --worker-tmp-dir /dev/shm | --initgroups |
            --disable-redirect-access-to-syslog | -R | --enable-stdio-inheritance |
            --uwsgi-allow-from * | --suppress-ragged-eofs | --do-handshake-on-connect |
            --asgi-disconnect-grace-period 3 | --http-parser auto
        """,
        "refused": """
            --spew | --reuse-port | -D | --daemon | --forwarded-allow-ips * | --capture-output |
            --logger-class m.L | --log-syslog-to udp://a:514 | --log-syslog | --log-syslog-prefix a |
            --log-syslog-facility user | --enable-backlog-metric | --paste a.ini | --paster a.ini |
            --proxy-protocol | --proxy-allow-from * | --paste-global a=b | --permit-obsolete-folding |
            --strip-header-spaces | --permit-unconventional-http-method |
            --permit-unconventional-http-version | --casefold-http-method | --forwarder-headers A |
            --dirty-app a:b | --dirty-workers 1 | --dirty-timeout 1 | --dirty-threads 1 |
            --dirty-graceful-timeout 1
        """,
    },
    "granian": {
        "runs": """
            --interface asgi |
            --host ::1 | --port 9 | --uds /run/a | --uds-permissions 660 | --http auto | --ws | --no-ws |
            --workers 2 | --blocking-threads 4 | --loop uvloop | --backlog 100 |
            --http1-header-read-timeout 30000 | --http1-keep-alive | --no-http1-pipeline-flush |
            --no-http2-adaptive-window | --http2-initial-connection-window-size 1048576 |
            --http2-initial-stream-window-size 1048576 | --http2-max-concurrent-streams 9 |
            --http2-max-frame-size 20000 | --http2-max-headers-size 9000 | --log | --log-level warning |
            --log-config l.json | --access-log | --no-access-log | --access-log-fmt %(h)s |
            --ssl-certificate c | --ssl-keyfile k --certfile c --ca-certs a |
            --ssl-keyfile-password p --certfile c --ca-certs a | --ssl-protocol-min tls1.3 |
            --ssl-ca a --certfile c --ca-certs a | --ssl-client-verify --certfile c --ca-certs a |
            --no-ssl-client-verify | --url-path-prefix /x | --respawn-failed-workers |
            --workers-lifetime 3600 | --workers-max-rss 512 | --workers-kill-timeout 9 | --factory |
            --no-factory | --working-dir . | --env-files .env | --no-metrics | --metrics-address ::1 |
            --metrics-port 9 | --reload | --no-reload | --reload-paths src | --reload-ignore-dirs d |
            --reload-ignore-paths d | --reload-tick 50 | --no-reload-ignore-worker-failure |
            --pid-file /run/pid | --process-name a | --version
        """,
        "warns": """
            --blocking-threads-idle-timeout 30 | --runtime-threads 1 | --runtime-blocking-threads 1 |
            --runtime-mode st | --task-impl asyncio | --http1-pipeline-flush | --respawn-interval 3.5 |
            --rss-sample-interval 30 | --rss-samples 2 | --metrics-scrape-interval 15 |
            --reload-ignore-worker-failure
        """,
        "refused": """
            --backpressure 9 | --http1-buffer-size 9000 | --no-http1-keep-alive |
            --http2-adaptive-window | --http2-keep-alive-interval 9 | --http2-keep-alive-timeout 9 |
            --http2-max-send-buffer-size 9000 | --no-log | --ssl-crl a | --no-respawn-failed-workers |
            --static-path-route /s | --static-path-mount s | --static-path-dir-to-file i |
            --static-path-expires 9 | --metrics | --reload-ignore-patterns .*
        """,
    },
    "daphne": {
        "runs": """
            --port 9 | -b 0.0.0.0 | --bind unix:/a | --unix-socket /run/a | --fd 3 | -v | -t 9 |
            --access-log /a.log | --log-fmt x | --ping-interval 9 | --ping-timeout 9 |
            --websocket-max-message-size 9 | --root-path /x | --no-server-name
        """,
        "warns": """
            --application-close-timeout 9
        """,
        "refused": """
            -p 8000 | --websocket_timeout 9 | --websocket_connect_timeout 9 | -u /run/a | -e tcp:80 |
            --endpoint tcp:80 | --verbosity 2 | --http-timeout 9 | --websocket-max-frame-size 9 |
            --proxy-headers | --proxy-headers-host X | --proxy-headers-port X | -s x | --server-name a
        """,
    },
}


def list_lines(kind: str) -> list[tuple[str, str]]:
    return [
        (server, line.strip()) for server, kinds in SERVERS.items() for line in kinds[kind].split("|") if line.strip()
    ]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("A=1")
    (tmp_path / "x.toml").write_text("")


@pytest.mark.parametrize(("server", "line"), list_lines("runs"))
def test_flags_that_run(server: str, line: str) -> None:
    if line in {"-v", "--version"}:
        with pytest.raises(SystemExit):
            cli.parse([line])
        return
    parsed = cli.parse([*line.split(), "m:app"], {})
    assert parsed.app == "m:app"
    assert parsed.loaded.warnings == ()


@pytest.mark.parametrize(("server", "line"), list_lines("warns"))
def test_flags_that_make_no_difference(server: str, line: str) -> None:
    (warning,) = cli.parse([*line.split(), "m:app"], {}).loaded.warnings
    assert warning.startswith(f"{line.split()[0]} is passed over: ")


@pytest.mark.parametrize(("server", "line"), list_lines("refused"))
def test_flags_that_are_answered(server: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cli.parse([*line.split(), "m:app"], {})
    assert caught.value.key == line.split()[0].replace("_", "-")
    assert "\n" not in str(caught.value)


# What the servers really have.


def _list_click(params: Any) -> Iterator[str]:
    for param in params:
        if param.param_type_name == "option":
            yield from (*param.opts, *param.secondary_opts)


def _list_argparse(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings


def _list_hypercorn(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its parser lives in its ``main``."""
    parsers: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *arguments: object) -> None:
        parsers.append(parser)
        raise KeyboardInterrupt

    module = importlib.import_module("hypercorn.__main__")
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(KeyboardInterrupt):
        module.main([])
    return _list_argparse(parsers[0])


@pytest.mark.parametrize("server", SERVERS)
def test_the_tables_are_complete(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(server)
    if server == "uvicorn":
        flags = _list_click(importlib.import_module("uvicorn.main").main.params)
    elif server == "granian":
        flags = _list_click(pytest.importorskip("granian.cli").cli.params)
    elif server == "hypercorn":
        flags = _list_hypercorn(monkeypatch)
    elif server == "gunicorn":
        flags = _list_argparse(importlib.import_module("gunicorn.config").Config().parser())
    else:
        flags = _list_argparse(importlib.import_module("daphne.cli").CommandLineInterface().parser)
    listed = {line.split()[0] for kind in SERVERS[server] for name, line in list_lines(kind) if name == server}
    assert set(flags) - {"-h", "--help"} == listed
