"""What the decoder raises: each is an error of the whole connection, whose tables are out of step from then on.

They derive from the exceptions of the ``hpack`` package, by which ``h2`` knows them.
"""

from hpack.exceptions import HPACKDecodingError, OversizedHeaderListError


class HPACKError(HPACKDecodingError):
    """A block that RFC 7541 does not allow: COMPRESSION_ERROR (RFC 9113 section 4.3)."""


class OversizedList(OversizedHeaderListError):
    """More fields or bytes than the limits allow, whether or not the block is sound: ENHANCE_YOUR_CALM (H2-4)."""
