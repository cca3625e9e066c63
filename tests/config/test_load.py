"""Settings from several places: which goes over which, and what each is called."""

from pathlib import Path

import pytest

from fastserver.config import Config, ConfigError
from fastserver.config.load import load, load_config
from fastserver.config.model import SETTINGS
from fastserver.config.sources.environment import variable_of
from fastserver.config.sources.layer import Layer


def test_nothing_given_is_the_default() -> None:
    assert load_config({}, {}) == Config()


def test_every_key_has_its_variable() -> None:
    samples = {
        "bind": "a:1, b:2",
        "backlog": "7",
        "dual_stack": "no",
        "uds_permissions": "600",
        "insecure_bind": "a:7, b:7",
        "workers": "auto",
        "preload": "yes",
        "threads": "7",
        "wsgi_spool_size": "7k",
        "max_requests": "7",
        "max_requests_jitter": "7",
        "worker_lifetime": "7h",
        "worker_lifetime_jitter": "7m",
        "worker_max_rss": "7g",
        "worker_max_rss_jitter": "7m",
        "user": "web",
        "umask": "027",
        "reload": "yes",
        "reload_dirs": "a, b",
        "reload_includes": "*.html",
        "reload_excludes": "*_test.py",
        "reload_delay": "7",
        "debug": "yes",
        "drain_delay": "7",
        "tls_min_version": "TLSv1.3",
        "sni_cert": "a=c.pem b=d.pem",
        "cert_reload": "no",
        "access_log_exclude": "/a, /b",
        "log_format": "json",
        "use_colors": "no",
        "request_id": "on",
        "loop": "asyncio",
        "factory": "1",
        "app_dir": "src",
        "root_path": "/x",
        "interface": "asgi3",
        "lifespan": "off",
        "verify_mode": "required",
        "dev_cert": "no",
        "header": "A: b, c\nD: e",
        "http1": "no",
        "http2": "yes",  # one of the two must be left
        "h2c": "prior",
        "ws": "none",
        "h2_max_concurrent_streams": "7",
        "h2_max_frame_size": "64k",
        "h2_max_resets": "7",
        "ws_max_queue": "7",
        "ws_max_size": "1k",
        "ws_ping_interval": "7",
        "ws_ping_timeout": "0",
        "h2_max_header_list_size": "2048",
        "h2_initial_stream_window": "7",
        "h2_initial_connection_window": "7m",
        "ws_per_message_deflate": "yes",
        "ws_allowed_origins": "https://a, https://b",
        "server_header": "off",
        "date_header": "0",
        "access_log": "true",
        "access_logformat": "json",
        "log_level": "debug",
        "observers": "m:a, m:b",
        "protocols": "alpn:x=m:P\n[::1]:5=m:P",
        "metrics_bind": "a:3 b:4",
        "quic_bind": "a:5, [::1]:5",
        "http3": "on",
        "alt_svc": "no",
        "alt_svc_max_age": "1h",
        "quic_retry": "always",
        "quic_max_half_open": "7",
        "quic_handshake_timeout": "7",
        "quic_idle_timeout": "7",
        "quic_initial_stream_window": "2k",
        "quic_initial_connection_window": "32k",
        "h3_max_concurrent_streams": "7",
        "h3_max_field_section_size": "2k",
        "h3_max_resets": "7",
        "statsd_host": "s:5",
        "statsd_prefix": "app.",
    }
    expected = {
        **samples,
        "bind": ["a:1", "b:2"],
        "header": ["A: b, c", "D: e"],
        "ws_allowed_origins": ["https://a", "https://b"],
        "observers": ["m:a", "m:b"],
        "protocols": ["alpn:x=m:P", "[::1]:5=m:P"],
        "metrics_bind": ["a:3", "b:4"],
        "quic_bind": ["a:5", "[::1]:5"],
        "insecure_bind": ["a:7", "b:7"],
        "reload_dirs": ["a", "b"],
        "reload_includes": ["*.html"],
        "reload_excludes": ["*_test.py"],
        "sni_cert": ["a=c.pem", "b=d.pem"],
        "access_log_exclude": ["/a", "/b"],
    }
    for key in SETTINGS:
        if key.startswith(("timeout_", "limit_", "keep_alive_")):
            samples[key] = expected[key] = "77"
        else:
            samples.setdefault(key, f"/some/{key}")
            expected.setdefault(key, f"/some/{key}")
    loaded = load_config({}, {variable_of(key): text for key, text in samples.items()})
    assert loaded == Config(**expected)  # type: ignore[arg-type]
    defaults = Config()
    same = [key for key in SETTINGS if getattr(loaded, key) == getattr(defaults, key)]
    assert same == ["http2", "dev_cert"]  # which goes with no certfile
    assert load_config({}, {variable_of("http2"): "no"}) == Config(http2=False)


