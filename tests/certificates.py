"""The authority of the tests, and a server's certificate by it: as aioquic takes them, and as a file."""

from functools import cache
from pathlib import Path
from typing import Any

import trustme

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost", "127.0.0.1")


@cache
def issue() -> tuple[Any, Any]:
    """The certificate and its key, as the package ``cryptography`` has them."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    certificate = x509.load_pem_x509_certificate(CERTIFICATE.cert_chain_pems[0].bytes())
    return certificate, load_pem_private_key(CERTIFICATE.private_key_pem.bytes(), None)


def write_server_pem(folder: Path) -> str:
    """The path of a file with the key and the certificate."""
    path = folder / "server.pem"
    CERTIFICATE.private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)
