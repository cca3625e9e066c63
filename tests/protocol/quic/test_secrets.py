"""Keys of the shared secret."""

import pytest

from fastserver.protocol.quic.secrets import derive_key


def test_each_purpose_and_each_secret_has_its_own_key() -> None:
    secrets, purposes = (bytes(32), bytes(31) + b"\1", bytes(32) + b"\2"), (b"token", b"stateless reset")
    keys = {derive_key(secret, purpose) for secret in secrets for purpose in purposes}
    assert len(keys) == 6
    assert {len(key) for key in keys} == {32}
    assert derive_key(bytes(32), b"token") in keys


@pytest.mark.parametrize("length", [0, 31])
def test_a_short_secret_is_none(length: int) -> None:
    with pytest.raises(ValueError, match="32 are needed"):
        derive_key(bytes(length), b"token")
