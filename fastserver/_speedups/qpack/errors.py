"""What reading QPACK raises: errors of the whole connection with their codes (RFC 9204 section 6), and one limit."""

QPACK_DECOMPRESSION_FAILED = 0x200
QPACK_ENCODER_STREAM_ERROR = 0x201
QPACK_DECODER_STREAM_ERROR = 0x202


class QPACKError(Exception):
    """The peer has broken a rule of RFC 9204: the connection ends with ``code``."""

    code: int


class DecompressionFailed(QPACKError):
    """A field section that cannot be read."""

    code = QPACK_DECOMPRESSION_FAILED


class EncoderStreamError(QPACKError):
    """An instruction of the peer's encoder that a table of capacity 0 does not allow."""

    code = QPACK_ENCODER_STREAM_ERROR


class DecoderStreamError(QPACKError):
    """An instruction of the peer's decoder that answers nothing we have sent."""

    code = QPACK_DECODER_STREAM_ERROR


class FieldSectionTooLarge(Exception):
    """More bytes than the limit allows, whether or not the section is sound (RFC 9114 section 4.2.2)."""
