"""Which files count."""

import os
from pathlib import Path

import pytest

from fastserver import Config
from fastserver.config import ConfigError
from fastserver.development.selection import Selection, select


@pytest.mark.parametrize(
    ("path", "takes"),
    [
        ("app.py", True),
        ("package/deep/module.py", True),
        ("page.html", True),
        ("package/page.html", True),
        ("data/x.json", True),
        ("x.json", False),
        ("app.pyc", False),
        (".#app.py", False),
        ("~app.py", False),
        (".env", True),
        (".git/hook.py", False),
        ("package/__pycache__/app.py", False),
        ("node_modules/a/b.py", False),
        ("test_app.py", False),
        ("old/app.py", False),
        ("package/old/app.py", False),
        ("gen/deep/app.py", False),
        ("../elsewhere/app.py", False),
        ("../elsewhere/one.txt", True),
    ],
)
def test_what_counts(tmp_path: Path, path: str, takes: bool) -> None:
    root = tmp_path / "root"
    selection = Selection(
        (str(root),),
        (str(tmp_path / "elsewhere" / "one.txt"),),
        ("*.html", "data/*.json", ".env"),
        ("test_*", "old", str(root / "gen")),
    )
    assert selection.takes(os.path.normpath(root / path)) is takes


def test_directories(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    selection = Selection((str(tmp_path),), excludes=("build", "a/b"))
    entered = [
        name for name in ("src", ".git", ".venv", "env", "build", "a", "a/b") if selection.enters(f"{tmp_path}/{name}")
    ]
    assert entered == ["src", "a"]


def test_of_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("app", "app/inner", "lib", "more"):
        (tmp_path / name).mkdir()
    (tmp_path / "app.toml").touch()
    monkeypatch.chdir(tmp_path)
    here = os.path.realpath(tmp_path)
    assert select(Config(reload=True)) == Selection((here,))
    config = Config(
        reload=True,
        app_dir="nowhere",
        reload_dirs=["app", "app/inner", "lib", "./app"],
        reload_includes=["*.html", "more", "app.toml"],
        reload_excludes=["tests", "lib"],
    )
    assert select(config) == Selection(
        (f"{here}/app", f"{here}/lib", f"{here}/more"), (f"{here}/app.toml",), ("*.html",), ("tests", f"{here}/lib")
    )
    with pytest.raises(ConfigError, match=r"^reload_dirs: 'nowhere' is no directory$"):
        select(Config(reload=True, app_dir="nowhere"))
