"""Where a WSGI call and its response stand, and what goes from the one thread to the other.  Not compiled: numbers."""

# Stages of the call; from QUEUED on it is in the pool's hands, until it has ended.
OPENED = 0
RECEIVING = 1
QUEUED = 2
RUNNING = 3
SENDING_FILE = 4
CLOSING = 5
ENDED = 6

# States of the response.
AWAITING_START = 0
SENDING_BODY = 1
COMPLETE = 2

# Steps of the response, from the application's thread to the loop's.
NOTHING = 0
PART = 1
LAST = 2
CUT_SHORT = 3  # the last, of an application that had more to say than it announced
HEAD_ONLY = 4
FAULT = 5
FILE = 6
