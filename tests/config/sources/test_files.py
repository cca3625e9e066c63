"""Configuration files of TOML: which is found, what it may hold, and one line for each fault."""

from pathlib import Path
from typing import Any

import pytest

from fastserver.config.errors import ConfigError
from fastserver.config.load import load
from fastserver.config.model import Config
from fastserver.config.sources.files import find_file, read_file
from fastserver.config.sources.layer import Layer


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_file_that_is_found(here: Path) -> None:
    assert find_file(".") is None
    (here / "pyproject.toml").write_text("[tool.other]\na = 1\n")
    assert find_file(".") is None
    (here / "pyproject.toml").write_text("[tool.fastserver]\n")
    assert find_file(".") == "pyproject.toml"
    (here / "fastserver.toml").write_text("")
    assert find_file(".") == "fastserver.toml"
    assert load(Layer(), {}).file == "fastserver.toml"
    assert load(Layer({"config": "pyproject.toml"}), {}).file == "pyproject.toml"
    assert load(Layer(), {}, find=False).file is None


def test_a_broken_pyproject_is_told(here: Path) -> None:
    (here / "pyproject.toml").write_text("[tool")
    with pytest.raises(ConfigError, match=r"^pyproject\.toml: is no TOML: "):
        find_file(".")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("bind = 'a:1'\nworkers = 2", {"bind": "a:1", "workers": 2}),
        ("bind = ['a:1', 'b:2']\nkeep_alive_timeout = '2m'", {"bind": ["a:1", "b:2"], "timeout_keep_alive": 120}),
        ("host = '::1'\nport = 9", {"bind": "[::1]:9"}),
        ("accesslog = '/x'", {"access_log": True, "access_logfile": "/x"}),
        ("observer = 'm:a'\n[protocols]\n'a:1' = 'm:P'", {"observers": "m:a", "protocols": {"a:1": "m:P"}}),
        ("ws_ping_interval = 0.5", {"ws_ping_interval": 0.5}),
        ("umask = '027'", {"umask": 0o027}),
    ],
)
def test_what_a_file_says(here: Path, text: str, expected: dict[str, Any]) -> None:
    (here / "x.toml").write_text(text)
    (here / "pyproject.toml").write_text(
        f"[tool.fastserver]\n{text}".replace("[protocols]", "[tool.fastserver.protocols]")
    )
    assert Config.from_file("x.toml") == Config.from_toml(here / "x.toml") == Config(**expected)
    assert Config.from_file("pyproject.toml") == Config(**expected)
    assert load(Layer({"config": "file:x.toml"}), {}).config == Config(**expected)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = [", "x.toml: is no TOML: Invalid value (at end of document)"),
        ("workers = 1\nworkers = 2", "x.toml: is no TOML: Cannot overwrite a value ("),
        (f"a = {'[' * 5000}", "x.toml: is no TOML"),
        ("wrokers = 1", "x.toml: wrokers: there is no such setting; did you mean workers?"),
        ("access-log = true", "x.toml: access-log: there is no such setting; did you mean access_log?"),
        ("qqqq = 1", "x.toml: qqqq: there is no such setting"),
        ("[server]\nworkers = 1", "x.toml: [server]: there is no such section: settings stand at the top"),
        ("[tool.fastserver]\nworkers = 1", "x.toml: [tool]: there is no such section: settings stand at the top"),
        ("workers = [2]", "x.toml: workers: [2] is not allowed: want a whole number"),
        ("workers = true", "x.toml: workers: True is not allowed: want a whole number"),
        ("pid = 2020-01-01", "x.toml: pid: datetime.date(2020, 1, 1) is not allowed: want a path"),
        ("bind = 8000", "x.toml: bind: 8000 is not allowed: want text, or a list of texts"),
        ("timeout_write = inf", "x.toml: timeout_write: inf is not allowed: want a duration"),
        ("keyfile = 'k'", "x.toml: keyfile: is given without certfile: want both, or neither"),
        ("bind = 'a'\nport = 1", "x.toml: port: is given beside bind: give one of them"),
        ("keep_alive = 1\ntimeout_keep_alive = 2", "x.toml: timeout_keep_alive: is the same setting as keep_alive"),
        ("config = 'y.toml'", "x.toml: config: is for the command line alone"),
        ("print_config = true", "x.toml: print_config: is for the command line alone"),
        ("wsgi_app = 'a:b'\napp = 'a:b'", "x.toml: app: is the same setting as x.toml: wsgi_app: give one of them"),
        ("app = 1", "x.toml: app: 1 is not allowed: want text without line breaks"),
        ("forwarded_allow_ips = '*'", "x.toml: forwarded_allow_ips: not supported yet; meanwhile"),
    ],
)
def test_faults(here: Path, text: str, line: str) -> None:
    (here / "x.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(Layer({"config": "x.toml"}), {})
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("", "config: is empty: want x.toml, x.py, file:x.py or python:module"),
        ("none.toml", "none.toml: cannot be read: No such file or directory"),
        ("dir.toml", "dir.toml: "),
        ("x.json", "x.json: is of no kind that can be read: want x.toml, x.py, file:x.py or python:module"),
        ("x.yml", "x.yml: is of no kind that can be read"),
        ("binary.toml", "binary.toml: is not text in UTF-8"),
        ("pyproject.toml", "pyproject.toml: has no section [tool.fastserver]"),
    ],
)
def test_what_is_no_configuration(here: Path, spec: str, line: str) -> None:
    (here / "dir.toml").mkdir()
    (here / "binary.toml").write_bytes(b"\x00\xff\xfe")
    (here / "pyproject.toml").write_text("tool = 1")
    with pytest.raises(ConfigError) as caught:
        read_file(spec)
    assert str(caught.value).startswith(line)


