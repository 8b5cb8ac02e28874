"""Generate the stubs of proto/voiceplane/v1 into the package voiceplane_proto; with --check, only compare.

The package name differs from the proto package (voiceplane.v1), because the generated modules must not claim the
top-level name `voiceplane`. protoc maps the one path onto the other, so no generated line is edited.
"""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "proto" / "voiceplane" / "v1"
PACKAGE = ROOT / "proto" / "voiceplane_proto"


def generate(destination: Path) -> None:
    """Write `voiceplane_proto/v1/*` below a folder."""
    well_known = resources.files("grpc_tools") / "_proto"
    virtual = "voiceplane_proto/v1"
    scripts = Path(sys.executable).parent
    code = protoc.main(
        [
            "protoc",
            f"-I{virtual}={SOURCE}",
            f"-I{well_known}",
            *(f"--plugin={name}={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
            f"--python_out={destination}",
            f"--grpc_python_out={destination}",
            f"--mypy_out={destination}",
            f"--mypy_grpc_out={destination}",
            *(f"{virtual}/{path.name}" for path in sorted(SOURCE.glob("*.proto"))),
        ]
    )
    if code:
        sys.exit(f"protoc failed with status {code}")
    (destination / virtual / "__init__.py").write_text('"""The package voiceplane.v1."""\n')


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the committed stubs are not current")
    if not parser.parse_args().check:
        generate(PACKAGE.parent)
        return
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh, committed = Path(scratch) / "voiceplane_proto" / "v1", PACKAGE / "v1"
        names = {path.name for folder in (fresh, committed) for path in folder.glob("*.py*") if path.is_file()}
        _, mismatch, errors = filecmp.cmpfiles(fresh, committed, sorted(names), shallow=False)
        if mismatch or errors:
            sys.exit(f"generated stubs are not current ({', '.join(mismatch + errors)}): run `just proto`")


if __name__ == "__main__":
    main()
