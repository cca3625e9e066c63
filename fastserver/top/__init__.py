"""``fastserver top``: a live server's figures in a terminal, read from the ``/stats`` of its ``--metrics-bind``.

``client`` asks, ``stats`` checks the answer, ``facts`` compares two answers, ``picture`` draws them, ``screen`` shows
the picture, and ``command`` is the command line.  Only ``picture`` and ``screen`` import rich, the extra ``top``.
"""

from fastserver.top.command import main

__all__ = ["main"]
