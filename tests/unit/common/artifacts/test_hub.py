"""`hf:` sources: a hub on loopback answers the real client as the Hugging Face Hub does, with a tag and a branch."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from huggingface_hub import HfFileSystem
from voiceplane_common.artifacts import digest, fetch
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import tree_of, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REPOSITORY = "voices/piper"
ALBA = {"en/alba/medium/alba.onnx": b"model", "en/alba/medium/alba.onnx.json": b"{}"}
REVISIONS: dict[str, dict[str, bytes]] = {
    "v1.0.0": {**ALBA, "fr/siwis.onnx": b"another", "README.md": b"read"},
    "main": {**ALBA, "en/alba/medium/alba.onnx": b"a newer model"},
}


class Hub(http.server.BaseHTTPRequestHandler):
    """The part of the hub's interface that reading files needs."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        if match := re.fullmatch(rf"/api/models/{REPOSITORY}(?:/revision/(.+))?", path):
            known = (match[1] or "main") in REVISIONS
            self._answer({"id": REPOSITORY, "sha": "a" * 40} if known else {"error": "no such revision"}, found=known)
        elif match := re.fullmatch(rf"/api/models/{REPOSITORY}/tree/([^/]+)/?(.*)", path):
            self._answer(_entries(match[1], below=match[2]))
        elif match := re.fullmatch(rf"/{REPOSITORY}/resolve/([^/]+)/(.+)", path):
            self._file(REVISIONS[match[1]].get(match[2]))
        else:
            self._answer({"error": path}, found=False)

    def do_POST(self) -> None:
        match = re.fullmatch(rf"/api/models/{REPOSITORY}/paths-info/(.+)", unquote(self.path))
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wanted = body["paths"] if isinstance(body["paths"], list) else [body["paths"]]
        self._answer([entry for entry in _entries(match[1]) if entry["path"] in wanted] if match else [])

    def _file(self, content: bytes | None) -> None:
        if content is None:
            self._answer({"error": "no such file"}, found=False)
            return
        first, last = 0, len(content) - 1
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or ""):
            first, last = int(asked[1]), min(int(asked[2] or last), last)
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self._send(content[first : last + 1])

    def _answer(self, value: Any, *, found: bool = True) -> None:
        self.send_response(200 if found else 404)
        if not found:
            self.send_header("X-Error-Code", "RevisionNotFound" if "revision" in str(value) else "EntryNotFound")
        self._send(json.dumps(value).encode())

    def _send(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _entries(revision: str, *, below: str = "") -> list[dict[str, Any]]:
    """Files and folders below a folder, all the way down."""
    found: dict[str, dict[str, Any]] = {}
    for name, content in REVISIONS[revision].items():
        parts = name.split("/")
        for count in range(1, len(parts)):
            folder = "/".join(parts[:count])
            found[folder] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder}
        found[name] = {"type": "file", "oid": "1" * 40, "size": len(content), "path": name}
    return [entry for path, entry in found.items() if not below or path.startswith(f"{below}/")]


@pytest.fixture
def hub() -> Iterator[str]:
    """The hub's URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
    HfFileSystem.clear_instance_cache()


@pytest.fixture
def get(hub: str, tmp_path: Path) -> Callable[..., Path]:
    credentials = write_tree(tmp_path / "sets", {"hub/HF_ENDPOINT": hub.encode(), "hub/HF_TOKEN": b"t"}) / "."
    return lambda uri, **options: fetch(
        uri, cache_dir=tmp_path / "cache", credentials="hub", credentials_dir=credentials, **options
    )


def test_a_folder_of_a_revision_is_fetched_and_nothing_besides(get: Callable[..., Path]) -> None:
    assert tree_of(get(f"hf://{REPOSITORY}@v1.0.0/en/alba/medium")) == {"alba.onnx": b"model", "alba.onnx.json": b"{}"}


def test_without_a_revision_it_is_the_newest(get: Callable[..., Path]) -> None:
    assert tree_of(get(f"hf://{REPOSITORY}/en/alba/medium"))["alba.onnx"] == b"a newer model"


def test_a_whole_repository_is_fetched(get: Callable[..., Path]) -> None:
    assert tree_of(get(f"hf://{REPOSITORY}@v1.0.0")) == REVISIONS["v1.0.0"]


def test_its_digest_is_checked(get: Callable[..., Path], tmp_path: Path) -> None:
    wanted = digest(write_tree(tmp_path / "alba", {"alba.onnx": b"model", "alba.onnx.json": b"{}"}))
    assert digest(get(f"hf://{REPOSITORY}@v1.0.0/en/alba/medium", sha256=wanted)) == wanted
    with pytest.raises(VoiceplaneError, match="alba") as caught:
        get(f"hf://{REPOSITORY}/en/alba/medium", sha256="0" * 64)
    assert caught.value.reason == "DIGEST_MISMATCH"


@pytest.mark.parametrize("place", ["@v9.9.9/en", "@v1.0.0/xx"])
def test_what_is_not_there_is_said(place: str, get: Callable[..., Path]) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        get(f"hf://{REPOSITORY}{place}")
    assert caught.value.reason in {"ARTIFACT_MISSING", "FETCH_FAILED"}
    assert place.partition("/")[2] in caught.value.message
