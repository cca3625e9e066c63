"""WebSockets (RFC 6455, RFC 7692; RFC 8441 over HTTP/2), without a wire: a session, and bytes to messages and back.

``exchange`` is one session of an application; ``handshake`` reads the request, ``messages`` are what the application is
told and says, ``inbox`` holds what it has not taken, ``denial`` is the response where there is no session,
``keepalive`` knows when pings and pongs are due, ``settings`` are what is configured.  ``reader`` finds messages and
control frames in what a client sent, ``writer`` renders what a server sends, ``deflate`` is permessage-deflate within
bounds, ``kernels`` holds what of the three needs raw pointers.  ``bounds`` are the limits that have no flag, ``codes``
the numbers of RFC 6455.
"""
