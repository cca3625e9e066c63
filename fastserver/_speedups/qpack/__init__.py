"""QPACK (RFC 9204) without a dynamic table: the compression of HTTP/3's field sections, both ways (threat Q-10).

We announce a capacity of 0 and use none of the peer's, so nothing here has a state that could fall out of step, no
stream is ever blocked, and what a byte can stand for is at most an entry of the static table.  ``decoder`` and
``encoder`` read and write field sections, ``streams`` reads the peer's two streams of instructions; ``tables`` is the
RFC's data, ``errors`` what is raised.  Strings are HPACK's (``hpack.strings``).
"""
