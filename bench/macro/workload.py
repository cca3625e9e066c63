"""The table of workloads: what is asked, and what the answer has to be before anything is timed.

``verify`` speaks plain HTTP/1.1 through ``http.client``, so a wrong answer is found by a parser that is nobody's own.
"""

import http.client
import json
from dataclasses import dataclass

from bench.macro.app import BODY, CHUNK, CHUNKS, DOCUMENT, PLAINTEXT

#: The request of a browser that follows a link: twelve fields with ``Host``, which the load generator adds.
BROWSER_FIELDS = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Connection", "keep-alive"),
    ("Cookie", "session=eyJ1c2VyIjo0Mn0.Zk3vXA.7Jb0vZ1q; theme=dark"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-User", "?1"),
)


class WrongAnswer(Exception):
    """A server does not answer a workload as it must; the text says in what."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One row: ``path`` with ``fields``, as POST of ``post_bytes`` (a multiple of 256) where that is not 0.

    ``answer`` is the body expected; ``None`` means the body that was posted.  ``sized`` says whether the response has
    to carry a content-length.
    """

    name: str
    path: str
    answer: bytes | None
    fields: tuple[tuple[str, str], ...] = ()
    post_bytes: int = 0
    sized: bool = True


_TABLE = (
    Workload("plaintext", "/plaintext", PLAINTEXT),
    Workload("browser", "/plaintext", PLAINTEXT, fields=BROWSER_FIELDS),
    Workload("json", "/json", json.dumps(DOCUMENT).encode()),
    Workload("echo", "/echo", None, post_bytes=4096),
    Workload("stream", "/stream", CHUNK * CHUNKS, sized=False),
    Workload("sleep", "/sleep", PLAINTEXT),
    Workload("body", "/body", BODY),
)

WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in _TABLE}


def _check(workload: Workload, response: http.client.HTTPResponse, body: bytes, expected: bytes) -> None:
    if response.status != 200:
        raise WrongAnswer(f"status {response.status}")
    if body != expected:
        raise WrongAnswer(f"body of {len(body)} bytes differs from the {len(expected)} expected")
    length = response.getheader("content-length")
    if workload.sized and length != str(len(expected)):
        raise WrongAnswer(f"content-length {length}, expected {len(expected)}")
    if not workload.sized and length is not None:
        raise WrongAnswer(f"content-length {length} on a stream")
    if response.will_close:
        raise WrongAnswer("the connection is not kept alive")


def verify(workload: Workload, port: int, timeout_s: float = 5.0) -> None:
    """Ask the server on ``port`` twice over one connection and compare; ``WrongAnswer`` says what was wrong."""
    sent = bytes(range(256)) * (workload.post_bytes // 256) if workload.post_bytes else None
    expected = workload.answer if workload.answer is not None else sent or b""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        for _ in range(2):
            client.request("POST" if sent else "GET", workload.path, sent, dict(workload.fields))
            response = client.getresponse()
            _check(workload, response, response.read(), expected)
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswer(f"{type(error).__name__}: {error}") from error
    finally:
        client.close()
