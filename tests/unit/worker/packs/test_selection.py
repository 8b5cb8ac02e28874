"""Of a remote source comes what the family opens, unless the source says otherwise."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from voiceplane_worker.adapters import plugins
from voiceplane_worker.packs.metadata import PackMetadata, PackSource
from voiceplane_worker.packs.opening import open_pack
from voiceplane_worker.packs.selection import select
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.pack_loader import PackLoader

from tests.support import file_server
from tests.support.artifacts import tree_of
from tests.support.hub import REPOSITORY, REVISIONS, Hub
from tests.support.voicepacks import pack_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URI = f"hf://{REPOSITORY}"
OPENS = ("*.onnx", "*.onnx.json")
VOICES = ({"name": "one", "language": "en"},)


def metadata(**changes: Any) -> PackMetadata:
    values = {"model_id": "alba", "family": "piper", "licence": "MIT", "voices": VOICES}
    return PackMetadata.model_validate(values | changes)


def test_the_familys_files_come_and_those_that_the_metadata_names() -> None:
    known = metadata(files={"model": "w/[1].dat"}, reference="ref/seed.wav")
    selected = select(PackSource(uri=URI), opens=OPENS, metadata=known)
    assert selected.include == ("metadata.yaml", *OPENS, "w/[[]1].dat", "ref/seed.wav")


@pytest.mark.parametrize(
    "said", [{"include": ("*.onnx",)}, {"sha256": "0" * 64}, {"index": ({"name": "a", "sha256": "0" * 64},)}]
)
def test_a_source_that_says_what_it_means_stays_as_it_is(said: dict[str, Any]) -> None:
    source = PackSource.model_validate({"uri": URI, **said})
    assert select(source, opens=OPENS, metadata=metadata()) == source


def test_without_a_family_everything_comes() -> None:
    assert select(PackSource(uri=URI), opens=()).include == ()


def test_every_installed_family_says_what_it_opens() -> None:
    assert [family for family in plugins.families() if not plugins.opens(family)] == ["mock"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    certificates = file_server.certificates(tmp_path / "certificates")
    monkeypatch.setenv("SSL_CERT_FILE", certificates["ca_file"])
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with file_server.file_server(certificates) as web, file_server.file_server(certificates) as cdn:
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        yield Hub(web, cdn)


@pytest.mark.parametrize("named", [{}, {"reference": "fr/seed.wav"}])
def test_a_worker_fetches_what_the_family_opens_and_what_the_packs_own_metadata_names(
    named: dict[str, str], hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "metadata.yaml": pack_yaml("alba", **named), "fr/model.onnx": b"model", "fr/seed.wav": b"seed",
        "ckpt.pt": b"unused" * 1000, "README.md": b"read",
    }  # fmt: skip
    monkeypatch.setitem(REVISIONS, "b" * 40, files)
    hub.cdn.files |= {f"/{hashlib.sha256(each).hexdigest()}": file_server.Served(each) for each in files.values()}
    spec = ModelSpec(model_id="alba", family="mock", source=PackSource(uri=URI))
    pack = open_pack(spec, None, cache_dir=tmp_path / "cache", opens=lambda _: OPENS)
    wanted = {"metadata.yaml", "fr/model.onnx", *named.values()}
    assert set(tree_of(pack.path)) == wanted
    assert hub.payload_bytes == sum(len(files[name]) for name in wanted)
    assert len(pack.holds) >= 1


async def test_the_loader_of_a_worker_asks_the_installed_family(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"a.onnx": b"model", "a.onnx.json": b"{}", "ckpt.pt": b"unused" * 1000}
    roles = {"model": "a.onnx", "config": "a.onnx.json"}
    files["metadata.yaml"] = pack_yaml("alba", family="piper", files=roles)
    monkeypatch.setitem(REVISIONS, "b" * 40, files)
    hub.cdn.files |= {f"/{hashlib.sha256(each).hexdigest()}": file_server.Served(each) for each in files.values()}
    spec = ModelSpec(model_id="alba", family="piper", source=PackSource(uri=URI))
    loader = PackLoader(device="cpu", threads=1, cache_dir=tmp_path / "cache")
    pack = await loader.fetch(spec, None, fetched=lambda *_: None)
    assert set(tree_of(pack.path)) == files.keys() - {"ckpt.pt"}
