"""The table of HTTP/2 states: what it says for each step in each state, and that nothing else moves a connection."""

from typing import Any

import pytest

from fastserver._speedups import is_compiled
from fastserver._speedups.h2.state import TRANSITIONS, H2State, H2Step
from tests._speedups import plain

_S, _T = H2State, H2Step
#: All that moves a connection on; `SETTLED` may come again wherever frames are read.
MOVES = {
    (_S.OPENING, _T.SETTLED): _S.OPEN,
    **{(state, _T.SETTLED): state for state in (_S.OPEN, _S.DRAINING, _S.LEAVING)},
    **{(state, _T.DRAIN): _S.DRAINING for state in (_S.OPENING, _S.OPEN)},
    (_S.DRAINING, _T.LEAVE): _S.LEAVING,
    **{(state, _T.WRITING_ENDS): _S.LINGERING for state in (_S.OPENING, _S.OPEN, _S.DRAINING, _S.LEAVING)},
    **{(state, _T.CLOSE): _S.CLOSED for state in H2State if state is not _S.CLOSED},
}


def try_moves() -> dict[str, str]:
    """Where a real connection goes by each step from each state, or the error; in the plain build only."""
    from tests.fakes import ignore
    from tests.h2wire import H2Wire

    assert not is_compiled()
    protocol: Any = H2Wire(ignore).protocol
    found = {}
    for state in H2State:
        for step in H2Step:
            protocol._state = state
            try:
                protocol._move(step)
            except AssertionError:
                assert protocol.state is state
                found[f"{state.name} {step.name}"] = "AssertionError"
            else:
                found[f"{state.name} {step.name}"] = protocol.state.name
    return found


@pytest.fixture(scope="module")
def tried() -> Any:
    return plain.call("tests._speedups.h2.test_state:try_moves")


@pytest.mark.parametrize("step", H2Step)
@pytest.mark.parametrize("state", H2State)
def test_each_step_in_each_state(tried: dict[str, str], state: H2State, step: H2Step) -> None:
    after = MOVES.get((state, step))
    assert TRANSITIONS[state].get(step) is after
    assert tried[f"{state.name} {step.name}"] == ("AssertionError" if after is None else after.name)
