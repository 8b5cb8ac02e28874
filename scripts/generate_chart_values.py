"""Write the table of values into the chart's README, from values.yaml and values.schema.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "charts" / "voiceplane"
BEGIN, END = "<!-- values -->\n", "<!-- end of values -->\n"


def rows(values: dict[str, Any], schema: dict[str, Any], prefix: str = "") -> list[str]:
    """A row for each value; a mapping whose keys the schema names is taken apart."""
    found: list[str] = []
    for name, value in values.items():
        part, path = schema["properties"][name], f"{prefix}{name}"
        if isinstance(value, dict) and part.get("properties"):
            found += rows(value, part, f"{path}.")
        else:
            found.append(f"| `{path}` | `{json.dumps(value)}` | {part['description']} |")
    return found


def table() -> str:
    """The whole table."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    return "\n".join(["| Value | Default | Meaning |", "|---|---|---|", *rows(values, schema)]) + "\n"


def page(readme: str) -> str:
    """A README with the present table."""
    return re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{table()}\n{END}", readme, flags=re.DOTALL)


def main() -> None:
    """Rewrite the README."""
    readme = CHART / "README.md"
    readme.write_text(page(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
