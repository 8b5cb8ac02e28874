"""A family's whole contract runs until it has passed, and again after each change of the family or the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.family_selection import CORE, select

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("families/piper/adapter.py", "families/csm/adapter.py", "worker/engine.py", "docs/index.md"):
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    return tmp_path / "checkout"


@pytest.fixture(autouse=True)
def no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOICEPLANE_CONTRACT", raising=False)


def test_the_core_is_due_once_the_whole_suite_has_passed(checkout: Path, tmp_path: Path) -> None:
    first = select("csm", root=checkout, records=tmp_path)
    assert first.whole
    assert first.arguments == ()
    assert select("csm", root=checkout, records=tmp_path).whole, "it has not passed yet"
    first.passed()
    second = select("csm", root=checkout, records=tmp_path)
    assert second.arguments == CORE
    assert second.description != first.description
    assert select("piper", root=checkout, records=tmp_path).whole, "another family has passed"


@pytest.mark.parametrize(
    "changed", ["families/csm/adapter.py", "worker/engine.py", "worker/new.py", "families/kit/a.py"]
)
def test_the_whole_suite_is_due_after_a_change(checkout: Path, tmp_path: Path, changed: str) -> None:
    select("csm", root=checkout, records=tmp_path).passed()
    path = checkout / changed
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("2")
    assert select("csm", root=checkout, records=tmp_path).whole


def test_other_files_do_not_matter(checkout: Path, tmp_path: Path) -> None:
    select("csm", root=checkout, records=tmp_path).passed()
    (checkout / "docs/index.md").write_text("2")
    (checkout / "families/piper/adapter.py").write_text("2")
    (checkout / "worker/__pycache__").mkdir()
    (checkout / "worker/__pycache__/engine.cpython-311.pyc").write_text("2")
    assert not select("csm", root=checkout, records=tmp_path).whole


def test_the_whole_suite_can_be_asked_for(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    select("csm", root=checkout, records=tmp_path).passed()
    monkeypatch.setenv("VOICEPLANE_CONTRACT", "whole")
    assert select("csm", root=checkout, records=tmp_path).whole
