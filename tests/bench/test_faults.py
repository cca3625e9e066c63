"""``bench.faults``: how answers are read and judged, what is excused, how servers are told what a fault needs."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.faults.__main__ import main
from bench.faults.content import PAGE_BYTES, fill
from bench.faults.h1 import AnswerReader, Request
from bench.faults.injectors import FAULTS, choose_faults
from bench.faults.injectors.crashes import Kill, is_excused
from bench.faults.injectors.reloads import count_least_ready
from bench.faults.load import Mix
from bench.faults.outcome import Attempt, Outcome
from bench.faults.report import merge, place, render
from bench.faults.server import SERVERS, Lacking, Wants, choose_servers
from bench.faults.truth import END, READY, START, STOPPED, Sighting, Truth, TruthReader, Witness
from bench.faults.verdict import Verdict, Word

# Content.


def test_a_body_follows_from_its_id_and_no_part_of_it_from_another() -> None:
    body = fill("one", 3 * PAGE_BYTES + 5)
    assert len(body) == 3 * PAGE_BYTES + 5
    assert body == fill("one", 4 * PAGE_BYTES)[: len(body)]
    pages = [body[start : start + PAGE_BYTES] for start in range(0, 3 * PAGE_BYTES, PAGE_BYTES)]
    assert len({*pages, fill("two", PAGE_BYTES)}) == 4


def test_an_upload_goes_out_whole_in_its_parts() -> None:
    request = Request("/upload", upload=1000, chunked=True, parts=3)
    head, _, rest = b"".join(request.render("one")).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    reader = AnswerReader()
    reader.take(bytearray(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + rest))
    assert reader.whole
    assert bytes(reader.body) == fill("one", 1000)


# Answers.

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
HINTED = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + LENGTH


@pytest.mark.parametrize("answer", [LENGTH, CHUNKS, HINTED])
def test_an_answer_is_read_however_it_is_cut(answer: bytes) -> None:
    for cut in range(len(answer)):
        reader, received = AnswerReader(), bytearray(answer[:cut])
        reader.take(received)
        assert not reader.done
        received += answer[cut:] + b"HTTP"
        reader.take(received)
        assert reader.whole
        assert (reader.status, bytes(reader.body), bytes(received)) == (200, b"hello", b"HTTP")
        assert reader.reusable


def test_a_body_without_length_ends_with_its_connection() -> None:
    reader = AnswerReader()
    reader.take(bytearray(b"HTTP/1.1 200 OK\r\n\r\nhello"))
    assert not reader.done
    reader.finish()
    assert reader.whole
    assert not reader.reusable


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfive\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxx\r\n",
    ],
)
def test_what_is_not_http_is_told(answer: bytes) -> None:
    reader = AnswerReader()
    reader.take(bytearray(answer))
    assert reader.fault
    assert not reader.whole


# Truth.


def test_the_truth_is_read_as_it_grows(tmp_path: Path) -> None:
    witness, reader = Witness(tmp_path), TruthReader(tmp_path)
    assert reader.read().life == []
    witness.note(READY, "one")
    witness.note(START, "a")
    path = next(tmp_path.glob("*.log"))
    with path.open("a") as file:
        file.write("12.5 end")  # a line that is not whole yet
    testimony = reader.read()
    assert testimony.pids(READY, "one") == [int(path.stem)]
    assert testimony.open_in(int(path.stem)) == ["a"]
    with path.open("a") as file:
        file.write(" a\n")
    assert reader.read().count(END, "a") == 1
    assert testimony.open_in(int(path.stem)) == []


def live(*events: tuple[str, int]) -> Truth:
    testimony = Truth()
    for at, (event, pid) in enumerate(events):
        testimony.add(Sighting(float(at), pid, event, "g"))
    return testimony


def test_the_fewest_ready_workers_are_counted_from_full_strength_on() -> None:
    up = [(READY, 1), (READY, 2)]
    assert count_least_ready(live(*up), 2) == 2
    assert count_least_ready(live(*up, (READY, 3), (STOPPED, 1), (READY, 4), (STOPPED, 2)), 2) == 2
    assert count_least_ready(live(*up, (STOPPED, 1), (READY, 3)), 2) == 1
    assert count_least_ready(live(*up, (STOPPED, 1), (STOPPED, 2), (READY, 3)), 2) == 0


# What a killed worker is excused.

KILLED = [Kill(7, 10.0, 10.2)]


def attempt(outcome: Outcome, started: float, ended: float, owner: int = 0) -> Attempt:
    return Attempt("a", "test", started, owner=owner, ended=ended, outcome=outcome)


@pytest.mark.parametrize(
    ("tried", "excused"),
    [
        (attempt(Outcome.RESET, 9.9, 10.01), True),
        (attempt(Outcome.CUT, 9.9, 10.01, owner=7), True),
        (attempt(Outcome.CUT, 9.9, 10.01, owner=8), False),  # another worker's
        (attempt(Outcome.RESET, 9.0, 9.9), False),  # before the kill
        (attempt(Outcome.RESET, 10.5, 10.6), False),  # after it
        (attempt(Outcome.REFUSED, 9.9, 10.01), False),
        (attempt(Outcome.WRONG, 9.9, 10.01, owner=7), False),
        (attempt(Outcome.REPEATED, 9.9, 10.01, owner=7), False),
    ],
)
def test_only_what_the_killed_worker_may_have_had_is_excused(tried: Attempt, excused: bool) -> None:
    assert is_excused(Truth(), tried, KILLED) is excused


def test_what_another_worker_executed_is_not_excused() -> None:
    testimony = Truth()
    testimony.add(Sighting(9.9, 8, START, "a"))
    assert not is_excused(testimony, attempt(Outcome.RESET, 9.8, 10.01), KILLED)


# Servers.


@pytest.mark.parametrize("name", SERVERS)
def test_each_server_can_be_started_without_tls(name: str) -> None:
    argv = SERVERS[name].build(Wants(port=8001))
    assert any("8001" in word for word in argv)
    assert "2" in argv


def test_what_a_server_lacks_is_named() -> None:
    with pytest.raises(Lacking, match="hung workers"):
        SERVERS["granian"].build(Wants(port=8001, silence_s=3))
    with pytest.raises(Lacking, match="by memory"):
        SERVERS["gunicorn"].build(Wants(port=8001, recycle=("rss", 100)))
    with pytest.raises(Lacking, match="at once"):
        SERVERS["uvicorn"].build(Wants(port=8001, tls_port=8002))
    assert "--limit-max-requests" in SERVERS["uvicorn"].build(Wants(port=8001, recycle=("requests", 100)))


def test_names_are_checked() -> None:
    assert choose_servers("all")[0].name == "fastserver"
    assert [fault.name for fault in choose_faults("7,fi-3")] == ["FI-7", "FI-3"]
    with pytest.raises(ValueError, match="no server 'nginx'"):
        choose_servers("fastserver,nginx")
    with pytest.raises(ValueError, match="no fault 'FI-NONE'"):
        choose_faults("none")


def test_a_smaller_load_keeps_each_kind() -> None:
    small = Mix().scale(0.1)
    assert small.ws == small.late == 1
    assert Mix(ws=0).scale(2).ws == 0


# Verdicts and the report.


def document(*verdicts: Verdict) -> dict[str, Any]:
    versions = {verdict.server: "1.0" for verdict in verdicts}
    return {"versions": versions, "verdicts": [verdict.as_dict() for verdict in verdicts]}


def test_the_first_criterion_that_does_not_hold_is_the_brief_one() -> None:
    verdict = Verdict("FI-1", "fastserver")
    assert verdict.check(True, "never")
    assert not verdict.check(False, "the long reason", "short")
    verdict.check(False, "another")
    assert (verdict.word, verdict.brief, verdict.reasons) == (Word.FAIL, "short", ["the long reason", "another"])


def test_the_table_has_a_row_for_each_fault_and_a_column_for_each_server() -> None:
    bad = Verdict("FI-3", "uvicorn")
    bad.check(False, "3 of 9 failed")
    lacking = Verdict("FI-1", "uvicorn")
    lacking.lack("recycling")
    table = render(document(Verdict("FI-3", "fastserver"), bad, lacking))
    assert table.splitlines()[0] == "| | fault | fastserver 1.0 | uvicorn 1.0 |"
    assert "| FI-3 | SIGTERM under load | pass | **fails**: 3 of 9 failed |" in table
    assert "| FI-1 | a worker is killed |  | n/a: recycling |" in table
    assert "FI-7" not in table


def test_the_table_finds_its_place_and_says_over_how_many_requests_nothing_failed() -> None:
    passed = Verdict("FI-3", "fastserver", figures={"requests": 11149})
    text = place("before\n<!-- table -->\nold\n<!-- end of table -->\nafter", render(document(passed)))
    assert "| 0 of 11,149 |" in text
    assert "old" not in text
    assert text.startswith("before\n<!-- table -->\n|")
    assert text.endswith("|\n<!-- end of table -->\nafter")
    with pytest.raises(ValueError, match="no marks"):
        place("nothing", "table")


def test_a_resumed_run_keeps_what_is_there_and_the_newer_of_two() -> None:
    old, new = document(Verdict("FI-1", "fastserver"), Verdict("FI-3", "uvicorn")), document(Verdict("FI-3", "uvicorn"))
    new["verdicts"][0]["brief"] = "new"
    merged = merge(old, new)
    assert [verdict["brief"] for verdict in merged["verdicts"]] == ["", "new"]
    assert set(merged["versions"]) == {"fastserver", "uvicorn"}


def test_a_wrong_option_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--faults", "none"])
    assert ended.value.code == 2
    assert "no fault 'FI-NONE'" in capsys.readouterr().err


def test_a_resumed_run_that_is_complete_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document(Verdict("FI-3", "fastserver"))))
    assert main(["--faults", "FI-3", "--resume", str(path)]) == 3
    assert "| FI-3 | SIGTERM under load | pass |" in capsys.readouterr().out
    assert [verdict["fault"] for verdict in json.loads(path.read_text())["verdicts"]] == list(FAULTS)[2:3]
