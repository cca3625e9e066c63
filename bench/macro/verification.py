"""Whether a server answers a workload as it must, asked before anything is timed.

The clients are none of the servers' own: ``http.client``, ``httpx``, ``curl_cffi`` and ``websockets``.
"""

import contextlib
import http.client
from collections.abc import Callable
from typing import Any

from bench.macro.workload import Wire, Workload, build_body

#: How often each workload is asked over one connection.
TIMES = 2


class WrongAnswer(Exception):
    """A server does not answer a workload as it must; the text says in what."""


def _check(workload: Workload, status: int, length: str | None, body: bytes) -> None:
    expected = workload.answer if workload.answer is not None else build_body(workload)
    if status != 200:
        raise WrongAnswer(f"status {status}")
    if body != expected:
        raise WrongAnswer(f"body of {len(body)} bytes differs from the {len(expected)} expected")
    if workload.sized and length != str(len(expected)):
        raise WrongAnswer(f"content-length {length}, expected {len(expected)}")
    if not workload.sized and length is not None:
        raise WrongAnswer(f"content-length {length} on a stream")


def verify_http1(workload: Workload, port: int, timeout_s: float) -> None:
    """By ``http.client``, which has to find the connection kept alive."""
    sent = build_body(workload) or None
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    with contextlib.closing(client):
        for _ in range(TIMES):
            client.request("POST" if sent else "GET", workload.path, sent, dict(workload.fields))
            response = client.getresponse()
            _check(workload, response.status, response.getheader("content-length"), response.read())
            if response.will_close:
                raise WrongAnswer("the connection is not kept alive")


def verify_http2(workload: Workload, port: int, timeout_s: float) -> None:
    """By ``httpx``: prior knowledge without TLS, ALPN with it, where the certificate is the benchmark's own."""
    import httpx

    secure = workload.wire is Wire.H2
    base = f"{'https' if secure else 'http'}://127.0.0.1:{port}"
    sent = build_body(workload) or None
    with httpx.Client(base_url=base, http1=secure, http2=True, verify=False, timeout=timeout_s) as client:
        for _ in range(TIMES):
            try:
                response = client.request(
                    "POST" if sent else "GET", workload.path, content=sent, headers=dict(workload.fields)
                )
            except httpx.HTTPError as error:
                raise WrongAnswer(f"{type(error).__name__}: {error}") from error
            if response.http_version != "HTTP/2":
                raise WrongAnswer(f"speaks {response.http_version}")
            _check(workload, response.status_code, response.headers.get("content-length"), response.content)


def verify_http3(workload: Workload, port: int, timeout_s: float) -> None:
    """By ``curl_cffi``, which speaks nothing else where it is told so; the certificate is the benchmark's own."""
    from curl_cffi.requests import Session
    from curl_cffi.requests.exceptions import RequestException

    sent = build_body(workload) or None
    with Session[Any](http_version="v3only", verify=False, timeout=timeout_s) as client:
        for _ in range(TIMES):
            try:
                response = client.request(
                    "POST" if sent else "GET",
                    f"https://127.0.0.1:{port}{workload.path}",
                    data=sent,
                    headers=dict(workload.fields),
                )
            except RequestException as error:
                raise WrongAnswer(f"{type(error).__name__}: {error}") from error
            _check(workload, response.status_code, response.headers.get("content-length"), response.content)


def verify_websocket(workload: Workload, port: int, timeout_s: float) -> None:
    """By ``websockets``: the message comes back whole and of its kind, compressed where it was sent so."""
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    sent: bytes | str = build_body(workload).decode() if workload.text else build_body(workload)
    try:
        with connect(
            f"ws://127.0.0.1:{port}{workload.path}",
            compression="deflate" if workload.deflated else None,
            open_timeout=timeout_s,
            close_timeout=timeout_s,
            max_size=None,
        ) as client:
            if workload.deflated and not client.protocol.extensions:
                raise WrongAnswer("it does not accept permessage-deflate")
            for _ in range(TIMES):
                client.send(sent)
                if client.recv(timeout_s) != sent:
                    raise WrongAnswer("another message comes back than was sent")
    except WebSocketException as error:
        raise WrongAnswer(f"{type(error).__name__}: {error}") from error


_CLIENTS: dict[Wire, Callable[[Workload, int, float], None]] = {
    Wire.H1: verify_http1,
    Wire.H2C: verify_http2,
    Wire.H2: verify_http2,
    Wire.H3: verify_http3,
    Wire.WS: verify_websocket,
    Wire.WSGI: verify_http1,
}


def verify(workload: Workload, port: int, timeout_s: float = 5.0) -> None:
    """Ask the server on ``port`` over one connection and compare; ``WrongAnswer`` says what was wrong."""
    try:
        _CLIENTS[workload.wire](workload, port, timeout_s)
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswer(f"{type(error).__name__}: {error}") from error
