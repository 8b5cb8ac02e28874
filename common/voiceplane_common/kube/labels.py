"""Label selectors.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#resources-that-support-set-based-requirements
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


class Requirement(NamedTuple):
    """One of matchExpressions.

    Attributes:
        key: The label.
        operator: In, NotIn, Exists or DoesNotExist.
        values: Of In and NotIn.
    """

    key: str
    operator: str
    values: Collection[str] = ()


def matches(labels: Mapping[str, str], *, equal: Mapping[str, str], requirements: Iterable[Requirement] = ()) -> bool:
    """Whether an object with these labels is selected.

    Args:
        labels: Its labels.
        equal: matchLabels.
        requirements: matchExpressions.
    """
    return all(labels.get(key) == value for key, value in equal.items()) and all(
        _holds(requirement, labels) for requirement in requirements
    )


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    present = requirement.key in labels
    match requirement.operator:
        case "In":
            return present and labels[requirement.key] in requirement.values
        case "NotIn":
            return not present or labels[requirement.key] not in requirement.values
        case "Exists":
            return present
    return not present
