"""What one worker does for those who have no connection: answers at once, and per second, and what it remembers."""

from typing import Final

#: Version Negotiation packets (Q-2): few clients need one.
NEGOTIATION_BURST: Final = 100.0
NEGOTIATION_RATE: Final = 1000.0
#: Stateless resets (Q-5): after a restart each client needs one, and asks until it has it.
RESET_BURST: Final = 200.0
RESET_RATE: Final = 500.0
#: Refusals in Initial packets (Q-3): each costs the derivation of keys.
REFUSAL_BURST: Final = 100.0
REFUSAL_RATE: Final = 100.0
#: The part of the half-open connections from which on ``auto`` asks for proof of an address (Q-3).
RETRY_FRACTION: Final = 4
#: For how long a connection that we have closed says so again, which is three probe timeouts of a slow path (RFC 9000
#: section 10.2), and of how many connections that is known.
FAREWELL_S: Final = 3.0
MAX_FAREWELLS: Final = 1024
#: For how long the ID that a client chose is known behind its handshake, and how many are: copies of a first packet are
#: late by what a network takes to deliver them.
LATE_S: Final = 3.0
MAX_LATE_IDS: Final = 4096
