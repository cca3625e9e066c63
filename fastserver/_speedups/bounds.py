"""Bounds of every protocol that have no flag; ``docs/limits.md`` lists them beside those that have one."""

#: What leaves in one write at the most.
CORK_BYTES = 64 * 1024
#: Lingering close: how much is read and thrown away, and for how long, so that no reset overtakes the last answer
#: (RFC 9112 section 9.6, and true of any protocol on TCP).
LINGER_BYTES = 256 * 1024
LINGER_S = 2.0
#: Over which time the resets of a multiplexed connection count (``Limits.h2.resets``, ``Limits.h3.resets``).
RESET_PERIOD_S = 30.0
