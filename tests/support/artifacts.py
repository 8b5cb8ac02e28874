"""Folders and Python packages to fetch from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_common.artifacts.cache import Cache


def write_tree(root: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder, by their relative names; returns the folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def write_package(site: Path, package: str, files: dict[str, bytes], *, version: str = "1.0") -> Path:
    """A regular package with data, as an installer leaves it: with the metadata of its distribution."""
    info = site / f"{package}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    write_tree(info, {"METADATA": metadata.encode(), "top_level.txt": package.encode()})
    return write_tree(site / package, {"__init__.py": b"raise RuntimeError('imported')\n", **files})


def tree_of(root: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative name."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def left_in(cache_dir: Path) -> list[str]:
    """What a cache holds: its artifacts, the keys that it remembers, and anything that is half written."""
    folders = (cache_dir / each for each in ("artifacts", "index", "partial"))
    return [path.relative_to(cache_dir).as_posix() for folder in folders for path in sorted(folder.rglob("*"))]


def add_file(cache: Cache, *, key: str, content: bytes, sha256: str = "", remember: bool = False) -> Path:
    """Put one file into a cache."""

    def write(target: Path) -> None:
        target.write_bytes(content)

    return cache.add(key=key, remember=remember, name="file", sha256=sha256, size_bytes=len(content), write=write)
