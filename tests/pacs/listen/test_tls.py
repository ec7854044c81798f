"""Associations over TLS: encrypted, with certificates on request, and no peer waits for another."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydicom import dcmread
from pynetdicom import AE
from xemplar_pacs.listen.node import Node
from xemplar_pacs.tls import client_context

from tests.agreement import wait_until
from tests.images import drawn_image
from tests.pacs.films import film
from tests.pacs.listen.conftest import settings_of, started
from tests.pacs.peers import SENT
from xemplar.errors import ConfigurationError

IMAGE = film(drawn_image(50, 120, 100))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate of 127.0.0.1 that certifies itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return {"certificate": folder / "cert.pem", "private_key": folder / "key.pem"}


@pytest.fixture
def node(folder: Path, files: dict[str, Path]) -> Iterator[Node]:
    trusted = files["certificate"]
    with started(folder, stall_seconds=2, trusted=trusted, **files) as running:
        yield running


def associate(node: Node, context: ssl.SSLContext | None) -> Any:
    entity = AE("MODALITY")
    entity.acse_timeout = entity.dimse_timeout = 60
    for sop_class in SENT:
        entity.add_requested_context(sop_class)
    tls = (context, "127.0.0.1") if context else None
    return entity.associate("127.0.0.1", node.server.port, ae_title="XEMPLAR", tls_args=tls)


def test_takes_images_of_a_certified_peer(node: Node, files: dict[str, Path], folder: Path) -> None:
    context = client_context(settings_of(folder, trusted=files["certificate"], **files))
    association = associate(node, context)
    assert association.is_established
    assert association.send_c_store(dcmread(BytesIO(IMAGE))).Status == 0
    association.release()


def test_takes_nothing_of_a_peer_without_a_certificate(
    node: Node, files: dict[str, Path], folder: Path
) -> None:
    context = client_context(settings_of(folder, trusted=files["certificate"]))
    assert not associate(node, context).is_established
    refused = ("xemplar_pacs_associations_total", {"outcome": "tls"})
    wait_until(lambda: node.metrics.registry.get_sample_value(*refused) == 1)


def test_takes_nothing_in_the_clear(node: Node) -> None:
    assert not associate(node, None).is_established


def test_a_peer_that_does_not_shake_hands_holds_nobody_up(
    node: Node, files: dict[str, Path], folder: Path
) -> None:
    context = client_context(settings_of(folder, trusted=files["certificate"], **files))
    with socket.create_connection(("127.0.0.1", node.server.port)):
        association = associate(node, context)
        assert association.is_established
        association.release()


def test_files_that_are_none_are_refused(folder: Path, files: dict[str, Path]) -> None:
    other = {"certificate": files["private_key"], "private_key": files["private_key"]}
    with (
        pytest.raises(ConfigurationError, match="TLS files cannot be used"),
        started(folder, **other),
    ):
        pass
