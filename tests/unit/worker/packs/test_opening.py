"""From a request to a checked pack."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest
from voiceplane_common.artifacts import digest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.packs.catalog import CatalogPack, PackCatalog
from voiceplane_worker.packs.metadata import PICKLE_SUFFIXES, PackSource
from voiceplane_worker.packs.opening import open_pack
from voiceplane_worker.residency.model_spec import ModelSpec

from tests.support.artifacts import left_in, tree_of, write_tree
from tests.support.voicepacks import pack_yaml, write_pack

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"onnx/model.onnx": b"model", "config.json": b"{}"}
ROLES = {"model": "onnx/model.onnx", "config": "config.json"}


def source(folder: Path, *, sha256: str = "") -> PackSource:
    return PackSource(uri=folder.as_uri(), sha256=sha256)


def known_pack(packs_dir: Path, model_id: str) -> CatalogPack:
    found = PackCatalog(packs_dir).find(model_id)
    assert found
    return found


def refused(spec: ModelSpec, known: CatalogPack | None = None) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        open_pack(spec, known)
    return caught.value


def test_files_without_a_description_are_what_the_request_says(tmp_path: Path) -> None:
    files = write_tree(tmp_path / "adapter", {"adapter_config.json": b"{}"})
    voices = (Voice(name="anna", language="en"),)
    spec = ModelSpec(model_id="anna", source=source(files), family="csm", voices=voices, options={"seed": "7"})
    metadata = open_pack(spec, None).metadata
    assert (metadata.model_id, metadata.family, metadata.voices[0].name) == ("anna", "csm", "anna")
    assert metadata.options == {"seed": "7"}
    for changes in ({"family": ""}, {"voices": ()}, {"voices": (Voice(name="anna", language=""),)}):
        error = refused(replace(spec, **changes))
        assert error.reason == "PACK_INVALID"
        assert "metadata.yaml" in error.message
    assert refused(replace(spec, voices=(Voice(name="anna", language="english!"),))).field.startswith("voices")


def test_files_that_lie_beside_the_catalogs_metadata_are_a_pack(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "mock" / "voice", "voice", files=FILES)
    pack = open_pack(ModelSpec(model_id="voice"), known_pack(tmp_path, "voice"))
    assert pack.path == folder
    assert pack.sha256 == digest(folder)
    assert pack.size_bytes == sum(len(content) for content in FILES.values()) + len(pack_yaml("voice"))


def test_the_catalogs_metadata_describes_files_from_its_source(tmp_path: Path) -> None:
    files = write_tree(tmp_path / "files", FILES)
    write_pack(tmp_path / "packs" / "mock" / "voice", "voice", source={"uri": files.as_uri()}, description="ours")
    pack = open_pack(ModelSpec(model_id="voice"), known_pack(tmp_path / "packs", "voice"))
    assert pack.path == files
    assert pack.metadata.description == "ours"


def test_a_reference_may_lie_beside_the_catalogs_metadata(tmp_path: Path) -> None:
    source_files = write_tree(tmp_path / "files", FILES)
    beside = write_pack(
        tmp_path / "packs" / "mock" / "voice",
        "voice",
        files={"ref/seed.wav": b"beside"},
        source={"uri": source_files.as_uri()},
        reference="ref/seed.wav",
    )
    known = known_pack(tmp_path / "packs", "voice")
    assert open_pack(ModelSpec(model_id="voice"), known).reference == beside / "ref/seed.wav"
    write_tree(source_files, {"ref/seed.wav": b"its own"})
    assert open_pack(ModelSpec(model_id="voice"), known).reference == source_files / "ref/seed.wav"
    (source_files / "ref/seed.wav").unlink()
    (beside / "ref/seed.wav").unlink()
    error = refused(ModelSpec(model_id="voice"), known)
    assert (error.reason, error.field) == ("PACK_INVALID", "reference")


def test_a_requests_source_and_its_own_metadata_win(tmp_path: Path) -> None:
    write_pack(tmp_path / "packs" / "mock" / "voice", "voice", description="the catalog's")
    other = write_pack(tmp_path / "other", "voice", description="its own")
    spec = ModelSpec(model_id="voice", source=source(other))
    pack = open_pack(spec, known_pack(tmp_path / "packs", "voice"))
    assert (pack.path, pack.metadata.description) == (other, "its own")


def test_a_requests_options_and_warm_up_text_win(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "voice", "voice", options={"a": "1", "b": "1"}, warm_up_text="Pack.")
    plain = ModelSpec(model_id="voice", source=source(folder))
    asked = ModelSpec(model_id="voice", source=source(folder), options={"b": "2"}, warm_up_text="Asked.")
    assert open_pack(plain, None).metadata.warm_up_text == "Pack."
    metadata = open_pack(asked, None).metadata
    assert (metadata.options, metadata.warm_up_text) == ({"a": "1", "b": "2"}, "Asked.")


def test_a_pack_keeps_the_digest_that_was_asked_for(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "voice", "voice")
    spec = ModelSpec(model_id="voice", source=source(folder, sha256=digest(folder)))
    assert open_pack(spec, None).sha256 == digest(folder)


def test_another_content_than_asked_for_is_refused(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "voice", "voice")
    error = refused(ModelSpec(model_id="voice", source=source(folder, sha256="0" * 64)))
    assert error.reason == "DIGEST_MISMATCH"
    assert digest(folder) in error.message


def test_a_model_that_nothing_knows_is_not_found() -> None:
    error = refused(ModelSpec(model_id="unknown"))
    assert (error.code, error.reason, error.field) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "model_id")
    assert "'unknown'" in error.message


def test_another_family_than_asked_for_is_refused(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "voice", "voice")
    error = refused(ModelSpec(model_id="voice", family="piper", source=source(folder)))
    assert (error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "family")
    assert "'piper'" in error.message


def test_whoever_names_a_source_names_the_model(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "voice", "voice")
    assert open_pack(ModelSpec(model_id="another", source=source(folder)), None).metadata.model_id == "another"


@pytest.mark.parametrize(
    ("changes", "field", "name"),
    [
        ({"files": {**ROLES, "vocoder": "onnx/vocoder.onnx"}}, "files.vocoder", "onnx/vocoder.onnx"),
        ({"files": {"model": "onnx"}}, "files.model", "onnx"),
        ({"reference": "ref/seed.wav"}, "reference", "ref/seed.wav"),
    ],
    ids=["file", "folder", "reference"],
)
def test_a_file_that_is_missing_is_named_with_its_key(
    changes: dict[str, object], field: str, name: str, tmp_path: Path
) -> None:
    folder = write_tree(tmp_path / "voice", {"metadata.yaml": pack_yaml("voice", **changes), **FILES})
    error = refused(ModelSpec(model_id="voice", source=source(folder)))
    assert (error.code, error.reason, error.field) == (grpc.StatusCode.FAILED_PRECONDITION, "PACK_INVALID", field)
    assert f"{field} names {name!r}" in error.message


def test_files_that_are_there_are_accepted(tmp_path: Path) -> None:
    yaml = pack_yaml("voice", files=ROLES, reference="ref/seed.wav")
    folder = write_tree(tmp_path / "voice", {"metadata.yaml": yaml, **FILES, "ref/seed.wav": b""})
    assert open_pack(ModelSpec(model_id="voice", source=source(folder)), None).metadata.files == ROLES


@pytest.mark.parametrize("suffix", [*sorted(PICKLE_SUFFIXES), ".PT"])
def test_a_pickle_is_refused_unless_it_is_allowed_by_name(suffix: str, tmp_path: Path) -> None:
    name = f"weights/model{suffix}"
    for allowed, refusal in (([], True), ([f"model{suffix}"], True), ([name], False)):
        folder = write_tree(tmp_path / "voice", {"metadata.yaml": pack_yaml("voice", allow_pickle=allowed), name: b""})
        spec = ModelSpec(model_id="voice", source=source(folder))
        if not refusal:
            assert open_pack(spec, None).metadata.allow_pickle == (name,)
            continue
        error = refused(spec)
        assert (error.reason, error.field) == ("PACK_INVALID", "allow_pickle")
        assert repr(name) in error.message


def test_a_pack_without_metadata_is_refused(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "voice", FILES)
    error = refused(ModelSpec(model_id="voice", source=source(folder)))
    assert error.reason == "PACK_INVALID"
    assert "has no metadata.yaml" in error.message


def test_a_single_file_is_no_pack(tmp_path: Path) -> None:
    file = write_tree(tmp_path, FILES) / "config.json"
    error = refused(ModelSpec(model_id="voice", source=source(file)))
    assert error.reason == "PACK_INVALID"
    assert "a pack is a folder" in error.message


def test_a_pack_with_a_link_is_refused(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "mock" / "voice", "voice")
    (folder / "passwd").symlink_to("/etc/passwd")
    assert refused(ModelSpec(model_id="voice"), known_pack(tmp_path, "voice")).reason == "UNSAFE_PATH"


def test_nothing_is_copied_for_a_pack_that_is_here(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "voice", "voice")
    open_pack(ModelSpec(model_id="voice", source=source(folder)), None, cache_dir=tmp_path / "cache")
    assert left_in(tmp_path / "cache") == []


@pytest.mark.parametrize("top", ["", "voice-1.0/"])
def test_an_archive_is_a_pack_with_or_without_a_folder_around_it(tmp_path: Path, top: str) -> None:
    folder = write_pack(tmp_path / "voice", "voice", files=FILES)
    with tarfile.open(tmp_path / "voice.tar.gz", "w:gz") as archive:
        for file in folder.rglob("*"):
            archive.add(file, f"{top}{file.relative_to(folder)}", recursive=False)
    spec = ModelSpec(model_id="voice", source=source(tmp_path / "voice.tar.gz"))
    pack = open_pack(spec, None, cache_dir=tmp_path / "cache")
    assert tree_of(pack.path) == tree_of(folder)
    assert pack.sha256 == digest(folder)


def test_another_single_file_is_no_pack(tmp_path: Path) -> None:
    (tmp_path / "voice.onnx").write_bytes(b"x")
    error = refused(ModelSpec(model_id="voice", source=source(tmp_path / "voice.onnx")))
    assert "a pack is a folder, or an archive of one: .tar, " in error.message
