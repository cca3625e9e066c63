"""Finding the application: what is found, and what is told where nothing can be."""

import sys
from pathlib import Path
from typing import Any

import pytest

from fastserver.server.interface import WSGIApp
from fastserver.server.loader import AppLoadError, Spec, load_app, parse_spec


def write(home: Path, text: str, name: str = "main_under_test") -> None:
    (home / f"{name}.py").write_text(text)


def load(home: Path, spec: str = "main_under_test:app", **options: Any) -> Any:
    return load_app(spec, app_dir=str(home), **options)


ASGI = "async def app(scope, receive, send): return 'called'\n"


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("main:app", Spec("main", "app")),
        ("pkg.main:api.app", Spec("pkg.main", "api.app")),
        ("main", Spec("main", "")),
        ("asgi:main:app", Spec("main", "app", interface="asgi")),
        ("asgi:app", Spec("asgi", "app")),
        ("wsgi:main:app", Spec("main", "app", interface="wsgi")),
        ("wsgi:app", Spec("wsgi", "app")),
        ("main:make()", Spec("main", "make", arguments=((), {}))),
        ('main:make("a:b", 2)', Spec("main", "make", arguments=(("a:b", 2), {}))),
        (
            "main:api.make(debug=True, names=['x'])",
            Spec("main", "api.make", arguments=((), {"debug": True, "names": ["x"]})),
        ),
        ("wsgi:main:make('x:y')", Spec("main", "make", interface="wsgi", arguments=(("x:y",), {}))),
        ("src/main.py:api", Spec("main", "api", "src")),
        ("main.py", Spec("main", "", ".")),
        ("asgi:/srv/site/main.py:app", Spec("main", "app", "/srv/site", "asgi")),
    ],
)
def test_specs(spec: str, found: Spec) -> None:
    assert parse_spec(spec) == found


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("other:main:app", "has too many colons: want module:attribute, for example main:app"),
        ("main:", "names no attribute"),
        ("", "is no module name"),
        ("my-app:app", "is no module name"),
        ("src/my-main.py:api", "is no module name"),
        ("main:make(", "is no attribute: want a name, or a call with literal arguments"),
        ("main:make(x)", "make(x) is no attribute"),
        ("main:make(**{'a': 1})", "is no attribute"),
        ("main:make()()", "is no attribute"),
        ("main:1", "1 is no attribute"),
    ],
)
def test_specs_that_are_none(spec: str, reason: str) -> None:
    with pytest.raises(AppLoadError) as caught:
        parse_spec(spec)
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


def test_the_name_may_be_left_out(home: Path) -> None:
    write(home, "def application(environ, start_response): ...\n")
    assert load(home, "main_under_test") == WSGIApp(sys.modules["main_under_test"].application)


def test_a_file_is_imported_by_its_path(home: Path) -> None:
    (home / "src").mkdir()
    (home / "src" / "by_path.py").write_text(ASGI)
    try:
        assert load(home, "src/by_path.py").__name__ == "app"
        assert sys.path[0] == str(home / "src")
    finally:
        sys.modules.pop("by_path", None)


def test_a_factory_gets_its_arguments(home: Path) -> None:
    write(home, "def make(name, depth=0):\n    return lambda environ, start_response: (name, depth)\n")
    app = load(home, "main_under_test:make('x', depth=2)")
    assert app({}, None) == ("x", 2)


@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, "function"), ({"interface": "wsgi"}, "WSGIApp"), ({"interface": "asgi2"}, "ASGI2App")],
)
def test_the_interface_may_be_told(options: Any, kind: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    assert type(load_app(app, **options)).__name__ == kind


def test_the_prefix_tells_the_interface(home: Path) -> None:
    write(home, "def app(*args): ...\n")
    assert isinstance(load(home, "wsgi:main_under_test:app"), WSGIApp)
    assert not isinstance(load(home, "asgi:main_under_test:app"), WSGIApp)
    assert not isinstance(load(home, "wsgi:main_under_test:app", interface="asgi3"), WSGIApp)


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (lambda: None, "takes no arguments: if it makes the application, add --factory"),
        (lambda a, b, c, d: None, "takes 4 arguments: ASGI wants scope, receive and send, WSGI environ and"),
    ],
)
def test_what_is_no_application_is_told_by_name(app: Any, reason: str) -> None:
    with pytest.raises(AppLoadError, match=reason):
        load_app(app)
