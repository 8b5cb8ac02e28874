"""A Hub on loopback that answers as the Hugging Face Hub does."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.support.file_server import Served

if TYPE_CHECKING:
    from tests.support.file_server import Asked, FileServer

REPOSITORY = "voices/piper"
MODEL = bytes(range(256)) * 2000
ALBA = {"en/alba/medium/alba.onnx": MODEL, "en/alba/medium/alba.onnx.json": b"{}"}
REVISIONS: dict[str, dict[str, bytes]] = {
    "a" * 40: {**ALBA, "fr/siwis.onnx": b"another", "README.md": b"read"},
    "b" * 40: {**ALBA, "en/alba/medium/alba.onnx.json": b"{1}", "ckpt.pt": b"unused" * 1000},
}
NAMES = {"v1.0.0": "a" * 40, "main": "b" * 40}
JSON = {"Content-Type": "application/json"}


class Hub:
    """A Hub with one repository; large files are in LFS, and come from another host."""

    def __init__(self, server: FileServer, cdn: FileServer, *, token: str = "") -> None:
        self.server = server
        self.cdn = cdn
        self.token = token
        self.page_size = 100
        server.dynamic = self._answer
        for files in REVISIONS.values():
            for content in files.values():
                cdn.files[f"/{hashlib.sha256(content).hexdigest()}"] = Served(content)

    @property
    def payload_bytes(self) -> int:
        """Bytes of files that were sent."""
        return self.cdn.sent_bytes

    def _answer(self, asked: Asked) -> tuple[int, dict[str, str], bytes] | None:
        path, _, query = unquote(asked.path).partition("?")
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            return 401, {"X-Error-Code": "RepoNotFound"}, b""
        if match := re.fullmatch(rf"/api/models/{REPOSITORY}(?:/revision/(.+))?", path):
            commit = self._commit(match[1] or "main")
            files = [{"rfilename": name} for name in REVISIONS.get(commit, {})]
            info = {"id": REPOSITORY, "modelId": REPOSITORY, "sha": commit, "siblings": files}
            return self._json(info) if commit else (404, {"X-Error-Code": "RevisionNotFound"}, b"")
        if match := re.fullmatch(rf"/api/models/{REPOSITORY}/tree/([^/]+)/?(.*)", path):
            return self._tree(match[1], match[2], query)
        if match := re.fullmatch(rf"/{REPOSITORY}/resolve/([^/]+)/(.+)", path):
            return self._file(self._commit(match[1]), match[2])
        return 404, {"X-Error-Code": "RepoNotFound"}, b""

    def _tree(self, revision: str, below: str, query: str) -> tuple[int, dict[str, str], bytes]:
        prefix = f"{below}/" if below else ""
        found = [name for name in REVISIONS.get(self._commit(revision), {}) if name.startswith(prefix)]
        if "recursive=true" not in query.lower():
            found = [name for name in found if "/" not in name.removeprefix(prefix)]
        if not found:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        start = int((re.search(r"cursor=(\d+)", query) or [0, 0])[1])
        entries = [self._entry(name, REVISIONS[self._commit(revision)][name]) for name in found]
        headers = {}
        if len(entries) > start + self.page_size:
            plain = re.sub(r"&cursor=\d+", "", query)
            url = f"{self.server.url}/api/models/{REPOSITORY}/tree/{revision}/{below}?{plain}"
            headers["Link"] = f'<{url}&cursor={start + self.page_size}>; rel="next"'
        return self._json(entries[start : start + self.page_size], headers)

    @staticmethod
    def _entry(name: str, content: bytes) -> dict[str, Any]:
        git = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
        entry: dict[str, Any] = {"type": "file", "oid": git, "size": len(content), "path": name}
        if name.endswith((".onnx", ".pt")):
            entry["oid"] = "0" * 40  # of the pointer
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        return entry

    def _file(self, commit: str, name: str) -> tuple[int, dict[str, str], bytes]:
        content = REVISIONS.get(commit, {}).get(name)
        if content is None:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {"Location": f"{self.cdn.url}/{sha256}?Signature=s", "X-Repo-Commit": commit}
        headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(content)), "ETag": f'"{sha256}"'}
        return 302, headers, b""

    @staticmethod
    def _commit(revision: str) -> str:
        return revision if revision in REVISIONS else NAMES.get(revision, "")

    @staticmethod
    def _json(value: object, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        return 200, {**JSON, **(headers or {})}, json.dumps(value).encode()
