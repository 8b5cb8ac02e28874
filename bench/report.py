"""Figures as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


@dataclass(slots=True)
class Section:
    """One table.

    Attributes:
        name: What it shows.
        columns: Headings; the first is the row's name.
        rows: Cells; numbers stay numbers in the JSON.
        note: What one must know to read it.
    """

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[str | float, ...]] = field(default_factory=list)
    note: str = ""


class Report:
    """All tables of a run."""

    def __init__(self) -> None:
        self._sections: list[Section] = []
        self._console = Console(width=140)

    def show(self, section: Section) -> None:
        """Print a table and keep it for the JSON."""
        self._sections.append(section)
        table = Table(title=section.name, caption=section.note or None, title_justify="left")
        for number, column in enumerate(section.columns):
            table.add_column(column, justify="left" if number == 0 else "right")
        for row in section.rows:
            table.add_row(*(_cell(value) for value in row))
        self._console.print(table)

    def write(self, path: Path, *, figures: dict[str, Any] | None = None) -> None:
        """Write the JSON, with figures besides the tables if there are some."""
        path.parent.mkdir(parents=True, exist_ok=True)
        run: dict[str, Any] = {
            "machine": f"{platform.machine()}, {platform.system()}",
            "sections": [asdict(s) for s in self._sections],
        }
        path.write_text(json.dumps(run | ({"figures": figures} if figures else {}), indent=1))
        self._console.print(f"written to {path}")


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def spread(values: Iterable[float]) -> tuple[float, float, float]:
    """Median, p95 and p99."""
    known = list(values)
    return percentile(known, 50), percentile(known, 95), percentile(known, 99)
