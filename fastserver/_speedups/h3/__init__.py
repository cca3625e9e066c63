"""HTTP/3 (RFC 9114) of the wire side, sans-I/O.

``codes`` and ``errors`` are the RFC's numbers, ``varint`` reads and writes what is made of integers alone, ``frames``
reads the frames of one stream.
"""
