"""``bench.macro``: what it reads from the kernel and from load generators, how it sums up, what it prints."""

import asyncio
import io
import json
import shutil
import ssl
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from bench.macro import h2load
from bench.macro.__main__ import choose_servers
from bench.macro.app import app
from bench.macro.contest import Contest, Contestant, Outcome, write_certificate
from bench.macro.load import Burst, Load, LoadFailed
from bench.macro.memory import PER_ADDRESS, Growth, client_address, render_memory
from bench.macro.process import ROOT, TICKS_PER_S, Memory, Stat, parse_smaps_rollup, parse_stat, select_tree
from bench.macro.report import build_results, ratio, render, render_table, spread
from bench.macro.server import SERVERS, expand, parse_server
from bench.macro.unhooked import HOOKS, strip
from bench.macro.workload import BROWSER_FIELDS, WORKLOADS, Wire, Workload, build_body, choose_workloads, deflate
from bench.macro.wrk import command, find_fault, parse_summary
from bench.macro.wsgi import app as wsgi_app

STAT = "4711 ({name}) S 4700 4711 4699 34816 -1 4194304 1 0 0 0 250 150 7 9 20 0 3 0 12345 1000 100"
NO_ERRORS = {"connect": 0, "read": 0, "write": 0, "timeout": 0, "status": 0}


def make_burst(cpu_us: float, requests: int = 1000, fault: str = "") -> Burst:
    latency_us = {"p50": 100, "p90": 200, "p99": 1500, "max": 9000}
    return Burst(requests, 0.5, cpu_us * requests / 1e6, 0.0, latency_us, NO_ERRORS, fault)


def make_stat(pid: int, parent: int, session: int, state: str = "S") -> Stat:
    return Stat(pid=pid, state=state, parent=parent, session=session, cpu_s=0.0)


# ---- What the kernel says ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nginx", "nginx: worker", "a) S 1 (b", "(sd-pam)"])
def test_stat_is_read_whatever_the_name_of_the_command(name: str) -> None:
    assert parse_stat(STAT.format(name=name)) == Stat(
        pid=4711, state="S", parent=4700, session=4699, cpu_s=(250 + 150) / TICKS_PER_S
    )


def test_a_stat_that_breaks_off_is_an_error() -> None:
    with pytest.raises(IndexError):
        parse_stat("4711 (python) S 1 2 3")


def test_the_tree_is_the_session_and_all_descendants_without_the_dead() -> None:
    stats = [
        make_stat(100, parent=1, session=100),
        make_stat(101, parent=100, session=100),
        make_stat(102, parent=101, session=102),  # a worker that left the session
        make_stat(103, parent=102, session=102),
        make_stat(104, parent=1, session=100),  # an orphan that stayed in the session
        make_stat(105, parent=100, session=100, state="Z"),
        make_stat(200, parent=1, session=200),
        make_stat(1, parent=0, session=1),
    ]
    assert select_tree(stats, 100) == [100, 101, 102, 103, 104]
    assert select_tree(stats, 300) == []


def test_memory_is_read_in_bytes() -> None:
    text = "55d0-7ffe ---p 00000000 00:00 0  [rollup]\nRss:     2048 kB\nPss:     1024 kB\nPss_Anon:    7 kB\n"
    assert parse_smaps_rollup(text) == Memory(rss=2048 * 1024, pss=1024 * 1024)
    with pytest.raises(ValueError, match="no Rss or Pss"):
        parse_smaps_rollup("Rss: 12 kB\n")


# ---- What wrk is told and says -------------------------------------------------------------------------------------


def test_the_command_names_every_field_and_outlasts_the_burst() -> None:
    argv = command(WORKLOADS["browser"], 8123, Load(connections=7, warmup_s=0.2, window_s=0.5))
    assert argv[0] == "wrk"
    assert argv[-1] == "http://127.0.0.1:8123/plaintext"
    assert "-c7" in argv
    assert [argv[at + 1] for at, word in enumerate(argv) if word == "-H"] == [f"{k}: {v}" for k, v in BROWSER_FIELDS]
    duration = next(word for word in argv if word.startswith("-d"))
    assert int(duration[2:-1]) > 1


def test_a_browser_sends_twelve_fields_with_host() -> None:
    assert len(BROWSER_FIELDS) + 1 == 12


