"""The objects behind ``wsgi.input`` of no body, ``wsgi.errors`` and ``wsgi.file_wrapper`` (PEP 3333).

Not compiled: rarely called.
"""

from io import BytesIO, UnsupportedOperation
from threading import local

#: What an application may write to ``wsgi.errors`` without a line end; characters.
LINE_CHARACTERS = 8192


class EmptyInput(BytesIO):
    """``wsgi.input`` of requests that have no body: all share one, so whatever is done to it, it stays as it is.

    A wrapper of the ``io`` module closes what it wraps when it is dropped; that must not close it for the next request.
    """

    def close(self):
        pass

    def writable(self):
        return False

    def seek(self, *args):
        return 0

    def _refuse(self, *args):
        raise UnsupportedOperation("the body of a request is read-only")

    write = writelines = truncate = __setattr__ = __setstate__ = _refuse


class ErrorStream:
    """``wsgi.errors``: text for the error log, a record for each line.

    All requests share it; what one thread has written of a line waits for its end, or for ``flush``.
    """

    def __init__(self, log):
        self._log = log
        self._rest = local()

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"wsgi.errors takes str, not {type(text).__name__}")
        *lines, rest = (getattr(self._rest, "text", "") + text).split("\n")
        for line in lines:
            self._log.error("%s", line)
        if len(rest) > LINE_CHARACTERS:
            self._log.error("%s", rest)
            rest = ""
        self._rest.text = rest
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        rest = getattr(self._rest, "text", "")
        if rest:
            self._rest.text = ""
            self._log.error("%s", rest)


class FileWrapper:
    """``wsgi.file_wrapper``: an iterable over a file, of which the server may send the file itself instead."""

    def __init__(self, filelike, blksize=8192):
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        data = self.filelike.read(self.blksize)
        if data:
            return data
        raise StopIteration
