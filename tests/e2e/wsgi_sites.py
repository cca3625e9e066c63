"""The same small site in Flask and in Django: an upload, a stream, a session of ``close``."""

import hashlib
from collections.abc import Iterator
from typing import Any

import django.core.signals
import flask
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

EVENTS: list[str] = []


def count(name: str) -> Iterator[bytes]:
    try:
        for number in range(2000):
            yield b"%1023d\n" % number
    finally:
        EVENTS.append(f"{name} closed")


# ---- Flask ---------------------------------------------------------------------------------------------------------

flask_app = flask.Flask(__name__)


@flask_app.teardown_request
def note_teardown(error: BaseException | None) -> None:
    EVENTS.append("torn down")


@flask_app.route("/")
def index() -> str:
    return "Hello from Flask"


@flask_app.route("/upload", methods=["POST"])
def upload() -> Any:
    file = flask.request.files["file"]
    data = file.read()
    return {"name": file.filename, "size": len(data), "sha": hashlib.sha256(data).hexdigest(), **flask.request.form}


@flask_app.route("/raw", methods=["POST"])
def raw() -> Any:
    data = flask.request.get_data()
    return {"size": len(data), "sha": hashlib.sha256(data).hexdigest()}


@flask_app.route("/stream")
def stream() -> flask.Response:
    return flask.Response(flask.stream_with_context(count("flask")), mimetype="text/plain")


@flask_app.route("/file")
def file() -> flask.Response:
    return flask.send_file(__file__, mimetype="text/plain", conditional=True)


@flask_app.route("/boom")
def boom() -> str:
    raise RuntimeError("boom in Flask")


@flask_app.route("/events")
def events() -> Any:
    return EVENTS


# ---- Django --------------------------------------------------------------------------------------------------------


def django_index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello from Django")


def django_upload(request: HttpRequest) -> HttpResponse:
    found: Any = request.FILES["file"]
    digest = hashlib.sha256()
    for piece in found.chunks():
        digest.update(piece)
    return JsonResponse({"name": found.name, "size": found.size, "sha": digest.hexdigest(), **request.POST.dict()})


def django_raw(request: HttpRequest) -> HttpResponse:
    data = request.read()
    return JsonResponse({"size": len(data), "sha": hashlib.sha256(data).hexdigest()})


def django_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(count("django"), content_type="text/plain")


def django_file(request: HttpRequest) -> FileResponse:
    return FileResponse(open(__file__, "rb"), content_type="text/plain")


def django_boom(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("boom in Django")


def django_events(request: HttpRequest) -> HttpResponse:
    return JsonResponse(EVENTS, safe=False)


urlpatterns = [
    path("", django_index),
    path("upload", django_upload),
    path("raw", django_raw),
    path("stream", django_stream),
    path("file", django_file),
    path("boom", django_boom),
    path("events", django_events),
]


def make_django() -> Any:
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="not secret",
        DATA_UPLOAD_MAX_MEMORY_SIZE=None,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        LOGGING_CONFIG=None,
    )
    django.setup()
    django.core.signals.request_finished.connect(lambda **_: EVENTS.append("torn down"), weak=False)
    return WSGIHandler()
