"""Configuration in Python: names that are settings are taken, all others are the file's own."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from fastserver.config.errors import ConfigError
from fastserver.config.load import load
from fastserver.config.model import Config
from fastserver.config.sources.layer import Layer
from fastserver.config.sources.python import select


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


GUNICORN = """
import multiprocessing
import os
from pathlib import Path

host = "0.0.0.0"
port = os.environ.get("PORT", "8080")
bind = f"{host}:{port}"
workers = 2 + 1
worker_class = "gthread"
threads = 4
timeout = 120
keepalive = 5
accesslog = "-"
errorlog = "/tmp/error.log"
loglevel = "warning"
proc_name = "mine"
worker_tmp_dir = "/dev/shm"
preload_app = True
max_requests = 1000
max_requests_jitter = 50
raw_env = ["A=b"]
wsgi_app = "main:app"
certfile = None
_private = 1
daemon = False
proxy_protocol = False
sendfile = None

def post_fork(server, worker):
    pass

def limit_request_line():
    pass
"""


def test_a_real_file_of_gunicorn(here: Path) -> None:
    (here / "gunicorn.conf.py").write_text(GUNICORN)
    loaded = load(Layer({"config": "gunicorn.conf.py"}), {})
    assert loaded.config == Config(
        bind=f"0.0.0.0:{os.environ.get('PORT', '8080')}",
        workers=3,
        threads=4,
        timeout_worker_healthcheck=120,
        timeout_keep_alive=5,
        access_log=True,
        error_logfile="/tmp/error.log",
        log_level="warning",
        preload=True,
        name="mine",
        max_requests=1000,
        max_requests_jitter=50,
        name="mine",
    )
    assert loaded.start.app == "main:app"
    assert loaded.environment == {"A": "b"}
    assert [line.partition(" is ")[0] for line in loaded.warnings] == [
        "gunicorn.conf.py: post_fork",
        "gunicorn.conf.py: worker_tmp_dir",
    ]
    with pytest.warns(UserWarning, match="is passed over"):
        assert Config.from_pyfile(here / "gunicorn.conf.py") == loaded.config


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = 1\ny = 1 / 0\n", "c.py: cannot be run: ZeroDivisionError: division by zero (c.py, line 2)"),
        ("x = (\n", "c.py: cannot be run: '(' was never closed (c.py, line 1)"),
        ("x = 1\0", "c.py: cannot be run: "),
        ("import nowhere_at_all\n", "c.py: cannot be run: ModuleNotFoundError: No module named 'nowhere_at_all' (c.py"),
        ("raise SystemExit(3)\n", "c.py: cannot be run: SystemExit: 3 (c.py, line 1)"),
        ("raise ValueError('a\\nb')\n", "c.py: cannot be run: ValueError: a b (c.py, line 1)"),
        ("workers = 'x'\n", "c.py: workers: 'x' is not allowed: want a whole number"),
        ("forwarded_allow_ips = '*'\n", "c.py: forwarded_allow_ips: not supported yet; meanwhile wrap"),
        ("def ssl_context(config, default): pass\n", "c.py: ssl_context: not supported yet; "),
    ],
)
def test_faults(here: Path, text: str, line: str) -> None:
    (here / "c.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(Layer({"config": "c.py"}), {})
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "given"),
    [
        ({"bind": "a:1", "host": "x", "port": 2}, {"bind": "a:1"}),
        ({"host": "x", "port": 2}, {"host": "x", "port": 2}),
        ({"app": object(), "application": 1}, {}),
        ({"app": "m:a"}, {"app": "m:a"}),
        ({"http": 1, "static": 2, "log": print, "env": "prod", "config": {}}, {}),
        ({"env": ["A=b"], "header": "A: b", "name": "x"}, {"env": ["A=b"], "header": "A: b", "name": "x"}),
        ({"os": os, "workers": 2, "__file__": "x"}, {"workers": 2}),
        ({"observer": len, "observers": None}, {"observer": len, "observers": None}),
        (
            {"raw_env": ["A=b"], "env_file": ".env", "chdir": "/"},
            {"raw_env": ["A=b"], "env_file": ".env", "chdir": "/"},
        ),
    ],
)
def test_which_names_are_settings(names: dict[str, Any], given: dict[str, Any]) -> None:
    layer = select(names, "c.py")
    assert layer.given == given
    assert layer.warnings == ()


def test_a_name_that_is_nearly_a_setting_is_warned_of() -> None:
    assert select({"wrokers": 1, "timeouts": 2, "qqq": 3}, "c.py").warnings == (
        "c.py: wrokers is no setting, and is passed over; did you mean workers?",
        "c.py: timeouts is no setting, and is passed over; did you mean timeout?",
    )


def test_it_runs_in_its_directory_and_leaves_nothing_behind(here: Path) -> None:
    (here / "project").mkdir()
    (here / "project" / "mine_settings.py").write_text("COUNT = 3")
    (here / "project" / "data").write_text("7")
    (here / "project" / "c.py").write_text(
        "import dataclasses, mine_settings\n"
        "@dataclasses.dataclass\nclass A:\n    a: 'int'\n"
        "workers = mine_settings.COUNT\nbacklog = int(open('data').read())\n"
    )
    path, modules = list(sys.path), set(sys.modules)
    for count in (3, 4):
        (here / "project" / "mine_settings.py").write_text(f"COUNT = {count}  # {'x' * count}")
        loaded = load(Layer({"config": "c.py", "chdir": "project"}), {})
        assert (loaded.config.workers, loaded.config.backlog) == (count, 7)
        assert "mine_settings" not in sys.modules
    assert (os.getcwd(), sys.path) == (str(here), path)
    assert not {name for name in set(sys.modules) - modules if name.startswith(("mine", "__config"))}


def test_what_it_puts_into_the_environment_stays(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "old")
    (here / "c.py").write_text("import os\nos.environ['MINE'] = 'new'\n")
    load(Layer({"config": "c.py"}), {})
    assert os.environ["MINE"] == "new"


def test_it_sees_the_variables_of_the_start(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COUNT", raising=False)
    (here / ".env").write_text("COUNT=5")
    (here / "c.py").write_text("import os\nworkers = os.environ['COUNT']\n")
    assert load(Layer({"config": "c.py", "env_file": ".env"}), {}).config.workers == 5
    assert "COUNT" not in os.environ  # which is for the start to change


def test_modules(here: Path) -> None:
    (here / "pkg").mkdir()
    (here / "pkg" / "__init__.py").write_text("")
    (here / "pkg" / "conf.py").write_text("workers = 2\nclass Live:\n    workers = 3\n")
    for spec, workers in (("python:pkg.conf", 2), ("module:pkg.conf", 2), ("python:pkg.conf.Live", 3)):
        assert load(Layer({"config": spec}), {}).config.workers == workers
    assert Config.from_object("pkg.conf") == Config(workers=2)
    (here / "pkg" / "conf.py").write_text("workers = 12  # anew\n")
    assert load(Layer({"config": "python:pkg.conf"}), {}).config.workers == 12
    for spec, problem in (
        ("python:", "python:: is no name of a module"),
        ("python:a-b", "python:a-b: is no name of a module"),
        ("python:pkg.none", "python:pkg.none: cannot be run: ModuleNotFoundError: No module named 'pkg.none'"),
        ("python:none_at_all", "python:none_at_all: cannot be run: ModuleNotFoundError: No module named 'none_at_all'"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(Layer({"config": spec}), {})
        assert str(caught.value) == problem


def test_objects() -> None:
    class Settings:
        workers = 2
        accesslog = "-"

        def helper(self) -> None: ...

    assert Config.from_object(Settings) == Config.from_object(Settings()) == Config(workers=2, access_log=True)
    assert Config.from_object(Settings, workers=5).workers == 5
