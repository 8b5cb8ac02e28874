"""docs/reference/voice-packs.md: it names every key, its example is a pack, and its command gives the digest."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from voiceplane_common.artifacts import digest
from voiceplane_common.artifacts.digests import tree_digest
from voiceplane_common.artifacts.fetching import SCHEMES
from voiceplane_worker.adapters import plugins
from voiceplane_worker.adapters.mock import MockOptions
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.packs.metadata import PICKLE_SUFFIXES, PackMetadata, PackSource, PackVoice
from voiceplane_worker.packs.opening import open_pack
from voiceplane_worker.residency.model_spec import ModelSpec

from tests.support.artifacts import write_tree

PAGE = (Path(__file__).parents[4] / "docs" / "reference" / "voice-packs.md").read_text(encoding="utf-8")
EXAMPLE, SELECTION, PINNED = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
ROWS = dict(re.findall(r"^\| `(\w+)` \| (yes)? ?\|", PAGE, re.MULTILINE))


def part(title: str) -> str:
    """The text below a heading."""
    return re.split(rf"^#+ {title}$", PAGE, flags=re.MULTILINE)[1].split("\n#")[0]


def test_every_key_is_named_and_whether_it_must_be_there() -> None:
    fields = PackMetadata.model_fields.items()
    assert {name: bool(must) for name, must in ROWS.items()} == {name: info.is_required() for name, info in fields}


@pytest.mark.parametrize(("key", "model"), [("source", PackSource), ("voices", PackVoice)])
def test_every_key_below_a_key_is_named(key: str, model: type[PackSource | PackVoice]) -> None:
    (row,) = re.findall(rf"^\| `{key}` \|.*$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) >= model.model_fields.keys()


def test_every_option_of_the_mock_is_named() -> None:
    assert set(re.findall(r"`(\w+)`", part("metadata.yaml"))) >= MockOptions.model_fields.keys()


def test_every_scheme_is_named() -> None:
    assert all(f"`{scheme}:" in part("Sources") for scheme in SCHEMES)


def test_the_example_of_a_selection_is_a_source() -> None:
    assert PackSource.model_validate(yaml.safe_load(SELECTION)["source"]).include


def test_the_example_of_a_pin_states_the_digest_of_its_files() -> None:
    source = PackSource.model_validate(yaml.safe_load(PINNED)["source"])
    assert source.sha256 == tree_digest(source.digests)


def test_the_suffixes_of_pickles_are_those_that_are_refused() -> None:
    assert set(re.findall(r" (\.\w+)", part("Pickles"))) == PICKLE_SUFFIXES


def test_the_example_is_a_pack(tmp_path: Path) -> None:
    values = yaml.safe_load(EXAMPLE)
    metadata = PackMetadata.model_validate(values)
    assert metadata.source
    beside = yaml.safe_dump({key: value for key, value in values.items() if key != "source"}).encode()
    folder = tmp_path / metadata.family / metadata.model_id
    write_tree(folder, {"metadata.yaml": beside, **dict.fromkeys(metadata.files.values(), b"")})
    pack = open_pack(ModelSpec(model_id=metadata.model_id), PackCatalog(tmp_path).find(metadata.model_id))
    assert pack.path == folder
    assert metadata.family in plugins.families()


def test_the_command_prints_the_digest(tmp_path: Path) -> None:
    (command,) = re.findall(r"^```sh\n(.*?)^```", part("Digests"), re.DOTALL | re.MULTILINE)
    folder = write_tree(tmp_path, {"metadata.yaml": b"a", "onnx/a b.onnx": b"b", "Zebra": b""})
    run = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [digest(folder), "-"]
