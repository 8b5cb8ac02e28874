"""docs/reference/custom-resources.md names every field, default and reason, and its examples are valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from voiceplane_operator.specs.pool import TTSWorkerPoolSpec
from voiceplane_operator.specs.voicemodel import VoiceModelSpec

from tests.unit.operator.builders.test_pod import KEEPS_PODS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_operator.specs.base import Described

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "custom-resources.md").read_text(encoding="utf-8")
SPECS: dict[str, type[Described]] = {"VoiceModel": VoiceModelSpec, "TTSWorkerPool": TTSWorkerPoolSpec}
EXAMPLES = [
    document
    for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for document in yaml.safe_load_all(block)
]
TABLES = [("VoiceModel", "spec"), ("VoiceModel", "status"), ("TTSWorkerPool", "spec"), ("TTSWorkerPool", "status")]


def schema_of(kind: str, part: str) -> dict[str, Any]:
    file = ROOT / "crds" / f"{kind.lower()}s.yaml"
    version = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]["versions"][0]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"][part]
    return found


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a schema, as its path and its schema; a required one has `required`."""
    for name, field in schema.get("properties", {}).items():
        yield path + name, field | {"required": name in schema.get("required", ())}
        yield from fields(field, f"{path}{name}.")
        yield from fields(field.get("items", {}), f"{path}{name}[].")


def rows(kind: str, part: str) -> dict[str, list[str]]:
    heading = f"## {kind}" if part == "spec" else f"### {kind} status"
    section = re.split(rf"^{heading}$", PAGE, flags=re.MULTILINE)[1]
    section = re.split(r"^##", section, flags=re.MULTILINE)[0]
    lines = re.findall(r"^\| `(.*?)` \| (.*) \|$", section, re.MULTILINE)
    return {path: rest.split(" | ") for path, rest in lines}


@pytest.mark.parametrize(("kind", "part"), TABLES)
def test_every_field_is_described_as_in_the_crd(kind: str, part: str) -> None:
    real = dict(fields(schema_of(kind, part)))
    described = rows(kind, part)
    assert described.keys() == real.keys()
    for path, field in real.items():
        assert field["description"] in described[path], path


@pytest.mark.parametrize("kind", SPECS)
def test_every_default_is_named(kind: str) -> None:
    described = rows(kind, "spec")
    for path, field in fields(schema_of(kind, "spec")):
        default = field.get("default") or ""
        expected = "required" if field["required"] else f"`{default}`" if default else ""
        assert described[path][1].strip() == expected, path


def test_the_page_marks_edits_that_replace_pods() -> None:
    for path, cells in rows("TTSWorkerPool", "spec").items():
        top = re.split(r"[.\[]", path)[0]
        assert cells[-1] == ("no" if top in KEEPS_PODS else "yes"), path


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each["metadata"]["name"])
def test_an_example_is_valid_and_has_only_known_fields(example: dict[str, Any]) -> None:
    kind = example["kind"]
    SPECS[kind].model_validate(example["spec"])
    known = dict(fields(schema_of(kind, "spec")))

    def paths(value: dict[str, Any], path: str = "") -> Iterator[str]:
        for name, inner in value.items():
            yield path + name
            free = {"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & known[path + name].keys()
            if isinstance(inner, dict) and not free:
                yield from paths(inner, f"{path}{name}.")

    assert set(paths(example["spec"])) <= known.keys()


def test_there_are_examples_of_both_kinds() -> None:
    assert {each["kind"] for each in EXAMPLES} == SPECS.keys()
    assert len(EXAMPLES) >= 7


@pytest.mark.parametrize("module", ["workerpool_status", "voicemodel_status", "declarations"])
def test_every_reason_is_in_a_table(module: str) -> None:
    (file,) = (ROOT / "operator" / "voiceplane_operator").rglob(f"{module}.py")
    source = file.read_text(encoding="utf-8")
    reasons = set(re.findall(r'(?:reason=|yield (?:True, |False, )?|verdict\((?:True|False), )"([A-Z]\w+)"', source))
    assert len(reasons) >= 3
    assert {reason for reason in reasons if f"`{reason}`" not in PAGE} == set()
