"""What a control plane needs to be trusted: an authority, a serving certificate, a signing key."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

VALID = datetime.timedelta(days=30)
NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")

_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files.

    Attributes:
        authority: certificate of the authority that all else is checked against.
        serving: certificate of every server of the control plane.
        serving_key: its private key.
        service_accounts: the private key that signs ServiceAccounts' tokens.
    """

    authority: Path
    serving: Path
    serving_key: Path
    service_accounts: Path


def make_certificates(folder: Path, addresses: tuple[str, ...]) -> Certificates:
    """New keys and certificates in `folder`, for servers at these IP addresses."""
    made = Certificates(
        authority=folder / "ca.crt",
        serving=folder / "serving.crt",
        serving_key=folder / "serving.key",
        service_accounts=folder / "service-accounts.key",
    )
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("greenroom-e2e-ca")
    authority = (
        _certificate(authority_name, authority_name, authority_key, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    made.authority.write_bytes(authority.public_bytes(Encoding.PEM))
    key = _make_key(made.serving_key)
    names = [x509.DNSName(name) for name in NAMES]
    numbers = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    serving = (
        _certificate(_name("greenroom-e2e"), authority_name, key, authority_key)
        .add_extension(x509.SubjectAlternativeName([*names, *numbers]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    made.serving.write_bytes(serving.public_bytes(Encoding.PEM))
    _make_key(made.service_accounts)
    return made


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _make_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return key


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # An hour back: a clock that jumps in a test must not make it invalid.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + VALID)
        # Python from 3.13 on refuses certificates without these two.
        .add_extension(key_id, critical=False)
        .add_extension(issuer_id, critical=False)
    )
