"""Settings: which source wins, and errors that name the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr, model_validator
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.settings import Section, load_settings

if TYPE_CHECKING:
    from pathlib import Path


class Inner(Section):
    ttl_ms: int = 10
    names: tuple[str, ...] = ()


class Access(Section):
    keys: tuple[SecretStr, ...] = ()
    key: SecretStr = SecretStr("")
    admin: str = ""

    @model_validator(mode="after")
    def _has_an_admin(self) -> Access:
        if self.keys and not self.admin:
            raise ValueError("keys need an admin")
        return self


class Outer(Section):
    inner: Inner = Inner()
    access: Access = Access()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text("inner:\n  ttl_ms: 20\n  names: [a, b]\n")
    return path


def test_a_flag_beats_the_environment_which_beats_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(Outer).inner.ttl_ms == 10
    assert load_settings(Outer, file=file).inner == Inner(ttl_ms=20, names=("a", "b"))
    monkeypatch.setenv("VOICEPLANE_INNER__TTL_MS", "30")
    assert load_settings(Outer, file=file).inner == Inner(ttl_ms=30, names=("a", "b"))
    assert load_settings(Outer, file=file, overrides={"inner.ttl_ms": 40, "inner.names": None}).inner.ttl_ms == 40


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("inner:\n  ttl: 3\n", "inner.ttl", "unknown setting"),
        ("outer: {}\n", "outer", "unknown setting"),
        ("inner:\n  ttl_ms: soon\n", "inner.ttl_ms", "'soon'"),
        ("- a\n", "config", "mapping"),
        ("inner: [}\n", "config", "not YAML"),
    ],
)
def test_a_mistake_in_the_file_names_its_key(tmp_path: Path, text: str, field: str, words: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(VoiceplaneError) as caught:
        load_settings(Outer, file=path)
    assert caught.value.field == field
    assert words in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VoiceplaneError, match=r"cannot read .*absent\.yaml"):
        load_settings(Outer, file=tmp_path / "absent.yaml")


def test_an_unknown_environment_variable_of_a_section_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEPLANE_INNER__TYPO", "1")
    with pytest.raises(VoiceplaneError) as caught:
        load_settings(Outer)
    assert caught.value.field == "inner.typo"


@pytest.mark.parametrize(
    "text",
    [
        "access: {keys: [hunter2]}",  # a rule of the whole section
        "access: {keys: [hunter2], admin: [x]}",
        "access: {keys: hunter2}",
        "access: {keys: {a: hunter2}}",
        "access: {key: [hunter2]}",
        "access: {key: {a: hunter2}}",
        "access: hunter2",
        "access: [hunter2]",
        "access:\n  keys: [hunter2\n",
        "access: {key: hunter2, keys: @hunter2}",
        "access: {key: hunter2, typo: hunter2}",
    ],
)
def test_no_mistake_makes_an_error_repeat_a_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(VoiceplaneError) as caught:
        load_settings(Outer, file=path)
    assert "hunter2" not in caught.value.message


def test_a_key_from_the_environment_is_not_repeated_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEPLANE_ACCESS__KEYS", '"hunter2"')
    with pytest.raises(VoiceplaneError) as caught:
        load_settings(Outer)
    assert caught.value.field == "access.keys"
    assert "hunter2" not in caught.value.message
