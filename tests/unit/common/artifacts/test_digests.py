"""The digest of a file and of a folder, which anyone can compute in a shell."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest
from voiceplane_common.artifacts import digest, digests
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import write_tree

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"metadata.yaml": b"a", "onnx/model.onnx": b"b" * 3_000_000, "onnx-2": b"", "Zebra": b"c", "ä b.txt": b"d"}


def test_a_files_digest_is_its_sha256(tmp_path: Path) -> None:
    file = write_tree(tmp_path, {"file": b"content"}) / "file"
    assert digest(file) == hashlib.sha256(b"content").hexdigest()


def test_a_folders_digest_is_what_the_documented_command_prints(tmp_path: Path) -> None:
    command = (digests.__doc__ or "").split("`")[1]
    folder = write_tree(tmp_path / "folder", FILES)
    run = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [digest(folder), "-"]


@pytest.mark.parametrize(
    "other",
    [
        {**FILES, "Zebra": b"C"},
        {**FILES, "empty": b""},
        {name: content for name, content in FILES.items() if name != "onnx-2"},
        {("zebra" if name == "Zebra" else name): content for name, content in FILES.items()},
        {**FILES, "metadata.yaml": FILES["Zebra"], "Zebra": FILES["metadata.yaml"]},
    ],
    ids=["content", "one more", "one less", "renamed", "swapped"],
)
def test_each_name_and_each_byte_count(other: dict[str, bytes], tmp_path: Path) -> None:
    assert digest(write_tree(tmp_path / "a", FILES)) != digest(write_tree(tmp_path / "b", other))


def test_neither_the_place_nor_the_order_of_writing_counts(tmp_path: Path) -> None:
    there = write_tree(tmp_path / "there", dict(reversed(FILES.items())))
    assert digest(write_tree(tmp_path / "here", FILES)) == digest(there)


def test_what_is_not_there_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(VoiceplaneError, match="does not exist") as caught:
        digest(tmp_path / "absent")
    assert caught.value.reason == "ARTIFACT_MISSING"
