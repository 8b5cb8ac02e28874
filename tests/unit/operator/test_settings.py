"""The operator's settings, and which values it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.settings import load_settings
from voiceplane_operator.settings import OperatorSettings

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "VOICEPLANE_OPERATOR_"


def test_by_default_it_reconciles_the_whole_cluster() -> None:
    settings = load_settings(OperatorSettings, env_prefix=PREFIX)
    assert settings.model_dump() == {
        "namespaces": "",
        "kubeconfig": "",
        "log_level": "info",
        "log_json": True,
        "health_port": 8081,
        "metrics_port": 9090,
        "workers": 8,
        "resync_seconds": 600,
        "stale_seconds": 600,
        "tls_ca_file": "",
        "tls_cert_file": "",
        "tls_key_file": "",
        "tls_server_name": "voiceplane-worker",
    }
    assert settings.namespace_list == ()


@pytest.mark.parametrize(
    ("namespaces", "expected"),
    [
        ("speech", ("speech",)),
        ("speech,other", ("speech", "other")),
        (" speech , other ,", ("speech", "other")),
        (" , ", ()),
    ],
)
def test_namespaces_are_separated_by_commas(namespaces: str, expected: tuple[str, ...]) -> None:
    assert OperatorSettings(namespaces=namespaces).namespace_list == expected


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("health_port", 0, 65535),
        ("metrics_port", 0, 65535),
        ("workers", 1, 256),
        ("resync_seconds", 1, None),
        ("stale_seconds", 300, None),
    ],
)
def test_numbers_have_limits(key: str, least: int, most: int | None) -> None:
    allowed = [least] if most is None else [least, most]
    assert [getattr(OperatorSettings.model_validate({key: value}), key) for value in allowed] == allowed
    for value in [least - 1] + ([] if most is None else [most + 1]):
        with pytest.raises(ValidationError, match=key):
            OperatorSettings.model_validate({key: value})


@pytest.mark.parametrize(
    ("flags", "field", "words"),
    [
        ({"log_level": "loud"}, "log_level", "'debug', 'info', 'warning' or 'error'"),
        ({"workers": "many"}, "workers", "valid integer"),
        ({"stale_seconds": 60}, "stale_seconds", "greater than or equal to 300"),
        ({"namespace": "speech"}, "namespace", "unknown setting 'namespace': remove it or correct its name"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(flags: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(VoiceplaneError, match=words) as raised:
        load_settings(OperatorSettings, overrides=flags, env_prefix=PREFIX)
    assert raised.value.field == field


def test_flags_override_the_environment_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "operator.yaml"
    file.write_text("workers: 1\nresync_seconds: 1\nhealth_port: 1\n")
    monkeypatch.setenv("VOICEPLANE_OPERATOR_RESYNC_SECONDS", "2")
    monkeypatch.setenv("VOICEPLANE_OPERATOR_HEALTH_PORT", "2")
    flags = {"health_port": 3, "workers": None}
    settings = load_settings(OperatorSettings, file=file, overrides=flags, env_prefix=PREFIX)
    assert (settings.workers, settings.resync_seconds, settings.health_port) == (1, 2, 3)
