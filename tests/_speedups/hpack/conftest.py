"""The fixture that runs a test on both builds of the HPACK room."""

import pytest

from tests._speedups.hpack.texts import ROOMS, Room


@pytest.fixture(params=ROOMS)
def room(request: pytest.FixtureRequest) -> Room:
    result: Room = request.param
    return result
