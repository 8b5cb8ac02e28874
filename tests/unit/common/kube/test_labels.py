"""Label selectors select what Kubernetes' own would."""

from __future__ import annotations

import pytest
from voiceplane_common.kube.labels import Requirement, matches

LABELS = {"tier": "gpu", "zone": "a"}


@pytest.mark.parametrize(
    ("equal", "requirements", "selected"),
    [
        ({}, [], True),
        ({"tier": "gpu"}, [], True),
        ({"tier": "gpu", "zone": "b"}, [], False),
        ({"other": ""}, [], False),
        ({}, [Requirement("zone", "In", ["a", "b"])], True),
        ({}, [Requirement("other", "In", ["a"])], False),
        ({}, [Requirement("zone", "NotIn", ["a"])], False),
        ({}, [Requirement("other", "NotIn", ["a"])], True),
        ({}, [Requirement("tier", "Exists")], True),
        ({}, [Requirement("other", "Exists")], False),
        ({}, [Requirement("other", "DoesNotExist")], True),
        ({}, [Requirement("tier", "DoesNotExist")], False),
        ({"tier": "gpu"}, [Requirement("zone", "In", ["b"])], False),
    ],
)
def test_a_selector_selects(equal: dict[str, str], requirements: list[Requirement], selected: bool) -> None:
    assert matches(LABELS, equal=equal, requirements=requirements) is selected
