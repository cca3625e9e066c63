"""QUIC (RFC 9000 to 9002): an engine above aioquic's connection.  Nothing here knows HTTP/3.

``engine`` is all that others need.  It is a ``sender``, which is a ``handshake``, which is aioquic's connection with
``keys`` of our own; these four import aioquic, and ``protection`` uses what aioquic's keys are made of.  Below them
nothing knows aioquic, but that ``recovery`` and ``packets`` have the names by which its handshake calls them:
``table`` (the streams of a connection, above ``receiving`` and ``streams``), ``recovery`` and ``congestion``,
``packets``.  ``state``, ``codes``, ``errors`` and ``bounds`` are numbers.
"""
