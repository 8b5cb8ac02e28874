"""docs/explanation/operator.md names every setting with its default."""

from __future__ import annotations

from pathlib import Path

from voiceplane_operator.settings import OperatorSettings

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "operator.md").read_text(encoding="utf-8")


def test_settings_and_defaults_are_named() -> None:
    for name, field in OperatorSettings.model_fields.items():
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        assert f"| `{name}` | `{default if default != '' else chr(34) * 2}` |" in PAGE
