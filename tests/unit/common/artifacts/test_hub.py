"""`hf:` sources: a Hub on loopback answers as the Hugging Face Hub does, and the real client reads it, too."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from voiceplane_common.artifacts import FetchLimits, digest, fetch, find
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import tree_of, write_tree
from tests.support.file_server import Served
from tests.support.hub import ALBA, MODEL, REPOSITORY, Hub

if TYPE_CHECKING:
    from pathlib import Path


TOKEN = "hf_secret"  # noqa: S105  # of the Hub on loopback


def test_a_folder_of_a_revision_comes_and_nothing_else(hub: Hub, cache_dir: Path, quick: FetchLimits) -> None:
    uri = f"hf://{REPOSITORY}@v1.0.0/en/alba/medium"
    path = fetch(uri, cache_dir=cache_dir, limits=quick)
    assert path.name == "medium"
    assert tree_of(path) == {"alba.onnx": MODEL, "alba.onnx.json": b"{}"}
    assert hub.payload_bytes == len(MODEL) + 2


def test_a_second_use_asks_for_the_commit_alone_and_a_pinned_one_for_nothing(
    hub: Hub, cache_dir: Path, quick: FetchLimits
) -> None:
    uri, pinned = f"hf://{REPOSITORY}@v1.0.0/en", f"hf://{REPOSITORY}@{'a' * 40}/en"
    path = fetch(uri, cache_dir=cache_dir, limits=quick)
    hub.server.asked.clear()
    before = hub.payload_bytes
    assert fetch(uri, cache_dir=cache_dir, limits=quick) == path
    assert hub.server.paths == [f"GET /api/models/{REPOSITORY}/revision/v1.0.0"]
    hub.server.asked.clear()
    assert fetch(pinned, cache_dir=cache_dir, limits=quick) == path == find(pinned, cache_dir=cache_dir)
    assert hub.server.asked == []
    assert hub.payload_bytes == before


def test_while_the_hub_is_away_the_last_revision_is_used(hub: Hub, cache_dir: Path, quick: FetchLimits) -> None:
    path = fetch(f"hf://{REPOSITORY}", cache_dir=cache_dir, limits=quick)
    hub.server.dynamic = lambda _: (502, {}, b"")
    assert fetch(f"hf://{REPOSITORY}", cache_dir=cache_dir, limits=quick) == path
    assert find(f"hf://{REPOSITORY}", cache_dir=cache_dir) == path


def test_another_revision_costs_only_what_changed(hub: Hub, cache_dir: Path, quick: FetchLimits) -> None:
    fetch(f"hf://{REPOSITORY}@v1.0.0/en", cache_dir=cache_dir, limits=quick)
    before = hub.payload_bytes
    fetch(f"hf://{REPOSITORY}@main/en", cache_dir=cache_dir, limits=quick)
    assert hub.payload_bytes == before + len(b"{1}")


def test_patterns_select_what_is_fetched(hub: Hub, cache_dir: Path, quick: FetchLimits) -> None:
    path = fetch(f"hf://{REPOSITORY}", include=["en/", "*.pt"], exclude=["*.pt"], cache_dir=cache_dir, limits=quick)
    assert set(tree_of(path)) == {"en/alba/medium/alba.onnx", "en/alba/medium/alba.onnx.json"}
    assert hub.payload_bytes == len(MODEL) + 3
    with pytest.raises(VoiceplaneError) as caught:
        fetch(f"hf://{REPOSITORY}", include=["*.none"], cache_dir=cache_dir, limits=quick)
    assert caught.value.reason == "ARTIFACT_MISSING"


def test_one_file_of_a_repository_can_be_named(hub: Hub, cache_dir: Path, quick: FetchLimits) -> None:
    path = fetch(f"hf://{REPOSITORY}/en/alba/medium/alba.onnx.json", cache_dir=cache_dir, limits=quick)
    assert (path.name, path.read_bytes()) == ("alba.onnx.json", b"{1}")


def test_a_list_of_several_pages_is_read_to_its_end(hub: Hub, cache_dir: Path, quick: FetchLimits) -> None:
    hub.page_size = 1
    assert len(tree_of(fetch(f"hf://{REPOSITORY}@v1.0.0", cache_dir=cache_dir, limits=quick))) == 4


@pytest.mark.parametrize("name", ["alba.onnx", "alba.onnx.json"])
def test_damaged_content_is_refused(name: str, hub: Hub, cache_dir: Path, quick: FetchLimits) -> None:
    content = ALBA[f"en/alba/medium/{name}"]
    hub.cdn.files[f"/{hashlib.sha256(content).hexdigest()}"] = Served(bytes(len(content)))
    with pytest.raises(VoiceplaneError) as caught:
        fetch(f"hf://{REPOSITORY}@v1.0.0/en", cache_dir=cache_dir, limits=quick)
    assert caught.value.reason == "DIGEST_MISMATCH"
    assert name in caught.value.message


def test_a_token_opens_the_hub_and_does_not_follow_to_its_files(
    hub: Hub, cache_dir: Path, tmp_path: Path, quick: FetchLimits
) -> None:
    hub.token = TOKEN
    uri = f"hf://{REPOSITORY}/en"
    with pytest.raises(VoiceplaneError) as caught:
        fetch(uri, cache_dir=cache_dir, limits=quick)
    assert caught.value.reason == "ACCESS_DENIED"
    sets = write_tree(tmp_path / "sets", {"hub/HF_TOKEN": TOKEN.encode(), "hub/HF_ENDPOINT": hub.server.url.encode()})
    fetch(uri, cache_dir=cache_dir, credentials="hub", credentials_dir=sets, private_sources=["127.0.0.0/8", "::1/128"])
    assert hub.cdn.asked
    assert not any("authorization" in asked.headers for asked in hub.cdn.asked)


@pytest.mark.parametrize("uri", [f"hf://{REPOSITORY}@v9", f"hf://{REPOSITORY}/de", "hf://voices/none"])
def test_what_is_not_there_is_named(uri: str, hub: Hub, cache_dir: Path, quick: FetchLimits) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        fetch(uri, cache_dir=cache_dir, limits=quick)
    assert caught.value.reason == "ARTIFACT_MISSING"
    assert hub.payload_bytes == 0


@pytest.mark.parametrize("uri", ["hf://alone", "hf:///a/b", "hf://a/b/../c", "hf://a/b@", "hf:a/b"])
def test_another_form_of_uri_is_refused(uri: str, cache_dir: Path) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        fetch(uri, cache_dir=cache_dir)
    assert caught.value.reason == "INVALID_ARGUMENT"


def test_the_digest_is_that_of_the_files(hub: Hub, cache_dir: Path, tmp_path: Path, quick: FetchLimits) -> None:
    sha256 = digest(write_tree(tmp_path / "same", {"alba.onnx": MODEL, "alba.onnx.json": b"{}"}))
    uri = f"hf://{REPOSITORY}@v1.0.0/en/alba/medium"
    path = fetch(uri, sha256=sha256, cache_dir=cache_dir, limits=quick)
    assert digest(path) == sha256
    assert hub.server.asked
