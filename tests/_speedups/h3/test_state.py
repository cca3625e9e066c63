"""The table of HTTP/3 states: what it says for each step in each state, and that nothing else moves a connection."""

from typing import Any

import pytest

from fastserver._speedups import is_compiled
from fastserver._speedups.h3.state import TRANSITIONS, H3State, H3Step
from tests._speedups import plain

_S, _T = H3State, H3Step
_LIVE = (_S.HANDSHAKING, _S.OPEN, _S.DRAINING, _S.LEAVING)
#: All that moves a connection on.
MOVES = {
    (_S.HANDSHAKING, _T.OPEN): _S.OPEN,
    (_S.OPEN, _T.DRAIN): _S.DRAINING,
    (_S.DRAINING, _T.LEAVE): _S.LEAVING,
    **{(state, _T.END): _S.CLOSING for state in _LIVE},
    **{(state, _T.CLOSE): _S.CLOSED for state in (*_LIVE, _S.CLOSING)},
}


def try_moves() -> dict[str, str]:
    """Where a real connection goes by each step from each state, or the error; in the plain build only."""
    from tests.fakes import ignore
    from tests.h3wire import H3Wire

    assert not is_compiled()
    protocol: Any = H3Wire(ignore).protocol
    found = {}
    for state in H3State:
        for step in H3Step:
            protocol._state = state
            failed = protocol.host.metrics.handshakes_failed
            try:
                protocol._move(step)
            except AssertionError:
                assert protocol.state is state
                found[f"{state.name} {step.name}"] = "AssertionError"
            else:
                found[f"{state.name} {step.name}"] = protocol.state.name
                assert protocol.is_silent == (protocol.state not in _LIVE)
            fails = state is _S.HANDSHAKING and step in (_T.END, _T.CLOSE)
            assert protocol.host.metrics.handshakes_failed == failed + fails
    return found


@pytest.fixture(scope="module")
def tried() -> Any:
    pytest.importorskip("aioquic")
    return plain.call("tests._speedups.h3.test_state:try_moves")


@pytest.mark.parametrize("step", H3Step)
@pytest.mark.parametrize("state", H3State)
def test_each_step_in_each_state(tried: dict[str, str], state: H3State, step: H3Step) -> None:
    after = MOVES.get((state, step))
    assert TRANSITIONS[state].get(step) is after
    assert tried[f"{state.name} {step.name}"] == ("AssertionError" if after is None else after.name)
