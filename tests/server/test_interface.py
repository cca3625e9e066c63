"""Which interface an application speaks, by how it can be called."""

import functools
from collections.abc import Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from fastserver.server.interface import ASGI2App, WSGIApp, adapt, detect


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


class Iterable2:
    """PEP 3333's second example: the class is the application, its instance the response."""

    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Iterator[bytes]:
        yield b""


async def asgi3(scope: Any, receive: Any, send: Any, more: int = 0) -> None: ...


async def anything(*args: Any, **options: Any) -> None: ...


async def bound(first: Any, scope: Any, receive: Any, send: Any) -> None: ...


def awaited_later(scope: Any, receive: Any, send: Any) -> Any: ...


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


def wsgi_with_more(environ: Any, start_response: Any, more: int = 0) -> list[bytes]:
    return []


def wsgi_below(first: Any, environ: Any, start_response: Any) -> list[bytes]:
    return []


def anything_at_once(*args: Any, **options: Any) -> Any: ...


def scope_first(scope: Any, receive: Any, send: Any = None) -> Any: ...


def instances(scope: Any) -> Any: ...


@functools.wraps(wsgi)
def decorated(*args: Any, **options: Any) -> Any: ...


@pytest.mark.parametrize(
    "app",
    [
        asgi3,
        anything,
        Endpoint,
        Callable3(),
        functools.partial(bound, 1),
        awaited_later,
        scope_first,
        int,
        Callable3().__call__,
    ],
)
def test_asgi3(app: Any) -> None:
    assert detect(app) == "asgi3"
    assert adapt(app, "auto") is app


@pytest.mark.parametrize(
    "app",
    [
        wsgi,
        wsgi_with_more,
        Callable2(),
        Iterable2,
        functools.partial(wsgi_below, 1),
        decorated,
        anything_at_once,
        validator(wsgi),
    ],
)
def test_wsgi(app: Any) -> None:
    assert detect(app) == "wsgi"
    assert adapt(app, "auto") == WSGIApp(app)


@pytest.mark.parametrize("app", [ASGI2, instances])
def test_asgi2(app: Any) -> None:
    assert detect(app) == "asgi2"
    assert isinstance(adapt(app, "auto"), ASGI2App)


async def two(receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (two, "coroutine function that takes 2 arguments"),
        (lambda: None, "takes no arguments"),
        (lambda a, b, c, d: None, "takes 4 arguments"),
    ],
)
def test_what_is_none_of_them_is_refused(app: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        detect(app)


def test_an_order_is_carried_out_unseen() -> None:
    assert adapt(wsgi, "asgi3") is wsgi
    assert adapt(print, "wsgi") == WSGIApp(print)
    assert adapt(adapt(print, "wsgi"), "asgi3") == WSGIApp(print), "what is marked stays so"


def test_frameworks() -> None:
    flask = pytest.importorskip("flask")
    starlette = pytest.importorskip("starlette.applications")
    django = pytest.importorskip("django.core.handlers.wsgi")
    assert detect(flask.Flask("x")) == "wsgi"
    assert detect(django.WSGIHandler.__call__.__get__(object())) == "wsgi"
    assert detect(starlette.Starlette()) == "asgi3"
