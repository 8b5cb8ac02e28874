"""Families are found by name, and a family costs nothing until it is asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec

import grpc
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters import family as families
from voiceplane_worker.adapters import registry


def test_an_unknown_family_is_named_with_the_known_ones() -> None:
    with pytest.raises(VoiceplaneError, match=r"'opera'.*piper, .*mock") as caught:
        registry.find_adapter("opera")
    assert caught.value.field == "family"


def test_a_family_without_its_libraries_names_the_extra_and_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    # As where every family's libraries are, but one: not all of them can be in one environment.
    monkeypatch.setattr(families, "find_spec", lambda name: None if name == "onnx" else ModuleSpec(name, None))
    with pytest.raises(VoiceplaneError, match=r"onnx.*voiceplane-worker\[piper\]") as caught:
        registry.find_adapter("piper")
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
    offered = {traits.name for traits in registry.traits()}
    assert offered == set(registry.families()) - {"piper"}
    assert {name: modules for name, modules in registry.lacking().items() if modules} == {"piper": ["onnx"]}


def test_no_family_is_imported_before_it_is_asked_for() -> None:
    program = (
        "import sys; from voiceplane_worker.adapters import registry; "
        "registry.traits(); registry.find_adapter('mock'); "
        "print([name for name in ('piper', 'onnx', 'onnxruntime', 'torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
