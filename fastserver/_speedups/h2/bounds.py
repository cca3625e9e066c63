"""What one HTTP/2 connection may cost, where the configuration does not say (threats H2-3, H2-5, H2-7, H2-20)."""

#: A field block as it is encoded, padding and priority included (H2-3); more where the decoded list may be larger.
BLOCK_BYTES = 32 * 1024
#: How many CONTINUATION frames a field block may have.
CONTINUATIONS = 8

#: PING and SETTINGS frames, acknowledgements included: at once, and per second.
CONTROL_BURST = 100.0
CONTROL_RATE = 10.0
#: SETTINGS that change INITIAL_WINDOW_SIZE, each of which costs a step for every open stream (H2-7).
WINDOW_CHANGE_BURST = 10.0
WINDOW_CHANGE_RATE = 10.0 / 60.0
#: WINDOW_UPDATE frames at once and per second, beside those that our own frames entitle to.
WINDOW_UPDATE_BURST = 1000.0
WINDOW_UPDATE_RATE = 100.0
#: A client may answer each DATA frame for the stream and for the connection, and some do so in halves.
WINDOW_UPDATES_PER_FRAME = 4
WINDOW_UPDATE_CREDIT = 4096
#: PRIORITY, PRIORITY_UPDATE and unknown frames: over the whole connection, and more for each stream opened.
PRIORITIES = 100
PRIORITIES_PER_STREAM = 10
#: Empty frames in a row: DATA that does not end its stream, and fragments of field blocks.
EMPTY_FRAMES = 10
#: A slice of input with more frames than this must carry this much payload.
SLICE_FRAMES = 500
SLICE_PAYLOAD_BYTES = 1024
#: What is read before the next look at the budgets; bytes (H2-20).
SLICE_BYTES = 16 * 1024
#: Frames that are acted upon before the loop gets its turn.
TURN_FRAMES = 256
#: What may wait for its turn before reading is paused; bytes.
HELD_BYTES = 64 * 1024
#: What one stream's application may have said beyond the peer's window, and all of a connection together; bytes (H2-7).
STREAM_PENDING_BYTES = 64 * 1024
CONNECTION_PENDING_BYTES = 1024 * 1024
#: Consumed body bytes are given back to the peer in pieces of this size at the most.
CREDIT_BYTES = 32 * 1024
#: Seconds in which the client has to acknowledge our SETTINGS (H2-17).
SETTINGS_S = 10.0
