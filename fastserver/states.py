"""Where an HTTP/1 connection can stand, as users see it: ``from fastserver.states import H1State, TRANSITIONS``.

``TRANSITIONS`` has for each ``H1State`` the state that follows, by ``H1Step``.  ``draw`` makes a Mermaid diagram of it.
A connection's ``protocol_state`` is the name of its state in lower case.
"""

from ._speedups.h1state import TRANSITIONS, H1State, H1Step, draw

__all__ = ["TRANSITIONS", "H1State", "H1Step", "draw"]
