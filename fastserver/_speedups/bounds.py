"""Bounds of every protocol that have no flag; ``docs/limits.md`` lists them beside those that have one."""

#: What leaves in one write at the most.
CORK_BYTES = 64 * 1024
#: Lingering close: how much is read and thrown away, and for how long, so that no reset overtakes the last answer
#: (RFC 9112 section 9.6, and true of any protocol on TCP).
LINGER_BYTES = 256 * 1024
LINGER_S = 2.0
#: Over which time the resets of a multiplexed connection count (``Limits.h2.resets``, ``Limits.h3.resets``).
RESET_PERIOD_S = 30.0
#: nginx's measure of a flood: more than this many bytes for each byte of payload, beyond a free allowance.
FLOOD_RATIO = 8
FLOOD_BYTES = 1 << 20
#: The rest of a request behind its response is thrown away up to here before a multiplexed stream is stopped; bytes,
#: seconds.
DISCARD_BYTES = 256 * 1024
DISCARD_S = 5.0
#: Seconds between the two GOAWAYs of a drain, in which requests that are under way arrive (H2-18, Q-14).
LEAVE_S = 1.0
