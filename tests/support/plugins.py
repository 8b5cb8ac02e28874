"""Packages that offer families, as an installer leaves them: code and metadata in a folder of PYTHONPATH."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-family.md"
BLOCK = re.compile(r"^`(?P<name>[\w./]+)`:\n\n```\w+\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)


def files_of_the_page() -> dict[str, str]:
    """The files that docs/how-to/add-a-family.md shows, by path."""
    return {match["name"]: match["content"] for match in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))}


def install(folder: Path, files: Mapping[str, str]) -> None:
    """Write a package's files, one of them its pyproject.toml, with the metadata that an installer makes of that."""
    write_files(folder, files)
    write_metadata(folder, files["pyproject.toml"])


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a folder, by their paths in it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def write_metadata(folder: Path, pyproject: str) -> None:
    """Write what an installer leaves of a package besides its code: its name, its version and its entry points."""
    project = tomllib.loads(pyproject)["project"]
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.3\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
