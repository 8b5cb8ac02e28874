"""The contract suite in the environments of the families that have one of their own."""

from __future__ import annotations

import pytest

from tests.support import environments
from tests.support.notes import note


@pytest.mark.timeout(1_800)  # it may have to install gigabytes
@pytest.mark.parametrize("family", environments.FAMILIES)
def test_a_family_keeps_the_contract_in_its_own_environment(family: str, pytestconfig: pytest.Config) -> None:
    outcome = environments.run(family)

    for line in outcome.summary:
        note(pytestconfig, f"{family}, in its own environment: {line}")
    assert outcome.code == 0, outcome.output
    assert outcome.not_passed == ()
    assert any(f"[{family}]" in name for name in outcome.passed)
    assert any(f"families/{family}/" in name for name in outcome.passed)
