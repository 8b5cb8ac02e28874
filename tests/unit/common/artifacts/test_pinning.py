"""A source's URI, turned into one that means the same forever, and the digests of its files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from voiceplane_common.artifacts import FetchLimits, digest, fetch, find, list_files, pin
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import tree_of, write_tree
from tests.support.file_server import Served
from tests.support.hub import ALBA, MODEL, REPOSITORY, Hub

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.file_server import FileServer

SHA256 = {name.rpartition("/")[2]: hashlib.sha256(content).hexdigest() for name, content in ALBA.items()}
URI = f"hf://{REPOSITORY}@v1.0.0/en/alba/medium"


def test_a_revision_becomes_its_commit_and_only_unknown_digests_cost_bytes(
    hub: Hub, cache_dir: Path, tmp_path: Path, quick: FetchLimits
) -> None:
    pinned = pin(URI, cache_dir=cache_dir, limits=quick)
    assert pinned.uri == f"hf://{REPOSITORY}@{'a' * 40}/en/alba/medium"
    assert pinned.files == SHA256
    same = write_tree(tmp_path / "same", {name.rpartition("/")[2]: content for name, content in ALBA.items()})
    assert pinned.sha256 == digest(same)
    assert hub.payload_bytes == len(b"{}")  # the model's digest is that of its object in LFS


def test_what_was_pinned_is_fetched_as_such_and_needs_the_source_no_more(
    hub: Hub, cache_dir: Path, quick: FetchLimits
) -> None:
    pinned = pin(URI, cache_dir=cache_dir, limits=quick)
    path = fetch(pinned.uri, sha256=pinned.sha256, index=pinned.files, cache_dir=cache_dir, limits=quick)
    assert tree_of(path) == {name.rpartition("/")[2]: content for name, content in ALBA.items()}
    hub.server.dynamic = lambda _: (502, {}, b"")
    for known in ({"sha256": pinned.sha256}, {"index": pinned.files}):
        assert find(pinned.uri, cache_dir=cache_dir, **known) == path
    assert fetch(URI, index=pinned.files, cache_dir=cache_dir, limits=quick) == path


def test_only_the_selected_files_are_pinned(hub: Hub, cache_dir: Path, quick: FetchLimits) -> None:
    names = list_files(f"hf://{REPOSITORY}@main", include=["en/"], limits=quick)
    assert names == tuple(ALBA)
    pinned = pin(f"hf://{REPOSITORY}@main", include=["*.onnx"], cache_dir=cache_dir, limits=quick)
    assert list(pinned.files) == ["en/alba/medium/alba.onnx"]
    assert hub.payload_bytes == 0


def test_an_index_brings_its_files_alone(hub: Hub, cache_dir: Path, quick: FetchLimits) -> None:
    index = {"alba.onnx.json": SHA256["alba.onnx.json"]}
    assert tree_of(fetch(URI, index=index, cache_dir=cache_dir, limits=quick)) == {"alba.onnx.json": b"{}"}
    assert hub.payload_bytes == len(b"{}")


def test_a_later_fetch_without_the_index_brings_the_other_files(hub: Hub, cache_dir: Path, quick: FetchLimits) -> None:
    uri = f"hf://{REPOSITORY}@{'a' * 40}/en/alba/medium"
    fetch(uri, index={"alba.onnx.json": SHA256["alba.onnx.json"]}, cache_dir=cache_dir, limits=quick)
    assert find(uri, cache_dir=cache_dir) is None
    assert set(tree_of(fetch(uri, cache_dir=cache_dir, limits=quick))) == set(SHA256)


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ({**SHA256, "alba.onnx": "0" * 64}, "DIGEST_MISMATCH"),  # the Hub says so: nothing is fetched
        ({"alba.onnx.json": "0" * 64}, "DIGEST_MISMATCH"),
        ({"gone.onnx": "0" * 64}, "ARTIFACT_MISSING"),
    ],
)
def test_other_files_than_the_index_says_are_refused_by_name(
    index: dict[str, str], reason: str, hub: Hub, cache_dir: Path, quick: FetchLimits
) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        fetch(URI, index=index, cache_dir=cache_dir, limits=quick)
    assert caught.value.reason == reason
    assert next(name for name, sha256 in index.items() if sha256 == "0" * 64) in caught.value.message
    assert hub.payload_bytes <= len(b"{}")


def test_one_file_of_a_web_server_is_pinned_by_its_digest(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    web.files["/alba.tar"] = Served(MODEL)
    pinned = pin(f"{web.url}/alba.tar", cache_dir=cache_dir, limits=quick)
    assert (pinned.uri, pinned.files) == (f"{web.url}/alba.tar", {})
    assert pinned.sha256 == hashlib.sha256(MODEL).hexdigest()
    fetch(pinned.uri, sha256=pinned.sha256, cache_dir=cache_dir, limits=quick)
    assert web.sent_bytes == len(MODEL)


def test_an_index_of_one_file_is_refused(hub: Hub, cache_dir: Path, quick: FetchLimits) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        fetch(f"{URI}/alba.onnx", index={"alba.onnx": "0" * 64}, cache_dir=cache_dir, limits=quick)
    assert (caught.value.reason, caught.value.field) == ("ARTIFACT_INVALID", "source.index")


def test_a_folder_of_this_machine_is_pinned_by_its_digest(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "files", {"model": b"model"})
    pinned = pin(folder.as_uri())
    assert (pinned.uri, pinned.sha256, pinned.files) == (folder.as_uri(), digest(folder), {})
    assert list_files(folder.as_uri()) == ("model",)


def test_nothing_is_asked_offline(monkeypatch: pytest.MonkeyPatch, cache_dir: Path) -> None:
    monkeypatch.setenv("VOICEPLANE_OFFLINE", "1")
    with pytest.raises(VoiceplaneError) as caught:
        pin(URI, cache_dir=cache_dir)
    assert caught.value.reason == "SOURCE_OFFLINE"
