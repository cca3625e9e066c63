"""The states of a stream's halves and the kinds of what a packet carries."""

#: What a piece of a packet says.
DATA, LAST_DATA, RESET, STOP, WINDOW, CONNECTION_WINDOW, BIDI_STREAMS, UNI_STREAMS = range(8)

#: The states of a half.  Receiving: OPEN, then DISCARDING after STOP_SENDING, then OVER.  Sending: OPEN, ENDED once the
#: end was given, RESETTING once it was given up, then OVER once that is acknowledged.
OPEN, ENDED, DISCARDING, RESETTING, OVER = range(5)

#: What the listener hears.
TELL_DATA, TELL_RESET, TELL_STOP, TELL_CLOSED = range(4)
