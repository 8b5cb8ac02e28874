"""The distribution project's registry, built from its Go module once, and what pushes to it."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from filelock import FileLock

from tests.e2e.cluster.binaries import cache_folder, system_program
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MODULE = Path(__file__).parents[1] / "integration" / "artifacts" / "registry"
PACKAGE = "github.com/distribution/distribution/v3/cmd/registry"
BUILD_TIMEOUT_S = 1800.0
START_TIMEOUT_S = 30.0
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "content": b"{}"}
SERVICE, ISSUER = "registry.test", "voiceplane tests"


def registry_binary() -> Path:
    """The program, built first if it is absent: about two minutes."""
    digest = hashlib.sha256((MODULE / "go.sum").read_bytes() + (MODULE / "go.mod").read_bytes()).hexdigest()[:16]
    path = cache_folder().parent / "registry" / digest / "registry"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock"), timeout=BUILD_TIMEOUT_S):
        if not path.exists():
            building = path.with_suffix(".building")
            command = [system_program("go"), "build", "-ldflags=-s -w", "-o", str(building), PACKAGE]
            result = subprocess.run(
                command,
                cwd=MODULE,
                env={**os.environ, "CGO_ENABLED": "0"},
                capture_output=True,
                text=True,
                timeout=BUILD_TIMEOUT_S,
                check=False,
            )
            if result.returncode:
                raise RuntimeError(f"the registry can't be built: {result.stderr[-2000:]}")
            building.rename(path)
    return path


@dataclass(slots=True)
class TokenIssuer:
    """Hands out the tokens that a registry with authentication takes, to a user with a password.

    Attributes:
        user: And the password.
        asked: Authorization of each request.
    """

    folder: Path
    user: str = "user"
    password: str = "s3cret"  # noqa: S105  # of this issuer
    asked: list[str | None] = field(default_factory=list)
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    _signed: x509.Certificate | None = None

    def certificate(self) -> Path:
        """The certificate that the registry checks tokens with."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ISSUER)])
        now = dt.datetime.now(dt.UTC)
        self._signed = (
            x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        file = self.folder / "issuer.pem"
        file.write_bytes(self._signed.public_bytes(serialization.Encoding.PEM))
        return file

    def answer(self, path: str, authorization: str | None) -> tuple[int, dict[str, str], bytes]:
        """Of a web server, to a request for a token."""
        self.asked.append(authorization)
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if authorization != f"Basic {pair}":
            return 401, {}, b""
        return 200, {}, json.dumps({"token": self.token(parse_qs(urlsplit(path).query)["scope"][0])}).encode()

    def token(self, scope: str) -> str:
        """A token for a scope such as repository:voices/alba:pull."""
        kind, name, actions = scope.split(":")
        now = int(time.time())
        assert self._signed, "the registry has no certificate of this issuer yet"
        der = self._signed.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": ISSUER,
            "sub": self.user,
            "aud": SERVICE,
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": str(now),
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
        }
        text = f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_base64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass(frozen=True, slots=True)
class Registry:
    """A running registry.

    Attributes:
        port: On loopback, where it speaks plain HTTP.
    """

    port: int
    issuer: TokenIssuer | None = None

    def push(
        self, repository: str, tag: str, layers: list[dict[str, Any]], *, config: Mapping[str, Any] = EMPTY
    ) -> str:
        """Push an artifact: its layers with mediaType, content and annotations; returns its manifest's digest."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob(repository, config),
            "layers": [self._blob(repository, layer) for layer in layers],
        }
        body = json.dumps(manifest).encode()
        self._request("PUT", repository, f"manifests/{tag}", body, {"Content-Type": MANIFEST})
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def _blob(self, repository: str, layer: Mapping[str, Any]) -> dict[str, Any]:
        content = layer["content"]
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        place = self._request("POST", repository, "blobs/uploads/", b"", {})["Location"]
        path = place.partition(f"/v2/{repository}/")[2]
        self._request(
            "PUT", repository, f"{path}&digest={digest}", content, {"Content-Type": "application/octet-stream"}
        )
        notes = {"annotations": layer["annotations"]} if layer.get("annotations") else {}
        return {"mediaType": layer["mediaType"], "digest": digest, "size": len(content), **notes}

    def _request(self, method: str, repository: str, path: str, body: bytes, headers: dict[str, str]) -> Any:
        if self.issuer:
            headers = {**headers, "Authorization": f"Bearer {self.issuer.token(f'repository:{repository}:pull,push')}"}
        url = f"http://127.0.0.1:{self.port}/v2/{repository}/{path}"
        request = urllib.request.Request(url, data=body, method=method, headers=headers)  # on loopback
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # as above
            return answer.headers


@contextmanager
def registry(folder: Path, *, issuer: TokenIssuer | None = None, realm: str = "") -> Iterator[Registry]:
    """Run a registry that keeps its content below a folder; with an issuer, it asks for tokens of the realm."""
    port = free_port()
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}, "level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if issuer:
        bundle = str(issuer.certificate())
        token = {"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": bundle}
        settings["auth"] = {"token": token}
    file = folder / "registry.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([registry_binary(), "serve", file], stdout=log, stderr=log)
        try:
            _await(port, process)
            yield Registry(port, issuer)
        finally:
            process.terminate()
            process.wait(10)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5):  # on loopback
                return
        except urllib.error.HTTPError:
            return  # it asks for a token
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the registry does not start: see registry.log")


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
