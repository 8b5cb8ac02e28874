"""Credentials: read as Kubernetes mounts a Secret, and given to the file system that a scheme has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from voiceplane_common.artifacts.credentials import read_credentials, storage_options
from voiceplane_common.errors import VoiceplaneError

if TYPE_CHECKING:
    from pathlib import Path


def mounted(folder: Path, name: str, keys: dict[str, str]) -> None:
    """As the kubelet does: the keys are links into a hidden folder, which it swaps at once."""
    data = folder / name / "..2026_01_01"
    data.mkdir(parents=True)
    (folder / name / "..data").symlink_to(data.name)
    for key, value in keys.items():
        (data / key).write_text(value)
        (folder / name / key).symlink_to(f"..data/{key}")


def reason(folder: Path | None, name: str) -> str:
    with pytest.raises(VoiceplaneError) as caught:
        read_credentials(folder, name)
    assert caught.value.field == "source.credentials"
    return caught.value.reason


def test_a_mounted_secret_is_read_by_key(tmp_path: Path) -> None:
    mounted(tmp_path, "s3.keys", {"AWS_ACCESS_KEY_ID": "id\n", "AWS_SECRET_ACCESS_KEY": "secret"})
    assert read_credentials(tmp_path, "s3.keys") == {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
    assert read_credentials(None, "") == {}


def test_what_is_not_there_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert reason(tmp_path, "absent") == "CREDENTIALS_MISSING"
    assert reason(tmp_path, "empty") == "CREDENTIALS_MISSING"
    assert reason(None, "any") == "CREDENTIALS_MISSING"


@pytest.mark.parametrize("name", ["..", "../other", "a/b", "/etc", "A", "a..b", "a\n"])
def test_a_name_leads_to_no_other_folder(tmp_path: Path, name: str) -> None:
    assert reason(tmp_path / "sets", name) == "INVALID_ARGUMENT"


def test_s3_takes_its_keys_and_leaves_others_aside() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu", "other": "x"}
    assert storage_options("s3", keys, name="k") == {
        "key": "id",
        "secret": "secret",
        "client_kwargs": {"region_name": "eu"},
    }
    assert storage_options("s3", {}, name="") == {}


def test_the_hub_takes_a_token_and_a_web_server_a_token_or_a_pair() -> None:
    assert storage_options("hf", {"HF_TOKEN": "t"}, name="k") == {"token": "t"}
    assert storage_options("https", {"token": "t"}, name="k") == {"headers": {"Authorization": "Bearer t"}}
    pair = {"username": "Aladdin", "password": "open sesame"}
    expected = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # the example of RFC 7617
    assert storage_options("https", pair, name="k") == {"headers": {"Authorization": expected}}


def test_credentials_of_another_kind_are_refused_without_a_word_of_what_is_in_them() -> None:
    with pytest.raises(VoiceplaneError) as caught:
        storage_options("s3", {"password": "hidden"}, name="web")
    assert caught.value.reason == "CREDENTIALS_UNUSABLE"
    assert "'web'" in caught.value.message
    assert "AWS_ACCESS_KEY_ID" in caught.value.message
    assert "hidden" not in caught.value.message
    with pytest.raises(VoiceplaneError, match="file: sources take no credentials"):
        storage_options("file", {"token": "t"}, name="web")