def test_a_port_for_quic_goes_with_the_hosts_of_the_environment() -> None:
    config = load_config({"quic_port": 9}, {"FASTSERVER_BIND": "a:1", "FASTSERVER_CERTFILE": "c"})
    assert config.quic_bind == ("a:9",)


def test_the_caller_goes_over_the_environment() -> None:
    environ = {"FASTSERVER_BIND": "a:1", "FASTSERVER_WORKERS": "x", "FASTSERVER_ROOT_PATH": "/e"}
    config = load_config({"port": 9, "workers": 3}, environ)
    assert (config.bind, config.workers, config.root_path) == (("a:9",), 3, "/e")


@pytest.mark.parametrize(
    ("given", "environ", "workers"),
    [
        ({}, {"WEB_CONCURRENCY": "4"}, 4),
        ({}, {"WEB_CONCURRENCY": "auto"}, "auto"),
        ({}, {"WEB_CONCURRENCY": ""}, 0),
        ({}, {"WEB_CONCURRENCY": "4", "FASTSERVER_WORKERS": "5"}, 5),
        ({"workers": 6}, {"WEB_CONCURRENCY": "4", "FASTSERVER_WORKERS": "5"}, 6),
        ({"workers": None}, {"WEB_CONCURRENCY": "4"}, 4),
    ],
)
def test_workers(given: dict[str, object], environ: dict[str, str], workers: object) -> None:
    assert load_config(given, environ).workers == workers


@pytest.mark.parametrize(
    ("given", "environ", "access_log"),
    [
        ({}, {"FASTSERVER_ACCESS_LOGFILE": "/x"}, True),
        ({"access_log": False}, {"FASTSERVER_ACCESS_LOGFILE": "/x"}, False),
        ({"access_logfile": "-"}, {"FASTSERVER_ACCESS_LOG": "no"}, True),
        ({}, {"FASTSERVER_ACCESS_LOG": "no", "FASTSERVER_ACCESS_LOGFILE": "/x"}, False),
    ],
)
def test_access_log(given: dict[str, object], environ: dict[str, str], access_log: bool) -> None:
    assert load_config(given, environ).access_log is access_log


def test_variables_that_are_not_ours_are_left_alone() -> None:
    # Kubernetes sets these beside a service of the name; the build reads the last one.
    environ = {
        "FASTSERVER_PORT": "tcp://10.0.0.1:80",
        "FASTSERVER_SERVICE_HOST": "10.0.0.1",
        "FASTSERVER_NO_EXT": "1",
        "FASTSERVER_BACKLOG": "",
    }
    assert load_config({}, environ) == Config()


