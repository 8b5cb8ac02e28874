"""Mutual TLS between our programs: files in PEM, which may be replaced while a program runs.

A server takes the files of the moment at each handshake; a client does when its channel is made or renewed.
"""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from pydantic import model_validator

from voiceplane_common.errors import invalid
from voiceplane_common.settings import Section

if TYPE_CHECKING:
    from voiceplane_common.errors import VoiceplaneError


class TlsSection(Section):
    """Where the certificates are.

    Attributes:
        ca_file: The authority that signs both sides' certificates; empty for plain text.
        cert_file: Our own certificate, with what leads to the authority.
        key_file: Its key.
    """

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> TlsSection:
        if any(self._names) and not all(self._names):
            raise ValueError("ca_file, cert_file and key_file belong together: give all three, or none")
        return self

    @property
    def on(self) -> bool:
        """Whether TLS is spoken."""
        return bool(self.ca_file)

    @property
    def stamp(self) -> tuple[int, ...]:
        """What changes when a file is replaced; blocking. Zeros for a file that is not there."""
        return tuple(_changed_at(Path(name)) for name in self._names if name)

    @property
    def _names(self) -> tuple[str, str, str]:
        return self.ca_file, self.cert_file, self.key_file

    def read(self) -> tuple[bytes, bytes, bytes]:
        """The authority, the certificate and the key; blocking.

        Raises:
            VoiceplaneError: INVALID_ARGUMENT: a file can't be read, or the certificate is not the key's.
        """
        pems = []
        for field, name in zip(("ca_file", "cert_file", "key_file"), self._names, strict=True):
            try:
                pems.append(Path(name).read_bytes())
            except OSError as error:
                raise _broken(field, f"cannot read {name}: {error.strerror}") from None
        self._check()
        return pems[0], pems[1], pems[2]

    def _check(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_verify_locations(cafile=self.ca_file)
        except (ssl.SSLError, OSError):
            raise _broken("ca_file", f"{self.ca_file} holds no certificate in PEM") from None
        try:
            context.load_cert_chain(self.cert_file, self.key_file)
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or "not PEM"
            message = f"{self.cert_file} is no certificate, or {self.key_file} is not its key ({reason})"
            raise _broken("cert_file", message) from None


class ServerTlsSection(TlsSection):
    """The certificates of a server, and whom it lets in.

    Attributes:
        allowed_clients: Names (DNS names, or the common name) of which a caller's certificate must have one. Empty:
            every certificate of the authority is let in.
    """

    allowed_clients: tuple[str, ...] = ("voiceplane-client",)


class ClientTlsSection(TlsSection):
    """The certificates of a client, and whom it calls.

    Attributes:
        server_name: A DNS name that the server's certificate must have. Workers are called by their addresses, of
            which no certificate can know.
    """

    server_name: str = "voiceplane-worker"


def server_credentials(tls: TlsSection) -> grpc.ServerCredentials:
    """Credentials of a server that asks each caller for a certificate; blocking.

    Raises:
        VoiceplaneError: As TlsSection.read.
    """
    last = _configuration(tls)

    def fetch() -> grpc.ServerCertificateConfiguration:
        nonlocal last
        with contextlib.suppress(Exception):  # files that are being replaced: the ones before still hold
            last = _configuration(tls)
        return last

    return grpc.dynamic_ssl_server_credentials(last, fetch, require_client_authentication=True)


def channel_credentials(tls: TlsSection) -> grpc.ChannelCredentials:
    """Credentials of a client; blocking.

    Raises:
        VoiceplaneError: As TlsSection.read.
    """
    authority, certificate, key = tls.read()
    return grpc.ssl_channel_credentials(authority, key, certificate)


def _configuration(tls: TlsSection) -> grpc.ServerCertificateConfiguration:
    authority, certificate, key = tls.read()
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=authority)


def _changed_at(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _broken(field: str, message: str) -> VoiceplaneError:
    return invalid(f"tls.{field}", f"{message}: correct tls.{field}", reason="TLS_FILES_INVALID")
