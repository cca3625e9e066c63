"""The HTTP/2 wire (RFC 9113): one connection, its streams, and what a peer may spend on them.

What is held where: flow control in ``outlet`` (our DATA) and ``stream`` (credit for the peer's); limits on single
frames in ``frames``, on a peer's time in ``budget`` (the floods), on streams, bodies and deadlines in ``connection``,
and the figures of all of them in ``bounds``; the drain in ``connection``, by the table in ``state``.  States of streams
and the sizes of windows are the engine's (``protocol.h2.engine``).
"""
