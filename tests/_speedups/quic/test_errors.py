"""The names of the transport's error codes."""

import pytest

from fastserver._speedups.quic import errors


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0x0, "NO_ERROR"),
        (0x1, "INTERNAL_ERROR"),
        (0x2, "CONNECTION_REFUSED"),
        (0x8, "TRANSPORT_PARAMETER_ERROR"),
        (0xB, "INVALID_TOKEN"),
        (0x10, "NO_VIABLE_PATH"),
        (0x11, "UNKNOWN"),
        (0xFF, "UNKNOWN"),
        (0x100, "CRYPTO_ERROR"),
        (errors.UNEXPECTED_MESSAGE, "CRYPTO_ERROR"),
        (0x1FF, "CRYPTO_ERROR"),
        (0x200, "UNKNOWN"),
        (-1, "UNKNOWN"),
    ],
)
def test_codes_have_names(code: int, name: str) -> None:
    assert errors.name_error(code) == name


def test_every_code_of_the_rfc_has_a_name_of_its_own() -> None:
    assert sorted(errors.NAMES) == list(range(0x11))
    assert all(getattr(errors, name) == code for code, name in errors.NAMES.items())
