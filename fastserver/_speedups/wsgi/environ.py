"""What a WSGI application is given: the CGI variables of one request and the ``wsgi.*`` values (PEP 3333).

Text is "native": each byte of the wire is one character (Latin-1).  Two header names that differ only in ``-`` and
``_`` would be one variable, so names with an underscore are dropped (H1-38), and so is ``Proxy``, which would be the
``HTTP_PROXY`` that HTTP clients take for configuration (CVE-2016-5385).
"""

import sys
from urllib.parse import unquote_to_bytes

from ..fields import HTTP_1_1
from .bounds import NAMES, SERVERS

#: Field name to variable; empty for a name that is dropped.
_KEYS: dict = {
    b"content-type": "CONTENT_TYPE",
    b"content-length": "CONTENT_LENGTH",
    b"proxy": "",
}


class EnvironMaker:
    """Makes the environment of each request.  ``constants`` are the values that all of them share."""

    def __init__(self, root_path, constants):
        # A path in the configuration is text; in the environment it is its bytes.
        script_name = root_path.rstrip("/").encode("utf-8", "surrogateescape").decode("latin-1")
        values = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": script_name,
            "PATH_INFO": "",
            "QUERY_STRING": "",
            "REQUEST_URI": "",
            "RAW_URI": "",
            "SERVER_NAME": "",
            "SERVER_PORT": "",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "",
            "REMOTE_PORT": "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": None,
            "wsgi.input_terminated": True,
            "wsgi.run_once": False,
            **constants,
            "": None,
        }
        # Filled by item, a dictionary knows that all its keys are text and takes a third less memory, and time, for it.
        # One item more than there are, taken out again, makes it grow: a copy then has room for a request's fields.
        self.template = {}
        for key, value in values.items():
            self.template[key] = value
        self.template.popitem()
        # What stands for each address of this server: (scheme, name, port) to template.
        self._templates = {}

    def make(self, request, peer, body, length):
        """The environment of ``request``; ``body`` is its ``wsgi.input``, of ``length`` bytes, -1 where it has none."""
        facts = peer.cgi
        if facts is None or facts[0] is not self:
            facts = peer.cgi = self._describe_peer(peer)
        template = facts[1]
        environ = template.copy()
        environ["REMOTE_ADDR"] = facts[2]
        environ["REMOTE_PORT"] = facts[3]
        environ["wsgi.input"] = body
        if request.method != "GET":
            environ["REQUEST_METHOD"] = request.method
        raw_path = request.raw_path
        path = request.path
        value = path
        # Without escapes the path is what stands in the target; with some, its bytes are what they stand for.
        if len(path) != len(raw_path):
            path = unquote_to_bytes(raw_path).decode("latin-1")
            value = raw_path.decode("latin-1")
        environ["PATH_INFO"] = "" if path == "*" else path
        if request.query_string:
            key = request.query_string.decode("latin-1")
            environ["QUERY_STRING"] = key
            value = value + "?" + key
        environ["REQUEST_URI"] = value
        environ["RAW_URI"] = value
        if request.http_version != HTTP_1_1:
            environ["SERVER_PROTOCOL"] = "HTTP/" + request.http_version
        for pair in request.headers:
            name = pair[0]
            key = _KEYS.get(name)
            if key is None:
                key = _name_key(name)
            if not key:
                continue
            text = pair[1]
            value = text.decode("latin-1")
            size = len(environ)
            environ.setdefault(key, value)
            if len(environ) == size:
                self._add_again(environ, key, value)
        if request.chunked:
            # The body has come whole, so its length is known, and the coding is undone.
            environ.pop("HTTP_TRANSFER_ENCODING", None)
            environ["CONTENT_LENGTH"] = str(length)
        elif length > 0 and request.content_length < 0:
            environ["CONTENT_LENGTH"] = str(length)
        if not template["SERVER_NAME"]:
            self._name_server(environ, peer)
        return environ

    def _add_again(self, environ, key, value):
        """A field that comes again: one list (RFC 9110 section 5.3), and crumbs of cookies one cookie."""
        environ[key] = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + value

    def _describe_peer(self, peer):
        """This maker, the template of what a connection's requests share, REMOTE_ADDR and REMOTE_PORT."""
        client = peer.client or ("", "")
        server = peer.server or ("", None)
        name, port = ("", "") if server[1] is None else (server[0], str(server[1]))
        address = (peer.scheme, name, port)
        template = self._templates.get(address)
        if template is None:
            template = self.template.copy()
            template["wsgi.url_scheme"] = peer.scheme
            template["SERVER_NAME"] = name
            template["SERVER_PORT"] = port
            if len(self._templates) < SERVERS:
                self._templates[address] = template
        return (self, template, client[0], str(client[1]))

    def _name_server(self, environ, peer):
        """SERVER_NAME and SERVER_PORT, which are never empty: a Unix socket has what the client calls it."""
        host = environ.get("HTTP_HOST", "")
        name, colon, port = host.rpartition(":")
        if not colon or "]" in port:
            name, port = host, ""
        environ["SERVER_NAME"] = name or "localhost"
        environ["SERVER_PORT"] = port or ("443" if peer.scheme == "https" else "80")


def _name_key(name):
    """The variable of a field that is met for the first time, or empty for one that is dropped."""
    if b"_" in name:
        key = ""
    else:
        key = sys.intern("HTTP_" + name.decode("latin-1").upper().replace("-", "_"))
    if len(_KEYS) < NAMES:
        _KEYS[name] = key
    return key
