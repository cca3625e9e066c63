"""Each example, served as a user would: the command, real sockets, two workers, and clients that know nothing of us."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[1]
FILE_SIZE = 32_000_000
MANY = 200

Serve = Callable[..., httpx.Client]


@contextmanager
def run_server(target: str, *arguments: str) -> Iterator[str]:
    """The address of ``fastserver target``; the socket listens before it starts, so that nothing polls for it.

    At the end SIGTERM must bring exit code 0 and no traceback.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "fastserver", target, "--bind", f"fd://{listener.fileno()}", *arguments]
        server = subprocess.Popen(
            command, cwd=ROOT, pass_fds=[listener.fileno()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        host, port = listener.getsockname()
    try:
        yield f"http://{host}:{port}"
        server.send_signal(signal.SIGTERM)
        output = server.communicate(timeout=20)[0]
    except BaseException:
        server.kill()
        print(server.communicate()[0])
        raise
    assert (server.returncode, "Traceback" in output) == (0, False), output


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(name, *arguments)`` starts an example and gives a client of it."""
    with ExitStack() as stack:

        def start(name: str, *arguments: str) -> httpx.Client:
            url = stack.enter_context(run_server(f"examples.{name}:app", *arguments))
            return stack.enter_context(httpx.Client(base_url=url, timeout=20))

        yield start


def find_workers(client: httpx.Client, path: str = "/") -> set[int]:
    """The processes that answer: new connections, a batch at once, until a second one has been seen."""
    seen: set[int] = set()
    for _ in range(20):
        clients = [httpx.Client(base_url=client.base_url, timeout=20) for _ in range(10)]
        with ExitStack() as stack:
            streams = [stack.enter_context(each.stream("GET", path)) for each in clients]
            seen |= {json.loads(stream.read())["worker"] for stream in streams}
        for each in clients:
            each.close()
        if len(seen) > 1:
            break
    return seen


def need(module: str) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed")


def test_hello(serve: Serve) -> None:
    client = serve("hello", "--workers", "2")
    for _ in range(MANY):
        response = client.get("/")
        assert (response.status_code, response.text) == (200, "Hello, world!\n")
    assert client.head("/").headers["content-length"] == "14"


def test_chat(serve: Serve) -> None:
    need("websockets")
    from websockets.sync.client import connect

    client = serve("chat")
    assert b"A room" in client.get("/").content
    address = f"ws://{client.base_url.host}:{client.base_url.port}/"
    with connect(address) as first:
        assert str(first.recv(10)).endswith("has come over HTTP/1.1")
        with connect(address) as second:
            assert "has come" in str(first.recv(10))
            second.send("hello")
            assert str(first.recv(10)).endswith(": hello")
        assert str(first.recv(10)).endswith("has left (1000)")


def test_fastapi(serve: Serve) -> None:
    need("fastapi")
    client = serve("fastapi_app", "--workers", "2")
    assert client.get("/").json()["message"] == "Hello from FastAPI"
    assert len(find_workers(client)) == 2
    response = client.post("/items", json={"name": "tea", "price": 2.5, "quantity": 4})
    assert (response.status_code, response.json()) == (201, {"name": "tea", "total": 10.0})
    assert client.post("/items", json={"name": "tea"}).status_code == 422
    assert client.get("/openapi.json").json()["info"]["title"] == "fastserver example"
    with client.stream("GET", "/countdown/3") as stream:
        assert stream.headers["transfer-encoding"] == "chunked"
        assert list(stream.iter_lines()) == ["3", "2", "1", "lift-off"]


def test_starlette(serve: Serve) -> None:
    need("starlette")
    client = serve("starlette_app", "--workers", "2")
    assert client.get("/").json()["message"] == "Hello from Starlette"
    assert len(find_workers(client)) == 2
    assert client.post("/echo", content=bytes(3_000_000)).json() == {"received": 3_000_000}
    assert client.post("/echo", content=(b"piece" for _ in range(1000))).json() == {"received": 5000}
    numbers = "".join(f"{number}\n" for number in range(20_000))
    assert client.get("/numbers").text == numbers
    part = client.get("/numbers", headers={"range": "bytes=0-9"})
    assert (part.status_code, part.text) == (206, numbers[:10])
    assert client.post("/later").status_code == 202


def test_django(serve: Serve) -> None:
    need("django")
    client = serve("django_app", "--workers", "2")
    assert client.get("/").json()["message"] == "Hello from Django"
    assert len(find_workers(client)) == 2
    assert client.get("/sync?a=1&b=%C3%A9").text == "GET /sync?a=1&b=%C3%A9\n"
    body = os.urandom(300_000)
    assert client.post("/echo", content=body, headers={"content-type": "image/png"}).content == body
    assert client.get("/nowhere").status_code == 404
    with client.stream("GET", "/countdown/2") as stream:
        assert list(stream.iter_lines()) == ["2", "1", "lift-off"]


def test_litestar(serve: Serve) -> None:
    need("litestar")
    client = serve("litestar_app", "--workers", "2")
    assert client.get("/").json()["message"] == "Hello from Litestar"
    assert len(find_workers(client)) == 2
    assert client.post("/items", json={"name": "tea", "price": 1.5}).json() == {"name": "tea", "total": 1.5}
    assert client.post("/count", content=(b"piece" for _ in range(1000))).json() == {"received": 5000}


def test_quart(serve: Serve) -> None:
    need("quart")
    client = serve("quart_app", "--workers", "2")
    assert client.get("/").json()["message"] == "Hello from Quart"
    assert len(find_workers(client)) == 2
    assert client.post("/echo", content=b"to and fro", headers={"content-type": "text/plain"}).text == "to and fro"
    with client.stream("GET", "/countdown/2") as stream:
        assert list(stream.iter_lines()) == ["2", "1", "lift-off"]


# The application that `make run` serves.


def read_facts(page: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    return facts


def test_page_tells_of_its_own_request(serve: Serve) -> None:
    client = serve("app", "--workers", "2")
    hostile = "</script><script>alert(1)</script>"
    response = client.get("/", headers={"x-hostile": hostile})
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["server"] == "fastserver"
    facts = read_facts(response.text)
    assert (facts["method"], facts["path"], facts["http_version"], facts["scheme"]) == ("GET", "/", "1.1", "http")
    assert facts["server"] == [client.base_url.host, client.base_url.port]
    assert facts["client"][0] == "127.0.0.1"
    assert ["x-hostile", hostile] in facts["headers"]
    assert hostile not in response.text
    assert client.get("/nowhere").status_code == 404
    assert len(find_workers(client, "/facts")) == 2


def test_page_streams_events(serve: Serve) -> None:
    client = serve("app")
    ticks: list[dict[str, Any]] = []
    with client.stream("GET", "/events") as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        for line in stream.iter_lines():
            if line.startswith("data: "):
                ticks.append(json.loads(line[6:]))
            if len(ticks) == 3:
                break
    assert ticks[0]["uptime"] < ticks[1]["uptime"] < ticks[2]["uptime"]
    assert {tick["open"] for tick in ticks} == {1}
    # The client has left in the middle of an endless stream: the next requests are served, the exit is clean.
    assert client.get("/ping").text == "pong\n"


def test_page_counts_an_upload_as_it_arrives(serve: Serve) -> None:
    client = serve("app")
    response = client.post("/upload", content=(bytes(65_536) for _ in range(80)))
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert len(lines) > 2
    assert [line["received"] for line in lines] == sorted(line["received"] for line in lines)
    assert lines[-1]["received"] == 80 * 65_536


def test_page_sends_a_picture_and_a_file(serve: Serve) -> None:
    client = serve("app")
    picture = client.get("/mandelbrot")
    width, _, height = picture.headers["x-picture"].partition("x")
    assert picture.headers["transfer-encoding"] == "chunked"
    assert len(picture.content) == int(width) * int(height)
    assert len(set(picture.content)) > 20
    assert "http.response.pathsend" in client.get("/facts").json()["extensions"]
    with client.stream("GET", "/file") as stream:
        assert stream.headers["content-length"] == str(FILE_SIZE)
        assert sum(len(piece) - piece.count(0) for piece in stream.iter_bytes()) == 0
        assert stream.num_bytes_downloaded == FILE_SIZE


def test_page_greets_by_websocket(serve: Serve) -> None:
    need("websockets")
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    client = serve("app")
    address = f"ws://{client.base_url.host}:{client.base_url.port}"
    with connect(f"{address}/socket") as socket:
        assert json.loads(socket.recv(10))["http_version"] == "1.1"
        socket.send("again")
        assert socket.recv(10) == "again"
    with pytest.raises(InvalidStatus), connect(f"{address}/elsewhere"):
        pass


def test_page_with_the_development_certificate(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("h2")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    client = serve("app", "--dev-cert", "--workers", "2")
    url = f"https://127.0.0.1:{client.base_url.port}/facts"
    with httpx.Client(verify=False, timeout=20) as careless:
        assert careless.get(url).json()["http_version"] == "1.1"
    trust = ssl.create_default_context(cafile=str(tmp_path / "fastserver" / "localhost.crt"))
    with httpx.Client(verify=trust, http2=True, timeout=20) as modern:
        facts = modern.get(url).json()
        assert (facts["http_version"], facts["scheme"]) == ("2", "https")
        assert modern.get(url.replace("127.0.0.1", "localhost")).json()["tls"] == "0x304"


def test_the_development_certificate_needs_a_cache(tmp_path: Path) -> None:
    (tmp_path / "fastserver").write_text("")
    command = [sys.executable, "-m", "fastserver", "examples.app:app", "--bind", "127.0.0.1:0", "--dev-cert"]
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    ended = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 3
    assert "dev_cert: " in ended.stderr
    assert "cannot be used: Not a directory" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_page_by_curl(serve: Serve) -> None:
    client = serve("app")

    def curl(*arguments: str, path: str) -> str:
        command = ["curl", "-sS", "--max-time", "20", *arguments, f"{client.base_url}/{path}"]
        return subprocess.run(command, capture_output=True, check=True, timeout=30).stdout.decode()

    assert curl(path="ping") == "pong\n"
    assert curl("--http1.0", path="ping") == "pong\n"
    assert curl("-I", path="ping").startswith("HTTP/1.1 200 OK\r\n")
    uploaded = curl("-T", str(ROOT / "examples" / "page.html"), path="upload")
    assert json.loads(uploaded.splitlines()[-1])["received"] == (ROOT / "examples" / "page.html").stat().st_size
    assert json.loads(curl("-H", "Expect: 100-continue", "-d", "x=1", path="upload"))["received"] == 3


needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
CHROMIUM = [
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]

#: What the page has found out by itself: a pair for each row of its table.
READ_HOPS = """
(async () => {
  const done = () => document.getElementById("probed")?.textContent;
  while (!done()) await new Promise(resolve => setTimeout(resolve, 20));
  const rows = [...document.querySelectorAll("#hops tr")].map(row => [row.dataset.server, row.dataset.browser]);
  return JSON.stringify([document.getElementById("protocol").textContent, done(), rows]);
})()
"""


def read_page(url: str, profile: Path) -> list[Any]:
    """What ``READ_HOPS`` finds in headless Chromium, by the DevTools protocol."""
    from websockets.sync.client import connect

    command = [*CHROMIUM, f"--user-data-dir={profile}", "--ignore-certificate-errors", "--remote-debugging-port=0"]
    browser = subprocess.Popen([*command, "about:blank"], stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert browser.stderr is not None
        ports = (re.search(r"DevTools listening on ws://([^/]+)/", line) for line in browser.stderr)
        place = next(found[1] for found in ports if found)
        targets = httpx.get(f"http://{place}/json", timeout=20).json()
        target = next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
        with connect(target, max_size=None) as tools:

            def call(number: int, method: str, **parameters: object) -> Any:
                tools.send(json.dumps({"id": number, "method": method, "params": parameters}))
                while (answer := json.loads(tools.recv(30))).get("id") != number:
                    pass
                return answer["result"]

            call(1, "Page.navigate", url=url)
            told = call(2, "Runtime.evaluate", expression=READ_HOPS, awaitPromise=True)["result"]["value"]
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.communicate()
    found: list[Any] = json.loads(told)
    return found


@needs_chromium
def test_page_in_a_browser(serve: Serve, tmp_path: Path) -> None:
    client = serve("app", "--timeout-graceful-shutdown", "1")
    command = [*CHROMIUM, f"--user-data-dir={tmp_path}", "--timeout=2000", "--dump-dom", str(client.base_url)]
    browser = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert 'id="protocol">HTTP/1.1</em>' in browser.stdout, browser.stderr
    assert "127.0.0.1:" in browser.stdout.partition('id="client">')[2][:20]
    assert "<dt>user-agent</dt>" in browser.stdout


@needs_chromium
@pytest.mark.parametrize(
    ("arguments", "version", "hop"), [((), "1.1", "http/1.1"), (("--dev-cert",), "2", "h2")], ids=["clear", "TLS"]
)
def test_page_compares_protocols_with_the_browser(
    arguments: tuple[str, ...],
    version: str,
    hop: str,
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need("websockets")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    client = serve("app", *arguments, "--timeout-graceful-shutdown", "1")
    url = f"{'https' if arguments else 'http'}://127.0.0.1:{client.base_url.port}"
    title, summary, hops = read_page(url, tmp_path / "profile")
    assert (title, summary) == (f"HTTP/{version}", f"6 by HTTP/{version}")
    assert hops[:-1] == [[version, hop]] * 7  # the page, and what it has fetched
    assert hops[-1] in (["1.1", ""], ["2", ""])  # the WebSocket: as the browser likes
