"""The configuration files that Voiceplane ships, and the flags that do the same, select what they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.settings import load_settings
from voiceplane_orchestrator.settings import OrchestratorSettings
from voiceplane_speech_input.asr.settings import WHISPER_MODELS, AsrSection
from voiceplane_worker.settings import WorkerSettings

CONFIGS = Path(__file__).parents[2] / "configs"


def orchestrator(**values: Any) -> OrchestratorSettings:
    return load_settings(OrchestratorSettings, overrides=values)


def test_the_orchestrator_of_the_file_finds_workers_in_redis_and_hears_with_whisper_small() -> None:
    settings = load_settings(OrchestratorSettings, file=CONFIGS / "orchestrator.yaml")
    assert (settings.asr.engine, settings.asr.model) == ("faster-whisper", "small")
    assert (settings.discovery.kind, settings.redis.url) == ("redis", "redis://localhost:6379")
    assert (settings.routing.policy, settings.routing.prefer_resident) == ("balanced", True)
    assert (settings.vad.aggressiveness, settings.transport.webrtc, settings.transport.ws_fallback) == (2, True, True)


def test_the_worker_of_the_file_loads_cosyvoice_2_on_the_gpu() -> None:
    settings = load_settings(WorkerSettings, file=CONFIGS / "worker.yaml")
    assert (settings.worker.device, settings.worker.adapter) == ("cuda:0", "cosyvoice2")
    manager = settings.model_manager
    assert (manager.default_model_id, manager.preload_model_ids) == ("cosyvoice2-en-base", ())
    assert (manager.ttl_ms, manager.min_residency_ms, manager.evict_check_interval_ms) == (600_000, 120_000, 30_000)
    assert (manager.resident_cap, manager.max_parallel_loads) == (3, 1)


def test_other_discovery_is_kept_beside_a_redis_only_where_it_is_named() -> None:
    url = {"redis.url": "redis://store:6379"}
    assert orchestrator(**url).discovery.kind == "redis"
    assert orchestrator(**url, **{"discovery.namespaces": ["a"]}).discovery.kind == "redis"
    for named in ({"discovery.kind": "static"}, {"discovery.workers": ["127.0.0.1:1"]}):
        with pytest.raises(VoiceplaneError, match=r"remove redis\.url"):
            orchestrator(**url, **named)


@pytest.mark.parametrize("name", sorted(WHISPER_MODELS))
def test_an_engine_may_name_a_whisper_model(name: str) -> None:
    settings = AsrSection.model_validate({"engine": f"whisper-{name}"})
    assert settings == AsrSection(model=name)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"engine": "whisper-gigantic"}, "whisper-small"),
        ({"engine": "whisper-small", "model": "turbo"}, "remove one"),
        ({"engine": "vosk"}, "faster-whisper"),
    ],
)
def test_an_engine_that_is_none_is_refused_with_what_there_is(values: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AsrSection.model_validate(values)
