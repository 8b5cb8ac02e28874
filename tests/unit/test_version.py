"""One version: every place states it, the script writes it to all, and images are built with the chart's tag."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import yaml

from scripts import set_version

ROOT = Path(__file__).parents[2]


def test_every_place_states_the_version_of_the_workspace() -> None:
    assert set_version.differing() == []
    assert len(set_version.packages()) >= 9


def test_a_new_version_is_written_to_every_place(tmp_path: Path) -> None:
    for path, _ in set_version.places():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    set_version.write("7.8.9", tmp_path)
    assert set_version.current(tmp_path) == "7.8.9"
    assert set_version.differing(tmp_path) == []
    chart = yaml.safe_load((tmp_path / "charts" / "voiceplane" / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == ("7.8.9", "7.8.9")
    assert "voiceplane/worker:7.8.9" in (tmp_path / "docker-compose.yml").read_text(encoding="utf-8")
    for path in set_version.packages():
        versions = [
            re.findall(r'^version = "(.*)"', file.read_text(encoding="utf-8"), re.MULTILINE)
            for file in (path, tmp_path / path.relative_to(ROOT))
        ]
        assert versions[0][1:] == versions[1][1:], f"{path}: versions of other packages stay"


def test_a_place_with_another_version_is_named(tmp_path: Path) -> None:
    for path, _ in set_version.places():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    chart = tmp_path / "charts" / "voiceplane" / "Chart.yaml"
    text = chart.read_text(encoding="utf-8")
    chart.write_text(text.replace(f"appVersion: {set_version.current()}", "appVersion: 0.0.1"), encoding="utf-8")
    assert set_version.differing(tmp_path) == [f"charts/voiceplane/Chart.yaml: 0.0.1, not {set_version.current()}"]


def test_images_are_built_with_the_tag_that_the_chart_asks_for() -> None:
    script = (ROOT / "images" / "build").read_text(encoding="utf-8")
    (line,) = (each for each in script.splitlines() if each.startswith("tag="))
    command = f'unset TAG; {line}; echo "$tag"'
    printed = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    chart = yaml.safe_load((ROOT / "charts" / "voiceplane" / "Chart.yaml").read_text(encoding="utf-8"))
    assert printed.strip() == chart["appVersion"]
