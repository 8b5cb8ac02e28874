"""Families of other packages, found by their entry points; one that is broken leaves the others as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from voiceplane_common.errors import failed_precondition

from voiceplane_worker.adapters.family import Family

if TYPE_CHECKING:
    from collections.abc import Collection
    from importlib.metadata import EntryPoint

    from voiceplane_common.errors import VoiceplaneError

GROUP = "voiceplane.families"
NAME = re.compile(r"[a-z][a-z0-9_]*")
"""As a voice pack's metadata may write a family."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """What other packages bring.

    Attributes:
        families: Those that can be used, by name.
        broken: Why the others can't be, by name.
    """

    families: dict[str, Family] = field(default_factory=dict)
    broken: dict[str, VoiceplaneError] = field(default_factory=dict)


def find_foreign(own: Collection[str]) -> Foreign:
    """Read the entry points of this environment.

    Args:
        own: The names of the worker's own families, which nobody else can bring.
    """
    found = Foreign()
    offers: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        offers.setdefault(point.name, []).append(point)
    for name, points in sorted(offers.items()):
        try:
            found.families[name] = _only(name, points, own)
        except _BrokenError as error:
            packages = " and ".join(sorted(_package(point) for point in points))
            message = f"family {name!r} of {packages}: {error}"
            found.broken[name] = failed_precondition("FAMILY_BROKEN", message, field="family")
    return found


class _BrokenError(Exception):
    """What is wrong with an entry point, and the remedy."""


def _only(name: str, points: list[EntryPoint], own: Collection[str]) -> Family:
    if not NAME.fullmatch(name):
        raise _BrokenError("its name must be lower-case letters, digits and '_', as in voice packs: rename it")
    if name in own:
        raise _BrokenError("the worker has a family of this name already: rename it, or uninstall the package")
    if len(points) > 1:
        raise _BrokenError("several packages bring it: uninstall all but one")
    (point,) = points
    try:
        family = point.load()
    except Exception as error:  # whatever a stranger's module raises
        why = " ".join(str(error).split())
        message = f"{point.value} can't be imported ({type(error).__name__}: {why}): upgrade or uninstall the package"
        raise _BrokenError(message) from None
    if not isinstance(family, Family):
        raise _BrokenError(
            f"{point.value} is a {type(family).__name__}: it must be a voiceplane_worker.adapters.family.Family"
        )
    if family.traits.name != name:
        raise _BrokenError(f"its traits say {family.traits.name!r}: give the entry point and the traits one name")
    return family


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
