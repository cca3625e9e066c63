"""The build: three ways to treat the extensions, never a mixture, nothing generated in what is shipped."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import pytest

import fastserver
from fastserver import _speedups

ROOT = Path(__file__).parents[1]
ROOM = Path("fastserver", "_speedups")
SHIPPED = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md", "fastserver")
#: Set by `make test` for each of its two runs.
EXPECTED = os.environ.get("FASTSERVER_EXPECT")

pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not in a source tree")
needs_setuptools = pytest.mark.skipif(
    find_spec("setuptools") is None or find_spec("Cython") is None, reason="setuptools and Cython are not installed"
)


def name_extension(module: str) -> Path:
    return ROOM / f"{module}{EXTENSION_SUFFIXES[0]}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources with nothing built in it, and only the two lowest rooms to build."""
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, tmp_path)
    init = tmp_path / ROOM / "__init__.py"
    text, count = re.subn(r"^MODULES = \([^)]*\)", 'MODULES = ("events", "clock")', init.read_text("utf-8"), flags=re.M)
    assert count == 1
    init.write_text(text, "utf-8")
    return tmp_path


def build(tree: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``setup.py`` in ``tree`` with the given variables and none of the caller's that choose how to build."""
    environ = {name: value for name, value in os.environ.items() if name not in {"CFLAGS", "CC", "PYTHONPATH"}}
    environ = {name: value for name, value in environ.items() if not name.startswith("FASTSERVER_")} | variables
    return subprocess.run(
        [sys.executable, "setup.py", "-q", *command],
        cwd=tree,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


def list_extensions(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.so"))


def spoil(tree: Path) -> None:
    """A fault in the second room that Cython finds; the first one is built already, in place."""
    source = tree / ROOM / "clock.py"
    source.write_text(source.read_text("utf-8") + "\n\ndef spoiled(:\n", "utf-8")
    (tree / name_extension("events")).write_bytes(b"built earlier")


def test_all_rooms_are_compiled_or_none_is() -> None:
    origins = {name: getattr(find_spec(f"fastserver._speedups.{name}"), "origin", None) for name in _speedups.MODULES}
    compiled = {name: str(origin).endswith(tuple(EXTENSION_SUFFIXES)) for name, origin in origins.items()}
    assert None not in origins.values()
    assert set(compiled.values()) == {_speedups.is_compiled()}


@pytest.mark.skipif(EXPECTED is None, reason="FASTSERVER_EXPECT does not say which build this run is for")
def test_this_run_has_the_build_it_is_for() -> None:
    assert {"compiled": True, "pure": False}[str(EXPECTED)] is _speedups.is_compiled()


def test_is_compiled_says_no_to_a_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    suffix = EXTENSION_SUFFIXES[0]
    origins = dict.fromkeys(_speedups.MODULES, suffix)
    monkeypatch.setattr(
        _speedups,
        "find_spec",
        lambda name: type("Spec", (), {"origin": f"/x/{origins[name.removeprefix(f'{_speedups.__name__}.')]}"}),
    )
    assert _speedups.is_compiled()
    origins["clock"] = "clock.py"
    assert not _speedups.is_compiled()


@needs_setuptools
def test_unset_falls_back_to_plain_python(tree: Path) -> None:
    spoil(tree)
    result = build(tree, "build_ext", "--inplace")
    assert result.returncode == 0, result.stdout
    assert "built without extensions" in result.stdout
    assert list_extensions(tree) == []


@needs_setuptools
def test_unset_falls_back_where_there_is_no_compiler(tree: Path) -> None:
    result = build(tree, "build_ext", "--inplace", CC=str(tree / "no-such-compiler"))
    assert result.returncode == 0, result.stdout
    assert "built without extensions" in result.stdout
    assert list_extensions(tree) == []


@needs_setuptools
def test_required_fails_and_leaves_nothing(tree: Path) -> None:
    spoil(tree)
    result = build(tree, "build_ext", "--inplace", FASTSERVER_REQUIRE_EXT="1")
    assert result.returncode != 0
    assert "clock.py" in result.stdout
    assert list_extensions(tree) == []


@needs_setuptools
def test_required_fails_where_a_source_is_missing(tree: Path) -> None:
    (tree / ROOM / "clock.pxd").unlink()
    result = build(tree, "build_ext", "--inplace", FASTSERVER_REQUIRE_EXT="1")
    assert result.returncode != 0
    assert "clock.pxd" in result.stdout


@needs_setuptools
def test_a_warning_of_cython_is_an_error(tree: Path) -> None:
    source = tree / ROOM / "clock.pxd"
    source.write_text(source.read_text("utf-8") + "\ncdef bytes declared_and_never_defined()\n", "utf-8")
    result = build(tree, "build_ext", "--inplace", FASTSERVER_REQUIRE_EXT="1")
    assert result.returncode != 0
    assert "declared_and_never_defined" in result.stdout


@needs_setuptools
def test_no_ext_builds_no_extension_and_ships_every_text(tree: Path) -> None:
    result = build(tree, "build", "--build-lib", "out", FASTSERVER_NO_EXT="1", CC=str(tree / "no-such-compiler"))
    assert result.returncode == 0, result.stdout
    assert list_extensions(tree) == []
    built = {path.relative_to(tree / "out") for path in (tree / "out").rglob("*") if path.is_file()}
    sources = {path.relative_to(tree) for path in (tree / "fastserver").rglob("*") if path.is_file()}
    assert built == sources
    assert {Path("fastserver", "py.typed"), ROOM / "heads.py", ROOM / "heads.pyx", ROOM / "events.pxd"} <= built


@needs_setuptools
def test_no_ext_takes_away_what_was_built_in_place(tree: Path) -> None:
    for name in ("events", "clock"):
        (tree / name_extension(name)).write_bytes(b"built earlier")
    result = build(tree, "build_ext", "--inplace", FASTSERVER_NO_EXT="1")
    assert result.returncode == 0, result.stdout
    assert list_extensions(tree) == []


@needs_setuptools
def test_contradiction_is_refused(tree: Path) -> None:
    result = build(tree, "--version", FASTSERVER_NO_EXT="1", FASTSERVER_REQUIRE_EXT="1")
    assert result.returncode != 0
    assert "contradict" in result.stdout


@needs_setuptools
def test_source_distribution_is_whole_and_has_nothing_generated(tree: Path) -> None:
    (tree / name_extension("events")).write_bytes(b"built earlier")
    (tree / ROOM / "events.c").write_text("/* generated */")
    result = build(tree, "sdist")
    assert result.returncode == 0, result.stdout
    (archive,) = (tree / "dist").iterdir()
    with tarfile.open(archive) as file:
        names = {Path(*Path(name).parts[1:]) for name in file.getnames()}
    wanted = [path for path in (tree / "fastserver").rglob("*.p*") if path.suffix != ".pyc"]
    assert {path.relative_to(tree) for path in wanted} <= names
    assert {Path(name) for name in SHIPPED} <= names | {Path("fastserver")}
    assert [name for name in names if name.suffix in {".c", ".so"}] == []


@needs_setuptools
def test_version_has_one_source() -> None:
    assert build(ROOT, "--version").stdout.strip() == fastserver.__version__
    assert '\nversion = "' not in (ROOT / "pyproject.toml").read_text("utf-8")
