"""docker-compose.yml, .env.example and examples/tls-proxy name nothing that does not exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from voiceplane_orchestrator.settings import OrchestratorSettings
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
PREFIX = "VOICEPLANE_"
FOR_COMPOSE = re.compile(r"\$\{([A-Z_]+)(?::-([^}]*)|:\?[^}]*)?\}")


def compose_text() -> str:
    return (ROOT / "docker-compose.yml").read_text()


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(compose_text())["services"]
    return found


def test_every_variable_of_the_compose_file_is_in_the_example_and_the_other_way_round() -> None:
    used = {name for name, _ in FOR_COMPOSE.findall(compose_text())}
    shown = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert used
    assert used == shown


def test_the_examples_images_are_the_defaults() -> None:
    defaults = {name: value for name, value in FOR_COMPOSE.findall(compose_text()) if name.endswith("_IMAGE")}
    text = (ROOT / ".env.example").read_text()
    assert defaults == dict(re.findall(r"^#([A-Z_]+_IMAGE)=(.*)$", text, re.MULTILINE))


@pytest.mark.parametrize("service", ["orchestrator", "piper", "cosyvoice2"])
def test_a_service_is_built_from_a_dockerfile_that_exists_and_listens_where_others_expect_it(service: str) -> None:
    dockerfile = (ROOT / services()[service]["build"]["dockerfile"]).read_text()
    exposed = re.findall(r"^EXPOSE (.*)$", dockerfile, re.MULTILINE)[0].split()
    expected = "8080" if service == "orchestrator" else "50051"
    assert expected in exposed
    assert services()[service]["volumes"] == [f"{service}-cache:/var/cache/voiceplane"]
    assert "-o 65532 -g 65532 /var/cache/voiceplane" in dockerfile


def told(service: str) -> dict[str, Any]:
    """The sections of settings that a service's variables give."""
    given: dict[str, Any] = {}
    for name, value in services()[service]["environment"].items():
        section, key = name.removeprefix(PREFIX).lower().split("__")
        plain = FOR_COMPOSE.sub(lambda match: match[2] if match[2] is not None else "s" * 32, value)
        given.setdefault(section, {})[key] = json.loads(plain) if plain.startswith("[") else plain
    return given


def test_the_orchestrators_variables_are_settings_of_it() -> None:
    settings = OrchestratorSettings.model_validate(told("orchestrator"))
    assert settings.discovery.kind == "redis"
    assert settings.livekit.url == "ws://livekit:7880"
    assert settings.auth.api_keys


def test_the_gpu_worker_is_asked_for_and_told_a_model_that_its_image_can_load() -> None:
    service = services()["cosyvoice2"]
    assert service["profiles"] == ["gpu"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    settings = WorkerSettings.model_validate(told("cosyvoice2"))
    pack = PackCatalog().find(settings.model_manager.default_model_id)
    assert pack
    assert pack.metadata.family == settings.worker.adapter == service["build"]["args"]["FAMILY"]
    assert told("cosyvoice2")["redis"] == told("orchestrator")["redis"]


def test_workers_and_orchestrator_meet_in_the_redis_with_its_password() -> None:
    assert WorkerSettings.model_validate(told("piper")).redis.target.hosts == (("redis", 6379),)
    assert told("piper")["redis"] == told("orchestrator")["redis"]
    assert (
        services()["redis"]["environment"]["REDISCLI_AUTH"]
        == services()["piper"]["environment"][f"{PREFIX}REDIS__PASSWORD"]
    )
    assert "requirepass $$REDISCLI_AUTH" in services()["redis"]["entrypoint"][-1]
    assert services()["orchestrator"]["depends_on"]["redis"] == {"condition": "service_healthy"}
    assert "ports" not in services()["redis"]


def test_redis_is_of_one_version_everywhere() -> None:
    chart = yaml.safe_load((ROOT / "charts/voiceplane/values.yaml").read_text())["redis"]["image"]
    assert dict(FOR_COMPOSE.findall(compose_text()))["REDIS_IMAGE"] == f"{chart['repository']}:{chart['tag']}"


def test_livekit_is_of_one_version_everywhere() -> None:
    chart = yaml.safe_load((ROOT / "charts/voiceplane/values.yaml").read_text())["livekit"]["image"]["tag"]
    tested = re.findall(r"livekit/livekit-server (v\S+)", (ROOT / "tests/e2e/cluster/go.mod").read_text())[0]
    composed = dict(FOR_COMPOSE.findall(compose_text()))["LIVEKIT_IMAGE"]
    assert composed == f"livekit/livekit-server:{tested}"
    assert chart == tested


def test_livekits_published_ports_are_those_that_it_announces() -> None:
    livekit = services()["livekit"]
    text = FOR_COMPOSE.sub(lambda match: match[2], livekit["environment"]["LIVEKIT_CONFIG"])
    settings = yaml.safe_load(text)
    ports = [FOR_COMPOSE.sub("", port).rsplit(":", 2)[-2:] for port in livekit["ports"]]
    assert ports == [
        [str(settings["port"])] * 2,
        [str(settings["rtc"]["tcp_port"])] * 2,
        [str(settings["rtc"]["udp_port"]), f"{settings['rtc']['udp_port']}/udp"],
    ]


def test_the_proxys_orchestrator_file_is_accepted() -> None:
    sections = yaml.safe_load((ROOT / "examples/tls-proxy/orchestrator.yaml").read_text())
    keys = {"api_key": "key", "api_secret": "secret"}
    settings = OrchestratorSettings.model_validate(sections | {"livekit": sections["livekit"] | keys})
    assert settings.livekit.public_url == "wss://voice.example.com"
