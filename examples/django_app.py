"""Django in one file: ``fastserver examples.django_app:app --workers 2``.

A project made by ``django-admin startproject`` needs none of this: serve its ``asgi.py`` as it is, for example
``fastserver mysite.asgi:application``.
"""

import asyncio
import os
from collections.abc import AsyncIterator

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example has no secrets",
)


async def read_root(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"message": "Hello from Django", "worker": os.getpid()})


def read_synchronously(request: HttpRequest) -> HttpResponse:
    """An ordinary view: Django runs it in a thread."""
    return HttpResponse(f"{request.method} {request.get_full_path()}\n", content_type="text/plain")


def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type=request.headers.get("content-type"))


async def count_down(request: HttpRequest, start: int) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(start, 0, -1):
            yield f"{number}\n"
            await asyncio.sleep(0.1)
        yield "lift-off\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


urlpatterns = [
    path("", read_root),
    path("sync", read_synchronously),
    path("echo", echo),
    path("countdown/<int:start>", count_down),
]

app = get_asgi_application()
