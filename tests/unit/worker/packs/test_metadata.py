"""metadata.yaml: what it may say, and how a mistake is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
import yaml
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.packs.metadata import PackMetadata, read_metadata

if TYPE_CHECKING:
    from pathlib import Path

LEAST: dict[str, Any] = {
    "model_id": "a-voice",
    "family": "piper",
    "licence": "CC0-1.0",
    "voices": [{"name": "one", "language": "en-US"}],
}


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "metadata.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def read(folder: Path, **changes: Any) -> PackMetadata:
    return read_metadata(written(folder, yaml.safe_dump({**LEAST, **changes}, allow_unicode=True)))


def refused(file: Path) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        read_metadata(file)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PACK_INVALID")
    assert str(file) in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


def refused_key(folder: Path, **changes: Any) -> VoiceplaneError:
    values = {key: value for key, value in {**LEAST, **changes}.items() if value is not None}
    return refused(written(folder, yaml.safe_dump(values)))


def test_the_least_that_a_pack_says_is_enough(tmp_path: Path) -> None:
    metadata = read(tmp_path)
    assert metadata.source is None
    assert metadata.warm_up_text
    assert metadata.files == {}
    assert metadata.allow_pickle == ()


@pytest.mark.parametrize("key", LEAST)
def test_what_a_pack_must_say_is_named(key: str, tmp_path: Path) -> None:
    error = refused_key(tmp_path, **{key: None})
    assert error.field == key
    assert f"key {key!r}: Field required" in error.message


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"modle_id": "x"}, "modle_id"),
        ({"source": {"uri": "file:///x", "sha": ""}}, "source.sha"),
        ({"voices": [{"name": "one", "language": "en", "lang": "en"}]}, "voices.0.lang"),
    ],
)
def test_an_unknown_key_is_named_at_any_depth(changes: dict[str, Any], key: str, tmp_path: Path) -> None:
    error = refused_key(tmp_path, **changes)
    assert error.field == key
    assert f"unknown key {key!r}: remove it or correct its name" in error.message


def test_a_misspelt_key_is_named_rather_than_the_one_that_is_missing(tmp_path: Path) -> None:
    assert refused_key(tmp_path, licence=None, license="CC0-1.0").field == "license"


@pytest.mark.parametrize("model_id", ["", "a b", "../x", "a/b", ".hidden", "-x", "ä", "x" * 129, 5, "a\nb", "a\n"])
def test_a_model_id_that_is_no_plain_name_is_refused(model_id: object, tmp_path: Path) -> None:
    assert refused_key(tmp_path, model_id=model_id).field == "model_id"


@pytest.mark.parametrize("model_id", ["a", "en_US-joe-medium", "XTTS-v2.0", "9", "x" * 128])
def test_plain_names_are_model_ids(model_id: str, tmp_path: Path) -> None:
    assert read(tmp_path, model_id=model_id).model_id == model_id


@pytest.mark.parametrize(
    ("key", "value", "at"),
    [
        ("family", "Piper", "family"),
        ("family", "../piper", "family"),
        ("licence", "", "licence"),
        ("voices", [], "voices"),
        ("voices", "joe", "voices"),
        ("voices", [{"name": "", "language": "en"}], "voices.0.name"),
        ("voices", [{"name": "one", "language": "english"}], "voices.0.language"),
        ("voices", [{"name": "one", "language": "en"}, {"name": "one", "language": "de"}], "voices"),
        ("source", {"uri": ""}, "source.uri"),
        ("source", {"uri": "file:///x", "sha256": "abc"}, "source.sha256"),
        ("source", {"uri": "file:///x", "sha256": "A" * 64}, "source.sha256"),
        ("sample_rate_hz", 1, "sample_rate_hz"),
        ("memory_bytes", -1, "memory_bytes"),
        ("memory_bytes", "much", "memory_bytes"),
        ("warm_up_text", "", "warm_up_text"),
        ("warm_up_text", "x" * 201, "warm_up_text"),
        ("options", {"speed": 2}, "options.speed"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(key: str, value: object, at: str, tmp_path: Path) -> None:
    error = refused_key(tmp_path, **{key: value})
    assert error.field == at
    assert repr(at) in error.message


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", ".", "./model.onnx", "a//b", "a\\b"])
@pytest.mark.parametrize("key", ["files", "reference", "allow_pickle"])
def test_a_path_that_is_not_plainly_inside_is_refused(key: str, name: str, tmp_path: Path) -> None:
    values = {"files": {"model": name}, "reference": name, "allow_pickle": [name]}
    error = refused_key(tmp_path, **{key: values[key]})
    assert error.field == key
    assert repr(name) in error.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "is not YAML"),
        ("- a\n- b\n", "must hold a mapping"),
        ("", "must hold a mapping"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        (b"\xff\xfe\xfa", "cannot be read"),
        ("[" * 5000, "is not YAML"),
    ],
    ids=["syntax", "list", "empty", "code", "encoding", "depth"],
)
def test_a_file_that_is_no_metadata_is_explained(text: str | bytes, words: str, tmp_path: Path) -> None:
    assert words in refused(written(tmp_path, text)).message


def test_a_file_that_is_not_there_is_explained(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path / "metadata.yaml").message
