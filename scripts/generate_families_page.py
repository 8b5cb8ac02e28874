"""Write the table of docs/reference/families.md from what lies under families/; --check only compares."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from families.manifests import Manifest, read_manifests  # noqa: E402  # found by the line above

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import FamilyTraits

PAGE = ROOT / "docs" / "reference" / "families.md"
BEGIN, END = "<!-- families -->\n", "<!-- end of families -->\n"
HEAD = (
    "| family | library code | weights | languages | CPU | GPU | streamed | clones voices | LoRA |",
    "|---|---|---|---|---|---|---|---|---|",
)
MOCK = (
    "| `mock` (the worker's own) | none: tones | none | any | contract suite, in the worker's process and in a child"
    " | none needed | yes | no | a fifth higher |"
)


def traits_of(manifest: Manifest) -> FamilyTraits:
    """What a family's models can do; its libraries are not imported."""
    sys.path.insert(0, str(manifest.source))
    try:
        return cast("FamilyTraits", importlib.import_module(f"voiceplane_family_{manifest.name}").FAMILY.traits)
    finally:
        sys.path.remove(str(manifest.source))


def row(manifest: Manifest) -> str:
    """A family's row."""
    traits, said = traits_of(manifest), manifest.table

    def answer(able: bool, key: str) -> str:
        return ("yes" if able else "no") + (f": {said[key]}" if key in said else "")

    has_page = (manifest.folder / "README.md").is_file()
    cells = [
        f"[`{manifest.name}`](../../families/{manifest.name}/README.md)" if has_page else f"`{manifest.name}`",
        *(said.get(key, "") for key in ("library", "weights", "languages", "cpu", "gpu")),
        answer(traits.streaming, "streamed"),
        answer(traits.voice_cloning, "clones"),
        answer(traits.lora, "lora"),
    ]
    return f"| {' | '.join(cells)} |"


def page(text: str) -> str:
    """The page with the present table."""
    table = "\n".join([*HEAD, *map(row, read_manifests().values()), MOCK])
    return re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{table}\n\n{END}", text, flags=re.DOTALL)


def main() -> None:
    """Entry point."""
    before = PAGE.read_text(encoding="utf-8")
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(before), encoding="utf-8")
    elif page(before) != before:
        sys.exit(f"{PAGE.relative_to(ROOT)} is not what families/ says: run `just families`")


if __name__ == "__main__":
    main()
