"""`voiceplane packs pin`: what it writes into metadata.yaml, and what it leaves as it is."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support import file_server
from tests.support.artifacts import write_tree
from tests.support.hub import ALBA, MODEL, REPOSITORY, Hub
from tests.support.voicepacks import packs_as_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = f"""\
model_id: alba
family: piper
# Who speaks: a line to keep.
description: A Scottish English woman, 22,050 Hz.
licence: "CC-BY-4.0"
source:
  uri: hf://{REPOSITORY}@v1.0.0/en/alba/medium  # its second release
voices:
  - name: alba
    language: en-GB
files: {{model: alba.onnx, config: alba.onnx.json}}  # by role
"""
SHA256 = {name.rpartition("/")[2]: hashlib.sha256(content).hexdigest() for name, content in ALBA.items()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    certificates = file_server.certificates(tmp_path / "certificates")
    monkeypatch.setenv("SSL_CERT_FILE", certificates["ca_file"])
    monkeypatch.setenv("VOICEPLANE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with file_server.file_server(certificates) as web, file_server.file_server(certificates) as cdn:
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        yield Hub(web, cdn)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A pack's metadata.yaml."""
    return write_tree(tmp_path / "packs", {"piper/alba/metadata.yaml": TEXT.encode()}) / "piper/alba/metadata.yaml"


def test_pin_writes_commit_and_digests_and_keeps_the_rest(hub: Hub, file: Path) -> None:
    (told,) = packs_as_json("pin", "alba", "--packs-dir", file.parents[2])["packs"]
    uri = f"hf://{REPOSITORY}@{'a' * 40}/en/alba/medium"
    assert (told["state"], told["uri"], told["files"]) == ("pinned", uri, 2)
    assert hub.payload_bytes == len(b"{}")  # the model itself was not fetched
    before, after = TEXT.splitlines(), file.read_text().splitlines()
    assert [line for line in before if line not in after] == [before[6]]
    assert after[6] == f"  uri: {uri}  # its second release"
    source = yaml.safe_load(file.read_text())["source"]
    assert list(source) == ["uri", "sha256", "index"]
    assert {each["name"]: each["sha256"] for each in source["index"]} == SHA256
    assert f"    - {{name: alba.onnx, sha256: {SHA256['alba.onnx']}}}" in after


def test_a_second_pin_changes_nothing(hub: Hub, file: Path) -> None:
    packs_as_json("pin", file)
    before = file.read_bytes()
    (told,) = packs_as_json("pin", file.parent)["packs"]
    assert told["state"] == "unchanged"
    assert file.read_bytes() == before


def test_what_was_pinned_is_fetched_once_and_then_needs_no_source(hub: Hub, file: Path) -> None:
    packs_as_json("pin", file)
    folder = ("--packs-dir", file.parents[2])
    (told,) = packs_as_json("prefetch", "alba", *folder)["packs"]
    assert (told["state"], told["size_bytes"]) == ("here", len(MODEL) + 2)
    assert hub.payload_bytes == len(MODEL) + 2
    hub.server.asked.clear()
    packs_as_json("prefetch", "alba", *folder)
    (told,) = packs_as_json("verify", "alba", *folder)["packs"]
    assert told["state"] == "ok"
    assert (hub.server.asked, hub.payload_bytes) == ([], len(MODEL) + 2)


def test_only_what_the_family_opens_is_pinned(hub: Hub, file: Path) -> None:
    names = "files: {model: en/alba/medium/alba.onnx, config: en/alba/medium/alba.onnx.json}"
    text = TEXT.replace("/en/alba/medium ", " ").replace("@v1.0.0", "").partition("files:")[0] + names
    file.write_text(text)
    packs_as_json("pin", file)
    source = yaml.safe_load(file.read_text())["source"]
    assert source["uri"] == f"hf://{REPOSITORY}@{'b' * 40}"
    assert [each["name"] for each in source["index"]] == sorted(ALBA)  # neither README.md nor ckpt.pt


def test_a_source_without_the_packs_files_is_refused_and_nothing_is_written(hub: Hub, file: Path) -> None:
    file.write_text(TEXT.replace("model: alba.onnx", "model: other.onnx"))
    before = file.read_bytes()
    (told,) = packs_as_json("pin", file, code=1)["packs"]
    assert told["state"] == "failed"
    assert "other.onnx" in told["message"]
    assert file.read_bytes() == before


def test_a_hub_that_refuses_is_reported_for_that_pack_alone(hub: Hub, file: Path) -> None:
    hub.token = "secret"  # noqa: S105  # of the Hub on loopback
    write_tree(file.parents[1] / "here", {"metadata.yaml": TEXT.replace("model_id: alba", "model_id: here").encode()})
    here = file.parents[1] / "here" / "metadata.yaml"
    here.write_text(
        "\n".join(line for line in here.read_text().splitlines() if "source" not in line and "uri" not in line)
    )
    states = {
        each["model_id"]: each["state"]
        for each in packs_as_json("pin", "--packs-dir", file.parents[2], code=1)["packs"]
    }
    assert states == {"alba": "failed", "here": "no source"}


def test_add_looks_at_a_remote_source_and_writes_a_pinned_pack(hub: Hub, tmp_path: Path) -> None:
    packs = tmp_path / "added"
    flags = ("--id", "alba", "--family", "piper", "--licence", "CC-BY-4.0", "--voice", "alba=en-GB")
    packs_as_json("add", f"hf://{REPOSITORY}@v1.0.0/en", "--packs-dir", packs, *flags)
    said = yaml.safe_load((packs / "piper/alba/metadata.yaml").read_text())
    assert said["files"] == {"model": "alba/medium/alba.onnx", "config": "alba/medium/alba.onnx.json"}
    assert said["source"]["uri"] == f"hf://{REPOSITORY}@{'a' * 40}/en"
    assert len(said["source"]["index"]) == 2
    assert hub.payload_bytes == len(b"{}")
    assert packs_as_json("lint", "--packs-dir", packs)["ok"]
    assert packs_as_json("prefetch", "alba", "--packs-dir", packs)["ok"]
