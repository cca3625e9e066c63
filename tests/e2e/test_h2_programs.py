"""HTTP/2 as curl, nghttp and h2load speak it; each test names the program that it needs."""

import hashlib
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.conftest import Serve, Served
from tests.e2e.processes import PATIENCE_S
from tests.e2e.streams import FILE, make_bytes

APP = "tests.e2e.streams:app"
ARGUMENTS = ["--h2c"]
BLOB = make_bytes(3_000_000)


def need(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@pytest.fixture(scope="module")
def blob(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blob") / "blob"
    path.write_bytes(BLOB)
    return path


def run(*command: str) -> str:
    """What a program says on its standard output; it must succeed."""
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, (command, done.returncode, done.stderr.decode())
    return done.stdout.decode()


def curl(site: Served, path: str, *arguments: str, code: int = 0) -> tuple[int, str, bytes]:
    """Status, version and body of one answer to ``curl``, which ends with ``code``."""
    version = "--http2" if site.scheme == "https" else "--http2-prior-knowledge"
    if any(argument.startswith("--http1") for argument in arguments):
        version = "-s"
    facts = "\n%{http_code} %{http_version}"
    command = ["curl", "-sSk", version, "-w", facts, *arguments, site.url(path)]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    body, _, found = done.stdout.rpartition(b"\n")
    status, used = found.decode().split()
    return int(status), used, body


# curl.


@need("curl")
def test_curl_gets_http2(site: Served) -> None:
    status, version, body = curl(site, "/?question")
    assert (status, version) == (200, "2")
    assert body == f"GET 2 {site.pids[0]} question".encode()


@need("curl")
def test_curl_gets_http1_where_it_wants_no_more(site: Served) -> None:
    assert curl(site, "/", "--http1.1")[:2] == (200, "1.1")


@need("curl")
def test_curl_trusts_the_certificate_and_agrees_by_alpn(secure: Served, authority: str) -> None:
    options = ["-sSv", "--http2", "--cacert", authority, "--resolve", f"localhost:{secure.port}:127.0.0.1"]
    done = subprocess.run(
        ["curl", *options, f"https://localhost:{secure.port}/"], capture_output=True, timeout=PATIENCE_S, check=True
    )
    assert re.search(rb"ALPN.* server accepted.* h2", done.stderr)
    assert done.stdout.startswith(b"GET 2 ")


@need("curl")
@pytest.mark.parametrize(
    ("arguments", "is_tls", "versions"),
    [
        (["--no-http1"], True, {"--http2": "2", "--http1.1": "505"}),
        (["--no-http2"], True, {"--http2": "1.1", "--http1.1": "1.1"}),
        (["--no-http1", "--h2c"], False, {"--http2-prior-knowledge": "2", "--http1.1": "505"}),
        ([], False, {"--http2": "1.1", "--http2-prior-knowledge": ""}),
    ],
    ids=["no-http1", "no-http2", "no-http1 h2c", "cleartext as it is"],
)
def test_what_is_not_served_is_not_negotiated(
    serve: Serve, arguments: list[str], is_tls: bool, versions: dict[str, str]
) -> None:
    """An empty version stands for a curl that fails."""
    site = serve(APP, *arguments, tls=is_tls)
    for asked, expected in versions.items():
        command = ["curl", "-sk", asked, "-o", "/dev/null", "-w", "%{http_code} %{http_version}", site.url()]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False, text=True)
        status, found = done.stdout.split()
        if expected == "":
            assert done.returncode != 0, (asked, done.stdout)
        elif expected == "505":
            assert status == "505", asked
        else:
            assert (status, found) == ("200", expected), asked


@need("curl")
def test_curl_uploads_and_downloads(site: Served, blob: Path) -> None:
    digest = hashlib.sha256(BLOB).hexdigest()
    assert curl(site, "/digest", "--data-binary", f"@{blob}")[2] == f"{len(BLOB)} {digest}".encode()
    assert curl(site, "/echo", "-T", str(blob))[2] == BLOB
    assert curl(site, f"/bytes?{len(BLOB)}")[2] == BLOB
    assert curl(site, "/", "-I")[0] == 200


@need("curl")
def test_curl_waits_for_100_continue(site: Served) -> None:
    status, _, body = curl(site, "/digest", "-i", "-H", "Expect: 100-continue", "-d", "hello")
    assert status == 200
    assert body.startswith(b"HTTP/2 100 \r\n\r\nHTTP/2 200 \r\n")
    assert body.partition(b"\r\n\r\n")[2].partition(b"\r\n\r\n")[2].startswith(b"5 ")


@need("curl")
def test_curl_sees_early_hints_and_trailers(site: Served) -> None:
    body = curl(site, "/hint", "-i")[2]
    assert body.startswith(b"HTTP/2 103 \r\nlink: </style.css>; rel=preload; as=style\r\n\r\nHTTP/2 200 \r\n")
    body = curl(site, "/trailers", "-i", "-H", "TE: trailers")[2]
    assert body.endswith(b"x-checksum: 42\r\n")
    assert b"x-checksum" not in curl(site, "/trailers", "-i")[2]


@need("curl")
def test_a_response_that_fails_halfway_is_not_taken_for_whole(site: Served) -> None:
    curl(site, "/fail", code=92)
    assert curl(site, "/")[0] == 200


@need("curl")
def test_files_by_the_extension_and_by_starlette(site: Served, serve: Serve) -> None:
    assert curl(site, "/pathsend")[2] == FILE.read_bytes()
    starlette = serve("tests.e2e.streams:starlette", "--h2c")
    status, version, body = curl(starlette, "/file")
    assert (status, version, body) == (200, "2", FILE.read_bytes())
    status, _, body = curl(starlette, "/file", "-r", "10-19")
    assert (status, body) == (206, FILE.read_bytes()[10:20])


@need("curl")
def test_curl_has_many_at_once_on_one_connection(secure: Served) -> None:
    urls = [secure.url(f"/sleep?0.0{number % 10}") for number in range(50)]
    output = run("curl", "-sSkZ", "--http2", "-w", "\n%{http_code} %{http_version} %{num_connects}\n", *urls)
    facts = re.findall(r"^(\d{3}) (\S+) (\d+)$", output, re.MULTILINE)
    assert [fact[:2] for fact in facts] == [("200", "2")] * 50
    # Those that begin before the first connection is up open their own.
    assert sum(int(fact[2]) for fact in facts) < 50


# nghttp.


@dataclass
class Spoken:
    """What ``nghttp -v`` saw on one stream, in the order in which it came."""

    heads: list[dict[str, str]] = field(default_factory=list)
    data_bytes: int = 0
    resets: list[str] = field(default_factory=list)
    ended: int = 0


_FRAME = re.compile(r"^\[ *[0-9.]+\] recv (\w+) frame <length=(\d+), flags=0x(\w+), stream_id=(\d+)>$")
_FIELD = re.compile(r"^\[ *[0-9.]+\] recv \(stream_id=(\d+)\) (:?[^:]+): (.*)$")


def parse_nghttp(output: str) -> tuple[dict[int, Spoken], list[tuple[str, int]]]:
    """The answers by stream, and every frame of the server's as (type, stream)."""
    streams: dict[int, Spoken] = {}
    frames: list[tuple[str, int]] = []
    fields: dict[str, str] = {}
    for line in re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines():
        if match := _FIELD.match(line):
            fields[match[2]] = match[3]
        elif match := _FRAME.match(line):
            kind, size, flags, stream = match[1], int(match[2]), int(match[3], 16), int(match[4])
            frames.append((kind, stream))
            spoken = streams.setdefault(stream, Spoken())
            if kind == "HEADERS":
                spoken.heads.append(fields)
                fields = {}
            if kind == "DATA":
                spoken.data_bytes += size
            if kind == "RST_STREAM":
                spoken.resets.append(line)
            if kind in ("HEADERS", "DATA"):
                spoken.ended += flags & 1
    return streams, frames


def nghttp(*arguments: str) -> tuple[list[Spoken], list[tuple[str, int]]]:
    """The answers in the order of their streams, and the frames."""
    streams, frames = parse_nghttp(run("nghttp", "-nv", "--no-verify-peer", *arguments))
    return [streams[number] for number in sorted(streams) if number], frames


@need("nghttp")
def test_nghttp_asks_for_much_at_once(site: Served) -> None:
    answers, frames = nghttp("-m", "30", site.url("/?a"), site.url("/bytes?100000"), site.url("/pathsend"))
    assert len(answers) == 90
    assert [kind for kind, _ in frames[:2]] == ["SETTINGS", "WINDOW_UPDATE"]
    assert all(answer.heads[0][":status"] == "200" for answer in answers)
    assert all((len(answer.heads), answer.ended, answer.resets) == (1, 1, []) for answer in answers)
    sizes = sorted(answer.data_bytes for answer in answers)
    assert sizes[30:] == sorted([100_000, FILE.stat().st_size] * 30)
    assert not {"GOAWAY", "PUSH_PROMISE", "CONTINUATION"} & {kind for kind, _ in frames}


@need("nghttp")
def test_nghttp_uploads_with_trailers(site: Served, blob: Path) -> None:
    (answer,), _ = nghttp("-d", str(blob), "--trailer", "x-sum: 1", site.url("/digest"))
    assert answer.heads[0][":status"] == "200"
    assert answer.heads[0]["content-length"] == str(len(str(len(BLOB))) + 1 + 64)
    (answer,), _ = nghttp("-d", str(blob), site.url("/echo"))
    assert (answer.data_bytes, answer.ended, answer.resets) == (len(BLOB), 1, [])


@need("nghttp")
def test_nghttp_gets_trailers_and_interim_responses(site: Served, blob: Path) -> None:
    (answer,), _ = nghttp("-H", "te: trailers", site.url("/trailers"))
    assert [sorted(head) for head in answer.heads] == [[":status", "date", "server"], ["x-checksum"]]
    assert (answer.data_bytes, answer.ended) == (4, 1)
    (answer,), _ = nghttp(site.url("/hint"))
    assert [head[":status"] for head in answer.heads] == ["103", "200"]
    assert answer.heads[0]["link"] == "</style.css>; rel=preload; as=style"
    (answer,), _ = nghttp("--expect-continue", "-d", str(blob), site.url("/digest"))
    assert [head[":status"] for head in answer.heads] == ["100", "200"]


@need("nghttp")
def test_an_upload_that_nobody_reads_is_answered_and_stopped(site: Served, blob: Path) -> None:
    """The response is whole before the stream is reset without an error (RFC 9113 section 8.1)."""
    streams, frames = parse_nghttp(run("nghttp", "-nv", "--no-verify-peer", "-d", str(blob), site.url("/refuse")))
    (number,) = [number for number in streams if number]
    assert streams[number].heads[0][":status"] == "403"
    assert [kind for kind, stream in frames if stream == number] == ["HEADERS", "DATA", "RST_STREAM"]


@need("nghttp")
def test_padding_and_huge_heads(site: Served) -> None:
    (answer,), _ = nghttp("-b", "200", "-d", __file__, site.url("/digest"))
    assert answer.heads[0][":status"] == "200"
    (answer,), _ = nghttp("-H", "x-large: " + "v" * 15_000, "-H", "y-large: " + "w" * 10_000, site.url("/"))
    assert answer.heads[0][":status"] == "200"
    (answer,), _ = nghttp("-H", "x-large: " + "v" * 17_000, site.url("/"))
    assert answer.heads[0][":status"] == "431"


# h2load.


def h2load(*arguments: str) -> tuple[dict[str, int], dict[str, int]]:
    """Its counts of requests and of statuses."""
    output = run("h2load", *arguments)
    return _counts(output, "requests"), _counts(output, "status codes")


def _counts(output: str, label: str) -> dict[str, int]:
    (line,) = re.findall(rf"^{label}: (.*)$", output, re.MULTILINE)
    return {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", line)}


@need("h2load")
@pytest.mark.parametrize(("clients", "streams"), [(8, 100), (1, 100), (50, 1)])
def test_thousands_of_requests_all_succeed(site: Served, clients: int, streams: int) -> None:
    requests, statuses = h2load("-n", "3000", "-c", str(clients), "-m", str(streams), site.url("/?load"))
    assert requests["succeeded"] == requests["total"] == 3000
    assert statuses["2xx"] == 3000


@need("h2load")
def test_many_uploads_and_downloads_at_once(site: Served, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(make_bytes(100_000))
    requests, _ = h2load("-n", "200", "-c", "2", "-m", "100", "-d", str(body), site.url("/echo"))
    assert requests["succeeded"] == 200
    requests, _ = h2load("-n", "200", "-c", "2", "-m", "100", site.url("/bytes?200000"))
    assert requests["succeeded"] == 200


@need("h2load")
def test_small_windows_of_the_client(plain: Served) -> None:
    """Windows of 1 KiB for a stream (-w) and 64 KiB for the connection (-W)."""
    requests, _ = h2load("-n", "200", "-c", "2", "-m", "50", "-w", "10", "-W", "16", plain.url("/bytes?50000"))
    assert requests["succeeded"] == 200


@need("h2load")
def test_two_workers_share_the_load(serve: Serve) -> None:
    site = serve(APP, "--h2c", workers=2)
    requests, _ = h2load("-n", "4000", "-c", "16", "-m", "20", site.url("/"))
    assert requests["succeeded"] == 4000
    assert "ERROR" not in site.server.text


@need("h2load")
def test_sigterm_under_load_answers_what_was_begun(serve: Serve) -> None:
    """h2load does not connect again: what it counts as failed was never sent, or was refused (RFC 9113 section 6.8)."""
    site = serve(APP, "--h2c", "--access-log", "--access-logfile", "-")
    command = ["h2load", "-n", "100000", "-c", "4", "-m", "20", site.url("/sleep?0.01")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as load:
        assert site.server.process.stdout is not None
        for _ in range(200):
            assert site.server.process.stdout.readline() != ""
        site.server.send(signal.SIGTERM)
        rest = site.server.process.stdout.read()
        assert site.server.wait_exit() == 0
        output = load.communicate(timeout=PATIENCE_S)[0]
    requests = _counts(output, "requests")
    answers = [line for line in rest.splitlines() if not line.startswith("lifespan")]
    assert [line for line in answers if '" 200 ' not in line] == []
    assert requests["succeeded"] == 199 + len(answers)  # the first line that was read is the lifespan's
    assert requests["done"] - requests["succeeded"] <= 4 * 20  # what was to follow on connections that were leaving
    assert "Traceback" not in site.server.text