def test_the_summary_is_found_among_what_wrk_prints() -> None:
    numbers = {"requests": 5, "errors": NO_ERRORS}
    assert parse_summary(f"Running 1s test\nBENCH {json.dumps(numbers)}\n") == numbers
    with pytest.raises(LoadFailed, match="unable to connect"):
        parse_summary("unable to connect to 127.0.0.1:1 Connection refused\n")


@pytest.mark.parametrize(
    ("errors", "answered", "writes", "window", "fault"),
    [
        ({}, 1000, 1000, 800, ""),
        ({}, 1000, 1064, 800, ""),
        ({"status": 3}, 1000, 1000, 800, "errors: 3 status"),
        ({"read": 2, "timeout": 1}, 1000, 1000, 800, "errors: 2 read, 1 timeout"),
        ({}, 0, 64, 0, "no request answered"),
        ({}, 1000, 999, 800, "999 requests written, 1000 answered"),
        ({}, 1000, 1081, 800, "1081 requests written, 1000 answered"),
    ],
)
def test_a_burst_with_errors_or_a_wrong_count_has_a_fault(
    errors: dict[str, int], answered: int, writes: int, window: int, fault: str
) -> None:
    summary = {"requests": answered, "errors": {**NO_ERRORS, **errors}}
    assert find_fault(summary, writes, window, connections=64) == fault


# ---- What h2load is told and says ------------------------------------------------------------------------------------

H2LOAD = """\
Main benchmark duration is over for thread #0. Stopping all clients.

finished in 800.35ms, 5632.00 req/s, 252.34KB/s
requests: 2816 total, 2816 started, 2810 done, 2809 succeeded, {failed} failed, 0 errored, 0 timeout
status codes: 2792 2xx, 0 3xx, 0 4xx, {broken} 5xx
traffic: 126.17KB (129200) total, 21.41KB (21921) headers (space savings 94.82%), 57.82KB (59206) data
                     min         max         mean         sd        +/- sd
time for request:      512us     1.25s     45.70ms      3.09ms    73.12%
"""


def test_h2load_is_told_connections_streams_fields_and_the_body() -> None:
    argv = h2load.command(WORKLOADS["h2-echo"], 8123, Load(warmup_s=0.2, window_s=0.5), "/body")
    assert argv[0] == "h2load"
    assert argv[-1] == "http://127.0.0.1:8123/echo"
    assert {"-c8", "-m32", "--duration=500ms", "--warm-up-time=216ms"} <= set(argv)
    assert argv[argv.index("-d") + 1] == "/body"
    browser = h2load.command(WORKLOADS["h2-browser"], 1, Load(), "")
    assert sum(word == "-H" for word in browser) == len(BROWSER_FIELDS) - 1
    assert "-d" not in browser
    assert h2load.command(WORKLOADS["h2-tls"], 1, Load(), "")[-1] == "https://127.0.0.1:1/plaintext"


def test_the_report_of_h2load_is_read() -> None:
    requests, errors, latency_us = h2load.parse_summary(H2LOAD.format(failed=1, broken=2))
    assert requests == 2810
    assert errors == {"failed": 1, "errored": 0, "timeout": 0, "3xx": 0, "4xx": 0, "5xx": 2}
    assert latency_us == {"mean": 45_700, "max": 1_250_000}
    with pytest.raises(LoadFailed, match="could not connect"):
        h2load.parse_summary("could not connect\n")


@pytest.mark.parametrize(
    ("requests", "errors", "wall_s", "fault"),
    [
        (100, {"failed": 0}, 0.54, ""),
        (100, {"failed": 2, "5xx": 1}, 0.5, "errors: 2 failed, 1 5xx"),
        (0, {"failed": 0}, 0.5, "no request answered"),
        (100, {"failed": 0}, 0.56, "read after 0.560 s what was counted in 0.500 s"),
    ],
)
def test_a_burst_of_h2load_counts_only_whole_and_without_errors(
    requests: int, errors: dict[str, int], wall_s: float, fault: str
) -> None:
    assert h2load.find_fault(requests, errors, wall_s, 0.5) == fault


# ---- Summing up ----------------------------------------------------------------------------------------------------


def test_spread_gives_median_and_quartiles() -> None:
    figures = spread([5.0, 1.0, 4.0, 2.0, 3.0])
    assert figures is not None
    assert (figures.median, figures.low, figures.high, figures.count) == (3.0, 2.0, 4.0, 5)
    assert figures.noise == pytest.approx(1 / 3)


