"""The import contracts of the families under families/, whatever lies there.

A family imports the adapter API of the worker, voice packs, voiceplane_common and the kit: not what serves sessions,
and no other family. Nothing imports a family: the worker finds it by its entry point.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from families.manifests import read_manifests  # noqa: E402  # found by the line above

KIT = "voiceplane_family_kit"
WORKER = ROOT / "worker" / "voiceplane_worker"
# What a family may import of the worker.
API = {
    "adapters": {"base", "family", "memory", "options", "out_of_memory", "pack_files"},
    "packs": {"metadata", "pack"},
}
PROGRAMS = ("voiceplane_cli", "voiceplane_operator", "voiceplane_orchestrator")
BELOW = ("voiceplane_client", "voiceplane_common", "voiceplane_proto")


def modules_below(folder: Path) -> list[str]:
    """The names of a package's modules and packages."""
    names = (path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file())
    return sorted(name for name in names if name != "__init__")


def internals() -> list[str]:
    """The worker's modules that are not in the API."""
    found = []
    for name in modules_below(WORKER):
        allowed = API.get(name)
        inner = sorted(set(modules_below(WORKER / name)) - allowed) if allowed else []
        found += (
            [f"voiceplane_worker.{name}.{module}" for module in inner] if allowed else [f"voiceplane_worker.{name}"]
        )
    return found


def configuration(packages: list[str]) -> str:
    """What import-linter reads, for the families' packages."""
    families = [*packages, KIT]
    return f"""
[tool.importlinter]
root_packages = {["voiceplane_worker", *families, *PROGRAMS, *BELOW]}

[[tool.importlinter.contracts]]
name = "Families stand on the kit and the worker's adapter API, and not on one another"
type = "layers"
layers = ["{" | ".join(packages)}", "{KIT}", "voiceplane_worker", "voiceplane_common", "voiceplane_proto"]

[[tool.importlinter.contracts]]
name = "Families import nothing that serves sessions"
type = "forbidden"
source_modules = {families}
forbidden_modules = {[*internals(), *PROGRAMS, "voiceplane_client"]}
allow_indirect_imports = true

[[tool.importlinter.contracts]]
name = "Nothing imports a family"
type = "forbidden"
source_modules = {["voiceplane_worker", *PROGRAMS, *BELOW]}
forbidden_modules = {families}
"""


def main() -> None:
    """Entry point."""
    manifests = read_manifests()
    sys.path[:0] = [str(ROOT / "families" / "kit" / "src"), *(str(each.source) for each in manifests.values())]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "contracts.toml"
        file.write_text(configuration([f"voiceplane_family_{name}" for name in manifests]), encoding="utf-8")
        sys.exit(lint_imports(config_filename=str(file), no_cache=True) != EXIT_STATUS_SUCCESS)


if __name__ == "__main__":
    main()
