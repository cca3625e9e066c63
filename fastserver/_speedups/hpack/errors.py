"""What the decoder raises: each is an error of the whole connection, whose tables are out of step from then on."""


class HPACKError(Exception):
    """A block that RFC 7541 does not allow: COMPRESSION_ERROR (RFC 9113 section 4.3)."""


class OversizedList(Exception):
    """More fields or bytes than the limits allow, whether or not the block is sound: ENHANCE_YOUR_CALM (H2-4)."""
