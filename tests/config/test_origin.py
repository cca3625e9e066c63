"""Origins as browsers send them."""

import pytest

from fastserver.config import Config, ConfigError
from fastserver.config.origin import parse_origin


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://example.org", "https://example.org"),
        ("HTTPS://Example.ORG/", "https://example.org"),
        (" http://[::1]:8080 ", "http://[::1]:8080"),
        ("moz-extension://a-b", "moz-extension://a-b"),
        ("null", "null"),
    ],
)
def test_an_origin(text: str, origin: str) -> None:
    assert parse_origin(text) == origin
    assert Config(ws_allowed_origins=text).ws_allowed_origins == (origin,)


@pytest.mark.parametrize(
    "text", ["", "*", "example.org", "https://", "https://a/b", "https://u@a", "https://a b", "https://a//", "//a"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^ws_allowed_origins: .*, no page can have this origin: want scheme://host"):
        Config(ws_allowed_origins=[text])
