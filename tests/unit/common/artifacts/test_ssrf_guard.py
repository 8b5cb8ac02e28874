"""Which addresses a source may lead to, whichever way it gets there."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING

import fsspec
import pytest
from voiceplane_common.artifacts import fetch
from voiceplane_common.artifacts.ssrf_guard import PrivateAddressError, _check, networks
from voiceplane_common.errors import VoiceplaneError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Redirecting(http.server.BaseHTTPRequestHandler):
    """Sends /away to another loopback address, and serves all else."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        port = self.connection.getsockname()[1]
        self.asked.append(f"{self.headers['Host']}{self.path}")
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.2:{port}/model.onnx")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"model")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """https://voices.test/ is a web server on localhost, without TLS; yields what it was asked for."""
    handler = type("Recording", (Redirecting,), {"asked": []})
    real = fsspec.core.url_to_fs
    with http.server.ThreadingHTTPServer(("0.0.0.0", 0), handler) as server:  # noqa: S104  # all of loopback
        url = f"http://localhost:{server.server_port}/"
        monkeypatch.setattr(
            fsspec.core,
            "url_to_fs",
            lambda uri, **options: real(uri.replace("https://voices.test/", url), **options),
        )
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        yield handler.asked  # type: ignore[attr-defined]  # the class was made above
        server.shutdown()
        thread.join()


def refused(uri: str, cache_dir: Path, *private: str) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        fetch(uri, cache_dir=cache_dir, private_sources=private)
    return caught.value


def test_a_name_that_means_a_private_address_is_refused_unasked(asked: list[str], tmp_path: Path) -> None:
    error = refused("https://voices.test/model.onnx", tmp_path)
    assert (error.reason, error.field) == ("PRIVATE_SOURCE", "source.uri")
    assert "worker.private_sources" in error.message
    assert asked == []


def test_a_redirect_to_a_private_address_is_refused(asked: list[str], tmp_path: Path) -> None:
    error = refused("https://voices.test/away", tmp_path, "127.0.0.1/32", "::1/128")
    assert error.reason == "PRIVATE_SOURCE"
    assert "127.0.0.2" in error.message
    assert asked
    assert not any("127.0.0.2" in each for each in asked)


def test_a_network_that_was_named_may_be_called(asked: list[str], tmp_path: Path) -> None:
    found = fetch("https://voices.test/away", cache_dir=tmp_path, private_sources=["127.0.0.0/8", "::1/128"])
    assert found.read_bytes() == b"model"
    assert any("127.0.0.2" in each for each in asked)


def test_who_runs_the_program_may_fetch_from_anywhere(asked: list[str], tmp_path: Path) -> None:
    assert fetch("https://voices.test/model.onnx", cache_dir=tmp_path).read_bytes() == b"model"
    assert asked


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "::", "::1", "fd00::1",
     "fe80::1%eth0", "::ffff:10.0.0.1", "::ffff:169.254.169.254"],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    with pytest.raises(PrivateAddressError):
        _check(address, networks(["10.20.0.0/16"]))


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "10.20.3.4", "::ffff:10.20.3.4"])
def test_addresses_that_are_public_or_named(address: str) -> None:
    _check(address, networks(["10.20.0.0/16"]))


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(VoiceplaneError, match=r"10\.20\.0\.0/16") as caught:
        networks(["10.20.0.1/16"])
    assert caught.value.field == "worker.private_sources"
