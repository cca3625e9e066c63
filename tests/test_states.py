"""What ``fastserver.states.draw`` makes of the table of HTTP/2 (HTTP/1's: ``_speedups/h1/test_state``)."""

from fastserver.states import H2_TRANSITIONS, H2State, H2Step, draw


def test_the_table_has_every_state_and_every_step() -> None:
    assert list(H2_TRANSITIONS) == list(H2State)
    assert {step for steps in H2_TRANSITIONS.values() for step in steps} == set(H2Step)


def test_the_diagram_shows_each_transition_once() -> None:
    assert draw(H2_TRANSITIONS).split("\n") == [
        "stateDiagram-v2",
        "    [*] --> opening",
        "    opening --> open: settled",
        "    opening --> draining: drain",
        "    opening --> lingering: writing_ends",
        "    opening --> closed: close",
        "    open --> open: settled",
        "    open --> draining: drain",
        "    open --> lingering: writing_ends",
        "    open --> closed: close",
        "    draining --> draining: settled",
        "    draining --> leaving: leave",
        "    draining --> lingering: writing_ends",
        "    draining --> closed: close",
        "    leaving --> leaving: settled",
        "    leaving --> lingering: writing_ends",
        "    leaving --> closed: close",
        "    lingering --> closed: close",
        "    closed --> [*]",
    ]
