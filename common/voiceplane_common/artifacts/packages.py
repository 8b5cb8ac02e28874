"""`package:` URIs: files that a Python package carries, and files that several of them carry in parts.

`package:some_package/data` is one folder of an installed package. `package:part_one/data+part_two/data` is the union of
several; where they hold X.part1, X.part2 and so on, those are joined to X. A file may be given another name, where the
packages don't call their parts so: `package:one/part.bin#X.part1+two/part.bin#X.part2`. No package is imported.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from voiceplane_common.artifacts.trees import files_of, safe_name
from voiceplane_common.errors import failed_precondition

K = TypeVar("K")
V = TypeVar("V")

_PART = re.compile(r"(?P<name>.+)\.part(?P<number>[0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A folder or a file of a package.

    Attributes:
        path: Where it is.
        name: The relative name that its URI gives to a file; empty: its own.
    """

    path: Path
    name: str = ""

    def files(self) -> dict[str, Path]:
        """Its files by their relative names; see `trees.files_of`."""
        return {self.name: self.path} if self.name else files_of(self.path)


def locate(spec: str) -> list[Root]:
    """The folders and files that the part of a URI after `package:` names.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION: PACKAGE_MISSING, ARTIFACT_MISSING or UNSAFE_PATH.
    """
    return [_locate_one(each) for each in spec.split("+")]


def plan_join(roots: list[Root]) -> dict[str, list[Path]]:
    """What to write: each file's name with the files that it is joined from, in order.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, ARTIFACT_INVALID: a part is missing, or two packages differ about a file.
    """
    plain: dict[str, list[Path]] = {}
    parts: dict[str, dict[int, Path]] = {}
    for root in roots:
        for name, path in root.files().items():
            match = _PART.fullmatch(name)
            if match:
                numbered = parts.setdefault(match["name"], {})
                _claim(numbered, int(match["number"]), path, what=name)
            elif not _is_code(name):
                _claim(plain, name, [path], what=name)
    for name, numbered in parts.items():
        order = sorted(numbered)
        if order != list(range(order[0], order[0] + len(order))) or order[0] > 1:
            raise failed_precondition("ARTIFACT_INVALID", f"{name}: of its parts only {order} are installed")
        _claim(plain, name, [numbered[number] for number in order], what=name)
    return plain


def needs_join(roots: list[Root]) -> bool:
    """Whether the files must be joined in a new folder."""
    return len(roots) > 1 or bool(roots[0].name) or any(_PART.fullmatch(name) for name in roots[0].files())


def identity(spec: str, plan: dict[str, list[Path]]) -> str:
    """A key that changes when the packages do."""
    sizes = ",".join(f"{name}:{sum(part.stat().st_size for part in parts)}" for name, parts in sorted(plan.items()))
    names = sorted({each.partition("/")[0].partition(".")[0] for each in spec.split("+")})
    owners = importlib.metadata.packages_distributions()
    versions = [
        f"{one}=={importlib.metadata.version(one)}" for name in names for one in sorted(set(owners.get(name, ())))
    ]
    return f"package:{spec} {' '.join(versions)} {sizes}"


def _locate_one(spec: str) -> Root:
    place, _, name = spec.partition("#")
    package, _, inside = place.partition("/")
    try:
        found = importlib.util.find_spec(package) if package.isidentifier() else None
    except (ImportError, ValueError):
        found = None
    if found is None or not found.submodule_search_locations:
        message = f"the Python package {package!r} is not installed: install it, or name another source"
        raise failed_precondition("PACKAGE_MISSING", message, field="source.uri")
    root = Path(next(iter(found.submodule_search_locations)))
    path = root / safe_name(inside) if inside else root
    if not path.exists():
        raise failed_precondition("ARTIFACT_MISSING", f"the package {package!r} has no {inside!r}", field="source.uri")
    if name and not path.is_file():
        message = f"{place!r} is a folder, which can't be named {name!r}: name each of its files"
        raise failed_precondition("ARTIFACT_INVALID", message, field="source.uri")
    return Root(path=path, name=safe_name(name) if name else "")


def _is_code(name: str) -> bool:
    return name.endswith((".py", ".pyc", ".pyi")) or name == "py.typed"


def _claim(into: dict[K, V], key: K, value: V, *, what: str) -> None:
    if key in into:
        raise failed_precondition("ARTIFACT_INVALID", f"two of the packages hold {what}: name only one of them")
    into[key] = value
