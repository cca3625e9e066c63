"""Two protocols of one's own, beside HTTP on the same workers: a Redis-like server, and an echo of lines.

Run both, and talk to them with the tools that their users have::

    fastserver --protocol 127.0.0.1:6380=examples.events.protocol_handler:Ping \\
               --protocol 127.0.0.1:7007=examples.events.protocol_handler:Echo examples.hello:app
    redis-cli -p 6380 ping
    redis-benchmark -p 6380 -t ping -P 16
    nc 127.0.0.1 7007
"""

from fastserver.events import Closed, RawData

MOST_ARGUMENTS = 64
LONGEST_ARGUMENT_BYTES = 64 * 1024
LONGEST_REQUEST_BYTES = 256 * 1024
LONGEST_LINE_BYTES = 8 * 1024
#: "*64" and "$65536" are the longest headers that are taken.
LONGEST_HEADER_BYTES = 16

COMMANDS = (b"command", b"echo", b"ping", b"quit")


class ProtocolError(Exception):
    """Where the next request begins cannot be told: the peer is told why, and the connection closes."""


class Ping:
    """Answers PING, ECHO, QUIT and COMMAND COUNT or LIST, in RESP (arrays of bulk strings) or as plain lines."""

    def __init__(self):
        # No larger than the largest request, and one read.
        self.buffer = bytearray()
        # What must be there before it is worth to look again.
        self.needed = 0

    def handle(self, event):
        """Plain methods are called in place; what is returned is sent.  All answers to one read leave together."""
        if not isinstance(event, RawData):
            return None
        self.buffer += event.data
        if len(self.buffer) < self.needed:
            return None
        replies: list[bytes] = []
        try:
            ended = self.answer_all(replies)
        except ProtocolError as error:
            replies.append(b"-ERR Protocol error: %s\r\n" % str(error).encode())
            ended = True
        answer = RawData(b"".join(replies))
        # Nothing is said of a request that is not whole yet: the peer has the keep-alive time to send the rest.
        return [answer, Closed()] if ended else answer

    def answer_all(self, replies):
        """Put the reply to each whole request into ``replies``, keep the rest: whether the peer has said QUIT."""
        position = 0
        ended = False
        while not ended and (found := self.read_request(position)) is not None:
            words, position = found
            if words:
                ended = words[0].lower() == b"quit"
                replies.append(run(words))
        del self.buffer[:position]
        return ended

    def read_request(self, position):
        """The words of the request at ``position`` and the position behind it; ``None`` where it is not whole."""
        self.needed = 0
        if self.buffer[position : position + 1] == b"*":
            return self.read_array(position)
        line = self.read_line(position, LONGEST_ARGUMENT_BYTES, "too big inline request")
        return None if line is None else (line[0].split(), line[1])

    def read_array(self, start):
        header = self.read_count(start, b"*", MOST_ARGUMENTS, "invalid multibulk length")
        if header is None:
            return None
        count, position = header
        words = []
        for _ in range(count):
            header = self.read_count(position, b"$", LONGEST_ARGUMENT_BYTES, "invalid bulk length")
            if header is None:
                return None
            size, position = header
            end = position + size
            if end + 2 - start > LONGEST_REQUEST_BYTES:
                raise ProtocolError("too big request")
            if len(self.buffer) < end + 2:
                self.needed = end + 2 - start
                return None
            if self.buffer[end : end + 2] != b"\r\n":
                raise ProtocolError("expected CRLF behind a bulk string")
            words.append(bytes(self.buffer[position:end]))
            position = end + 2
        return words, position

    def read_count(self, position, mark, most, fault):
        """The number in a header such as ``$5`` and the position behind it; ``None`` where it is not whole."""
        line = self.read_line(position, LONGEST_HEADER_BYTES, fault)
        if line is None:
            return None
        text, position = line
        if text[:1] != mark:
            raise ProtocolError(f"expected {mark.decode()!r}")
        if not text[1:].isdigit() or int(text[1:]) > most:
            raise ProtocolError(fault)
        return int(text[1:]), position

    def read_line(self, position, most, fault):
        """The line at ``position`` without its end, and the position behind it; ``None`` where it is not whole."""
        end = self.buffer.find(b"\n", position, position + most + 2)
        if end < 0 and len(self.buffer) - position < most + 2:
            return None
        text = bytes(self.buffer[position:end]).removesuffix(b"\r")
        if end < 0 or len(text) > most:
            raise ProtocolError(fault)
        return text, end + 1


def run(words):
    """The reply to one command.  It never repeats a name that the peer chose: that could hold a line's end."""
    name, arguments = words[0].lower(), words[1:]
    if name == b"ping" and len(arguments) < 2:
        return render_bulk(arguments[0]) if arguments else b"+PONG\r\n"
    if name == b"echo" and len(arguments) == 1:
        return render_bulk(arguments[0])
    if name == b"quit":
        return b"+OK\r\n"
    if name == b"command" and [word.lower() for word in arguments] == [b"count"]:
        return b":%d\r\n" % len(COMMANDS)
    if name == b"command" and [word.lower() for word in arguments] == [b"list"]:
        return b"*%d\r\n" % len(COMMANDS) + b"".join(map(render_bulk, COMMANDS))
    return b"-ERR wrong arguments\r\n" if name in COMMANDS else b"-ERR unknown command\r\n"


def render_bulk(data):
    return b"$%d\r\n%s\r\n" % (len(data), data)


class Echo:
    """Sends each whole line back, in a coroutine that waits where the peer reads slowly."""

    def __init__(self, connection):
        self.connection = connection
        self.line = b""

    async def handle_event(self, event):
        """One event at a time: the next one comes when this has returned."""
        if isinstance(event, RawData):
            await self.take(event.data)
        elif isinstance(event, Closed):
            self.line = b""

    async def take(self, data):
        *lines, self.line = (self.line + data).split(b"\n")
        if any(len(line) > LONGEST_LINE_BYTES for line in (*lines, self.line)):
            self.connection.send(RawData(b"line too long\n"))
            self.connection.close()
            return
        for line in lines:
            self.connection.send(RawData(line + b"\n"))
            await self.connection.wait_writable()
