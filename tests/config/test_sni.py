"""Certificates by host name: what the setting says, and whom a client gets."""

import pytest

from fastserver import Config
from fastserver.config import ConfigError
from fastserver.config.load import load_config
from fastserver.config.sni import SNICert, choose_by_name, normalise_name, parse_sni_cert


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("a.example=c.pem,k.pem", SNICert("a.example", "c.pem", "k.pem")),
        ("*.A.Example.=both.pem", SNICert("*.a.example", "both.pem", None)),
        (" bücher.example=/a=b.pem", SNICert("xn--bcher-kva.example", "/a=b.pem", None)),
        ("_x.localhost=c,k,l", SNICert("_x.localhost", "c", "k,l")),
    ],
)
def test_the_fact(text: str, fact: SNICert) -> None:
    assert parse_sni_cert(text) == fact


@pytest.mark.parametrize(
    "text",
    [
        *("a.example", "=c.pem", "a.example=", "a.example=c.pem,", "*=c", "*.=c", "a.*.b=c", "a..b=c", "-a=c", "a b=c"),
        *("a" * 64 + "=c", ".".join(["abc"] * 64) + "=c", "a/b=c", "\udcff=c", "ü" * 80 + "=c"),
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^there is no =$|^a file is missing$|is no host name$"):
        parse_sni_cert(text)


def test_the_exact_name_goes_first_and_a_star_is_one_label() -> None:
    table = {name: name for name in map(normalise_name, ("a.example", "*.a.example", "b.a.example"))}
    found = [choose_by_name(table, name) for name in ("a.example", "A.EXAMPLE.", "b.a.example", "c.a.example")]
    assert found == ["a.example", "a.example", "b.a.example", "*.a.example"]
    others = (None, "", ".", "example", "d.c.a.example", "*", "\x00", "a.example\n", ".a.exampl")
    assert [choose_by_name(table, name) for name in others] == [None] * len(others)


def refuse(**settings: object) -> str:
    with pytest.raises(ConfigError) as caught:
        Config(**settings)  # type: ignore[arg-type]
    return str(caught.value)


def test_the_setting() -> None:
    config = Config(certfile="c", sni_cert=["a.example=d,e", "*.a.example=d,e"])
    assert config.sni_certs == (SNICert("a.example", "d", "e"), SNICert("*.a.example", "d", "e"))
    assert refuse(certfile="c", sni_cert="x").startswith("sni_cert: 'x' is not allowed, there is no =: want NAME=")
    assert "is given twice" in refuse(certfile="c", sni_cert=["a.example=d", "A.example.=e"])
    assert refuse(sni_cert="a.example=d").startswith("sni_cert: is given without certfile")


def test_in_the_environment_blanks_part_them() -> None:
    environ = {"FASTSERVER_CERTFILE": "c", "FASTSERVER_SNI_CERT": "a.example=d,e *.b.example=f"}
    assert load_config({}, environ).sni_cert == ("a.example=d,e", "*.b.example=f")
