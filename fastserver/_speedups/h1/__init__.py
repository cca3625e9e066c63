"""The HTTP/1.0 and HTTP/1.1 wire (RFC 9112): one connection, one request at a time.

``connection`` reads and decides, ``outlet`` is its writing half, ``stream`` the sink of one exchange, ``parser``
is llhttp, fed one message at a time.  ``state`` is the table of a connection's states, ``bounds`` are numbers.
"""
