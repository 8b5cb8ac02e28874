"""The shell scripts are what a shell can read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[..., tuple[int, list[list[str]], str]]

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    ROOT / "images" / "build",
    ROOT / "images" / "worker" / "without-cuda",
    ROOT / ".ci" / "run",
    *sorted((ROOT / "scripts").glob("*.sh")),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(ROOT)))
def test_a_script_can_be_read(script: Path) -> None:
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


def test_every_extra_of_a_family_has_an_image() -> None:
    cases = (ROOT / "images" / "build").read_text(encoding="utf-8")
    environments = (ROOT / "tests" / "support" / "environments.py").read_text(encoding="utf-8")
    families = environments.partition("FAMILIES = (")[2].partition(")")[0].replace('"', "").split(", ")
    assert families
    assert all(f"worker-{family}) extras={family};" in cases for family in families)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Runs images/build with a buildah that builds nothing: its exit code, what it asked buildah for, what it says."""
    asked = tmp_path / "asked"
    (tmp_path / "bin").mkdir()
    buildah = tmp_path / "bin" / "buildah"
    buildah.write_text(f"""#!/bin/sh\nif [ "$3" = bud ]; then printf '%s\\n' "$@" end >> {asked}; fi\n""")
    buildah.chmod(0o755)

    def run(*names: str, **variables: str) -> tuple[int, list[list[str]], str]:
        environment = os.environ | {"PATH": f"{buildah.parent}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path)}
        environment |= {
            "BUILDER": "buildah",
            "ARCHIVE": "no",
            "BASE_IMAGE": "base",
            "STORAGE_DRIVER": "vfs",
        } | variables
        command = [str(ROOT / "images" / "build"), *names]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        builds = asked.read_text(encoding="utf-8").split("end\n")[:-1] if asked.exists() else []
        return done.returncode, [each.splitlines() for each in builds], done.stdout + done.stderr

    return run


def test_an_image_of_a_family_has_its_extra(build: Build) -> None:
    code, (csm, cpu), said = build("worker-csm", "worker-csm-cpu", TAG="t")
    assert code == 0, said
    assert {"EXTRAS=csm", "docker.io/voiceplane/worker-csm:t"} <= set(csm)
    assert "DEVICE=cpu" not in csm
    assert {"EXTRAS=csm", "DEVICE=cpu", "docker.io/voiceplane/worker-csm-cpu:t"} <= set(cpu)


def test_layers_are_kept_of_small_images_only(build: Build) -> None:
    code, (worker, csm), said = build("worker", "worker-csm")
    assert code == 0, said
    assert "--layers" in worker
    assert "--layers" not in csm


@pytest.mark.parametrize("name", ["worker-cpu", "worker-none", "worker-csm-gpu", "operator-cpu", "nothing"])
def test_an_image_that_there_is_not_is_refused(build: Build, name: str) -> None:
    code, builds, said = build(name)
    assert code == 1
    assert builds == []
    assert ("no family with an image of its own: worker-csm" if "-" in name else "there is no images/nothing") in said


def test_without_cuda_leaves_out_what_the_lock_has_for_a_gpu() -> None:
    command = [
        str(ROOT / "images" / "worker" / "without-cuda"),
        "options",
        "--package",
        "voiceplane-worker",
        "--no-dev",
    ]

    def left_out(extra: str) -> list[str]:
        done = subprocess.run([*command, "--extra", extra], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.split()[1::2]

    for family in ("csm", "xtts"):  # two versions of torch
        absent = left_out(family)
        assert {"nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13", "triton"} <= set(absent)
        assert {"torch", "nvidia-cuda-runtime", "nvidia-nvshmem-cu13"}.isdisjoint(absent)
    assert left_out("piper") == []
