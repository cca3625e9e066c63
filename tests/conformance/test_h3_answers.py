"""What RFC 9114 makes a server say: its control stream, GOAWAYs, the codes with which it ends streams."""

import pytest

from fastserver._speedups.bounds import DISCARD_BYTES
from fastserver._speedups.contract import H3Limits
from fastserver._speedups.h3.errors import (
    H3_CLOSED_CRITICAL_STREAM,
    H3_NO_ERROR,
    H3_REQUEST_CANCELLED,
    H3_REQUEST_REJECTED,
    H3_STREAM_CREATION_ERROR,
)
from tests.conformance.h3cases import CONTROL, DECODER, ENCODER, GREASE, SETTINGS, answer, get, post
from tests.fakes import Recorder
from tests.h3wire import H3Wire


def test_rule_4_1g_a_response_before_its_request() -> None:
    wire = H3Wire(answer)
    wire.send(0, post((b"content-length", b"%d" % (DISCARD_BYTES + 1)), path=b"/now"))
    assert wire.answer(0).body == b"now"
    assert wire.answer(0).ended
    assert wire.engine.stops == {0: H3_NO_ERROR}
    assert wire.engine.resets == {}
    wire.hang_up()


def test_rule_4_1_1a_rejected() -> None:
    recorder = Recorder(answer)
    wire = H3Wire(recorder, None, H3Limits(streams=1))
    wire.send(0, get(path=b"/wait"), True)
    wire.send(4, post())
    assert wire.engine.resets == wire.engine.stops == {4: H3_REQUEST_REJECTED}
    assert recorder.targets == [b"/wait"]
    wire.hang_up()


def test_rule_4_1_1b_cancelled() -> None:
    wire = H3Wire(answer)
    wire.send(0, post(path=b"/wait"))
    wire.reset(0)
    assert wire.engine.resets == {0: H3_REQUEST_CANCELLED}
    wire.send(4, get(), True)
    assert wire.answer(4).ended
    wire.hang_up()


@pytest.mark.parametrize("code", [GREASE, 0x1234, (1 << 62) - 1])
def test_rule_8_1a_unknown_codes(code: int) -> None:
    wire = H3Wire(answer)
    wire.send(0, post(path=b"/wait"))
    wire.stop(0, code)
    wire.send(4, get(), True)
    assert wire.answer(4).ended
    assert wire.engine.closed is None
    wire.hang_up()


def test_rule_5_2a_goaway_is_not_below_what_is_served() -> None:
    recorder = Recorder(answer)
    wire = H3Wire(recorder)
    wire.send(8, get(path=b"/wait"), True)
    wire.send(0, get(path=b"/wait"), True)
    wire.drain()
    wire.advance(2)
    assert wire.went_away == [(1 << 62) - 4, 12]
    wire.send(4, get(), True)
    assert wire.answer(4).ended
    wire.hang_up()


def test_rule_5_2b_goaway_never_grows() -> None:
    wire = H3Wire(answer)
    wire.send(0, get(path=b"/wait"), True)
    wire.drain()
    wire.advance(2)
    wire.send(4, get(), True)
    wire.drain()
    wire.stop(0)
    wire.advance(100)
    assert wire.went_away == [(1 << 62) - 4, 4]
    wire.hang_up()


def test_rule_5_2c_what_is_behind_a_goaway() -> None:
    recorder = Recorder(answer)
    wire = H3Wire(recorder)
    wire.send(0, get(path=b"/wait"), True)
    wire.drain()
    wire.advance(2)
    wire.send(4, get(), True)
    assert wire.engine.resets == {4: H3_REQUEST_REJECTED}
    assert recorder.targets == [b"/wait"]
    wire.hang_up()


@pytest.mark.parametrize("kind", [CONTROL, ENCODER, DECODER])
def test_rule_6_2_1e_resets_of_critical_streams(kind: int) -> None:
    wire = H3Wire(answer)
    stream = 2 if kind == CONTROL else wire.open_lane(kind)
    wire.reset(stream)
    assert wire.engine.closed is not None
    assert wire.engine.closed[0] == H3_CLOSED_CRITICAL_STREAM
    wire.hang_up()


def test_rule_6_2_1e_our_control_stream_is_stopped() -> None:
    wire = H3Wire(answer)
    wire.stop(3)
    assert wire.engine.closed == (H3_CLOSED_CRITICAL_STREAM, "control stream stopped")
    wire.hang_up()


def test_rule_6_2_1f_settings_come_first() -> None:
    wire = H3Wire(answer, None, None, False)
    assert wire.engine.said == {}
    wire.shake()
    assert [kind for kind, _ in wire.control] == [SETTINGS]
    assert list(wire.engine.said) == [3]
    wire.vanish()


def test_rule_6_2_3a_lanes_that_mean_nothing_are_stopped() -> None:
    wire = H3Wire(answer)
    lane = wire.open_lane(GREASE, b"anything")
    assert wire.engine.stops == {lane: H3_STREAM_CREATION_ERROR}
    wire.reset(lane)
    wire.acknowledge(lane)
    wire.send(0, get(), True)
    assert wire.answer(0).ended
    wire.hang_up()
