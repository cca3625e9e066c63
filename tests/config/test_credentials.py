"""What is read of certificates and keys: once, whole, with what they say of themselves."""

import datetime
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from fastserver import Config
from fastserver.config import ConfigError
from fastserver.config.credentials import Certificates, list_files, read_certificates, read_validity
from fastserver.config.devcert import make_bundle

AUTHORITY = trustme.CA()


def write(folder: Path, name: str, **facts: datetime.datetime) -> str:
    path = folder / f"{name}.pem"
    AUTHORITY.issue_cert(name, **facts).private_key_and_cert_chain_pem.write_to_path(str(path))  # type: ignore[arg-type]
    return str(path)


def read(config: Config) -> Certificates:
    found = read_certificates(config)
    assert found is not None
    return found


def test_without_tls_nothing_is_read() -> None:
    assert read_certificates(Config()) is None
    assert list_files(Config()) == []


def test_all_files_are_read(tmp_path: Path) -> None:
    default, other = write(tmp_path, "default"), write(tmp_path, "other")
    ca = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(ca))
    names = [f"a.example={other}", f"*.a.example={other}", f"b.example={default},{default}"]
    config = Config(certfile=default, sni_cert=names, ca_certs=ca, verify_mode="required")  # type: ignore[arg-type]
    assert list_files(config) == [default, str(ca), other]
    found = read(config)
    assert found.default.chain_pem == found.default.key_pem == Path(default).read_text()
    assert found.by_name["a.example"] is found.by_name["*.a.example"]
    assert found.by_name["b.example"].keyfile == default
    assert found.ca_pem == ca.read_text()
    assert "PRIVATE" not in repr(found)


def test_the_digest_is_of_all_that_is_read(tmp_path: Path) -> None:
    default, other = write(tmp_path, "default"), write(tmp_path, "other")
    config = Config(certfile=default, sni_cert=f"a.example={other}")
    digests = [read(config).digest, read(config).digest]
    write(tmp_path, "other")
    digests.append(read(config).digest)
    write(tmp_path, "default")
    digests += [read(config).digest, read(Config(certfile=default)).digest]
    assert digests[0] == digests[1]
    assert len(set(digests[1:])) == 4


def test_an_sni_certificate_is_named_in_its_errors(tmp_path: Path) -> None:
    default = write(tmp_path, "default")
    nothing = tmp_path / "nothing.pem"
    for text, problem in (("", "holds no certificate"), (AUTHORITY.cert_pem.bytes().decode(), "holds no private key")):
        nothing.write_text(text)
        with pytest.raises(ConfigError, match=f"^sni_cert: .* {problem}"):
            read_certificates(Config(certfile=default, sni_cert=f"a.example={nothing}"))


@pytest.mark.parametrize("year", [2001, 2049, 2050, 2290])
def test_validity(tmp_path: Path, year: int) -> None:
    """UTCTime until 2049, GeneralizedTime from then on."""
    end = datetime.datetime(year, 3, 1, 12, 30, 59, tzinfo=datetime.timezone.utc)
    start = datetime.datetime(1999, 12, 31, 23, 0, 1, tzinfo=datetime.timezone.utc)
    found = read(Config(certfile=write(tmp_path, "a", not_before=start, not_after=end))).default
    certificate = x509.load_pem_x509_certificate((found.leaf_pem or "").encode())
    assert found.validity is not None
    assert (found.validity.not_before, found.validity.not_after) == (start.timestamp(), end.timestamp())
    assert int(found.validity.serial, 16) == certificate.serial_number


def test_validity_of_what_is_none() -> None:
    bundle = make_bundle().decode()
    der = ssl.PEM_cert_to_DER_cert(bundle[bundle.index("-----BEGIN CERT") : bundle.index("-----END CERT") + 26])
    assert read_validity(der).not_after > read_validity(der).not_before
    for cut in range(0, len(der) - 1, 7):
        with pytest.raises((ValueError, IndexError)):
            read_validity(der[:cut])


def test_a_certificate_without_a_validity(tmp_path: Path) -> None:
    path = tmp_path / "odd.pem"
    path.write_text("-----BEGIN TRUSTED CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n")
    found = read(Config(certfile=str(path))).default
    assert (found.leaf_pem, found.validity) == (None, None)
    path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n")
    assert read(Config(certfile=str(path))).default.validity is None
