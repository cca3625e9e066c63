"""WebSocket framing, server side and sans-I/O (RFC 6455, RFC 7692): bytes to messages, messages to bytes.

``reader`` finds messages and control frames in what a client sent, ``writer`` renders what a server sends, ``deflate``
is permessage-deflate within bounds, ``kernels`` holds what of the three needs raw pointers.  Nothing here knows of
connections, exchanges or the event loop.
"""
