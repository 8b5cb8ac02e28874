"""The files of examples/tls-proxy with a test's ports, addresses and certificate in their place; and nginx itself."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from tests.e2e.cluster.binaries import system_program
from tests.e2e.cluster.certificates import Authority
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.e2e.cluster.certificates import Identity

EXAMPLE = Path(__file__).parents[2] / "examples" / "tls-proxy"
NAME, TURN_NAME = "voice.example.com", "turn.voice.example.com"
START_TIMEOUT_S = 10.0
POLL_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where everything is in one test.

    Attributes:
        folder: For what is written.
        orchestrator: Its "host:port"; only nginx needs to know.
        address: That clients reach.
        https_port: TURN over TLS is asked for at 443, whatever is configured.
    """

    folder: Path
    orchestrator: str = ""
    address: str = "127.0.0.1"
    https_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    signalling_port: int = field(default_factory=free_port)
    turn_tls_port: int = field(default_factory=free_port)
    inner_port: int = field(default_factory=free_port)
    inner_turn_port: int = field(default_factory=free_port)

    def before(self, orchestrator: str) -> Site:
        """The same place, with this orchestrator behind it."""
        return dataclasses.replace(self, orchestrator=orchestrator)

    @property
    def authority(self) -> Authority:
        """Whose certificates clients are to trust."""
        return Authority(self.folder / "certificates")

    @property
    def identity(self) -> Identity:
        """The certificate for both names."""
        return self.authority.issue("site", user=NAME, addresses=[f"DNS:{NAME}", f"DNS:{TURN_NAME}"])

    def nginx_file(self, overrides: Mapping[str, str] | None = None) -> Path:
        """nginx.conf with what is this test's own.

        Args:
            overrides: More texts of it, and what a test puts in their place.
        """
        logs = self.folder / "nginx"
        logs.mkdir(exist_ok=True)
        replaced = {
            "listen 443;": f"listen {self.address}:{self.https_port};",
            "listen 80;": f"listen {self.address}:{self.http_port};",
            "listen [::]:443;": "",
            "listen [::]:80;": "",
            "127.0.0.1:8443": f"127.0.0.1:{self.inner_port}",
            "127.0.0.1:8444": f"127.0.0.1:{self.inner_turn_port}",
            "127.0.0.1:8080": self.orchestrator,
            "127.0.0.1:7880": f"127.0.0.1:{self.signalling_port}",
            "127.0.0.1:5349": f"127.0.0.1:{self.turn_tls_port}",
            "/run/nginx.pid": str(logs / "nginx.pid"),
            "/var/log/nginx": str(logs),
            **self._certificate,
            **(overrides or {}),
        }
        file = self.folder / "nginx.conf"
        file.write_text(_replace((EXAMPLE / "nginx.conf").read_text(), replaced))
        return file

    def livekit_settings(self, interface: str) -> dict[str, Any]:
        """livekit.yaml with what is this test's own: its candidates are those of one network interface."""
        replaced = {
            "port: 7880": f"port: {self.signalling_port}",
            "udp_port: 7882": f"udp_port: {free_port()}",
            "tcp_port: 7881": f"tcp_port: {free_port()}",
            "tls_port: 5349": f"tls_port: {self.turn_tls_port}",
            "udp_port: 3478": f"udp_port: {free_port()}",
            "203.0.113.10": self.address,
            **self._certificate,
        }
        settings: dict[str, Any] = yaml.safe_load(_replace((EXAMPLE / "livekit.yaml").read_text(), replaced))
        settings["rtc"]["interfaces"] = {"includes": [interface]}
        return settings

    @property
    def chromium_flags(self) -> tuple[str, ...]:
        """With which a browser finds the two names, and trusts their certificate and no other."""
        command = ["openssl", "x509", "-in", str(self.identity.certificate), "-noout", "-pubkey"]
        pem = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        digest = hashlib.sha256(base64.b64decode("".join(pem.splitlines()[1:-1]))).digest()
        return (
            f"--host-resolver-rules=MAP {NAME} {self.address}, MAP {TURN_NAME} {self.address}",
            f"--ignore-certificate-errors-spki-list={base64.b64encode(digest).decode()}",
        )

    @property
    def _certificate(self) -> dict[str, str]:
        folder = f"/etc/letsencrypt/live/{NAME}"
        identity = self.identity
        return {f"{folder}/fullchain.pem": str(identity.certificate), f"{folder}/privkey.pem": str(identity.key)}


def orchestrator_settings(signalling: str) -> dict[str, Any]:
    """The sections of orchestrator.yaml that do not say where the server listens and its workers are."""
    text = _replace((EXAMPLE / "orchestrator.yaml").read_text(), {"ws://127.0.0.1:7880": signalling})
    sections: dict[str, Any] = yaml.safe_load(text)
    return {name: section for name, section in sections.items() if name not in {"server", "discovery"}}


@contextlib.asynccontextmanager
async def nginx(site: Site, overrides: Mapping[str, str] | None = None) -> AsyncIterator[Path]:
    """nginx with the example's configuration, listening; yields the folder of its logs."""
    logs = site.folder / "nginx"
    command = [system_program("nginx"), "-c", str(site.nginx_file(overrides)), "-g", "daemon off;"]
    with (logs / "start.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await _listens(site.address, site.https_port):
                if child.returncode is not None:
                    raise RuntimeError(f"nginx has not started: {(logs / 'start.log').read_text()}")
                await asyncio.sleep(POLL_S)
        yield logs
    finally:
        if child.returncode is None:
            child.terminate()
            await child.wait()


def host_and_port(url: str) -> str:
    """Of a URL."""
    return urlsplit(url).netloc


async def _listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def _replace(text: str, replaced: Mapping[str, str]) -> str:
    """Put each text in another's place; one that is not there is an error, as the example has changed then."""
    for old, new in replaced.items():
        if old not in text:
            raise RuntimeError(f"examples/tls-proxy has no {old!r} any more: adapt tests/support/tls_proxy.py")
        text = text.replace(old, new)
    return text
