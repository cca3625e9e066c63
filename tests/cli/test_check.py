"""``--check-config`` and ``--print-config`` as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.certificates import write_server_pem

ROOT = Path(__file__).parents[2]
APP = "import os\nSEEN = os.environ['SEEN']\nasync def app(scope, receive, send): ...\n"


def run(here: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastserver", *arguments]
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("FASTSERVER_", "UVICORN_"))}
    variables = {**kept, "PYTHONPATH": str(ROOT), "PWD": str(here), **environ}
    return subprocess.run(command, cwd=here, env=variables, capture_output=True, text=True, timeout=60, check=False)


def test_a_fine_configuration(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "mine.py").write_text(APP)
    (tmp_path / ".env").write_text("SEEN=1")
    (tmp_path / "fastserver.toml").write_text("app = 'mine:app'\napp_dir = 'src'\nenv_file = '.env'")
    ended = run(tmp_path, "--check-config")
    assert (ended.stdout, ended.stderr, ended.returncode) == ("configuration is fine\n", "", 0)


@pytest.mark.parametrize(
    ("arguments", "line", "code"),
    [
        (("mine:app", "--workers", "x"), "--workers: 'x' is not allowed", 2),
        (("mine:app", "-c", "none.toml"), "none.toml: cannot be read: No such file or directory", 2),
        ((), "no application is given: want module:attribute, such as main:app", 2),
        (("nowhere:app",), "no module named 'nowhere' in ", 3),
        (("mine:nothing", "-e", "SEEN=1"), "mine has no attribute 'nothing'; it has 'app'", 3),
        (("mine:app", "--certfile", "none.pem"), "certfile: 'none.pem' cannot be read: No such file or directory", 3),
        (
            ("mine:app", "-e", "SEEN=1", "--user", "nobody-of-that-name"),
            "user: there is no user 'nobody-of-that-name'",
            3,
        ),
        (
            ("mine:app", "-e", "SEEN=1", "--observer", "mine:nothing"),
            "observer mine:nothing: mine has no attribute 'nothing'",
            3,
        ),
    ],
)
def test_faults(tmp_path: Path, arguments: tuple[str, ...], line: str, code: int) -> None:
    (tmp_path / "mine.py").write_text(APP)
    ended = run(tmp_path, "--check-config", *arguments)
    assert (ended.stdout, ended.returncode) == ("", code)
    assert ended.stderr.startswith(f"fastserver: error: {line}")
    assert ended.stderr.count("\n") == 1


def test_an_application_that_fails_shows_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(APP)
    ended = run(tmp_path, "--check-config", "mine:app")
    assert ended.returncode == 3
    assert "KeyError: 'SEEN'" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("fastserver: error: ")


def test_certificates_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(APP)
    pem = write_server_pem(tmp_path)
    arguments = ("--check-config", "mine:app", "-e", "SEEN=1", "--certfile", pem)
    assert run(tmp_path, *arguments).stdout == "configuration is fine\n"
    ended = run(tmp_path, *arguments, "--keyfile", "mine.py")
    assert ended.stderr == "fastserver: error: keyfile: 'mine.py' holds no private key in PEM form\n"
    assert ended.returncode == 3


def test_what_is_printed_can_be_saved(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(APP)
    printed = run(tmp_path, "--print-config", "mine:app", "-w", "3", FASTSERVER_BACKLOG="9", SEEN="1")
    assert (printed.stderr, printed.returncode) == ("", 0)
    (tmp_path / "fastserver.toml").write_text(printed.stdout)
    again = run(tmp_path, "--print-config", "--check-config", SEEN="1")
    assert again.returncode == 0
    assert again.stdout.endswith("configuration is fine\n")
    for line in ('app = "mine:app"  # fastserver.toml: app', "workers = 3  # ", "backlog = 9  # fastserver.toml"):
        assert line in again.stdout
