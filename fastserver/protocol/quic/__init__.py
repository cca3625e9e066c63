"""QUIC below HTTP/3: whose a datagram is, what is said to those who have no connection, and the names both need.

``secrets``, ``cids``, ``datagram`` and ``verdicts`` are of the standard library; the others need the extra ``http3``
and are imported only where HTTP/3 is served.
"""
