"""The states of a stream's halves and the kinds of what a packet carries.

Only a ``Stream`` moves its halves (RFC 9000 sections 3.1 and 3.2):

| half | from | by | to |
|---|---|---|---|
| receiving | OPEN | STOP_SENDING of ours, before the final size is known (``discard``) | DISCARDING |
| receiving | OPEN, DISCARDING | all has come, or will not (``end_receiving``) | OVER |
| sending | OPEN | the last data are given (``queue``) | ENDED |
| sending | OPEN, ENDED | it is given up (``give_up``) | RESETTING |
| sending | ENDED, RESETTING | the end or the reset is acknowledged (``end_sending``) | OVER |
"""

#: What a piece of a packet says; the first two are data.
DATA, LAST_DATA, RESET, STOP, WINDOW, CONNECTION_WINDOW, BIDI_STREAMS, UNI_STREAMS = range(8)

#: The states of a half.
OPEN, ENDED, DISCARDING, RESETTING, OVER = range(5)

#: What the listener hears.
TELL_DATA, TELL_RESET, TELL_STOP, TELL_CLOSED = range(4)
