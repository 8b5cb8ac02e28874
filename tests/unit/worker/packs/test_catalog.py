"""The packs of a folder, and what a refresh sees."""

from __future__ import annotations

import shutil
from pathlib import Path

import grpc
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.packs.catalog import PackCatalog, shipped_packs
from voiceplane_worker.packs.metadata import read_metadata
from voiceplane_worker.packs.opening import open_pack
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.settings import WorkerSettings

from families.manifests import read_manifests
from tests.support.voicepacks import write_pack

REPOSITORY_PACKS = Path(__file__).parents[4] / "voicepacks"
SHIPPED = sorted(REPOSITORY_PACKS.glob("*/*/metadata.yaml"))


@pytest.fixture
def packs_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "packs"
    write_pack(folder / "mock" / "first", "first")
    write_pack(folder / "mock" / "second", "second")
    return folder


def test_packs_are_found_by_their_model_ids(packs_dir: Path) -> None:
    write_pack(packs_dir / "mock" / "some-folder", "third")
    catalog = PackCatalog(packs_dir)
    assert catalog.model_ids == ("first", "second", "third")
    found = catalog.find("third")
    assert found
    assert found.folder == packs_dir / "mock" / "some-folder"
    assert found.metadata.model_id == "third"
    assert catalog.find("fourth") is None


@pytest.mark.parametrize("name", ["absent", "file"])
def test_what_is_no_folder_is_refused_with_its_setting(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VoiceplaneError, match="is not a folder") as caught:
        PackCatalog(tmp_path / name)
    assert (caught.value.code, caught.value.field) == (grpc.StatusCode.INVALID_ARGUMENT, "worker.packs_dir")


def test_only_folders_of_families_are_looked_into(packs_dir: Path) -> None:
    write_pack(packs_dir, "too-high")
    write_pack(packs_dir / "mock", "high")
    write_pack(packs_dir / "mock" / "a" / "b", "too-deep")
    assert PackCatalog(packs_dir).model_ids == ("first", "second")


def test_a_refresh_sees_what_has_come_changed_and_gone(packs_dir: Path) -> None:
    catalog = PackCatalog(packs_dir)
    write_pack(packs_dir / "mock" / "third", "third")
    write_pack(packs_dir / "mock" / "second", "second", description="changed")
    shutil.rmtree(packs_dir / "mock" / "first")
    assert catalog.model_ids == ("first", "second")
    assert catalog.refresh() == {}
    assert catalog.model_ids == ("second", "third")
    changed = catalog.find("second")
    assert changed
    assert changed.metadata.description == "changed"


def test_a_broken_pack_does_not_take_the_others_away(packs_dir: Path) -> None:
    write_pack(packs_dir / "mock" / "broken", "broken", no_such_key=1)
    catalog = PackCatalog(packs_dir)
    assert catalog.model_ids == ("first", "second")
    assert catalog.refresh() == {}


def test_a_pack_that_breaks_keeps_its_last_metadata_and_is_reported_until_it_is_fixed(packs_dir: Path) -> None:
    catalog = PackCatalog(packs_dir)
    write_pack(packs_dir / "mock" / "first", "first", no_such_key=1)
    for _ in range(2):
        (problem,) = catalog.refresh().items()
        assert problem[0] == "first"
        assert problem[1].reason == "PACK_INVALID"
        assert "no_such_key" in problem[1].message
        assert catalog.model_ids == ("first", "second")
    write_pack(packs_dir / "mock" / "first", "first")
    assert catalog.refresh() == {}


def test_of_two_packs_with_one_model_id_the_first_folder_stands(packs_dir: Path) -> None:
    write_pack(packs_dir / "mock" / "zz", "first", description="the other")
    catalog = PackCatalog(packs_dir)
    found = catalog.find("first")
    assert found
    assert found.folder.name == "first"
    assert catalog.model_ids == ("first", "second")


@pytest.mark.parametrize("name", ["aa", "zz"])
def test_a_pack_that_breaks_is_reported_also_when_another_has_its_model_id(name: str, packs_dir: Path) -> None:
    catalog = PackCatalog(packs_dir)
    write_pack(packs_dir / "mock" / "first", "first", no_such_key=1)
    write_pack(packs_dir / "mock" / name, "first", description="another")
    assert list(catalog.refresh()) == ["first"]
    found = catalog.find("first")
    assert found
    assert found.folder.name == "first"


def test_the_catalog_that_comes_with_voiceplane_is_the_repositorys() -> None:
    assert shipped_packs().samefile(REPOSITORY_PACKS)
    assert set(PackCatalog().model_ids) == {read_metadata(file).model_id for file in SHIPPED}


def test_the_default_model_comes_with_voiceplane() -> None:
    assert WorkerSettings().model_manager.default_model_id in PackCatalog().model_ids


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.parent.name)
def test_a_shipped_pack_is_complete_and_in_its_familys_folder(file: Path) -> None:
    metadata = read_metadata(file)
    assert metadata.family == file.parent.parent.name
    assert metadata.family in {"mock", *read_manifests()}
    assert metadata.description
    assert metadata.sample_rate_hz
    known = PackCatalog(REPOSITORY_PACKS).find(metadata.model_id)
    if metadata.source and metadata.source.uri.startswith("hf:"):  # what the Hub has can't be opened without a network
        return
    pack = open_pack(ModelSpec(model_id=metadata.model_id), known)
    assert pack.metadata == metadata
