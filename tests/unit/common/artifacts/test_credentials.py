"""Credentials: read as Kubernetes mounts a Secret, and checked against the source that they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from voiceplane_common.artifacts.credentials import check_credentials, read_credentials
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


def test_a_secret_of_a_registry_is_read_although_its_key_begins_with_a_dot(tmp_path: Path) -> None:
    mounted(tmp_path, "registry", {".dockerconfigjson": "{}"})
    assert read_credentials(tmp_path, "registry") == {".dockerconfigjson": "{}"}


def test_credentials_of_another_kind_are_refused_without_a_word_of_what_is_in_them() -> None:
    with pytest.raises(VoiceplaneError) as caught:
        check_credentials("s3", {"password": "hidden"}, name="web", uri="s3://bucket/voice")
    assert caught.value.reason == "CREDENTIALS_UNUSABLE"
    assert "'web'" in caught.value.message
    assert "AWS_ACCESS_KEY_ID" in caught.value.message
    assert "hidden" not in caught.value.message
    with pytest.raises(VoiceplaneError, match="file: sources take no credentials"):
        check_credentials("file", {"token": "t"}, name="web", uri="file:///voice")


@pytest.mark.parametrize(
    ("prefix", "uri"),
    [
        ("https://voices.test", "https://voices.test/a"),
        ("https://voices.test/ours/", "https://voices.test/ours/a"),
        ("hf://owner/name", "hf://owner/name@main/a"),
        ("oci://registry.test/voices", "oci://registry.test/voices:v1"),
        ("https://other.test https://voices.test", "https://voices.test/a"),
    ],
)
def test_a_source_below_a_prefix_gets_the_credentials(prefix: str, uri: str) -> None:
    scheme = uri.partition(":")[0]
    credentials = {"token": "t", "HF_TOKEN": "t", "uri_prefix": prefix}
    check_credentials(scheme, credentials, name="set", uri=uri)


@pytest.mark.parametrize(
    ("prefix", "uri"),
    [
        ("https://voices.test", "https://voices.test.evil.test/a"),
        ("https://voices.test", "https://voices.test@evil.test/a"),
        ("https://voices.test", "https://voices.test:8443/a"),
        ("https://voices.test/ours", "https://voices.test/ours-not/a"),
        ("https://voices.test/ours", "https://voices.test/ours/../theirs"),
        ("https://voices.test/ours", "https://voices.test/ours/%2e%2e/theirs"),
    ],
)
def test_a_source_elsewhere_does_not(prefix: str, uri: str) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        check_credentials("https", {"token": "t", "uri_prefix": prefix}, name="set", uri=uri)
    assert caught.value.reason == "CREDENTIALS_ELSEWHERE"
