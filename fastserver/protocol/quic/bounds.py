"""How often those who have no connection are answered, by one worker: at once, and per second."""

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
