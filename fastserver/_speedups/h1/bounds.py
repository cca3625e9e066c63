"""Bounds of an HTTP/1 connection that have no flag; ``docs/limits.md`` lists them beside those that have one."""

#: What may wait unparsed or unread before reading is paused; bytes.
PIPELINE_BYTES = 64 * 1024
BODY_BUFFER_BYTES = 64 * 1024
#: Reading goes on once the application has left no more than this unread.
BODY_LOW_BYTES = 16 * 1024
#: Parts from this size on are written as they are: copying them behind a head would cost more than a second write.
COPY_BYTES = 16 * 1024
#: The rest of a body that nobody reads is discarded up to here before the connection is reused (H1-31).
DISCARD_BYTES = 64 * 1024
DISCARD_S = 5.0
