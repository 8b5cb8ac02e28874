"""`oci:` sources, against the distribution project's own registry."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from voiceplane_common.artifacts import FetchLimits, fetch, find
from voiceplane_common.errors import VoiceplaneError

from tests.support import file_server
from tests.support.artifacts import left_in, tree_of, write_tree
from tests.support.registry import Registry, TokenIssuer, registry
from tests.support.voicepacks import packs_command, write_pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.integration.artifacts.conftest import Wire

MODEL = random.Random(3).randbytes(3_000_000)
TAR = "application/vnd.oci.image.layer.v1.tar"
FILE = "application/octet-stream"
IMAGE = {"mediaType": "application/vnd.oci.image.config.v1+json", "content": b"{}"}
pytestmark = pytest.mark.timeout(1800)  # the first of them builds the registry
LIMITS = FetchLimits(piece_bytes=500_000, connections=4, backoff_s=0.05, attempts=4)
OVERHEAD = 20_000


def titled(name: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": FILE, "content": content, "annotations": {"org.opencontainers.image.title": name}}


def tar_of(files: dict[str, bytes], *, link: str = "") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(member)
    return stream.getvalue()


@dataclass(frozen=True, slots=True)
class Store:
    registry: Registry
    wire: Wire

    @property
    def url(self) -> str:
        return f"oci://localhost:{self.wire.port}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def store(running: Registry, wire: Callable[[int], AbstractContextManager[Wire]]) -> Iterator[Store]:
    with wire(running.port) as counted:
        yield Store(running, counted)


def get(uri: str, cache_dir: Path, **changes: Any) -> Path:
    return fetch(uri, cache_dir=cache_dir, **({"limits": LIMITS} | changes))


def refused(uri: str, cache_dir: Path, **changes: Any) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        get(uri, cache_dir, **changes)
    return caught.value


def test_titled_layers_are_files_and_come_once(store: Store, cache_dir: Path) -> None:
    layers = [titled("onnx/model.onnx", MODEL), titled("metadata.yaml", b"a: b"), titled("README.md", bytes(900_000))]
    digest = store.registry.push("voices/alba", "v1", layers)
    path = get(f"{store.url}/voices/alba:v1", cache_dir, exclude=["README.md"])
    assert tree_of(path) == {"onnx/model.onnx": MODEL, "metadata.yaml": b"a: b"}
    assert len(MODEL) < store.wire.received < len(MODEL) + OVERHEAD
    before = store.wire.received
    assert get(f"{store.url}/voices/alba:v1", cache_dir, exclude=["README.md"]) == path
    assert store.wire.received - before < OVERHEAD
    before = store.wire.received
    pinned = f"{store.url}/voices/alba@{digest}"
    assert (
        get(pinned, cache_dir, exclude=["README.md"])
        == path
        == find(pinned, cache_dir=cache_dir, exclude=["README.md"])
    )
    assert store.wire.received == before
    store.wire.close()
    assert get(f"{store.url}/voices/alba:v1", cache_dir, exclude=["README.md"]) == path


def test_another_tag_costs_only_what_changed(store: Store, cache_dir: Path) -> None:
    store.registry.push("voices/two", "v1", [titled("model", MODEL), titled("config", b"1")])
    store.registry.push("voices/two", "v2", [titled("model", MODEL), titled("config", b"2")])
    get(f"{store.url}/voices/two:v1", cache_dir)
    before = store.wire.received
    assert tree_of(get(f"{store.url}/voices/two:v2", cache_dir))["config"] == b"2"
    assert store.wire.received - before < OVERHEAD


def test_a_cut_at_the_half_costs_no_byte_twice(store: Store, cache_dir: Path) -> None:
    store.registry.push("voices/cut", "v1", [titled("model", MODEL)])
    store.wire.cut_after = len(MODEL) // 2
    path = get(f"{store.url}/voices/cut:v1", cache_dir, limits=replace(LIMITS, connections=1))
    assert tree_of(path) == {"model": MODEL}
    assert store.wire.received < 1.05 * len(MODEL)


@pytest.mark.parametrize("compress", [False, True])
def test_a_tar_layer_is_unpacked(compress: bool, store: Store, cache_dir: Path) -> None:
    tar = tar_of({"./onnx/model.onnx": MODEL, "metadata.yaml": b"a: b", "unused": b"u"})
    layer = {"mediaType": f"{TAR}+gzip" if compress else TAR, "content": gzip.compress(tar) if compress else tar}
    tag = f"v{compress:d}"
    store.registry.push("voices/tar", tag, [layer, titled("beside", b"b")])
    path = get(f"{store.url}/voices/tar:{tag}", cache_dir, exclude=["unused"])
    assert tree_of(path) == {"onnx/model.onnx": MODEL, "metadata.yaml": b"a: b", "beside": b"b"}
    before = store.wire.received
    assert get(f"{store.url}/voices/tar:{tag}", cache_dir, exclude=["unused"]) == path
    assert store.wire.received - before < OVERHEAD


def test_a_folder_that_oras_packed_is_unpacked(store: Store, cache_dir: Path) -> None:
    notes = {"org.opencontainers.image.title": "onnx", "io.deis.oras.content.unpack": "true"}
    layer = {"mediaType": f"{TAR}+gzip", "content": gzip.compress(tar_of({"onnx/model": b"m"})), "annotations": notes}
    store.registry.push("voices/oras", "v1", [layer])
    assert tree_of(get(f"{store.url}/voices/oras:v1", cache_dir)) == {"onnx/model": b"m"}


def test_of_an_image_what_lies_below_models_is_taken(store: Store, cache_dir: Path) -> None:
    base = tar_of({"bin/sh": b"sh", "models/old": b"old", "models/model": b"first"}, link="bin/ln")
    above = tar_of({"models/.wh.old": b"", "models/model": MODEL, "models/sub/config": b"{}"})
    layers = [{"mediaType": f"{TAR}+gzip", "content": gzip.compress(each)} for each in (base, above)]
    store.registry.push("voices/modelcar", "v1", layers, config=IMAGE)
    path = get(f"{store.url}/voices/modelcar:v1", cache_dir)
    assert tree_of(path) == {"model": MODEL, "sub/config": b"{}"}


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ({"mediaType": TAR, "content": tar_of({"a": b"a"}, link="passwd")}, "UNSAFE_PATH"),
        ({"mediaType": TAR, "content": tar_of({"../escaped": b"a"})}, "UNSAFE_PATH"),
        ({"mediaType": TAR, "content": tar_of({"/etc/escaped": b"a"})}, "UNSAFE_PATH"),
        ({"mediaType": TAR, "content": b"no tar"}, "ARTIFACT_INVALID"),
        ({"mediaType": f"{TAR}+zstd", "content": b"z"}, "ARTIFACT_INVALID"),
        (titled("../escaped", b"a"), "UNSAFE_PATH"),
        (titled("/etc/escaped", b"a"), "UNSAFE_PATH"),
        ({"mediaType": FILE, "content": b"without a title"}, "ARTIFACT_INVALID"),
    ],
    ids=["link", "dots", "absolute", "broken", "zstd", "title", "absolute title", "untitled"],
)
def test_what_is_hostile_or_broken_is_refused(
    layer: dict[str, Any], reason: str, store: Store, cache_dir: Path
) -> None:
    store.registry.push("voices/hostile", "v1", [layer])
    assert refused(f"{store.url}/voices/hostile:v1", cache_dir).reason == reason
    assert not list(cache_dir.parent.rglob("*escaped*"))
    assert [name for name in left_in(cache_dir) if name.startswith("artifacts")] == []


def test_an_image_without_models_is_refused(store: Store, cache_dir: Path) -> None:
    store.registry.push("voices/none", "v1", [{"mediaType": TAR, "content": tar_of({"bin/sh": b"sh"})}], config=IMAGE)
    error = refused(f"{store.url}/voices/none:v1", cache_dir)
    assert error.reason == "ARTIFACT_INVALID"
    assert "/models" in error.message


@pytest.mark.parametrize("name", ["voices/absent:v1", "voices/alba:none"])
def test_what_is_not_there_is_named(name: str, store: Store, cache_dir: Path) -> None:
    assert refused(f"{store.url}/{name}", cache_dir).reason == "ARTIFACT_MISSING"


def test_a_private_registry_is_refused_to_who_may_not_reach_it(store: Store, cache_dir: Path) -> None:
    store.registry.push("voices/private", "v1", [titled("model", b"m")])
    uri = f"{store.url}/voices/private:v1"
    assert refused(uri, cache_dir, private_sources=()).reason == "PRIVATE_SOURCE"
    assert tree_of(get(uri, cache_dir, private_sources=("127.0.0.0/8", "::1/128"))) == {"model": b"m"}


def test_a_registry_that_asks_for_a_token_gets_it_for_the_secret(
    wire: Callable[[int], AbstractContextManager[Wire]],
    cache_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificates = file_server.certificates(tmp_path / "certificates")
    monkeypatch.setenv("SSL_CERT_FILE", certificates["ca_file"])
    issuer = TokenIssuer(tmp_path)
    with file_server.file_server(certificates) as web:
        web.dynamic = lambda asked: issuer.answer(asked.path, asked.headers.get("authorization"))
        with registry(tmp_path, issuer=issuer, realm=f"{web.url}/token") as running, wire(running.port) as counted:
            running.push("voices/secret", "v1", [titled("model", MODEL)])
            uri = f"oci://localhost:{counted.port}/voices/secret:v1"
            assert refused(uri, cache_dir).reason == "ACCESS_DENIED"
            pair = {"auths": {f"localhost:{counted.port}": {"username": issuer.user, "password": issuer.password}}}
            sets = write_tree(tmp_path / "sets", {"registry/.dockerconfigjson": str(pair).replace("'", '"').encode()})
            path = get(uri, cache_dir, credentials="registry", credentials_dir=sets)
            assert tree_of(path) == {"model": MODEL}
            assert issuer.asked


def test_a_pack_is_pinned_without_a_byte_of_its_layers(
    store: Store, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEPLANE_CACHE_DIR", str(cache_dir))
    digest = store.registry.push("voices/pinned", "v1", [titled("onnx/model.onnx", MODEL), titled("README", MODEL)])
    source = {"uri": f"{store.url}/voices/pinned:v1", "include": ["onnx/"]}
    folder = write_pack(tmp_path / "packs" / "mock" / "alba", "alba", source=source)

    (pinned,) = packs_command("pin", folder)
    assert (pinned["uri"], pinned["files"]) == (f"{store.url}/voices/pinned:v1@{digest}", 1)
    assert store.wire.received < OVERHEAD
    store.registry.push("voices/pinned", "v1", [titled("onnx/model.onnx", b"another")])
    assert packs_command("prefetch", folder)[0]["sha256"] == pinned["sha256"]
    assert len(MODEL) < store.wire.received < len(MODEL) + OVERHEAD
    store.wire.close()
    assert packs_command("verify", folder)[0]["state"] == "ok"


def test_a_pack_in_a_tar_layer_is_pinned_by_what_it_holds(
    store: Store, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEPLANE_CACHE_DIR", str(cache_dir))
    digest = store.registry.push("voices/layer", "v1", [{"mediaType": TAR, "content": tar_of({"model": MODEL})}])
    folder = write_pack(tmp_path / "packs" / "mock" / "alba", "alba", source={"uri": f"{store.url}/voices/layer:v1"})
    (pinned,) = packs_command("pin", folder)
    assert pinned["uri"].endswith(f"@{digest}")
    store.wire.close()
    assert packs_command("prefetch", folder)[0]["sha256"] == pinned["sha256"]
    assert packs_command("verify", folder)[0]["state"] == "ok"
