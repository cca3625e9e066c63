"""Finding the application: what is found, and what is told where nothing can be."""

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastserver.server.loader import AppLoadError, load_app, split_spec


def write(home: Path, text: str, name: str = "main_under_test") -> None:
    (home / f"{name}.py").write_text(text)


def load(home: Path, spec: str = "main_under_test:app", **options: Any) -> Any:
    return load_app(spec, app_dir=str(home), **options)


ASGI = "async def app(scope, receive, send): return 'called'\n"


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("main:app", ("main", "app")),
        ("pkg.main:api.app", ("pkg.main", "api.app")),
        ("main", ("main", "app")),
        ("asgi:main:app", ("main", "app")),
        ("asgi:app", ("asgi", "app")),
        ("main:make()", ("main", "make()")),
    ],
)
def test_specs(spec: str, found: tuple[str, str]) -> None:
    assert split_spec(spec) == found


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("wsgi:main:app", "WSGI applications are not supported yet"),
        ("other:main:app", "has too many colons: want module:attribute, for example main:app"),
        ("main:", "names no attribute"),
        ("", "is no module name"),
        ("my-app:app", "is no module name"),
        ("src/main.py:api", "want a module, main:api, with --app-dir src"),
        ("main.py", "want a module, main:app, with --app-dir ."),
    ],
)
def test_specs_that_are_none(spec: str, reason: str) -> None:
    with pytest.raises(AppLoadError) as caught:
        split_spec(spec)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        (ASGI, "main_under_test:app"),
        (
            f"class api:\n    {ASGI.replace('def app(', 'def app(self, ').strip()}\nroot = api()\n",
            "main_under_test:root.app",
        ),
        (f"{ASGI}def make(): return app\n", "main_under_test:make()"),
    ],
)
def test_applications_are_found(home: Path, text: str, spec: str) -> None:
    write(home, text)
    coroutine = load(home, spec)(None, None, None)
    with pytest.raises(StopIteration, match="called"):
        coroutine.send(None)


def test_app_dir_goes_first(home: Path) -> None:
    write(home, "async def app(scope, receive, send): ...\n", "json")
    (home / "main_under_test.py").write_text(ASGI)
    load(home)
    assert sys.path[0] == str(home)


def test_a_factory_is_called(home: Path) -> None:
    write(home, f"{ASGI}def make():\n    return app\n")
    assert load(home, "main_under_test:make", factory=True).__name__ == "app"


def test_an_object_is_taken_as_it_is() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    assert load_app(app) is app
    assert load_app(lambda: app, factory=True) is app


@pytest.mark.parametrize(
    ("text", "spec", "reason"),
    [
        ("", "nowhere:app", "no module named 'nowhere' in"),
        ("", "main_under_test.sub:app", "no module named 'main_under_test.sub'"),
        ("", "main_under_test:app", "main_under_test has no attribute 'app'"),
        ("application = 1", "main_under_test:app", "has no attribute 'app'; it has 'application'"),
        ("class a: pass", "main_under_test:a.b", "main_under_test.a has no attribute 'b'"),
        ("app = 1", "main_under_test:app", "main_under_test:app is an int, which is not callable"),
        ("app = None", "main_under_test:app", "main_under_test:app is None, which is not callable"),
        ("app = []", "main_under_test:app()", "is a list, so it cannot be called as a factory"),
        ("async def app(): ...", "main_under_test:app()", "is a coroutine function: want a plain function"),
    ],
)
def test_a_wrong_name_is_one_line_without_traceback(home: Path, text: str, spec: str, reason: str) -> None:
    write(home, text)
    with pytest.raises(AppLoadError) as caught:
        load(home, spec)
    assert reason in str(caught.value)
    assert (caught.value.details, "\n" in str(caught.value)) == ("", False)


def test_a_missing_directory_is_told(home: Path) -> None:
    with pytest.raises(AppLoadError, match=r"app_dir .* is no directory"):
        load_app("main:app", app_dir=str(home / "none"))


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("import no_such_dependency\n", "No module named 'no_such_dependency'", "import no_such_dependency"),
        ("def fail():\n    raise ValueError('bad\\nsetting')\nfail()\n", "ValueError: bad", "in fail"),
        ("import sys\nsys.exit(7)\n", "it called sys.exit(7)", "sys.exit(7)"),
        ("def app(:\n", "SyntaxError", "def app(:"),
    ],
)
def test_an_exception_of_the_module_comes_with_its_own_traceback(home: Path, text: str, reason: str, line: str) -> None:
    write(home, text)
    with pytest.raises(AppLoadError) as caught:
        load(home)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert line in caught.value.details
    assert "loader.py" not in caught.value.details
    assert "importlib" not in caught.value.details


def test_an_exception_of_the_factory_comes_with_its_own_traceback(home: Path) -> None:
    write(home, "def make():\n    raise KeyError('SECRET_KEY')\n")
    with pytest.raises(AppLoadError) as caught:
        load(home, "main_under_test:make()")
    assert str(caught.value) == "the factory main_under_test:make() failed: KeyError: 'SECRET_KEY'"
    assert "in make" in caught.value.details
    assert "loader.py" not in caught.value.details


class ASGI2:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


class Endpoint:
    """A class that is an ASGI 3 application by itself, as Starlette's HTTPEndpoint."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Iterator[None]:
        yield


class Callable3:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Callable2:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


async def asgi3(scope: Any, receive: Any, send: Any, more: int = 0) -> None: ...


async def anything(*args: Any, **options: Any) -> None: ...


async def bound(first: Any, scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize("app", [asgi3, anything, Endpoint, Callable3(), functools.partial(bound, 1), print])
def test_asgi3_is_recognised(app: Any) -> None:
    assert load_app(app) is app


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (ASGI2, "ASGI2 is an ASGI 2 application"),
        (Callable2(), "Callable2 is a WSGI application"),
        (lambda environ, start_response: [], "is a WSGI application"),
        (lambda: None, "add --factory"),
        (lambda a, b, c, d: None, "takes 4 arguments"),
    ],
)
def test_other_interfaces_are_refused_by_name(app: Any, reason: str) -> None:
    with pytest.raises(AppLoadError, match=reason):
        load_app(app)


def test_asgi3_by_order_is_taken_unseen() -> None:
    app = Callable2()
    assert load_app(app, interface="asgi3") is app  # type: ignore[comparison-overlap]


def test_frameworks_are_recognised() -> None:
    flask = pytest.importorskip("flask")
    starlette = pytest.importorskip("starlette.applications")
    with pytest.raises(AppLoadError, match="Flask is a WSGI application"):
        load_app(flask.Flask("x"))
    app = starlette.Starlette()
    assert load_app(app) is app
