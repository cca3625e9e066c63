"""HPACK (RFC 7541): the compression of HTTP/2's header fields, both ways.

``decoder`` and ``encoder`` stand on ``table`` (the dynamic table) and on ``strings`` (Huffman codes and shared names,
the one module here that needs raw pointers); ``tables`` is the RFC's data, ``errors`` what is raised.  They take the
places of ``hpack.Decoder`` and ``hpack.Encoder`` in ``h2``.
"""
