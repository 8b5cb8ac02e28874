"""The contract suite in the environments of the families that have one of their own."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support import environments
from tests.support.notes import note

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 2
"""Most of what the suite takes is the time that speech takes."""


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Future[environments.Outcome]]]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {family: pool.submit(environments.run, family) for family in environments.FAMILIES}
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(3_600)  # it may have to install gigabytes, and others are before it
@pytest.mark.parametrize("family", environments.FAMILIES)
def test_a_family_keeps_the_contract_in_its_own_environment(
    family: str, outcomes: dict[str, Future[environments.Outcome]], pytestconfig: pytest.Config
) -> None:
    outcome = outcomes[family].result()

    for line in outcome.summary:
        note(pytestconfig, f"{family}, in its own environment: {line}")
    assert outcome.code == 0, outcome.output
    assert outcome.not_passed == ()
    assert any(f"[{family}]" in name for name in outcome.passed)
    assert any(f"families/{family}/" in name for name in outcome.passed)
