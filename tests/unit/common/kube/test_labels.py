"""Label selectors select what Kubernetes' own would."""

from __future__ import annotations

import pytest
from voiceplane_common.kube.labels import Requirement, matches

LABELS = {"tier": "gpu", "zone": "a", "empty": ""}


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
        ({"tier": "cpu"}, [Requirement("zone", "In", ["a"])], False),
        ({"tier": "gpu"}, [Requirement("zone", "In", ["a"])], True),
        ({}, [Requirement("zone", "In", ["a"]), Requirement("tier", "NotIn", ["gpu"])], False),
        ({}, [Requirement("zone", "In", ["a"]), Requirement("tier", "Exists")], True),
        ({}, [Requirement("zone", "In", [])], False),
        ({}, [Requirement("zone", "NotIn", [])], True),
        ({"empty": ""}, [Requirement("empty", "In", [""]), Requirement("empty", "Exists")], True),
        ({}, [Requirement("empty", "NotIn", [""])], False),
        ({}, [Requirement("other", "In", [""])], False),
        ({"Tier": "gpu"}, [], False),
    ],
)
def test_a_selector_selects(equal: dict[str, str], requirements: list[Requirement], selected: bool) -> None:
    assert matches(LABELS, equal=equal, requirements=requirements) is selected


@pytest.mark.parametrize(
    ("equal", "requirements", "selected"),
    [
        ({}, [], True),
        ({"tier": "gpu"}, [], False),
        ({}, [Requirement("tier", "NotIn", ["gpu"]), Requirement("tier", "DoesNotExist")], True),
        ({}, [Requirement("tier", "Exists")], False),
    ],
)
def test_an_object_without_labels_is_selected_by_what_asks_for_none(
    equal: dict[str, str], requirements: list[Requirement], selected: bool
) -> None:
    assert matches({}, equal=equal, requirements=requirements) is selected
