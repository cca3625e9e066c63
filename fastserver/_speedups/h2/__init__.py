"""The HTTP/2 wire (RFC 9113): frames and what a peer may spend on them."""
