"""What ``--print-config`` prints: TOML that says where each value is from, and means the same when it is read."""

from pathlib import Path
from typing import Any

import pytest

from fastserver.config import Config
from fastserver.config.load import load
from fastserver.config.model import SETTINGS
from fastserver.config.printout import render, render_toml
from fastserver.config.setting import Kind
from fastserver.config.sources.layer import Layer

#: Settings given in every kind, with what is hard to write.
GIVEN: dict[str, Any] = {
    "bind": ["0.0.0.0:80", "unix:/run/a b"],
    "workers": "auto",
    "timeout_write": "2.5",
    "timeout_keep_alive": "500ms",
    "worker_lifetime": "1d",
    "limit_request_body": "16m",
    "limit_request_line": 4094,
    "uds_permissions": "660",
    "umask": "007",
    "access_logfile": "/var/log/a",
    "access_logformat": '%(h)s "%(r)s" \\ %%',
    "header": ['X-A: "ä", \\', "X-B: #"],
    "protocols": {"a:1": "m:P"},
    "observers": ["m:a"],
    "log_level": 30,
    "root_path": "/x/",
    "dogstatsd_tags": "a:b",
    "tls_min_version": "1.3",
    "http2": False,
    "use_colors": False,
    "ws_ping_interval": 0,
}


def test_it_reads_back_as_the_same(tmp_path: Path) -> None:
    first = load(Layer({**GIVEN, "app": "m:app", "chdir": str(tmp_path)}), {}, find=False)
    (tmp_path / "fastserver.toml").write_text(render(first), encoding="utf-8")
    again = load(Layer(), {}, directory=str(tmp_path))
    assert again.config == first.config == Config.from_mapping(GIVEN)
    assert again.start == first.start
    assert set(again.origins) == set(first.origins)
    assert all(origin.startswith("fastserver.toml: ") for origin in again.origins.values())
    assert render(again).replace("fastserver.toml: ", "") != render(first)  # it says where they are from now


def test_nothing_given_reads_back_as_nothing_given(tmp_path: Path) -> None:
    (tmp_path / "fastserver.toml").write_text(render(load(Layer(), {}, find=False)))
    again = load(Layer(), {}, directory=str(tmp_path))
    assert (again.config, dict(again.origins), again.file) == (Config(), {}, "fastserver.toml")


def test_every_setting_has_a_line_that_says_where_it_is_from() -> None:
    environ = {"FASTSERVER_THREADS": "3"}
    loaded = load(Layer({"workers": "2", "accesslog": "-"}, {"workers": "-w", "accesslog": "--access-log"}), environ)
    lines = render(loaded).splitlines()
    for key in SETTINGS:
        assert len([line for line in lines if line.removeprefix("# ").startswith(f"{key} =")]) == 1, key
    for line in (
        "workers = 2  # -w",
        "threads = 3  # FASTSERVER_THREADS",
        "access_log = true  # --access-log",
        'access_logfile = "-"  # --access-log',
        "# backlog = 2048  # default",
        "# certfile =  # none",
        "# processes",
    ):
        assert line in lines


def test_what_follows_from_other_settings_is_a_comment(tmp_path: Path) -> None:
    first = load(Layer({"header": ["Server: mine"], "reload": True}), {}, find=False)
    text = render(first)
    for line in ("# server_header = false", "# access_log = true"):
        assert f"{line}  # follows from the others\n" in text
    (tmp_path / "fastserver.toml").write_text(text)
    assert load(Layer(), {}, directory=str(tmp_path)).config == first.config


def test_what_is_not_shown(tmp_path: Path) -> None:
    given = {"certfile": "c", "keyfile_password": "hunter2", "env": ["TOKEN=hunter2"], "observers": [print, "m:a"]}
    names = {"keyfile_password": "FASTSERVER_KEYFILE_PASSWORD"}
    text = render(load(Layer(given, names, place="x.py"), {}, find=False))
    assert "hunter2" not in text
    assert '# keyfile_password = "***"  # FASTSERVER_KEYFILE_PASSWORD, not shown\n' in text
    assert '# env = ["TOKEN=***"]  # x.py: env, values are not shown\n' in text
    assert "# observers =  # x.py: observers, an object\n" in text
    (tmp_path / "fastserver.toml").write_text(text)
    assert load(Layer(), {}, directory=str(tmp_path)).config == Config(certfile="c")


def test_a_place_cannot_end_its_comment() -> None:
    layer = Layer({"workers": 2}, {"workers": "a\nbind = 'evil'\x85"})
    assert "workers = 2  # a?bind = 'evil'?\n" in render(load(layer, {}, find=False))


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("timeout_write", 30.0, "30"),
        ("timeout_write", 0.5, '"500ms"'),
        ("timeout_write", 2.5, "2.5"),
        ("limit_request_body", 1 << 30, '"1g"'),
        ("limit_request_body", 8190, "8190"),
        ("umask", 0o27, '"27"'),
        ("workers", "auto", '"auto"'),
        ("root_path", 'a"\\\x7f\t', '"a\\"\\\\\\u007f\\t"'),
        ("header", ("a", "b"), '["a", "b"]'),
        ("header", (), "[]"),
        ("certfile", None, None),
        ("observers", (print,), None),
        ("http2", False, "false"),
    ],
)
def test_values(key: str, value: object, text: str | None) -> None:
    assert render_toml(SETTINGS[key], value) == text
    assert SETTINGS[key].kind in Kind
