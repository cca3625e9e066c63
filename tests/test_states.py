"""What ``fastserver.states.draw`` makes of the tables of HTTP/2 and HTTP/3 (HTTP/1's: ``_speedups/h1/test_state``)."""

from fastserver.states import H2_TRANSITIONS, H3_TRANSITIONS, H2State, H2Step, H3State, H3Step, draw


def test_the_tables_have_every_state_and_every_step() -> None:
    assert list(H2_TRANSITIONS) == list(H2State)
    assert {step for steps in H2_TRANSITIONS.values() for step in steps} == set(H2Step)
    assert list(H3_TRANSITIONS) == list(H3State)
    assert {step for steps in H3_TRANSITIONS.values() for step in steps} == set(H3Step)


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


def test_the_diagram_of_http3() -> None:
    assert draw(H3_TRANSITIONS).split("\n") == [
        "stateDiagram-v2",
        "    [*] --> handshaking",
        "    handshaking --> open: open",
        "    handshaking --> closing: end",
        "    handshaking --> closed: close",
        "    open --> draining: drain",
        "    open --> closing: end",
        "    open --> closed: close",
        "    draining --> leaving: leave",
        "    draining --> closing: end",
        "    draining --> closed: close",
        "    leaving --> closing: end",
        "    leaving --> closed: close",
        "    closing --> closed: close",
        "    closed --> [*]",
    ]