def test_keys_of_hypercorn_that_are_missing_here_are_warned_of(here: Path) -> None:
    keys = {
        "alt_svc_headers": ["h3"],
        "daemon": True,
        "h11_pass_raw_headers": True,
        "logger_class": "m.L",
        "server_names": ["a"],
        "verify_flags": "VERIFY_CRL_CHECK_LEAF",
    }
    text = "\n".join(f"{key} = {str(value).lower() if value is True else value!r}" for key, value in keys.items())
    (here / "h.toml").write_text(text)
    loaded = load(Layer({"config": "h.toml"}), {})
    assert loaded.config == Config()
    warned = [line.split(" is passed over: ")[0] for line in loaded.warnings]
    assert sorted(warned) == sorted(f"h.toml: {key}" for key in keys)
    with pytest.raises(ConfigError, match=r"^verify_flags: not supported yet$"):
        Config.from_mapping(verify_flags="x")
    with pytest.warns(UserWarning, match=r"is passed over: ") as caught:
        assert Config.from_toml("h.toml") == Config()
    assert {str(warning.message) for warning in caught} == set(loaded.warnings)
    assert {warning.filename for warning in caught} == {__file__}  # where it was asked for


def test_a_real_file_of_hypercorn(here: Path) -> None:
    (here / "hypercorn.toml").write_text(
        """
        application_path = "main:app"
        accesslog = "-"
        access_log_format = "%(h)s %(r)s"
        bind = ["0.0.0.0:8000", "unix:/run/x"]
        backlog = 100
        graceful_timeout = 3.0
        keep_alive_timeout = 5.0
        include_server_header = false
        loglevel = "INFO"
        use_reloader = false
        worker_class = "asyncio"
        workers = 4
        websocket_ping_interval = 20
        h2_max_concurrent_streams = 50
        wsgi_max_body_size = 1048576
        """
    )
    loaded = load(Layer({"config": "hypercorn.toml"}), {})
    assert loaded.warnings == ()
    assert loaded.start.app == "main:app"
    assert loaded.config == Config(
        access_log=True,
        access_logformat="%(h)s %(r)s",
        bind=["0.0.0.0:8000", "unix:/run/x"],
        backlog=100,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=5,
        server_header=False,
        loop="asyncio",
        workers=4,
        h2_max_concurrent_streams=50,
        limit_request_body=1 << 20,
    )


def test_keywords_go_over_a_file(here: Path) -> None:
    (here / "x.toml").write_text("workers = 2\nbind = '0.0.0.0:80'\nthreads = 'x'")
    assert Config.from_toml("x.toml", threads=3, port=81) == Config(workers=2, bind="0.0.0.0:81", threads=3)
    with pytest.raises(ConfigError, match=r"^x\.toml: threads: 'x' is not allowed"):
        Config.from_toml("x.toml")
    with pytest.raises(ConfigError, match=r"^threads: 'y' is not allowed"):
        Config.from_toml("x.toml", threads="y")