def test_spread_of_one_reading_has_no_noise_and_of_none_is_none() -> None:
    one = spread([7.0])
    assert one is not None
    assert (one.median, one.noise) == (7.0, 0.0)
    assert spread([]) is None


def test_a_ratio_divides_round_by_round() -> None:
    """The machine is slow in some rounds; the quotient of each round does not know."""
    reference = Outcome([make_burst(cpu_us) for cpu_us in (10, 20, 10, 40, 10)])
    other = Outcome([make_burst(cpu_us) for cpu_us in (30, 60, 30, 120, 30)])
    figures = ratio(other, reference)
    assert figures is not None
    assert (figures.median, figures.low, figures.high) == pytest.approx((3.0, 3.0, 3.0))


def test_a_ratio_skips_rounds_in_which_either_failed() -> None:
    reference = Outcome([make_burst(10), make_burst(10, fault="errors: 1 read"), make_burst(10)])
    other = Outcome([make_burst(20), make_burst(90), make_burst(20, requests=0, fault="no request answered")])
    figures = ratio(other, reference)
    assert figures is not None
    assert figures.count == 1
    assert figures.median == pytest.approx(2.0)
    assert ratio(Outcome([]), reference) is None


def test_a_burst_knows_its_cost_and_rate() -> None:
    burst = make_burst(25.0, requests=2000)
    assert burst.cpu_us == pytest.approx(25.0)
    assert burst.rate == pytest.approx(4000.0)


# ---- Printing ------------------------------------------------------------------------------------------------------


def test_a_table_is_aligned_and_ruled() -> None:
    text = render_table(["", "plain", "json"], [["nginx", "1.0", "22.25"], ["a longer name", "10.5", "-"]])
    assert text.splitlines() == [
        "               plain   json",
        "---------------------------",
        "nginx            1.0  22.25",
        "a longer name   10.5      -",
    ]


def test_the_report_has_figures_ratios_and_everything_that_went_wrong() -> None:
    outcomes = {
        "plaintext": {
            "ours": Outcome([make_burst(12), make_burst(12, fault="errors: 1 read"), make_burst(12)]),
            "nginx": Outcome([make_burst(10), make_burst(10), make_burst(10)]),
            "dead": Outcome([], fault="exited with -11: Segmentation fault"),
        },
        "echo": {"ours": Outcome([make_burst(15)])},
    }
    lines = render(outcomes, ["nginx", "nobody"], {"gone": "gone is not installed"}).splitlines()
    rows = [line.split() for line in lines]
    assert ["ours", "12.0", "±0%", "15.0", "±0%"] in rows
    assert ["dead", "failed", "-"] in rows
    assert ["ours", "1.20", "-"] in rows
    assert ["ours", "2,000", "2,000"] in rows
    assert not any("nobody" in line for line in lines)
    assert lines[-3:] == [
        "gone did not take part: gone is not installed",
        "ours in plaintext: 1 of 3 bursts do not count: errors: 1 read",
        "dead was left out of plaintext: exited with -11: Segmentation fault",
    ]


def test_the_document_can_be_written_as_json() -> None:
    outcomes = {"plaintext": {"ours": Outcome([make_burst(20)]), "nginx": Outcome([make_burst(10)])}}
    ours = json.loads(json.dumps(build_results(outcomes, ["nginx"])))["plaintext"]["ours"]
    assert ours["cpu_us"]["median"] == pytest.approx(20.0)
    assert ours["ratio"]["nginx"]["median"] == pytest.approx(2.0)
    assert ours["bursts"][0]["requests"] == 1000


def test_a_table_without_figures_is_left_out_and_messages_are_called_so() -> None:
    burst = Burst(1000, 0.5, 0.02, 0.0, {"mean": 5}, {}, load_cpu_s=0.004)
    text = render({"ws-125": {"ours": Outcome([burst])}}, [], {}, "message")
    assert "CPU time per message" in text
    assert "latency" not in text
    tables = {table.splitlines()[0]: table.split()[-1] for table in text.split("\n\n")}
    assert tables["CPU time of the load generator per message, us (its own core)"] == "4.0"
    assert tables["messages per second of the server's CPU time"] == "50,000"


