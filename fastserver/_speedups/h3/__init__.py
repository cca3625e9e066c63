"""HTTP/3 (RFC 9114) of the wire side, sans-I/O.

``connection`` is one connection, in three steps of which each derives from the next: its time and its end
(``connection``), reading (``intake``), writing (``outlet``); ``state`` is the table of its states.  ``stream`` is the
sink of one exchange, ``lanes`` are the streams that go one way, ``frames`` reads the frames of either.  ``budget``
counts what costs a peer nothing.  ``varint`` reads and writes integers, ``payloads`` what is made of them alone;
``codes`` and ``errors`` are the RFC's numbers, ``bounds`` ours.
"""
