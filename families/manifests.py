"""What lies under families/, as images, tests, checks and documentation read it.

A folder with a pyproject.toml that has a table `tool.voiceplane.family` is a family. One with a uv.lock has an
environment of its own; the others are members of the workspace, and their packages are in its lock.

`python3 families/manifests.py` prints the names, `python3 families/manifests.py NAME licences` one fact of a family.
It needs nothing but Python, since it runs where images are built.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A family's `tool.voiceplane.family`.

    Attributes:
        name: Its own and its folder's.
        folder: Where it lies.
        licences: Of its image, as an SPDX expression.
        image_extras: Extras of its distribution that its image has.
        devices: What it runs on: "cpu", "cuda".
        pack: What the contract suite speaks with: a folder in the family's, or MODULE:FUNCTION, which makes a pack in
            a folder that is not there yet.
        seed: "option" if `options.seed` fixes its speech, "not needed" if nothing is drawn by chance, "none" if its
            speech can't be fixed.
        draws: How many utterances the mean of a duration is taken of, since durations are drawn by chance.
        loads: How often it is loaded to see whether memory returns; loads of large families take seconds.
        untyped: Libraries that it imports and that ship no types.
        table: Its row of docs/families.md.
        entry_points: Those of its distribution, by group.
        version: Of its distribution.
    """

    name: str
    folder: Path
    licences: str
    pack: str
    image_extras: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu",)
    seed: str = "option"
    draws: int = 1
    loads: int = 15
    untyped: tuple[str, ...] = ()
    table: dict[str, str] = field(default_factory=dict)
    entry_points: dict[str, dict[str, str]] = field(default_factory=dict)
    version: str = "0"

    @property
    def source(self) -> Path:
        """The folder of its package."""
        return self.folder / "src"

    @property
    def has_own_environment(self) -> bool:
        """Whether its packages have a lock and an environment of their own."""
        return (self.folder / "uv.lock").is_file()


def read_manifests(folder: Path = FOLDER) -> dict[str, Manifest]:
    """The families of a folder by name.

    Raises:
        TypeError: A manifest has a key that is unknown, or lacks one.
    """
    found = {}
    for file in sorted(folder.glob("*/pyproject.toml")):
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        if values := document.get("tool", {}).get("voiceplane", {}).get("family"):
            found[file.parent.name] = _read(file.parent, document["project"], values)
    return found


def _read(folder: Path, project: dict[str, Any], values: dict[str, Any]) -> Manifest:
    given: dict[str, Any] = {
        key.replace("-", "_"): tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    points = project.get("entry-points", {})
    return Manifest(name=folder.name, folder=folder, entry_points=points, version=project["version"], **given)


def main(*arguments: str) -> None:
    """Print what a shell script asks for."""
    manifests = read_manifests()
    if not arguments:
        print(*manifests, sep="\n")
        return
    name, fact = arguments
    value = getattr(manifests[name], fact.replace("-", "_"))
    print(" ".join(value) if isinstance(value, tuple) else value)


if __name__ == "__main__":
    main(*sys.argv[1:])
