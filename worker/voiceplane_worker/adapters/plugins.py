"""The families of this environment: what its packages offer as entry points of the group `voiceplane.families`.

Each package under families/ offers one, the worker itself offers `mock`, and any other package may offer its own, see
docs/how-to/add-a-family.md. A package that is broken leaves the other families as they are. The libraries of a family
are imported when its adapter is first asked for, and not before.
"""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from voiceplane_common.errors import failed_precondition

from voiceplane_worker.adapters.family import Family, install_command

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

    from voiceplane_common.errors import VoiceplaneError

    from voiceplane_worker.adapters.base import Adapter, FamilyTraits

GROUP = "voiceplane.families"
NAME = re.compile(r"[a-z][a-z0-9_]*")
"""A family's name, in entry points and in a voice pack's metadata."""


@dataclass(frozen=True, slots=True)
class Plugins:
    """What the packages of an environment offer.

    Attributes:
        families: The families that can be used, by name.
        broken: Why the others can't be used, by name.
    """

    families: dict[str, Family] = field(default_factory=dict)
    broken: dict[str, VoiceplaneError] = field(default_factory=dict)


def families() -> tuple[str, ...]:
    """The names of the families whose packages are installed here, with or without the libraries that they need."""
    return tuple(_plugins().families)


def traits() -> tuple[FamilyTraits, ...]:
    """What the families can do whose libraries are installed here, too."""
    return tuple(family.traits for family in _plugins().families.values() if not family.missing)


def lacking() -> dict[str, list[str]]:
    """The modules that each family needs and that are not installed here."""
    return {name: family.missing for name, family in _plugins().families.items()}


def remedy(name: str) -> str:
    """The command that installs a family with all that it needs."""
    family = _plugins().families.get(name)
    return family.remedy if family else install_command(name)


def file_suffixes(name: str) -> Mapping[str, str]:
    """What the files of a family's packs end in, by role; empty if the family does not say, or is not here."""
    family = _plugins().families.get(name)
    return family.file_suffixes if family else {}


def opens(name: str) -> tuple[str, ...]:
    """Patterns of the files that a family opens; empty if the family does not say, or is not here."""
    family = _plugins().families.get(name)
    return family.opens if family else ()


def broken() -> dict[str, str]:
    """Families whose packages are broken, with the reason."""
    return {name: error.message for name, error in _plugins().broken.items()}


def traits_of(name: str) -> FamilyTraits:
    """What a family can do; raises as find_adapter does, and imports no library."""
    return _installed(name).traits


def family_of(name: str) -> Family:
    """A family that can be used here; raises as find_adapter does, and imports no library."""
    return _installed(name)


def usable() -> tuple[Family, ...]:
    """The families whose libraries are installed here, too."""
    return tuple(family for family in _plugins().families.values() if not family.missing)


def warm_up_runs(name: str) -> int:
    """How often the warm-up text of a family's model is spoken on a GPU; 1 for a family that is not known here."""
    family = _plugins().families.get(name)
    return family.gpu.warm_up_runs if family and family.uses_device else 1


def find_adapter(name: str) -> Adapter:
    """The adapter of a family.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, reason FAMILY_NOT_INSTALLED, if no package here offers the family or a
            library that it needs is missing, or FAMILY_BROKEN, if its package is broken.
    """
    family = _installed(name)
    try:
        adapter = getattr(importlib.import_module(family.module), family.adapter)
    except (ImportError, AttributeError) as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        message = f"{family.module}:{family.adapter}, the adapter of {name!r}, can't be imported ({why}): "
        fix = "upgrade or reinstall the package that offers it"
        raise failed_precondition("FAMILY_BROKEN", message + fix, field="family") from error
    return cast("Adapter", adapter())


def find_plugins() -> Plugins:
    """Read the entry points of this environment."""
    found = Plugins()
    offers: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        offers.setdefault(point.name, []).append(point)
    for name, points in sorted(offers.items()):
        try:
            found.families[name] = _only(name, points)
        except _BrokenError as error:
            packages = " and ".join(sorted(_package(point) for point in points))
            message = f"family {name!r} of {packages}: {error}"
            found.broken[name] = failed_precondition("FAMILY_BROKEN", message, field="family")
    return found


@functools.cache
def _plugins() -> Plugins:
    return find_plugins()


def _installed(name: str) -> Family:
    plugins = _plugins()
    if error := plugins.broken.get(name):
        raise error
    if not (family := plugins.families.get(name)):
        message = f"family {name!r} is not installed here, only {', '.join(plugins.families) or 'none'}"
        fix = f"{install_command(name)}, or correct the name" if NAME.fullmatch(name) else "correct the name"
        raise failed_precondition("FAMILY_NOT_INSTALLED", f"{message}: {fix}", field="family")
    if missing := family.missing:
        message = f"family {name!r} needs {' and '.join(missing)}: {family.remedy}"
        raise failed_precondition("FAMILY_NOT_INSTALLED", message, field="family")
    return family


class _BrokenError(Exception):
    """What is wrong with an entry point, and the remedy."""


def _only(name: str, points: list[EntryPoint]) -> Family:
    if not NAME.fullmatch(name):
        raise _BrokenError("its name must be lower-case letters, digits and '_', as in voice packs: rename it")
    if len(points) > 1:
        raise _BrokenError("several packages offer it: uninstall all but one")
    (point,) = points
    try:
        family = point.load()
    except Exception as error:  # whatever another package's module raises
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
