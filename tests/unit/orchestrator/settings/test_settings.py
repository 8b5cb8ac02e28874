"""What the orchestrator's settings refuse, and what the message says to do."""

from __future__ import annotations

from typing import Any

import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.settings import load_settings
from voiceplane_orchestrator.settings import OrchestratorSettings


def load(**overrides: Any) -> OrchestratorSettings:
    return load_settings(OrchestratorSettings, overrides={k.replace("__", "."): v for k, v in overrides.items()})


@pytest.mark.parametrize(
    ("overrides", "field", "remedy"),
    [
        ({"livekit__url": "ws://127.0.0.1:7880"}, "livekit", "set livekit.api_key and livekit.api_secret"),
        ({"transport__ws_fallback": False}, "transport", "set transport.ws_fallback to true"),
        (
            {"redis__url": "redis://store:6379", "discovery__kind": "embedded"},
            "",
            "set discovery.kind to redis, or remove redis.url",
        ),
        ({"redis__url": "redis://:hush@store"}, "redis", "put it in redis.password"),
        ({"discovery__kind": "redis"}, "", "redis.url: set it"),
        ({"replies__engine": "llm"}, "replies", "base_url and model"),
        ({"replies__engine": "llm", "replies__model": "llama3.2"}, "replies", "base_url and model"),
        ({"auth__api_keys": ["key", " "]}, "auth.api_keys", "a key is blank"),
        ({"server__listen": "8080"}, "server.listen", "must be host:port"),
        ({"server__listen": "127.0.0.1:http"}, "server.listen", "must be host:port"),
        ({"server__listen": "127.0.0.1:65536"}, "server.listen", "port up to 65535"),
        ({"discovery__workers": ["127.0.0.1:50051", ""]}, "discovery.workers.1", "must be host:port"),
        ({"discovery__workers": ["unix:worker.sock"]}, "discovery.workers.0", "must be host:port"),
        ({"routing__policy": "fastest"}, "routing.policy", "'balanced' or 'least_loaded'"),
        ({"vad__aggressiveness": 4}, "vad.aggressiveness", "less than or equal to 3"),
        ({"asr__engine": "whisper.cpp"}, "asr.engine", "'faster-whisper'"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(overrides: dict[str, Any], field: str, remedy: str) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        load(**overrides)
    assert caught.value.field == field
    assert remedy in caught.value.message


def test_anonymous_callers_are_let_in_only_on_purpose() -> None:
    with pytest.raises(VoiceplaneError, match=r"auth\.api_keys is empty"):
        load(server__listen="0.0.0.0:8080")
    assert load(server__listen="0.0.0.0:8080", auth__api_keys=["key"]).auth.api_keys[0].get_secret_value() == "key"
    assert load(server__listen="0.0.0.0:8080", auth__allow_anonymous=True).auth.allow_anonymous


@pytest.mark.parametrize("listen", ["127.0.0.1:8080", "localhost:0", "[::1]:8080"])
def test_loopback_needs_no_key(listen: str) -> None:
    assert load(server__listen=listen).auth.api_keys == ()


def test_host_and_port_are_separated() -> None:
    server = load(server__listen="[::1]:65535").server
    assert (server.host, server.port) == ("[::1]", 65535)


def test_a_worker_may_listen_on_a_socket_of_this_machine() -> None:
    assert load(discovery__workers=["unix:/run/worker.sock"]).discovery.workers == ("unix:/run/worker.sock",)


def test_nothing_that_people_say_is_kept_unless_asked_for() -> None:
    privacy = load().privacy
    assert not privacy.log_transcripts
    assert not privacy.retain_audio


@pytest.mark.parametrize(
    "overrides",
    [
        {"auth__api_keys": "hush"},
        {"auth__api_keys": [["hush"]]},
        {"auth__api_keys": {"hush": "hush"}},
        {"replies__engine": "llm", "replies__api_key": "hush"},
        {"replies__api_key": ["hush"]},
        {"server__listen": "0.0.0.0:80", "replies__api_key": "hush"},
    ],
)
def test_a_refusal_does_not_repeat_a_key(overrides: dict[str, Any]) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        load(**overrides)
    assert "hush" not in caught.value.message


def test_static_discovery_without_workers_is_refused() -> None:
    with pytest.raises(VoiceplaneError, match="kind static needs workers"):
        load(discovery__workers=[])
    assert load(discovery__kind="embedded", discovery__workers=[]).discovery.workers == ()


def test_keys_do_not_show_when_settings_are_printed() -> None:
    settings = load(auth__api_keys=["hush-1"], replies__api_key="hush-2")
    assert "hush" not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_livekits_own_variables_name_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_URL", "wss://rooms.example.com")
    monkeypatch.setenv("LIVEKIT_API_KEY", "key")
    monkeypatch.setenv("LIVEKIT_API_SECRET", "secret")
    livekit = OrchestratorSettings.model_validate({}).livekit
    assert (livekit.url, livekit.api_key, livekit.api_secret.get_secret_value()) == (
        "wss://rooms.example.com",
        "key",
        "secret",
    )
    assert OrchestratorSettings.model_validate({"livekit": {"url": "ws://other"}}).livekit.url == "ws://other"
