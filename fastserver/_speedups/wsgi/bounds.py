"""Bounds of WSGI that have no flag; ``docs/limits.md`` lists them beside those that have one."""

#: What an application's thread may be ahead of the event loop; beyond it ``write()`` and the iteration wait.
AHEAD_BYTES = 64 * 1024
#: A list or tuple of parts that come to this much at the most leaves as one.
JOINED_BYTES = 64 * 1024
#: Without threads: parts of an iterable that are sent before the event loop looks at its other work.
PARTS_PER_TURN = 16
#: How many field names are remembered, with what they are called on the other side.
NAMES = 512
#: What a client is told to wait where no thread is free; seconds.
RETRY_AFTER_S = 1
#: How often the log says that no thread is free; seconds.
FULL_LOG_S = 10.0
#: For how many of its own addresses (scheme, name and port) what they share is remembered.
SERVERS = 64
#: The longest value of a response's field that is remembered, one for each known name.
REMEMBERED_CHARACTERS = 256
