"""Remote sources: a web server on loopback, and a store of objects in memory."""

from __future__ import annotations

import errno
import http.server
import importlib
import sys
import threading
from typing import TYPE_CHECKING, Any

import fsspec
import grpc
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from voiceplane_common.artifacts import digest, fetch
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import left_in, tree_of, write_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = b"a voice" * 300_000
FOLDER = {"metadata.yaml": b"a", "onnx/model.onnx": b"b"}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves BODY as /voice.onnx, breaks off in /short, and fails in /broken."""

    requests: list[str]

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path.startswith("/private") and self.headers["Authorization"] != "Bearer t0ken":
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._head()
        if self.path.startswith(("/voice.onnx", "/private")):
            self.wfile.write(BODY)
        elif self.path == "/short":
            self.wfile.write(BODY[:1000])

    def _head(self) -> None:
        known = self.path.startswith(("/voice.onnx", "/short", "/private"))
        self.send_response(200 if known else 500 if self.path == "/broken" else 404)
        self.send_header("Content-Length", str(len(BODY) if known else 0))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """https://voices.test/ is a web server on loopback, without TLS; yields what was read from it."""
    handler = type("Recording", (Handler,), {"requests": []})
    real = fsspec.core.url_to_fs
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(
            fsspec.core,
            "url_to_fs",
            lambda uri, **options: real(uri.replace("https://voices.test/", url), skip_instance_cache=True, **options),
        )
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        yield handler.requests  # type: ignore[attr-defined]  # the class was made two lines above
        server.shutdown()
        thread.join()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryFileSystem:
    """s3: leads to a store in memory; the real one differs only in how it reads."""
    store = MemoryFileSystem(skip_instance_cache=True)
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda uri, **_: (store, "/" + uri.partition("://")[2]))
    return store


def fill(store: MemoryFileSystem, root: str, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        store.pipe_file(f"{root}/{name}", content)


def refused(uri: str, *, cache_dir: Path, sha256: str = "") -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        fetch(uri, sha256=sha256, cache_dir=cache_dir)
    assert left_in(cache_dir) == []
    return caught.value


def test_a_file_of_a_web_server_is_fetched_with_progress(web: list[str], cache_dir: Path) -> None:
    told: list[tuple[int, int]] = []
    url = "https://voices.test/voice.onnx?v=1"
    path = fetch(url, cache_dir=cache_dir, progress=lambda done, total: told.append((done, total)))
    assert path.name == "voice.onnx"
    assert path.read_bytes() == BODY
    assert told[0] == (0, len(BODY))
    assert told[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert web


def test_a_file_with_a_digest_is_fetched_once_and_one_without_each_time(
    web: list[str], cache_dir: Path, tmp_path: Path
) -> None:
    sha256 = digest(write_tree(tmp_path, {"file": BODY}) / "file")
    path = fetch("https://voices.test/voice.onnx", sha256=sha256, cache_dir=cache_dir)
    web.clear()
    assert fetch("https://voices.test/voice.onnx", sha256=sha256, cache_dir=cache_dir) == path
    assert web == []
    assert fetch("https://voices.test/voice.onnx", cache_dir=cache_dir) == path
    assert web != []


def test_a_wrong_file_of_a_web_server_is_refused(web: list[str], cache_dir: Path, tmp_path: Path) -> None:
    error = refused("https://voices.test/voice.onnx", sha256="0" * 64, cache_dir=cache_dir)
    assert error.reason == "DIGEST_MISMATCH"
    assert digest(write_tree(tmp_path, {"file": BODY}) / "file") in error.message
    assert web


@pytest.mark.parametrize("name", ["broken", "short"])
@pytest.mark.usefixtures("web")
def test_a_server_that_fails_is_unavailable_and_may_be_tried_again(name: str, cache_dir: Path) -> None:
    error = refused(f"https://voices.test/{name}", cache_dir=cache_dir)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "FETCH_FAILED"), error.message
    assert f"https://voices.test/{name}" in error.message
    assert error.retry_after_ms
    assert "\n" not in error.message


@pytest.mark.usefixtures("web")
def test_a_file_that_the_server_does_not_have_is_named(cache_dir: Path) -> None:
    error = refused("https://voices.test/absent", cache_dir=cache_dir)
    assert (error.reason, error.field) == ("ARTIFACT_MISSING", "source.uri")


def test_a_server_that_is_not_there_is_unavailable(cache_dir: Path) -> None:
    error = refused("https://127.0.0.1:9/voice.onnx", cache_dir=cache_dir)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "FETCH_FAILED")


