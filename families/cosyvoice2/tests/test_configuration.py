"""cosyvoice2.yaml is data: nothing that a pack names is run, but for the model's own classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from voiceplane_family_cosyvoice2.adapter import CosyVoice2Adapter
from voiceplane_family_cosyvoice2.configuration import ConfigurationError, read_configuration

from families.cosyvoice2.tests.tiny import YAML, pack_of_tiny
from tests.support.packs import refusal

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_family_cosyvoice2.configuration import Configuration

EVIL = [
    ("!apply:os.system ['touch {mark}']", r"calls os\.system, which is not of this model"),
    ("!apply:subprocess.check_call [['touch', '{mark}']]", r"calls subprocess\.check_call"),
    ("!new:subprocess.Popen\n    args: [touch, '{mark}']", r"names subprocess\.Popen"),
    ("!name:os.system\n    command: touch", r"names os\.system"),
    ("!new:cosyvoice.cli.cosyvoice.CosyVoice2\n    model_dir: '{mark}'", None),
    ("!!python/object/apply:os.system ['touch {mark}']", "python/object/apply:os.system"),
    ("!module:os", "!module:os"),
    ("!applyref:os.system ['touch {mark}']", "!applyref:os.system"),
    ("!include:/etc/passwd", "!include:/etc/passwd"),
]


def read(folder: Path, text: str) -> Configuration:
    file = folder / "cosyvoice2.yaml"
    file.write_text(text)
    return read_configuration(file)


@pytest.mark.parametrize(("entry", "message"), EVIL)
def test_what_is_not_of_the_model_is_refused_and_nothing_is_run(
    tmp_path: Path, entry: str, message: str | None
) -> None:
    mark = tmp_path / "mark"
    text = f"{YAML}\nevil: {entry.format(mark=mark)}\n"
    if message is None:  # of the library, and not asked for
        read(tmp_path, text)
    else:
        with pytest.raises(ConfigurationError, match=message):
            read(tmp_path, text)
    assert not mark.exists()


@pytest.mark.parametrize(
    "name", ["os.system", "cosyvoice.cli.cosyvoice.CosyVoice2", "cosyvoice.utils.common.os.system"]
)
def test_a_part_that_is_another_callable_is_refused_when_the_pack_is_loaded(tmp_path: Path, name: str) -> None:
    pack = pack_of_tiny(tmp_path / "tiny")
    file = pack.path / "cosyvoice2.yaml"
    file.write_text(file.read_text().replace("cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor", name))
    error = refusal(CosyVoice2Adapter(), pack)
    assert error.field == "cosyvoice2.yaml"
    assert f"names {name}" in error.message


def test_references_are_replaced_and_computed(tmp_path: Path) -> None:
    configuration = read(
        tmp_path, "a: 3\nb: !ref <a>\nc: !ref <b> * <a> + 1\nd: !new:cosyvoice.x\n    n: !ref <c> // 4\n"
    )
    assert [configuration.value(key) for key in "abc"] == [3, 3, 10]
    assert configuration.make("d", {"cosyvoice.x": lambda n: n + 100}) == 102


def test_numbers_with_an_exponent_are_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, "a: 1e-06").value("a") == 1e-06


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !ref <b>", "has no entry 'b'"),
        ("a: !ref <b> + 1", "has no entry 'b'"),
        ("b: 1\na: !ref <b>.__class__", "can't be computed"),
        ("b: 1\na: !ref <b> ** 99999999", "can't be computed"),
        ("b: 0\na: !ref 1 / <b>", "can't be computed"),
        ("b: 1\na: !ref exit()", "can't be computed"),
    ],
)
def test_references_that_say_nothing_are_refused(tmp_path: Path, text: str, message: str) -> None:
    configuration = read(tmp_path, text)
    with pytest.raises(ConfigurationError, match=message):
        configuration.value("a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "must hold a mapping"),
        ("a: [", "can't be read"),
        ("a: !new:cosyvoice.x [1, 2]", "gives cosyvoice.x arguments without names"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read(tmp_path, text)
