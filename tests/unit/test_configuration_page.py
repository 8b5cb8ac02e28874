"""docs/reference/configuration.md: its examples load, and it names every setting with its default and every flag."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
import voiceplane_orchestrator.main
import voiceplane_worker.main
import yaml
from pydantic import SecretStr
from voiceplane_common.settings import load_settings
from voiceplane_orchestrator.settings import OrchestratorSettings
from voiceplane_worker.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
WORKER_PART, ORCHESTRATOR_PART = re.split(r"^## The (?:worker|orchestrator)$", PAGE, flags=re.MULTILINE)[1:]
PARTS: list[tuple[str, type[BaseModel]]] = [
    (WORKER_PART, WorkerSettings),
    (ORCHESTRATOR_PART, OrchestratorSettings),
]
EXAMPLE = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
EXAMPLES = [(example, model) for part, model in PARTS for example in EXAMPLE.findall(part)]
SECTIONS = [(part, model, section) for part, model in PARTS for section in model.model_fields]


def plain(value: Any) -> Any:
    """A value as a YAML file would hold it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def rows(part: str, section: str) -> dict[str, str]:
    """The defaults in a section's table, by key."""
    table = re.split(rf"^### {section}$", part, flags=re.MULTILINE)[1].split("\n### ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", table, re.MULTILINE))


def test_the_page_has_an_example_for_each_program() -> None:
    assert {model for _, model in EXAMPLES} == {WorkerSettings, OrchestratorSettings}


@pytest.mark.parametrize(("example", "model"), EXAMPLES)
def test_an_example_loads(example: str, model: type[BaseModel], tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(example, encoding="utf-8")
    loaded = load_settings(model, file=file)
    for section, values in yaml.safe_load(example).items():
        for key, value in values.items():
            held = getattr(getattr(loaded, section), key)
            assert plain(held) == value or isinstance(held, dict), f"{section}.{key}"


@pytest.mark.parametrize(("part", "model", "section"), SECTIONS)
def test_every_setting_is_named_with_its_default(part: str, model: type[BaseModel], section: str) -> None:
    told = rows(part, section)
    defaults = model.model_fields[section].default
    assert told.keys() == type(defaults).model_fields.keys()
    for key, words in told.items():
        default = plain(getattr(defaults, key))
        if not isinstance(default, dict):  # too long for a table
            assert yaml.safe_load(words) == default, f"{section}.{key}"


@pytest.mark.parametrize(("part", "model"), PARTS)
def test_the_page_names_every_section_and_no_other(part: str, model: type[BaseModel]) -> None:
    assert re.findall(r"^### (\w+)$", part, re.MULTILINE) == list(model.model_fields)


@pytest.mark.parametrize(
    ("part", "command"),
    [(WORKER_PART, voiceplane_worker.main.serve), (ORCHESTRATOR_PART, voiceplane_orchestrator.main.serve)],
)
def test_the_page_names_every_flag(part: str, command: Callable[..., None]) -> None:
    app = typer.Typer(add_completion=False)
    app.command()(command)
    real = {parameter.opts[0] for parameter in typer.main.get_command(app).params} - {"--help"}
    assert set(re.findall(r"^\| `(--[\w-]+)` \|", part, re.MULTILINE)) == real


def test_the_variables_on_the_page_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = re.findall(r"^(VOICEPLANE_\w+)=(.*)$", PAGE, re.MULTILINE)
    for name, value in lines:
        monkeypatch.setenv(name, value.strip("'"))
    worker, orchestrator = load_settings(WorkerSettings), load_settings(OrchestratorSettings)
    assert len(lines) == 3
    assert worker.model_manager.ttl_ms == 300_000
    assert orchestrator.discovery.workers == ("10.0.0.5:50051", "10.0.0.6:50051")
    assert orchestrator.auth.api_keys == (SecretStr("a-long-random-key"),)
