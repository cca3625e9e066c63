"""What one WebSocket session may cost, where the configuration does not say (threats WS-3, WS-4, WS-8, WS-9)."""

#: Frames of a message, empty ones too, and one more for each so many bytes that have come (WS-3): a message of many
#: megabytes may come in small frames (Autobahn 9.3.1: 4 MiB in frames of 64 bytes), a small one in few.
MAX_FRAGMENTS = 1024
FRAGMENT_BYTES = 32
#: Pings and pongs that may come at once, and how many more with each second (WS-4).
CONTROL_BURST = 100
CONTROL_RATE = 10
#: What compressed messages may take on the wire beyond their quarter more: empty blocks, one for each fragment.
DEFLATE_SLACK_BYTES = 16 * 1024
#: Shorter messages go out as they are: zlib takes 3 us to save some 20 bytes of a packet that is as small.
COMPRESS_FROM_BYTES = 64
#: What may wait for the application before parsing stops, beside the configured number of messages (WS-9).
QUEUE_BYTES = 1024 * 1024
#: How long the client has to answer a Close before the connection is dropped, and how long the application may leave
#: a Close unseen that stands behind its messages; seconds (WS-8).
CLOSE_TIMEOUT_S = 10.0
