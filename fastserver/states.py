"""Where an HTTP connection can stand, as users see it: ``from fastserver.states import H1State, TRANSITIONS``.

``TRANSITIONS`` has for each ``H1State`` the state that follows, by ``H1Step``; ``H2_TRANSITIONS`` has the same of
``H2State`` and ``H2Step``, and ``H3_TRANSITIONS`` of ``H3State`` and ``H3Step``.  ``draw`` makes a Mermaid diagram of
any.  A connection's ``protocol_state`` is the name of its state in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from ._speedups.h1.state import TRANSITIONS, H1State, H1Step
from ._speedups.h2.state import TRANSITIONS as H2_TRANSITIONS
from ._speedups.h2.state import H2State, H2Step
from ._speedups.h3.state import TRANSITIONS as H3_TRANSITIONS
from ._speedups.h3.state import H3State, H3Step

__all__ = [
    "H2_TRANSITIONS",
    "H3_TRANSITIONS",
    "TRANSITIONS",
    "H1State",
    "H1Step",
    "H2State",
    "H2Step",
    "H3State",
    "H3Step",
    "draw",
]


def draw(transitions: Mapping[Any, Mapping[Any, Any]] = TRANSITIONS) -> str:
    """A table as a Mermaid state diagram, a line for each transition, from its first state to its last."""
    first, *_, last = transitions
    lines = ["stateDiagram-v2", f"    [*] --> {_name(first)}"]
    for state, steps in transitions.items():
        lines += [f"    {_name(state)} --> {_name(after)}: {_name(step)}" for step, after in steps.items()]
    lines.append(f"    {_name(last)} --> [*]")
    return "\n".join(lines)


def _name(member: Enum) -> str:
    return member.name.lower()
