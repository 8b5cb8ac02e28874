"""What the worker's wheel holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from voiceplane_worker.packs.catalog import PackCatalog

ROOT = Path(__file__).parents[4]


def test_the_wheel_holds_the_packs_that_come_with_voiceplane(tmp_path: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        pytest.skip("uv is not on the PATH: pip install uv")
    command = [uv, "build", "--offline", "--quiet", "--out-dir", str(tmp_path), str(ROOT / "worker")]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if "network was disabled" in built.stderr:
        pytest.skip("the build backend is not in uv's cache: run uv build worker")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if fnmatch(name, "voiceplane_worker/voicepacks/*/metadata.yaml")]
        model_ids = [yaml.safe_load(archive.read(name))["model_id"] for name in names]
    assert sorted(model_ids) == list(PackCatalog().model_ids)
