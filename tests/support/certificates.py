"""An authority of our own and certificates signed by it, in files, as cert-manager lays them into a Secret."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

LIFE = dt.timedelta(days=1)


@dataclass(slots=True)
class Authority:
    """Signs certificates.

    Attributes:
        name: Its own.
    """

    name: str = "voiceplane-ca"
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def issue(self, folder: Path, name: str, *, expired: bool = False) -> dict[str, str]:
        """Write ca.crt, tls.crt and tls.key; a folder that has them gets new ones.

        Returns:
            The settings of a TlsSection.
        """
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        files = {"ca_file": folder / "ca.crt", "cert_file": folder / "tls.crt", "key_file": folder / "tls.key"}
        certificate = self._signed(name, key.public_key(), authority=False, expired=expired)
        files["ca_file"].write_bytes(_pem(self._signed(self.name, self._key.public_key(), authority=True)))
        files["cert_file"].write_bytes(_pem(certificate))
        files["key_file"].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return {setting: str(file) for setting, file in files.items()}

    def _signed(
        self, name: str, key: ec.EllipticCurvePublicKey, *, authority: bool, expired: bool = False
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC) - (2 * LIFE if expired else dt.timedelta())
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self.name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + LIFE)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
