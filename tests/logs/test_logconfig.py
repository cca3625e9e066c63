"""``log_config``: files of every kind, loggers of every server, and one line for what cannot be used.

Each test configures the logging of a process of its own: it is one for all of a process.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastserver.config.logsettings import LogSettings
from fastserver.config.model import Config

PROGRAM = """
import asyncio, json, logging, sys
from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.logs.accesslog import make_access_logger
from fastserver.logs.setup import configure_logs
from tests.logs.records import HOSTILE, make_record

spec, path, settings = json.loads(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
config = Config(log_config=spec, access_log=True, access_logfile=path, **settings)
try:
    log = configure_logs(config)
except ConfigError as error:
    print(error, end="")
    raise SystemExit(3)
configure_logs(config, embedded=True)  # a worker does so too
try:
    raise ValueError("bad\\n2026-01-01 forged \x1b[2J")
except ValueError:
    log.error("failed %s %d", "for\\nx \x9b", 5, exc_info=True)
log.debug("unheard")
access = make_access_logger(config)
access(*make_record(raw_path=HOSTILE)[:6])
access(*make_record(path="/health")[:6])
access.close()
"""

HANDLERS = {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "f"}}
INI = """
[loggers]
keys=root,error,access
[handlers]
keys=out
[formatters]
keys=f
[logger_root]
level=WARNING
handlers=
[logger_error]
level=INFO
handlers=out
qualname={error}
propagate=0
[logger_access]
level=INFO
handlers=out
qualname={access}
propagate=0
[handler_out]
class=StreamHandler
args=(sys.stdout,)
formatter=f
[formatter_f]
format=%(name)s|%(levelname)s|%(message)s
"""


def make_mapping(*names: str, format: str = "%(name)s|%(levelname)s|%(message)s", **more: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "formatters": {"f": {"format": format}},
        "handlers": HANDLERS,
        "loggers": {name: {"level": "INFO", "handlers": ["out"], "propagate": False} for name in names},
        **more,
    }


def run(spec: object, access: str = "/dev/stdout", code: int = 0, **settings: Any) -> str:
    command = [sys.executable, "-c", PROGRAM, json.dumps(spec), access, json.dumps(settings)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (code, "")
    return result.stdout


def check(lines: list[str], error: str, access: str) -> None:
    """One clean record in each log; only what is indented follows a head."""
    heads = [line for line in lines if not line.startswith("  ")]
    assert [head.split("|")[:2] for head in heads] == [[error, "ERROR"], [access, "INFO"]]
    assert heads[0].endswith("failed for")
    assert r"  x \x9b 5" in lines
    assert r"  2026-01-01 forged \x1b[2J" in lines
    assert r'"GET a\x0d\x0afake \x22line\x22' in heads[1]


@pytest.mark.parametrize("server", ["fastserver", "gunicorn", "hypercorn"])
@pytest.mark.parametrize("kind", ["ini", "json", "json:", "toml", "toml:", "yaml", "yml", "dict"])
def test_each_kind_of_file_and_each_servers_names(kind: str, server: str, tmp_path: Path) -> None:
    if kind.startswith("toml") and sys.version_info < (3, 11):
        pytest.skip("needs tomllib")
    error, access = f"{server}.error", f"{server}.access"
    mapping = make_mapping(error, access)
    text = json.dumps(mapping)
    spec: object = mapping
    if kind != "dict":
        path = tmp_path / (f"log.{kind}" if kind.isalpha() else "log.conf")
        if kind == "ini":
            text = INI.format(error=error, access=access)
        elif kind.startswith("toml"):
            text = _render_toml(mapping)
        elif kind.startswith("y"):
            pytest.importorskip("yaml")
        path.write_text(text)
        spec = f"{kind}{path}" if kind.endswith(":") else str(path)
    lines = run(spec, access_log_exclude="/health").splitlines()
    check(lines, "fastserver.error", access)
    assert "192.0.2.1 - - [" in lines[-1]


def _render_toml(mapping: dict[str, Any], at: str = "") -> str:
    """As much TOML as the mapping needs."""
    plain = [
        f"{json.dumps(key)} = {json.dumps(value)}" for key, value in mapping.items() if not isinstance(value, dict)
    ]
    tables = [(f"{at}{json.dumps(key)}", value) for key, value in mapping.items() if isinstance(value, dict)]
    return "\n".join([*plain, *(f"[{name}]\n{_render_toml(value, f'{name}.')}" for name, value in tables)])


def test_the_parent_of_both_loggers_is_enough() -> None:
    check(run(make_mapping("fastserver"), access_log_exclude="/health").splitlines(), "fastserver.error", "fastserver")


def test_a_configuration_for_uvicorn_works_with_uvicorns_arguments() -> None:
    """Its formatter takes the five arguments apart."""
    lines = run(make_mapping("uvicorn", "uvicorn.access", format="%(levelname)s %(args)r")).splitlines()
    assert lines[-1] == "INFO ('192.0.2.1:4711', 'GET', '/items/1?q=2', '1.1', 200)"
    lines = run(make_mapping("uvicorn.error", "uvicorn.access")).splitlines()
    assert lines[-1] == 'uvicorn.access|INFO|192.0.2.1:4711 - "GET /items/1?q=2 HTTP/1.1" 200'


def test_a_configuration_that_names_no_logger_of_ours_leaves_ours_alone(tmp_path: Path) -> None:
    access, error = tmp_path / "access.log", tmp_path / "error.log"
    mapping = make_mapping("app", root={"level": "INFO", "handlers": ["out"]})
    assert run(mapping, str(access), access_logformat="%(s)s", error_logfile=str(error)) == ""
    assert access.read_text() == "200\n200\n"
    heads = [line for line in error.read_text().splitlines() if not line.startswith("  ")]
    assert len(heads) == 1


def test_fields_are_there_for_formatters_that_write_json() -> None:
    mapping = make_mapping("fastserver.access", format="%(method)s %(status)d %(bytes)d %(client)s %(duration_s)s")
    lines = run(mapping, error_logfile="/dev/null", access_log_exclude="/health")
    assert lines == "GET 200 1234 192.0.2.1 1.500026\n"


def test_json_lines_go_there_too() -> None:
    mapping = make_mapping("fastserver.access", format="%(message)s")
    text = run(mapping, error_logfile="/dev/null", access_logformat="json", access_log_exclude="/health")
    assert json.loads(text)["status"] == 200


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("none.ini", None, "No such file or directory"),
        ("a.ini", "[loggers]\nkeys=root\n", "there is no section [handlers]"),
        ("a.ini", "rubbish", "File contains no section headers."),
        ("a.json", "{", "Expecting property name"),
        ("a.json", "[]", "it is no table of settings"),
        ("a.json", "{}", "dictionary doesn't specify a version"),
        (
            "a.json",
            json.dumps(make_mapping("x", handlers={"out": {"class": "no.Such"}})),
            "Unable to configure handler",
        ),
        ("a.toml", "= 1", "Invalid statement"),
        ("a.yaml", "a: [", "while parsing a flow node"),
    ],
)
def test_what_cannot_be_used_is_one_line(name: str, text: str | None, reason: str, tmp_path: Path) -> None:
    if name.endswith("toml") and sys.version_info < (3, 11):
        pytest.skip("needs tomllib")
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    line = run(str(path), code=3)
    assert line.startswith(f"log_config: {str(path)!r} cannot be used: ")
    assert reason in line
    assert "\n" not in line


def test_a_dictionary_is_kept_as_it_is() -> None:
    mapping = make_mapping("fastserver.error")
    config = Config.from_mapping({"logconfig_dict": mapping})
    assert isinstance(config.log_config, LogSettings)
    assert config.log_config.mapping is mapping
    assert (hash(config), str(config.log_config)) == (hash(config), "a dictionary")
