"""Only plain files below a folder are taken, by names that stay inside of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from voiceplane_common.artifacts.trees import files_of, safe_name
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import write_tree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "", ".", "a\\..\\b", "a\0b", ".."])
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        safe_name(name)
    assert caught.value.reason == "UNSAFE_PATH"
    assert repr(name) in caught.value.message


@pytest.mark.parametrize(("name", "plain"), [("a/b.onnx", "a/b.onnx"), ("./a//b", "a/b"), ("..a/b..", "..a/b..")])
def test_a_name_that_stays_inside_is_made_plain(name: str, plain: str) -> None:
    assert safe_name(name) == plain


def test_files_are_found_at_any_depth_in_order(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "folder", {"b": b"", "a/c": b"", "a/.hidden": b""})
    (folder / "empty").mkdir()
    assert list(files_of(folder).items()) == [(name, folder / name) for name in ("a/.hidden", "a/c", "b")]


def test_a_file_is_known_by_its_own_name(tmp_path: Path) -> None:
    file = write_tree(tmp_path, {"voice.onnx": b""}) / "voice.onnx"
    assert files_of(file) == {"voice.onnx": file}


@pytest.mark.parametrize("target", ["/etc", "/etc/hostname", "inside", "nowhere"])
def test_a_symbolic_link_is_refused_wherever_it_points(target: str, tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "folder", {"inside": b"", "deep/file": b""})
    (folder / "deep" / "link").symlink_to(target)
    with pytest.raises(VoiceplaneError, match=r"deep/link is a symbolic link") as caught:
        files_of(folder)
    assert caught.value.reason == "UNSAFE_PATH"


def test_a_pipe_is_refused_and_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VoiceplaneError, match=r"pipe is not a plain file") as caught:
        files_of(tmp_path)
    assert caught.value.reason == "UNSAFE_PATH"
