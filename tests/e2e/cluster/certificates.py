"""A certificate authority for one cluster, and what it signs."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.e2e.cluster.binaries import system_program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DAYS = "30"
CONTEXT = "voiceplane-test"
OPENSSL_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """The certificate authority of one cluster, in a folder; opened again it goes on with the same key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / "ca.crt"
        self._key = folder / "ca.key"
        if not self.certificate.exists():
            self._new_key(self._key)
            subject = ["-subj", "/CN=voiceplane-test-ca", "-days", DAYS]
            self._openssl("req", "-x509", "-new", "-key", str(self._key), *subject, "-out", str(self.certificate))

    def issue(self, name: str, *, user: str, group: str = "", addresses: Sequence[str] = ()) -> Identity:
        """Sign a certificate, for a client and for a server; one that was issued before stays.

        Args:
            name: Of the files.
            user: The common name: who a client is to the API server.
            group: The organisation: a group of that user.
            addresses: Subject alternative names of a server, such as "DNS:kubernetes" or "IP:127.0.0.1".
        """
        identity = Identity(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        if identity.certificate.exists():
            return identity
        self._new_key(identity.key)
        request = self.folder / f"{name}.csr"
        subject = (f"/O={group}" if group else "") + f"/CN={user}"
        self._openssl("req", "-new", "-key", str(identity.key), "-subj", subject, "-out", str(request))
        extensions = self.folder / f"{name}.ext"
        lines = ["keyUsage=digitalSignature", "extendedKeyUsage=clientAuth,serverAuth"]
        if addresses:
            lines.append(f"subjectAltName={','.join(addresses)}")
        extensions.write_text("\n".join(lines))
        signer = ["-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial", "-days", DAYS]
        files = ["-in", str(request), "-extfile", str(extensions), "-out", str(identity.certificate)]
        self._openssl("x509", "-req", *signer, *files)
        return identity

    def signing_key(self, name: str) -> Path:
        """A private key of its own, such as the one that signs ServiceAccount tokens."""
        path = self.folder / f"{name}.key"
        if not path.exists():
            self._new_key(path)
        return path

    def kubeconfig(self, path: Path, *, server: str, identity: Identity | str) -> Path:
        """Write a kubeconfig that needs no other file.

        Args:
            path: Where.
            server: The URL of the API server.
            identity: A client's certificate, or a token.
        """
        cluster = {"server": server, "certificate-authority-data": _base64(self.certificate)}
        if isinstance(identity, str):
            user = {"token": identity}
        else:
            user = {"client-certificate-data": _base64(identity.certificate), "client-key-data": _base64(identity.key)}
        path.touch(mode=0o600)
        # JSON is YAML, and everyone can read it.
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": CONTEXT, "cluster": cluster}],
                    "users": [{"name": CONTEXT, "user": user}],
                    "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
                    "current-context": CONTEXT,
                },
                indent=2,
            )
        )
        return path

    def _new_key(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path))

    @staticmethod
    def _openssl(*arguments: str) -> None:
        result = subprocess.run(
            [system_program("openssl"), *arguments],
            capture_output=True,
            text=True,
            timeout=OPENSSL_TIMEOUT_S,
            check=False,
        )
        if result.returncode:
            raise RuntimeError(f"openssl {arguments[0]} failed: {result.stderr[-500:]}")


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
