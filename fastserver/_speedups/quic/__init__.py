"""QUIC (RFC 9000 to 9002): an engine above aioquic's connection.  Nothing here knows HTTP/3."""
