"""``fastserver ctl``: an operator's orders to a live server, through its control socket.

``client`` asks, ``table`` says what the answer means in words, and ``command`` is the command line.  The other end is
``fastserver.processes.control``; ``docs/deploy.md`` has the protocol.
"""

from fastserver.ctl.command import main

__all__ = ["main"]
