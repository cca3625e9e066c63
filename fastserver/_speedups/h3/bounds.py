"""What one HTTP/3 connection may cost, where the configuration does not say (threats Q-7 to Q-10)."""

#: What one stream's application may have said that is in no packet yet, and all of a connection together; bytes (Q-8).
STREAM_UNSENT_BYTES = 64 * 1024
CONNECTION_UNSENT_BYTES = 1024 * 1024
#: Parts of a response below this size leave in one piece with what stands before them; bytes.
JOINED_BYTES = 4096
#: The longest frame of a control stream that is read, and what a lane may say in frames that mean nothing; bytes.
CONTROL_FRAME_BYTES = 1024
#: The most settings that one frame may hold, unknown ones too.
MOST_SETTINGS = 64
#: Frames of unknown types and streams of unknown types, over the whole connection; bytes (Q-9).
SKIPPED_BYTES = 64 * 1024
#: Empty DATA frames of one request.
EMPTY_FRAMES = 10
#: Unidirectional streams that a client opens beside its control stream and its two of QPACK, over the whole connection.
STRAY_LANES = 16
