"""What a command line does to its process, and the same once more for a reload."""

import os
from pathlib import Path

import pytest

from fastserver.cli.launch import Launch, find_directory
from fastserver.config import Config, ConfigError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("A", "B", "C"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_files_are_read_again(here: Path) -> None:
    launch = Launch(["-c", "x.toml", "-w", "3"])
    (here / "x.toml").write_text("backlog = 1\nworkers = 1\napp = 'a:a'")
    line = launch.read()
    assert (line.app, line.config) == ("a:a", Config(backlog=1, workers=3))
    launch.enter(line)
    (here / "x.toml").write_text("backlog = 2\napp = 'b:b'")
    assert launch.reread() == ("b:b", Config(backlog=2, workers=3))
    (here / "x.toml").write_text("backlog = x")
    with pytest.raises(ConfigError, match=r"^x\.toml: is no TOML"):
        launch.reread()
    (here / "x.toml").unlink()
    with pytest.raises(ValueError, match=r"^x\.toml: cannot be read: No such file"):
        launch.reread()


def test_a_file_that_is_found_later_or_gone_is_told_apart(here: Path) -> None:
    launch = Launch(["m:app"])
    launch.enter(launch.read())
    (here / "fastserver.toml").write_text("backlog = 2")
    assert launch.reread() == ("m:app", Config(backlog=2))
    (here / "fastserver.toml").unlink()
    assert launch.reread() == ("m:app", Config())


def test_the_environment_is_that_of_the_files(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "process")
    (here / ".env").write_text("A=file\nB=1\nC=1\nFASTSERVER_BACKLOG=5")
    launch = Launch(["m:app", "--env-file", ".env"])
    launch.enter(launch.read())
    assert (os.environ["A"], os.environ["B"], os.environ["C"]) == ("process", "1", "1")
    (here / ".env").write_text("B=2\nFASTSERVER_BACKLOG=6")
    assert launch.reread() == ("m:app", Config(backlog=6))  # and not what the first reading has left
    assert (os.environ["A"], os.environ["B"], os.environ.get("C")) == ("process", "2", None)
    os.environ.pop("FASTSERVER_BACKLOG")
    os.environ.pop("B")


def test_a_variable_of_the_line_goes_over_that_of_the_process(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "process")
    (here / "x.toml").write_text("env = ['A=file']")
    launch = Launch(["m:app", "-c", "x.toml"])
    launch.enter(launch.read())
    assert os.environ["A"] == "file"
    (here / "x.toml").write_text("")
    launch.reread()
    assert os.environ["A"] == "process"


def test_the_directory_is_entered_once(here: Path) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "fastserver.toml").write_text("backlog = 2")
    launch = Launch(["m:app", "--chdir", "sub"])
    line = launch.read()
    assert os.getcwd() == str(here)
    for _ in range(2):
        launch.enter(line)
        assert os.getcwd() == str(here / "sub")
        assert launch.reread() == ("m:app", Config(backlog=2))
    (here / "sub" / "fastserver.toml").unlink()
    (here / "sub").rmdir()
    with pytest.raises(ConfigError, match=r"^--chdir: 'sub' is no directory$"):
        launch.reread()


def test_a_release_behind_a_link_is_found_anew(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (here / name).mkdir()
        (here / name / "fastserver.toml").write_text(f"root_path = '/{name}'")
    link = here / "current"
    link.symlink_to("one")
    monkeypatch.chdir(link)
    monkeypatch.setenv("PWD", str(link))
    launch = Launch(["m:app"])
    launch.enter(launch.read())
    (here / "new").symlink_to("two")
    (here / "new").replace(link)
    assert launch.reread() == ("m:app", Config(root_path="/two"))
    assert os.getcwd() == str(here / "two")


def test_a_wrong_name_of_the_directory_is_not_believed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_directory() == str(here)
    for name in ("/", "/none", "relative", ""):
        monkeypatch.setenv("PWD", name)
        assert find_directory() == str(here)


def test_warnings_of_a_reload_are_logged(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "x.toml").write_text("server_names = ['a']")
    launch = Launch(["m:app", "-c", "x.toml"])
    heard: list[str] = []
    monkeypatch.setattr("fastserver.cli.launch.get_error_log", lambda: _Log(heard))
    launch.reread()
    assert [line.partition(" is ")[0] for line in heard] == ["x.toml: server_names"]


class _Log:
    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    def warning(self, text: str, *values: object) -> None:
        self.heard.append(text % values)