def test_memory_is_given_by_connection_and_beside_the_reference() -> None:
    before = Memory(rss=1000 * 1024, pss=1000 * 1024)
    growths = {
        "ours": Growth(10, before, Memory(rss=1040 * 1024, pss=1020 * 1024)),
        "nginx": Growth(10, before, Memory(rss=1020 * 1024, pss=1020 * 1024)),
        "lost": Growth(0, Memory(0, 0), Memory(0, 0), "after 3 connections: refused"),
    }
    lines = render_memory(growths, ["nginx"], {"gone": "not installed"}).splitlines()
    rows = [line.split() for line in lines]
    assert ["ours", "4.00", "2.00", "2.00", "1,000", "1,040"] in rows
    assert ["nginx", "2.00", "2.00", "1.00", "1,000", "1,020"] in rows
    assert lines[-2:] == ["gone did not take part: not installed", "lost: after 3 connections: refused"]


def test_client_addresses_change_before_the_ports_run_short() -> None:
    assert client_address(0) == client_address(PER_ADDRESS - 1) == "127.0.0.2"
    assert client_address(PER_ADDRESS) == "127.0.0.3"


# ---- The tables of servers and workloads ---------------------------------------------------------------------------


def test_expand_replaces_only_what_it_knows() -> None:
    assert expand("a{port}b{ port }{other}", {"port": "80"}) == "a80b{ port }{other}"


@pytest.mark.parametrize("server", SERVERS.values(), ids=list(SERVERS))
def test_every_server_takes_its_port_and_names_known_workloads(server: Any) -> None:
    texts = [*server.argv, *(text for text in (server.files or {}).values() if isinstance(text, str))]
    assert any("{port}" in text for text in texts)
    assert set(server.workloads) <= set(WORKLOADS)
    words = {wire: " ".join(words) for wire, words in server.wires.items()}
    if server.name == "nginx":
        assert "ssl_certificate {cert};" in (server.files or {})["h2.conf"]
        return
    secure = [wire for wire in words if wire in (Wire.H2, Wire.H3)]
    assert [wire for wire, text in words.items() if "{cert}" in text] == secure


def test_a_server_of_the_command_line_is_new_or_replaces_a_row() -> None:
    other = parse_server("other=env A=b python -m x '{port}'")
    assert other.argv == ("env", "A=b", "python", "-m", "x", "{port}")
    assert all(other.offers(workload) for workload in WORKLOADS.values())
    floor = parse_server("floor=python -m y {port}")
    assert floor.workloads == SERVERS["floor"].workloads
    assert set(floor.wires) == {Wire.H1, Wire.WS}
    chosen = choose_servers(["nginx", "floor"], ["floor=python -m y {port}", "other=x {port}"])
    assert [server.name for server in chosen] == ["nginx", "floor", "other"]
    assert chosen[1].argv == ("python", "-m", "y", "{port}")


@pytest.mark.parametrize("text", ["", "name", "=run {port}", "name=", "name=run without"])
def test_a_bad_server_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected name=command|no \{port\}"):
        parse_server(text)


def test_a_server_offers_what_is_on_its_wires() -> None:
    assert SERVERS["uvicorn"].offers(WORKLOADS["ws-125"])
    assert not SERVERS["uvicorn"].offers(WORKLOADS["h2-many"])
    assert not SERVERS["nginx"].offers(WORKLOADS["echo"])


def test_a_server_is_absent_with_a_reason_where_it_does_not_speak_the_wire() -> None:
    said: list[str] = []
    with Contest([SERVERS["uvicorn"]], sys.executable, 0, said.append, wire=Wire.H2C) as contest:
        assert contest.absent == {"uvicorn": "it is not measured on HTTP/2 without TLS"}
        assert contest.run([WORKLOADS["h2-many"]], 1, Load()) == {"h2-many": {}}
    assert said[0] == "uvicorn is left out: it is not measured on HTTP/2 without TLS"


