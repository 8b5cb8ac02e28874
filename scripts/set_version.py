"""Write one version to every place that states it; with --check, report the places that state another.

The version is that of the workspace, `pyproject.toml` in the root. `set_version.py 0.2.0` changes it there, in every
package, in the chart and the plugin, in the tags of images in the compose file and the documentation, and in uv.lock.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
NUMBER = r"\d+\.\d+\.\d+(?:[a-z]+\d+)?"
_PROJECT = re.compile(rf'(?ms)(^\[project\]$.*?^version = ")({NUMBER})(")')
_CHART = re.compile(rf"(?m)(^(?:version|appVersion): )({NUMBER})()$")
_MODULE = re.compile(rf'(^__version__ = ")({NUMBER})(")', re.MULTILINE)
_TAG = re.compile(rf"(voiceplane/[\w-]+:|\bTAG=)({NUMBER})()")
_WITH_TAGS = ("docker-compose.yml", ".env.example", "docs/**/*.md", "families/*/README.md", "README.md")


def current(root: Path = ROOT) -> str:
    """The version of the workspace."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return version


def packages(root: Path = ROOT) -> list[Path]:
    """The pyproject.toml of the workspace, of each of its members, and of each family."""
    workspace = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["workspace"]
    members = [path for pattern in workspace["members"] for path in sorted(root.glob(f"{pattern}/pyproject.toml"))]
    families = sorted(root.glob("families/*/pyproject.toml"))
    return list(dict.fromkeys([root / "pyproject.toml", *members, *families]))


def places(root: Path = ROOT) -> Iterator[tuple[Path, re.Pattern[str]]]:
    """The files that state the version, each with the pattern of the statement: before, version, after."""
    for path in packages(root):
        yield path, _PROJECT
    yield root / "charts" / "voiceplane" / "Chart.yaml", _CHART
    for path in sorted((root / "plugins").glob("**/version.py")):
        yield path, _MODULE
    for pattern in _WITH_TAGS:
        for path in sorted(root.glob(pattern)):
            yield path, _TAG


def differing(root: Path = ROOT) -> list[str]:
    """The places that state another version than the workspace."""
    version = current(root)
    return [
        f"{path.relative_to(root)}: {match[2]}, not {version}"
        for path, pattern in places(root)
        for match in pattern.finditer(path.read_text(encoding="utf-8"))
        if match[2] != version
    ]


def write(version: str, root: Path = ROOT) -> None:
    """Write a version to every place."""
    for path, pattern in places(root):
        text = path.read_text(encoding="utf-8")
        changed = pattern.sub(rf"\g<1>{version}\g<3>", text)
        if changed != text:
            path.write_text(changed, encoding="utf-8")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", nargs="?", help="such as 0.2.0; without it, print the present one")
    parser.add_argument("--check", action="store_true", help="fail if a place states another version")
    arguments = parser.parse_args()
    if arguments.version:
        if not re.fullmatch(NUMBER, arguments.version):
            sys.exit(f"{arguments.version} is no version: use three numbers, such as 0.2.0")
        write(arguments.version)
        for lock in (ROOT / "uv.lock", *sorted(ROOT.glob("families/*/uv.lock"))):
            subprocess.run([os.environ.get("UV", "uv"), "lock"], cwd=lock.parent, check=True)
    if arguments.check and (wrong := differing()):
        sys.exit("\n".join([*wrong, "run python scripts/set_version.py VERSION"]))
    print(current())


if __name__ == "__main__":
    main()