@pytest.mark.parametrize(
    ("given", "environ", "names", "line"),
    [
        ({}, {"WEB_CONCURRENCY": "x"}, {}, "WEB_CONCURRENCY: 'x' is not allowed: want a whole number"),
        ({}, {"FASTSERVER_WORKERS": "-1"}, {}, "FASTSERVER_WORKERS: '-1' is not allowed"),
        ({}, {"FASTSERVER_BIND": "a:x"}, {}, "FASTSERVER_BIND: 'a:x' is not allowed"),
        ({}, {"FASTSERVER_KEYFILE": "k"}, {}, "FASTSERVER_KEYFILE: is given without certfile"),
        ({"workers": "x"}, {"FASTSERVER_WORKERS": "1"}, {}, "workers: 'x' is not allowed"),
        ({"workers": "x"}, {"FASTSERVER_WORKERS": "1"}, {"workers": "-w"}, "-w: 'x' is not allowed"),
        ({"daemon": True}, {}, {"daemon": "--daemon"}, "--daemon: not supported"),
    ],
)
def test_an_error_names_where_it_came_from(
    given: dict[str, object], environ: dict[str, str], names: dict[str, str], line: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(given, environ, names)
    assert str(caught.value).startswith(line)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTSERVER_BACKLOG", "99")
    assert load_config().backlog == 99


# Layers, and what the start needs.


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_order_of_places(here: Path) -> None:
    (here / "fastserver.toml").write_text(
        "workers = 1\nbacklog = 1\nthreads = 1\nlimit_connections = 1\ntimeout_write = 1\napp = 'file:app'"
    )
    environ = {
        "UVICORN_WORKERS": "2",
        "UVICORN_BACKLOG": "2",
        "FASTSERVER_WORKERS": "4",
        "FASTSERVER_BACKLOG": "4",
        "FASTSERVER_THREADS": "4",
        "FASTSERVER_LIMIT_CONNECTIONS": "4",
        "FASTSERVER_APP": "environment:app",
    }
    beneath = Layer({"workers": "3", "threads": "3"}, {"workers": "ARGS: -w", "threads": "ARGS: --threads"})
    typed = Layer({"workers": "5", "app": "typed:app"}, {"workers": "-w", "app": "the command line"})
    loaded = load(typed, environ, [beneath])
    config = loaded.config
    assert (config.workers, config.backlog, config.threads, config.limit_connections) == (5, 4, 4, 4)
    assert (config.timeout_write, config.timeout_handshake) == (1, 10)
    assert loaded.start.app == "typed:app"
    assert loaded.origins == {
        "workers": "-w",
        "backlog": "FASTSERVER_BACKLOG",
        "threads": "FASTSERVER_THREADS",
        "limit_connections": "FASTSERVER_LIMIT_CONNECTIONS",
        "timeout_write": "fastserver.toml: timeout_write",
        "app": "the command line",
    }
    environ = {"UVICORN_WORKERS": "2", "UVICORN_BACKLOG": "2"}
    loaded = load(Layer(), environ, [beneath])
    assert (loaded.config.workers, loaded.config.backlog, loaded.config.threads) == (3, 2, 3)
    assert loaded.start.app == "file:app"
    assert loaded.origins["threads"] == "ARGS: --threads"


@pytest.mark.parametrize(
    ("file", "given", "bind"),
    [
        ("bind = '0.0.0.0:80'", {"port": 9}, "0.0.0.0:9"),
        ("host = '::1'", {"port": 9}, "[::1]:9"),
        ("port = 9", {"host": "a"}, "a:9"),
        ("bind = ['a:1', 'b:2']", {"port": 9}, "127.0.0.1:9"),
        ("bind = 'unix:/x'", {"port": 9}, "127.0.0.1:9"),
        ("bind = 'a:1'", {"uds": "/x"}, "unix:/x"),
        ("bind = 'a:1'", {"bind": "b:2"}, "b:2"),
    ],
)
def test_a_port_alone_changes_the_port(here: Path, file: str, given: dict[str, object], bind: str) -> None:
    (here / "fastserver.toml").write_text(file)
    assert load(Layer(given), {}).config.bind == (bind,)


def test_the_environment_that_files_add(here: Path) -> None:
    (here / ".env").write_text("A=file\nB=file\nC=file\nFASTSERVER_WORKERS=7\nFASTSERVER_CONFIG=x.toml")
    (here / "x.toml").write_text("backlog = 8")
    typed = Layer({"env_file": [".env"], "env": ["B=flag", "D=flag"]})
    loaded = load(typed, {"A": "process", "B": "process"})
    assert loaded.environment == {
        "B": "flag",
        "C": "file",
        "D": "flag",
        "FASTSERVER_WORKERS": "7",
        "FASTSERVER_CONFIG": "x.toml",
    }
    assert (loaded.config.workers, loaded.config.backlog, loaded.file) == (7, 8, "x.toml")
    assert load(typed, {"FASTSERVER_WORKERS": "2"}).config.workers == 2


def test_a_file_may_name_a_file_of_variables(here: Path) -> None:
    (here / "fastserver.toml").write_text("env_file = '.env'\nworkers = 1\nenv = ['E=file']")
    (here / ".env").write_text("FASTSERVER_WORKERS=7")
    loaded = load(Layer(), {})
    assert (loaded.config.workers, loaded.environment) == (7, {"FASTSERVER_WORKERS": "7", "E": "file"})
    assert loaded.origins["env_file"] == "fastserver.toml: env_file"


def test_the_directory(here: Path) -> None:
    for name in ("a", "a/b"):
        (here / name).mkdir()
    (here / "fastserver.toml").write_text("workers = 1\nchdir = 'a'")
    (here / "a" / "fastserver.toml").write_text("workers = 2\nchdir = 'b'")
    (here / "a" / ".env").write_text("X=1")
    loaded = load(Layer(), {}, directory=str(here))
    assert (loaded.config.workers, loaded.directory) == (1, str(here / "a"))
    loaded = load(Layer({"chdir": "a", "env_file": [".env"]}), {}, directory=str(here))
    assert (loaded.config.workers, loaded.directory, loaded.environment) == (2, str(here / "a"), {"X": "1"})
    loaded = load(Layer(), {"FASTSERVER_CHDIR": "a"}, directory=str(here))
    assert (loaded.config.workers, loaded.directory) == (2, str(here / "a"))
    (here / "fastserver.toml").write_text("chdir = 'none'")
    with pytest.raises(ConfigError, match=r"^fastserver\.toml: chdir: 'none' is no directory$"):
        load(Layer(), {}, directory=str(here))
    with pytest.raises(ConfigError, match=r"^FASTSERVER_CHDIR: 'none' is no directory$"):
        load(Layer(), {"FASTSERVER_CHDIR": "none"}, directory=str(here))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"env_file": ["none"]}, "--env-file: none: cannot be read: No such file or directory"),
        ({"env_file": ["bad"]}, "--env-file: bad, line 1: is not NAME=value"),
        ({"env": ["bad"]}, "--env: 'bad' is no variable: want NAME=value"),
        ({"config": "none.toml"}, "none.toml: cannot be read: No such file or directory"),
        ({"config": "a\nb"}, r"--config: 'a\nb' is not allowed: want text without line breaks"),
        ({"chdir": ""}, "--chdir: '' is not allowed: want a path"),
    ],
)
def test_faults_of_the_start(here: Path, given: dict[str, object], problem: str) -> None:
    (here / "bad").write_text("x")
    with pytest.raises(ConfigError) as caught:
        load(Layer(given, {name: f"--{name.replace('_', '-')}" for name in given}), {})
    assert str(caught.value) == problem


def test_milliseconds_are_suspected() -> None:
    layer = Layer({"timeout_keep_alive": "5000", "drain_delay": "5000ms"}, {"timeout_keep_alive": "--keep-alive"})
    assert load(layer, {}, find=False).warnings == ("--keep-alive is 5000 seconds; milliseconds are written 5000ms",)
    assert load(Layer({"timeout_keep_alive": 999}), {}, find=False).warnings == ()
