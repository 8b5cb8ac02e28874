"""The shell scripts are what a shell can read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from families.manifests import Manifest, read_manifests

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[..., tuple[int, list[list[str]], str]]

ROOT = Path(__file__).parents[2]
MANIFESTS = read_manifests()
LARGE = [manifest for manifest in MANIFESTS.values() if manifest.has_own_environment]
SCRIPTS = [
    ROOT / "images" / "build",
    ROOT / "images" / "worker" / "install-worker",
    ROOT / "images" / "worker" / "without-cuda",
    ROOT / ".ci" / "run",
    *sorted((ROOT / "scripts").glob("*.sh")),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(ROOT)))
def test_a_script_can_be_read(script: Path) -> None:
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


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


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)
def test_every_family_has_an_image_and_one_for_cpus_if_it_runs_on_a_gpu(build: Build, manifest: Manifest) -> None:
    name = f"worker-{manifest.name}"
    code, (image,), said = build(name, TAG="t")
    assert code == 0, said
    expected = {f"FAMILY={manifest.name}", f"LICENCES={manifest.licences}", f"docker.io/voiceplane/{name}:t"}
    assert expected <= set(image)
    assert "DEVICE=cpu" not in image
    code, builds, said = build(f"{name}-cpu", TAG="t")
    if "cuda" in manifest.devices:
        assert {f"FAMILY={manifest.name}", "DEVICE=cpu", f"docker.io/voiceplane/{name}-cpu:t"} <= set(builds[-1])
    else:
        assert (code, len(builds)) == (1, 1), said


def test_the_plain_worker_has_piper(build: Build) -> None:
    assert "FAMILY=piper" in build("worker")[1][0]


def test_layers_are_kept_of_small_images_only(build: Build) -> None:
    code, (worker, large), said = build("worker", f"worker-{LARGE[0].name}")
    assert code == 0, said
    assert "--layers" in worker
    assert "--layers" not in large


@pytest.mark.parametrize("name", ["worker-cpu", "worker-none", "worker-piper-gpu", "operator-cpu", "nothing"])
def test_an_image_that_there_is_not_is_refused(build: Build, name: str) -> None:
    code, builds, said = build(name)
    assert code == 1
    assert builds == []
    assert "there is no image" in said


def test_without_cuda_leaves_out_what_the_lock_has_for_a_gpu() -> None:
    def left_out(manifest: Manifest) -> list[str]:
        script = str(ROOT / "images" / "worker" / "without-cuda")
        command = [script, "options", "--frozen", "--project", str(manifest.folder), "--no-default-groups"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()[1::2]

    for manifest in LARGE:
        absent = left_out(manifest)
        assert {"nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13", "triton"} <= set(absent)
        assert {"torch", "nvidia-cuda-runtime", "nvidia-nvshmem-cu13"}.isdisjoint(absent)
    assert left_out(MANIFESTS["piper"]) == []
