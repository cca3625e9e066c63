"""The requests that the micro benchmarks feed: the heads of ``bench.macro``'s workloads."""

from bench.macro.workload import BROWSER_FIELDS

MINIMAL = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"
BROWSER = b"".join(
    [
        b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n",
        *(f"{name}: {value}\r\n".encode() for name, value in BROWSER_FIELDS),
        b"\r\n",
    ]
)
ECHO = b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Length: 4096\r\n\r\n" + b"x" * 4096
STREAM = b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"
