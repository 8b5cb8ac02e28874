"""Families come from packages: found by name, refused with their reason, and never in the way of the others."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

import grpc
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters import family, plugins

from tests.support.plugins import install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GOOD = """
from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.family import Family
OTHER = 7
FAMILY = Family(traits=FamilyTraits(name="opera", streaming=True), module="opera.adapter", adapter="Opera", needs=NEEDS)
"""
ADAPTER = """
class Opera:
    pass
"""


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a package that brings a family."""
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins._plugins.cache_clear()

    def bring(
        *, name: str = "opera", value: str = "opera:FAMILY", code: str = GOOD, adapter: str = ADAPTER,
        needs: str = "()", package: str = "opera",
    ) -> None:  # fmt: skip
        point = f'"{name}" = "{value}"'
        install(
            tmp_path,
            {
                "pyproject.toml": f"""
                    [project]
                    name = "{package}"
                    version = "1.0"
                    [project.entry-points."voiceplane.families"]
                    {point}
                """,
                "opera/__init__.py": code.replace("NEEDS", needs),
                "opera/adapter.py": adapter,
            },
        )

    yield bring
    for module in [each for each in sys.modules if each.partition(".")[0] == "opera"]:
        del sys.modules[module]
    plugins._plugins.cache_clear()


def refusal(name: str) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        plugins.find_adapter(name)
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.field == "family"
    assert "\n" not in caught.value.message
    return caught.value


def test_a_family_of_another_package_is_one_like_the_others(bring: Callable[..., None]) -> None:
    bring()
    assert plugins.families() == ("kokoro", "mock", "opera", "piper")
    assert "opera" in {traits.name for traits in plugins.traits()}
    assert plugins.lacking()["opera"] == []
    assert plugins.traits_of("opera").streaming
    assert "opera.adapter" not in sys.modules
    assert type(plugins.find_adapter("opera")).__name__ == "Opera"
    assert plugins.broken() == {}


@pytest.mark.parametrize("module", ["no_such_module", "no_such_package.module"])
def test_what_it_needs_is_named_with_the_command_that_installs_it(bring: Callable[..., None], module: str) -> None:
    bring(needs=f'("{module}",), install="pip install opera[tenor]"')
    assert "opera" not in {traits.name for traits in plugins.traits()}
    assert plugins.lacking()["opera"] == [module]
    error = refusal("opera")
    assert error.reason == "FAMILY_NOT_INSTALLED"
    assert f"needs {module}: pip install opera[tenor]" in error.message


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ({"code": "import no_such_module"}, "opera:FAMILY can't be imported (ModuleNotFoundError: No module named"),
        ({"code": "raise ValueError('a\\nb')"}, "(ValueError: a b): upgrade or uninstall"),
        ({"value": "opera:ARIA"}, "opera:ARIA can't be imported (AttributeError"),
        ({"value": "opera:OTHER"}, "opera:OTHER is a int: it must be a voiceplane_worker.adapters.family.Family"),
        ({"name": "operetta"}, "its traits say 'opera'"),
        ({"name": "Opera"}, "must be lower-case letters"),
    ],
)
def test_a_package_that_is_wrong_is_named_and_leaves_the_others_alone(
    bring: Callable[..., None], package: dict[str, str], words: str
) -> None:
    bring(**package)
    name = package.get("name", "opera")
    assert name not in plugins.families()
    assert set(plugins.broken()) == {name}
    assert plugins.traits_of("mock").lora
    error = refusal(name)
    assert error.reason == "FAMILY_BROKEN"
    assert error.message == plugins.broken()[name]
    assert error.message.startswith(f"family {name!r} of opera 1.0: ")
    assert words in error.message


def test_of_two_packages_with_one_name_neither_is_taken(bring: Callable[..., None]) -> None:
    bring()
    bring(package="opera-too")
    assert "opera" not in plugins.families()
    assert "opera 1.0 and opera-too 1.0: several packages offer it" in refusal("opera").message


@pytest.mark.parametrize("adapter", ["import no_such_module", "class Aria: pass"])
def test_an_adapter_that_cannot_be_imported_is_an_error_of_its_family(bring: Callable[..., None], adapter: str) -> None:
    bring(adapter=adapter)
    error = refusal("opera")
    assert error.reason == "FAMILY_BROKEN"
    assert "opera.adapter:Opera, the adapter of 'opera', can't be imported" in error.message


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("no_such_family", "pip install voiceplane-family-no-such-family, or correct the name"),
        ("A B", "correct the name"),
    ],
)
def test_a_family_that_no_package_offers_is_named_with_those_that_are_here(name: str, remedy: str) -> None:
    error = refusal(name)
    assert error.reason == "FAMILY_NOT_INSTALLED"
    assert name in error.message
    assert "mock, piper" in error.message
    assert error.message.endswith(f": {remedy}")


def test_a_package_of_this_repository_without_its_libraries_names_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As where every family's libraries are, but one: not all of them can be in one environment.
    monkeypatch.setattr(family, "find_spec", lambda name: None if name == "onnx" else ModuleSpec(name, None))
    assert "needs onnx: pip install voiceplane-family-piper" in refusal("piper").message
    assert {traits.name for traits in plugins.traits()} == set(plugins.families()) - {"piper"}
    assert {name: modules for name, modules in plugins.lacking().items() if modules} == {"piper": ["onnx"]}


def test_no_family_is_imported_before_it_is_asked_for() -> None:
    program = (
        "import sys; from voiceplane_worker.adapters import plugins; "
        "plugins.traits(); plugins.find_adapter('mock'); "
        "print([name for name in ('piper', 'onnx', 'onnxruntime', 'torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
