"""What ``main`` does with a line: other programs, warnings, gunicorn's variable, the application of a file."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastserver import cli
from fastserver.config import Config, ConfigError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The applications that ``main`` has given to ``run``."""
    apps: list[str] = []

    def run(app: str, config: Config, reread: object) -> int:
        apps.append(app)
        return 0

    def check(line: cli.CommandLine) -> int:
        apps.append(line.app)
        return 0

    for name, function in (("fastserver.processes.run", run), ("fastserver.cli.check", check)):
        module = ModuleType(name)
        setattr(module, function.__name__, function)
        monkeypatch.setitem(sys.modules, name, module)
    return apps


def test_other_programs_by_their_first_word(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []

    def main(argv: list[str]) -> int:
        given.append(argv)
        return 7

    for word, name in cli.COMMANDS.items():
        module = ModuleType(name)
        module.main = main  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
        assert cli.main([word, "--help", "x"]) == 7
    assert given == [["--help", "x"]] * len(cli.COMMANDS)
    assert "top" in cli.COMMANDS


def test_warnings_go_before_all_else(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "h.toml").write_text("server_names = ['a']\ndaemon = true")
    assert cli.main(["--print-config", "-c", "h.toml"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("# Settings of fastserver")
    assert [line.partition(" is passed over")[0] for line in err.splitlines()] == [
        "fastserver: warning: h.toml: server_names",
        "fastserver: warning: h.toml: daemon",
    ]


def test_printing_needs_no_application_and_checking_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--print-config"]) == 0
    assert capsys.readouterr().err == ""
    for flags in (["--check-config"], ["--check-config", "--print-config"]):
        assert cli.main(flags) == 2
        assert capsys.readouterr().err.startswith("fastserver: error: no application is given")


@pytest.mark.parametrize(
    ("arguments", "text", "environ", "app"),
    [
        ([], "app = 'f:a'", {}, "f:a"),
        ([], "wsgi_app = \"f:make('x', y=1)\"", {}, "f:make('x', y=1)"),
        ([], "application_path = 'f:a'", {}, "f:a"),
        ([], "app = 'f:a'", {"FASTSERVER_APP": "e:a"}, "e:a"),
        ([], "app = 'f:a'", {"UVICORN_APP": "u:a"}, "u:a"),
        (["l:a"], "app = 'f:a'", {"FASTSERVER_APP": "e:a"}, "l:a"),
    ],
)
def test_the_application_may_come_from_elsewhere(
    here: Path, arguments: list[str], text: str, environ: dict[str, str], app: str
) -> None:
    (here / "fastserver.toml").write_text(text)
    assert cli.parse(arguments, environ).app == app


def test_the_arguments_of_gunicorns_variable(here: Path) -> None:
    (here / "conf.py").write_text("backlog = 1\nthreads = 1\nworkers = 1")
    environ = {"GUNICORN_CMD_ARGS": "-c conf.py --threads 2 --workers=2 --access-logformat '%(h)s x'"}
    line = cli.parse(["m:app", "-w", "3"], environ)
    assert line.config == Config(backlog=1, threads=2, workers=3, access_logformat="%(h)s x")
    assert line.loaded.origins["threads"] == "GUNICORN_CMD_ARGS: --threads"
    assert line.loaded.warnings == ("GUNICORN_CMD_ARGS is gunicorn's, and read for now: write FASTSERVER_<KEY>",)
    assert cli.parse(["m:app"], {**environ, "FASTSERVER_THREADS": "4"}).config.threads == 4


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("--workers x", "GUNICORN_CMD_ARGS: --workers: 'x' is not allowed"),
        ("--wrokers 2", "GUNICORN_CMD_ARGS: there is no flag --wrokers; did you mean --workers?"),
        ("--workers", "GUNICORN_CMD_ARGS: -w/--workers: expected one argument"),
        ("--bind 'a", "GUNICORN_CMD_ARGS: No closing quotation"),
        ("-c none.py", "none.py: cannot be read"),
        ("--daemon", "GUNICORN_CMD_ARGS: --daemon: not supported; let the service manager run it"),
    ],
)
def test_faults_of_gunicorns_variable(here: Path, text: str, line: str) -> None:
    with pytest.raises((cli.UsageError, ConfigError)) as caught:
        cli.parse(["m:app"], {"GUNICORN_CMD_ARGS": text})
    assert str(caught.value).startswith(line)


def test_help_in_gunicorns_variable_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(cli.UsageError, match=r"^GUNICORN_CMD_ARGS: --help and --version are for the command line$"):
        cli.parse(["m:app"], {"GUNICORN_CMD_ARGS": "--version"})


def test_variables_on_the_line_add_up(here: Path) -> None:
    assert cli.parse(["m:app", "-e", "A=1", "--env", "B=2", "--raw-env", "C=3"], {}).loaded.environment == {
        "A": "1",
        "B": "2",
        "C": "3",
    }


WORDS = ["m:app", "--", "-", "", "=", "--=", "--no-", "-1", "9", "yes", "auto", "a=b", "x.toml", "é", "\0", "a\nb"]
PIECES = st.one_of(
    st.sampled_from(sorted(cli.create_parser().flags - {"-h", "--help", "-v", "--version"})),
    st.sampled_from(WORDS),
    st.text(alphabet=st.characters(exclude_characters="hv", exclude_categories=["Cs"]), max_size=6),
)
ARGUMENTS = st.lists(
    st.builds(lambda one, joined, two: f"{one}={two}" if joined else one, PIECES, st.booleans(), PIECES)
)


@given(argv=ARGUMENTS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_line_is_served_or_answered_in_one_line(
    argv: list[str], served: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    served.clear()
    capsys.readouterr()
    code = cli.main(argv)
    out, err = capsys.readouterr()
    errors = [line for line in err.split("\n") if not line.startswith("fastserver: warning: ")]
    if code == 2:
        assert (len(errors), served) == (2, [])
        assert errors[0].startswith("fastserver: error: ")
    else:
        assert code == 0
        assert errors == [""]
        assert served or out.startswith("# Settings") or out == "configuration is fine\n"