def test_a_command_gets_the_words_of_its_wire(tmp_path: Path) -> None:
    secure = Contestant(SERVERS["hypercorn"], "py", 0, tmp_path, wire=Wire.H2)
    assert secure.argv[-4:] == ["--certfile", str(tmp_path / "cert.pem"), "--keyfile", str(tmp_path / "key.pem")]
    assert "--certfile" not in Contestant(SERVERS["hypercorn"], "py", 0, tmp_path).argv


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_the_certificate_can_be_used(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    assert (tmp_path / "key.pem").read_text().startswith("-----BEGIN PRIVATE KEY-----")  # PKCS#8


def test_workloads_are_chosen_by_name_or_wire_in_the_order_of_the_table() -> None:
    assert [one.name for one in choose_workloads(["ws-125", "json"])] == ["json", "ws-125"]
    assert {one.wire for one in choose_workloads(["h1"])} == {Wire.H1}
    assert choose_workloads(["all"]) == choose_workloads([wire.value for wire in Wire]) == list(WORKLOADS.values())
    with pytest.raises(ValueError, match="no workload called h4"):
        choose_workloads(["h4"])


def test_a_compressed_message_needs_no_context() -> None:
    message = build_body(WORKLOADS["wsz-4k"])
    payload = deflate(message)
    assert len(payload) < len(message) / 3
    inflater = zlib.decompressobj(wbits=-15)
    for _ in range(2):
        assert inflater.decompress(payload + b"\x00\x00\xff\xff") == message


def test_an_unknown_server_is_refused() -> None:
    with pytest.raises(ValueError, match="no server called apache"):
        choose_servers(["nginx", "apache"], [])


# ---- The application -----------------------------------------------------------------------------------------------


def call(workload: Workload, body: bytes) -> tuple[dict[bytes, bytes], bytes, int]:
    """The application's answer to one request, sent in two parts: header fields, body, and number of body messages."""
    parts = [body[: len(body) // 2], body[len(body) // 2 :]]
    inbox = [{"type": "http.request", "body": part, "more_body": at == 0} for at, part in enumerate(parts)]
    sent: list[Any] = []

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"type": "http", "path": workload.path}, receive, send))
    start, *rest = sent
    assert start["status"] == 200
    assert [message.get("more_body", False) for message in rest] == [True] * (len(rest) - 1) + [False]
    return dict(start["headers"]), b"".join(message["body"] for message in rest), len(rest)


REQUESTS = [workload for workload in WORKLOADS.values() if workload.wire not in (Wire.WS, Wire.WSGI)]
WSGI_REQUESTS = [workload for workload in WORKLOADS.values() if workload.wire is Wire.WSGI]


@pytest.mark.parametrize("workload", REQUESTS, ids=lambda workload: workload.name)
def test_the_application_answers_each_workload_as_it_is_verified(workload: Workload) -> None:
    posted = build_body(workload)
    fields, body, parts = call(workload, posted)
    assert body == (posted if workload.answer is None else workload.answer)
    assert fields.get(b"content-length") == (str(len(body)).encode() if workload.sized else None)
    assert (parts > 10) == (not workload.sized or len(body) > 1 << 20)


@pytest.mark.parametrize("workload", WSGI_REQUESTS, ids=lambda workload: workload.name)
def test_the_wsgi_application_answers_each_workload_as_it_is_verified(workload: Workload) -> None:
    posted = build_body(workload)
    heads: list[Any] = []
    environ = {"PATH_INFO": workload.path, "wsgi.input": io.BytesIO(posted)}
    body = b"".join(wsgi_app(environ, lambda status, headers: heads.append((status, dict(headers)))))
    assert body == (posted if workload.answer is None else workload.answer)
    assert [status for status, _ in heads] == ["200 OK"]
    assert heads[0][1].get("Content-Length") == (str(len(body)) if workload.sized else None)


def test_the_application_sends_messages_back_until_the_client_has_gone() -> None:
    inbox = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "bytes": b"", "text": None},
        {"type": "websocket.receive", "text": "text"},
        {"type": "websocket.disconnect", "code": 1000},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"type": "websocket", "path": "/ws"}, receive, send))
    assert sent == [
        {"type": "websocket.accept"},
        {"type": "websocket.send", "bytes": b""},
        {"type": "websocket.send", "text": "text"},
    ]


@pytest.mark.parametrize("path", HOOKS)
def test_the_hooks_are_where_they_are_taken_out(path: str) -> None:
    text = (ROOT / path).read_text("utf-8")
    bare = strip(path, text)
    compile(bare, path, "exec")
    assert len(bare) < len(text)
    assert "notify(self, _IN" not in bare
    assert "count_request(" not in bare
    with pytest.raises(ValueError, match="bring this table up to date"):
        strip(path, bare)
