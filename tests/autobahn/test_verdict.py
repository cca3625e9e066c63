"""How a report of the Autobahn suite is read, judged and written down."""

import json
from pathlib import Path

import pytest

from tests.autobahn import suite
from tests.autobahn.verdict import Case, count_verdicts, find_faults, parse_index, place, render


def make_index(**cases: tuple[str, str]) -> str:
    """``index.json`` of one server; ``_1_2`` stands for case 1.2."""
    results = {
        name[1:].replace("_", "."): {
            "behavior": behavior,
            "behaviorClose": close,
            "duration": 1,
            "remoteCloseCode": 1000,
        }
        for name, (behavior, close) in cases.items()
    }
    return json.dumps({"server": results})


GOOD = make_index(_10_1_1=("OK", "OK"), _2_10=("OK", "OK"), _2_9=("INFORMATIONAL", "INFORMATIONAL"))
BAD = make_index(
    _3_2=("NON-STRICT", "OK"),
    _6_4_1=("FAILED", "FAILED"),
    _7_1_1=("OK", "UNCLEAN"),
    _7_1_2=("OK", "OK"),
    _12_1_1=("UNIMPLEMENTED", "OK"),
)


def test_cases_are_in_the_order_of_their_numbers() -> None:
    cases = parse_index(GOOD)
    assert [case.name for case in cases] == ["2.9", "2.10", "10.1.1"]
    assert [case.section for case in cases] == [2, 2, 10]


def test_ok_and_informational_are_good_if_all_cases_are_there() -> None:
    cases = parse_index(GOOD)
    assert find_faults(cases, 3) == []
    assert find_faults(cases, 4) == ["3 of 4 cases have a result"]
    assert find_faults([], 0) == []


def test_everything_else_is_a_fault_and_so_is_a_bad_close() -> None:
    assert find_faults(parse_index(BAD), 5) == [
        "3.2: NON-STRICT",
        "6.4.1: FAILED",
        "7.1.1: close UNCLEAN",
        "12.1.1: UNIMPLEMENTED",
    ]


def test_good_verdicts_are_counted_first() -> None:
    cases = [Case("1.1", verdict, "OK") for verdict in ("FAILED", "NON-STRICT", "INFORMATIONAL", "OK", "NON-STRICT")]
    assert count_verdicts(cases) == "1 OK, 1 INFORMATIONAL, 2 NON-STRICT, 1 FAILED"


def test_the_summary_has_a_row_for_each_section_and_names_what_is_not_good() -> None:
    lines = render("ours", ["ours 1.0", "2026-01-01"], parse_index(BAD), 5).splitlines()
    assert lines[:4] == ["### ours", "", "- ours 1.0", "- 2026-01-01"]
    assert "| 7 close handling | 2 | 1 OK, 1 close UNCLEAN |" in lines
    assert lines[-1] == "Not good: 3.2: NON-STRICT; 6.4.1: FAILED; 7.1.1: close UNCLEAN; 12.1.1: UNIMPLEMENTED."
    assert not any(line.startswith("Not good") for line in render("ours", [], parse_index(GOOD), 3).splitlines())


def test_a_summary_takes_the_place_of_the_one_before_and_of_no_other() -> None:
    document = place(place("# Title\n\nText.\n", "a", "first of a"), "b", "first of b")
    assert document.startswith("# Title\n\nText.\n\n<!-- autobahn: a -->\n\nfirst of a\n")
    again = place(document, "a", "second of a")
    assert again == document.replace("first of a", "second of a")
    with pytest.raises(ValueError, match="without"):
        place("<!-- autobahn: a -->", "a", "text")


def test_a_python_that_is_none_is_refused_with_the_way_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHON2", str(tmp_path / "python2.7"))
    with pytest.raises(suite.SuiteFailed, match=r"set PYTHON2=.*pyenv install 2\.7\.18"):
        suite.find_python2()


def test_the_suite_is_told_server_and_cases(tmp_path: Path) -> None:
    spec = json.loads(suite.write_spec(tmp_path, "ours", "ws://127.0.0.1:1/ws", ["1.*", "6.4.1"]).read_text())
    assert spec["servers"][0]["agent"] == "ours"
    assert spec["servers"][0]["url"] == "ws://127.0.0.1:1/ws"
    assert spec["cases"] == ["1.*", "6.4.1"]
    assert spec["outdir"] == str(tmp_path)
