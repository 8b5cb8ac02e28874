"""The contract suite in the environments of the families that have one of their own: all of it, or a core of it."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support import environments
from tests.support.family_selection import Selection, select
from tests.support.notes import note

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 2
"""Most of what the suite takes is the time that speech takes."""


def judge(family: str) -> tuple[Selection, environments.Outcome]:
    selection = select(family)  # before the run: what is edited meanwhile has not passed
    outcome = environments.run(family, *selection.arguments)
    if outcome.code == 0 and not outcome.not_passed:
        selection.passed()
    return selection, outcome


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Future[tuple[Selection, environments.Outcome]]]]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {family: pool.submit(judge, family) for family in environments.FAMILIES}
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(3_600)  # it may have to install gigabytes, and others are before it
@pytest.mark.parametrize("family", environments.FAMILIES)
def test_a_family_keeps_the_contract_in_its_own_environment(
    family: str, outcomes: dict[str, Future[tuple[Selection, environments.Outcome]]], pytestconfig: pytest.Config
) -> None:
    selection, outcome = outcomes[family].result()

    for line in outcome.summary:
        note(pytestconfig, f"{family}, in its own environment, {selection.description}: {line}")
    assert outcome.code == 0, outcome.output
    assert outcome.not_passed == ()
    assert any(f"[{family}]" in name for name in outcome.passed)
    if selection.whole:
        assert any(f"families/{family}/" in name for name in outcome.passed)
