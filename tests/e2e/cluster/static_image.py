"""Images of static programs, written without a builder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_static_image(archive: Path, name: str, programs: Mapping[str, Path]) -> None:
    """Write a Docker archive of an image that holds static programs and nothing else.

    Args:
        archive: The file.
        name: Of the image.
        programs: By their paths in the image, such as "/pause"; the first is the one that runs.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as files:
        for path, program in programs.items():
            entry = tarfile.TarInfo(path.removeprefix("/"))
            entry.mode = 0o755
            entry.size = program.stat().st_size
            with program.open("rb") as source:
                files.addfile(entry, source)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    image = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Entrypoint": [next(iter(programs))], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as files:
        for path, content in (
            ("config.json", json.dumps(image).encode()),
            ("layer.tar", layer.getvalue()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            files.addfile(entry, io.BytesIO(content))
