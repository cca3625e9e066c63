"""The environment: this server's variables, and uvicorn's with a warning."""

from typing import Any

import pytest

from fastserver.config.load import load
from fastserver.config.model import Config
from fastserver.config.sources.environment import UVICORN, read_environment, read_uvicorn, variable_of
from fastserver.config.sources.layer import Layer
from fastserver.config.topics.start import NO_VARIABLE, START


def test_lists_are_parted_where_their_items_allow() -> None:
    given = read_environment(
        {
            "FASTSERVER_BIND": "a:1, b:2 c:3",
            "FASTSERVER_HEADER": "A: b, c\nD: e f",
            "FASTSERVER_SNI_CERT": "a=c.pem,k.pem b=d.pem",
            "FASTSERVER_ENV_FILE": ".env .env.local",
        }
    ).given
    assert given == {
        "bind": ("a:1", "b:2", "c:3"),
        "header": ("A: b, c", "D: e f"),
        "sni_cert": ("a=c.pem,k.pem", "b=d.pem"),
        "env_file": (".env", ".env.local"),
    }


def test_what_the_start_needs() -> None:
    environ = {variable_of(key): "x" for key in START}
    assert set(read_environment(environ).given) == set(START) - NO_VARIABLE


def test_names_that_are_nearly_settings_are_warned_of() -> None:
    layer = read_environment({"FASTSERVER_WROKERS": "2", "FASTSERVER_PORT": "tcp://10.0.0.1:80", "OTHER_WROKERS": "1"})
    assert layer.given == {}
    assert layer.warnings == ("FASTSERVER_WROKERS is no setting, and is passed over; did you mean FASTSERVER_WORKERS?",)


@pytest.mark.parametrize(
    ("environ", "expected", "ours"),
    [
        ({"UVICORN_PORT": "9"}, {"bind": "127.0.0.1:9"}, "FASTSERVER_BIND"),
        ({"UVICORN_WORKERS": "3"}, {"workers": 3}, "FASTSERVER_WORKERS"),
        ({"UVICORN_RELOAD_DIRS": "a b"}, {"reload_dirs": ["a", "b"]}, "FASTSERVER_RELOAD_DIRS"),
        ({"UVICORN_HEADERS": "A: b\nC: d"}, {"header": ["A: b", "C: d"]}, "FASTSERVER_HEADER"),
        ({"UVICORN_HTTP": "h11"}, {}, "FASTSERVER_HTTP1 and FASTSERVER_HTTP2"),
        ({"UVICORN_LIMIT_MAX_REQUESTS": "5"}, {"max_requests": 5}, "FASTSERVER_MAX_REQUESTS"),
        ({"UVICORN_PROXY_HEADERS": "0"}, {}, ""),
    ],
)
def test_the_variables_of_uvicorn(environ: dict[str, str], expected: dict[str, Any], ours: str) -> None:
    loaded = load(Layer(), environ, find=False)
    assert loaded.config == Config(**expected)
    (name,) = environ
    instead = f"write {ours}" if ours else "there is none of ours"
    assert loaded.warnings == (f"{name} is uvicorn's, and read for now: {instead}",)


def test_ours_go_over_those_of_uvicorn() -> None:
    environ = {"UVICORN_HOST": "0.0.0.0", "UVICORN_PORT": "9", "UVICORN_WORKERS": "3", "FASTSERVER_WORKERS": "4"}
    loaded = load(Layer({"port": 7}, {"port": "--port"}), environ, find=False)
    assert (loaded.config.bind, loaded.config.workers) == (("0.0.0.0:7",), 4)
    assert loaded.origins == {"bind": "--port", "workers": "FASTSERVER_WORKERS"}


def test_what_kubernetes_sets_beside_a_service_called_uvicorn_is_left_alone() -> None:
    assert read_uvicorn({"UVICORN_PORT": "tcp://10.0.0.1:80", "UVICORN_SERVICE_HOST": "x"}) == Layer()


def test_every_parameter_of_uvicorn_is_known() -> None:
    """Those of ``uvicorn.run`` in 0.54."""
    parameters = """
        app host port uds fd loop http http2 ws ws_max_size ws_max_queue ws_ping_interval ws_ping_timeout
        ws_per_message_deflate lifespan interface reload reload_dirs reload_includes reload_excludes reload_delay
        workers env_file log_config log_level access_log proxy_headers server_header date_header forwarded_allow_ips
        root_path limit_concurrency backlog limit_max_requests limit_max_requests_jitter timeout_keep_alive
        timeout_graceful_shutdown timeout_worker_healthcheck ssl_keyfile ssl_certfile ssl_keyfile_password ssl_version
        ssl_cert_reqs ssl_ca_certs ssl_ciphers headers use_colors app_dir factory h11_max_incomplete_event_size
        reset_contextvars
    """
    assert set(parameters.split()) == set(UVICORN)