def test_a_folder_of_a_store_is_fetched_whole(store: MemoryFileSystem, cache_dir: Path, tmp_path: Path) -> None:
    fill(store, "/bucket/voice", FOLDER)
    fill(store, "/bucket/voice-2", {"other": b"other"})
    sha256 = digest(write_tree(tmp_path / "same", FOLDER))
    for uri in ("s3://bucket/voice", "s3://bucket/voice/"):
        path = fetch(uri, sha256=sha256, cache_dir=cache_dir)
        assert tree_of(path) == FOLDER
        assert path.name == "voice"


def test_one_object_of_a_store_can_be_named(store: MemoryFileSystem, cache_dir: Path) -> None:
    fill(store, "/bucket/voice", FOLDER)
    assert fetch("s3://bucket/voice/onnx/model.onnx", cache_dir=cache_dir).read_bytes() == b"b"


@pytest.mark.usefixtures("store")
def test_an_absent_object_is_named(cache_dir: Path) -> None:
    error = refused("s3://bucket/absent", cache_dir=cache_dir)
    assert error.reason == "ARTIFACT_MISSING"
    assert "s3://bucket/absent" in error.message


@pytest.mark.parametrize("name", ["../escaped", "a/../../escaped", "..\\escaped"])
def test_a_store_cannot_write_outside_of_its_artifact(
    name: str, store: MemoryFileSystem, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {f"/bucket/voice/{name}": {"size": 1}}
    monkeypatch.setattr(store, "find", lambda *_, **__: found)
    monkeypatch.setattr(store, "isfile", lambda _: False)
    assert refused("s3://bucket/voice", cache_dir=cache_dir).reason == "UNSAFE_PATH"
    assert not list(cache_dir.parent.rglob("*escaped*"))


def test_a_disk_that_fills_up_during_a_fetch_is_reported(
    store: MemoryFileSystem, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, "/bucket/voice", FOLDER)
    real = store.open

    def open_(path: str, mode: str) -> Any:
        if path.endswith("model.onnx"):
            raise OSError(errno.ENOSPC, "full")
        return real(path, mode)

    monkeypatch.setattr(store, "open", open_)
    error = refused("s3://bucket/voice", cache_dir=cache_dir)
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert "2 bytes are needed" in error.message


def test_an_access_that_is_denied_has_the_message_of_the_store(
    store: MemoryFileSystem, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> Any:
        raise PermissionError("Access\nDenied")

    monkeypatch.setattr(store, "isfile", denied)
    error = refused("s3://bucket/voice", cache_dir=cache_dir)
    assert error.reason == "FETCH_FAILED"
    assert "PermissionError: Access Denied" in error.message


@pytest.mark.parametrize(
    ("scheme", "module", "extra"),
    [("s3", "s3fs", "s3"), ("hf", "huggingface_hub", "hf"), ("https", "aiohttp", "http")],
)
def test_a_missing_extra_is_named(
    scheme: str, module: str, extra: str, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, scheme, raising=False)
    error = refused(f"{scheme}://somewhere/voice", cache_dir=cache_dir)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EXTRA_MISSING")
    assert f"voiceplane-common[{extra}]" in error.message


def test_a_private_file_is_fetched_with_its_credentials_and_not_without(
    web: list[str], cache_dir: Path, tmp_path: Path
) -> None:
    url = "https://voices.test/private.onnx"
    assert refused(url, cache_dir=cache_dir).reason == "FETCH_FAILED"
    sets = tmp_path / "sets"
    write_tree(sets, {"voices/token": b"t0ken\n", "old/token": b"wrong"})
    with pytest.raises(VoiceplaneError) as caught:
        fetch(url, cache_dir=cache_dir, credentials="old", credentials_dir=sets)
    assert caught.value.reason == "FETCH_FAILED"
    assert "wrong" not in caught.value.message
    assert fetch(url, cache_dir=cache_dir, credentials="voices", credentials_dir=sets).read_bytes() == BODY
    assert web
