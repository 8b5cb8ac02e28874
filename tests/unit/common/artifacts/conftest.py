"""A web server with TLS on loopback, trusted by what a test fetches with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from voiceplane_common.artifacts import FetchLimits

from tests.support import file_server
from tests.support.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.file_server import FileServer


@pytest.fixture(scope="session")
def localhost(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Certificates of localhost."""
    return file_server.certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's own environment says of sources does not count."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy",
                 "HF_TOKEN", "HF_ENDPOINT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def web(localhost: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server whose authority is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", localhost["ca_file"])
    with file_server.file_server(localhost) as running:
        yield running


@pytest.fixture
def hub(web: FileServer, localhost: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A Hub whose files another server has, as the real one's do."""
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with file_server.file_server(localhost) as cdn:
        yield Hub(web, cdn)


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """An empty cache."""
    return tmp_path / "cache"


@pytest.fixture
def quick() -> FetchLimits:
    """Small pieces, and pauses that a test can wait for."""
    return FetchLimits(piece_bytes=100_000, connections=4, backoff_s=0.01, attempts=3, stall_s=120.0)
