"""HTTP/2: the wire of ``_speedups.h2`` on the state machine of the ``h2`` package."""

from fastserver._speedups.contract import Connection, Host, Protocol
from fastserver._speedups.h2.connection import H2Connection
from fastserver.protocol.h2.engine import Engine


def open_h2(connection: Connection, host: Host) -> Protocol:
    """The protocol of a connection that has settled on HTTP/2."""
    return H2Connection(connection, host, Engine)
